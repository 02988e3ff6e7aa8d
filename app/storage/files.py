"""Read regular files only; write a file so that it is there whole, or not at all, also after a loss of power."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from pathlib import Path
from typing import BinaryIO

READABLE = 0o644  # a temporary file is its owner's alone; what is stored may be read by another user's container


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


def write_file(path: Path, data: bytes) -> None:
    """Write a temporary file beside `path` and rename it, with the folder if need be.

    The file is synchronized before it is renamed, since a rename may reach the disk before the bytes do, and then each
    folder with a new name in it.

    Raises:
        OSError: It cannot be written; what was there before still is.
    """
    made = [folder for folder in (path.parent, *path.parent.parents) if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(READABLE)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    for folder in (path.parent, *(each.parent for each in made)):
        _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:  # some file systems have no folders to synchronize
            raise
    finally:
        os.close(handle)
