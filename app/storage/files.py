"""Read regular files only; write a file so that it is there whole, or not at all, also after a loss of power.

A new file gets the rights that the umask leaves, as from any program: whoever wants others kept out sets `umask 077`. A
file that is replaced keeps its mode, and its owner and group as far as this user may set them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from app.errors import BudgetError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

_NEW_FILE = 0o666  # before the umask, which the kernel takes off
_RIGHTS = 0o777  # of a mode: neither its type nor setuid, setgid and sticky
_OPEN_ALREADY = re.compile(r"/dev/stdin|(?:/dev|/proc/self)/fd/(\d{1,9})")  # names of this process's own descriptors
_CREATE = os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


def path_of(setting: str) -> Path:
    """Return the path that a setting names; `~` and `~user` are homes.

    Raises:
        SettingsError: There is no such user.
    """
    try:
        return Path(setting).expanduser()
    except RuntimeError:
        raise SettingsError(f"{setting!r}: there is no such user's home") from None


def is_directory(path: Path) -> bool:
    """Return whether there is a folder; no name that is too long has one, where `Path.is_dir` raises."""
    try:
        return path.is_dir()
    except OSError:
        return False


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file, or a link to one, to be read; a device or a pipe has no end, or never begins.

    Raises:
        OSError: It cannot be opened, or is no regular file; `strerror` says which.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # without O_NONBLOCK, a pipe waits for a writer
    mode = os.fstat(handle).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(handle, "rb")
    os.close(handle)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, "not a regular file", str(path))


def open_named(path: Path) -> BinaryIO:
    """Open a file that a person names at a command: a regular one, or a pipe of their shell (`<(…)`, `/dev/stdin`).

    Such a pipe is open in this process already, as standard input is. For a name from a request or an event,
    `open_regular` alone will do.

    Raises:
        OSError: See `open_regular`.
    """
    held = _OPEN_ALREADY.fullmatch(str(path))
    handle = int(held[1] or 0) if held else -1
    with contextlib.suppress(OSError):  # there is no such descriptor: `open_regular` says so
        if held and stat.S_ISFIFO(os.fstat(handle).st_mode):
            return os.fdopen(os.dup(handle), "rb")
    return open_regular(path)


def read_regular(path: Path, most_bytes: int | None = None, *, named: bool = False) -> bytes:
    """Return the bytes of a regular file; see `open_regular`, or `open_named` for one that a person has `named`.

    Raises:
        OSError: It cannot be read, or is no regular file.
        BudgetError: It has more than `most_bytes`.
    """
    with open_named(path) if named else open_regular(path) as file:
        if most_bytes is None:
            return file.read()
        size = os.fstat(file.fileno()).st_size
        if size <= most_bytes:
            data = file.read(size + 1)
            if len(data) > size:  # it has grown meanwhile, or is of a kind that has no size, as in /proc
                data += file.read(most_bytes - size)
            if len(data) <= most_bytes:
                return data
    raise over_bytes(str(path), most_bytes)


def over_bytes(where: str, most: int, mend: str = "give less in one") -> BudgetError:
    """Return the error for a file, an object or standard input with more than `most` bytes."""
    return BudgetError(f"{where}: more than {most} bytes, which would be read as a whole: {mend}")


def write_file(path: Path, data: bytes) -> None:
    """Write a temporary file beside `path` and rename it, with the folder if need be.

    The file is synchronized before it is renamed, since a rename may reach the disk before the bytes do, and then each
    folder with a new name in it. A symbolic link at `path` is replaced, never followed: who may write in the folder
    cannot direct the bytes elsewhere. Other hard links of a file keep what it had.

    Raises:
        OSError: It cannot be written; what was there before still is.
    """
    made = [folder for folder in (path.parent, *path.parent.parents) if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    before = _regular_or_none(path)
    temporary = path.parent / f".{secrets.token_hex(8)}.part"  # a name that nobody can have made a link of
    rights = before.st_mode & _NEW_FILE if before else _NEW_FILE
    handle = os.open(temporary, os.O_WRONLY | os.O_EXCL | _CREATE, rights)
    try:
        with os.fdopen(handle, "wb") as file:
            if before and not path.is_symlink():
                _take_over(file.fileno(), before)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    for folder in (path.parent, *(each.parent for each in made)):
        _sync_folder(folder)


@contextlib.contextmanager
def locked_file(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file, which is made if need be; a link is not followed.

    Raises:
        OSError: It cannot be opened or made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_RDWR | _CREATE, _NEW_FILE), "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def private_folder(name: str) -> Path:
    """Return a folder below the temporary directory that is this user's alone.

    Everybody may write in the temporary directory, so somebody else may have made the folder, or a link, before.

    Raises:
        OSError: It cannot be made, or is not this user's alone; `strerror` says how to mend it.
    """
    path = Path(tempfile.gettempdir()) / name
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & stat.S_IWOTH:
        why = "is not this user's alone: remove it, or set TMPDIR to a folder of yours"
        raise PermissionError(errno.EPERM, why, str(path))
    path.chmod(0o700)  # an earlier release left it to the umask
    return path


def _regular_or_none(path: Path) -> os.stat_result | None:
    """Return what is known of a file, or of a link's; a device, a pipe or a folder is not replaced."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return found


def _take_over(handle: int, before: os.stat_result) -> None:
    """Give a new file the owner, group and mode of the one that it replaces, as far as this user may."""
    rights, now = before.st_mode & _RIGHTS, os.fstat(handle)
    if now.st_uid != before.st_uid:
        with contextlib.suppress(OSError):  # root alone may
            os.fchown(handle, before.st_uid, -1)
    if now.st_gid != before.st_gid:
        try:
            os.fchown(handle, -1, before.st_gid)
        except OSError:
            rights &= ~stat.S_IRWXG  # were meant for another group
    os.fchmod(handle, rights)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:  # some file systems have no folders to synchronize
            raise
    finally:
        os.close(handle)
