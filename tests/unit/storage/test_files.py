"""A file is written whole, and stays after the machine has lost its power: the order of the calls is what holds it."""

from __future__ import annotations

import ast
import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from app.domains.alerts.lookups.csv_file import FileCorrections
from app.errors import BudgetError, DiskError, LocationError
from app.inference.bundle import find_bundle
from app.inference.manifest import MANIFEST
from app.jobs.head import FolderState
from app.storage.files import locked_file, open_named, open_regular, private_folder, read_regular, write_file
from app.storage.location import write_location
from app.storage.objects import FolderObjects, MemoryObjects
from app.storage.state import Stored
from app.stream.mapping.checkpoint import CheckpointFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def calls() -> Iterator[list[str]]:
    """The names that are synchronized and renamed, in order; a temporary file is "new"."""
    noted: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def note_fsync(handle: int) -> None:
        name = Path(f"/proc/self/fd/{handle}").readlink().name
        noted.append(f"sync {'new' if name.endswith('.part') else name}")
        fsync(handle)

    def note_replace(path: Path, target: Any) -> Any:
        noted.append(f"rename {Path(target).name}")
        return replace(path, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", note_fsync)
        patch.setattr(Path, "replace", note_replace)
        yield noted


@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_file(path, b"1"),
        lambda path: FolderObjects(path.parent).put(path.name, b"1"),
        lambda path: write_location(str(path), b"1"),
        lambda path: CheckpointFile(path).save("arn", "created", {}),
    ],
    ids=["file", "object", "location", "checkpoint"],
)
def test_the_bytes_are_on_disk_before_the_name_and_the_name_before_the_return(
    write: Callable[[Path], None], calls: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    write(folder / "name")
    assert calls == ["sync new", "rename name", "sync folder"]
    write(folder / "name")
    assert calls == ["sync new", "rename name", "sync folder"] * 2
    assert list(folder.iterdir()) == [folder / "name"]


def test_so_is_the_state_of_a_folder(calls: list[str], tmp_path: Path) -> None:
    FolderState(tmp_path).commit("key", Stored(b"1"), None)
    synced, renamed, folder = calls
    assert (synced, folder) == ("sync new", f"sync {tmp_path.name}")
    assert renamed.endswith(".state")


def test_folders_that_are_made_are_on_disk_too(calls: list[str], tmp_path: Path) -> None:
    FolderObjects(tmp_path / "a").put("b/c/name", b"1")
    assert calls == ["sync new", "rename name", "sync c", "sync b", "sync a", f"sync {tmp_path.name}"]


def test_what_was_there_stays_where_the_disk_is_full(tmp_path: Path) -> None:
    path = tmp_path / "name"
    write_file(path, b"before")

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            write_file(path, b"after")
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kind", ["device", "pipe", "folder", "link to a device"])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = {"device": Path("/dev/zero"), "folder": tmp_path}.get(kind, tmp_path / "odd")
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "link to a device":
        path.symlink_to("/dev/zero")
    with pytest.raises(OSError, match="directory" if kind == "folder" else "not a regular file"):
        open_regular(path)


def test_a_pipe_that_a_persons_shell_has_opened_is_a_file_that_they_name() -> None:
    reading_end, writing_end = os.pipe()
    with os.fdopen(reading_end) as pipe, os.fdopen(writing_end, "wb") as writer:
        writer.write(b"data")
        writer.close()
        for folder in ("/dev", "/proc/self"):
            with pytest.raises(OSError, match="not a regular file"):  # not where an event names it
                open_regular(Path(f"{folder}/fd/{pipe.fileno()}"))
        assert read_regular(Path(f"/dev/fd/{pipe.fileno()}"), 4, named=True) == b"data"


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/fd/999999", "/dev/fd/../zero", "/proc/1/fd/0"])
def test_what_a_person_names_is_no_device_and_no_descriptor_of_another(name: str) -> None:
    with pytest.raises(OSError, match=r"not a regular file|No such file|[Dd]enied"):
        open_named(Path(name))


def test_a_link_to_a_regular_file_is_opened(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"data")
    (tmp_path / "link").symlink_to("target")
    with open_regular(tmp_path / "link") as file:
        assert file.read() == b"data"


WRITERS = pytest.mark.parametrize(
    "write",
    [
        lambda path: write_file(path, b"1"),
        lambda path: FolderObjects(path.parent).put(path.name, b"1"),
        lambda path: write_location(str(path), b"1"),
        lambda path: CheckpointFile(path).save("arn", "created", {}),
        lambda path: FileCorrections(path).store([]),
    ],
    ids=["file", "object", "location", "checkpoint", "lookup"],
)


@pytest.fixture(params=[0o022, 0o077, 0o002], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@WRITERS
def test_a_new_file_and_its_folders_have_what_the_umask_leaves(
    write: Callable[[Path], None], umask: int, tmp_path: Path
) -> None:
    write(tmp_path / "a" / "name")
    assert mode(tmp_path / "a" / "name") == 0o666 & ~umask
    assert mode(tmp_path / "a") == 0o777 & ~umask


@WRITERS
@pytest.mark.parametrize("rights", [0o600, 0o640, 0o664, 0o400, 0o755])
def test_a_file_that_is_replaced_keeps_its_mode(write: Callable[[Path], None], rights: int, tmp_path: Path) -> None:
    path = tmp_path / "name"
    path.write_bytes(b"alerts,techniques\n")  # a lookup table, which is read before it is replaced
    path.chmod(rights)
    inode = path.stat().st_ino
    write(path)
    assert (mode(path), path.stat().st_ino != inode) == (rights, True)


def test_a_file_is_never_wider_than_it_will_be(tmp_path: Path) -> None:
    path, seen = tmp_path / "name", []
    path.touch(0o600)

    def note(handle: int) -> None:
        seen.append(stat.S_IMODE(os.fstat(handle).st_mode))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.storage.files._take_over", lambda handle, _before: note(handle))
        write_file(path, b"secret")
    assert seen == [0o600]


def test_owner_and_group_are_kept_and_a_group_that_cannot_be_gets_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, wanted = tmp_path / "name", []
    path.touch()
    path.chmod(0o640)
    before = path.stat()

    def refuse(_handle: int, uid: int, gid: int) -> None:
        wanted.append((uid, gid))
        raise PermissionError(1, "Operation not permitted")

    other = os.stat_result([before.st_mode, 0, 0, 1, before.st_uid + 1, before.st_gid + 1, 0, 0, 0, 0])
    monkeypatch.setattr(os, "fstat", lambda _handle: other)
    monkeypatch.setattr(os, "fchown", refuse)
    write_file(path, b"1")
    assert wanted == [(before.st_uid, -1), (-1, before.st_gid)]
    assert mode(path) == 0o600


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"before")
    target.chmod(0o600)
    link.symlink_to(target)
    write_file(link, b"after")
    assert (target.read_bytes(), link.read_bytes(), link.is_symlink()) == (b"before", b"after", False)
    assert mode(link) == 0o600  # a target that was private is not published beside it
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    write_file(tmp_path / "broken", b"after")
    assert not (tmp_path / "nowhere").exists()


def test_another_hard_link_keeps_what_it_had(tmp_path: Path) -> None:
    path, other = tmp_path / "name", tmp_path / "other"
    path.write_bytes(b"before")
    other.hardlink_to(path)
    write_file(path, b"after")
    assert (path.read_bytes(), other.read_bytes()) == (b"after", b"before")


@pytest.mark.parametrize("kind", ["device", "pipe", "link to a device"])
def test_what_is_no_regular_file_is_not_replaced(tmp_path: Path, kind: str) -> None:
    path = Path(os.devnull) if kind == "device" else tmp_path / "odd"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "link to a device":
        path.symlink_to(os.devnull)
    with pytest.raises(LocationError, match="cannot be written: not a regular file"):
        write_location(str(path), b"1")


def test_a_temporary_name_cannot_be_foretold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    replace = Path.replace

    def note(path: Path, target: Path) -> Path:
        names.append(path.name)
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", note)
    for _ in range(3):
        write_file(tmp_path / "name", b"1")
    assert len(set(names)) == 3
    assert all(len(name) > 20 and "name" not in name for name in names)


def test_a_lock_does_not_follow_a_link(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"kept")
    (tmp_path / ".lookup.csv.lock").symlink_to(tmp_path / "victim")
    with pytest.raises(LocationError, match="cannot be written"):
        FileCorrections(tmp_path / "lookup.csv").store([])
    with locked_file(tmp_path / "lock"), locked_file(tmp_path / "other"):
        pass
    assert (tmp_path / "victim").read_bytes() == b"kept"


def test_a_folder_below_the_temporary_directory_is_its_users_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    path = private_folder("models")
    assert mode(path) == 0o700
    path.chmod(0o755)  # as an earlier release made it
    assert mode(private_folder("models")) == 0o700
    path.chmod(0o777)
    with pytest.raises(PermissionError, match="not this user's alone"):
        private_folder("models")
    path.chmod(0o700)
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(PermissionError, match="set TMPDIR"):
        private_folder("models")
    monkeypatch.undo()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(PermissionError, match="not this user's alone"):
        private_folder("link")


SOURCES = [path for top in ("app", "devtools", "model") for path in Path(top).rglob("*.py")]
FILES = Path("app/storage/files.py")
OWN_TO_FILES = {"chmod", "fchmod", "lchmod", "mkstemp", "mktemp", "gettempdir", "umask", "flock", "mkfifo", "symlink"}
"""Calls that decide on rights, locks and names in a folder of everybody: each is written once, in FILES."""
LOCKS_ELSEWHERE = {Path("devtools/cloud/state.py")}


def test_rights_locks_and_temporary_names_are_decided_in_one_file() -> None:
    found = [
        f"{path}:{node.lineno} {name}"
        for path in SOURCES
        if path != FILES
        for text in [path.read_text()]
        if any(f"{name}(" in text for name in OWN_TO_FILES)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call)
        for name in [getattr(node.func, "attr", getattr(node.func, "id", ""))]
        if name in OWN_TO_FILES and not (name == "flock" and path in LOCKS_ELSEWHERE)
    ]
    assert not found, "write_file, locked_file or private_folder of app/storage/files.py does it"


def test_no_script_makes_a_file_in_a_folder_of_everybody_by_a_name_of_its_own() -> None:
    careless = ("mktemp -u", "> /tmp/", ">/tmp/", "chmod 777", "umask 0\n")
    found = [(path.name, each) for path in Path("scripts").iterdir() for each in careless if each in path.read_text()]
    assert not found


def test_a_bundle_from_s3_is_not_fetched_into_a_folder_of_somebody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "millrace-models").mkdir()
    (tmp_path / "millrace-models").chmod(0o777)
    name = "bike"
    own = find_bundle(name)
    far = MemoryObjects({f"{name}/x/{MANIFEST}": (own.objects.get(MANIFEST) or b"")})
    monkeypatch.setattr("app.inference.bundle.open_objects", lambda _location: far)
    with pytest.raises(DiskError, match=r"millrace-models: is not this user's alone: remove it, or set TMPDIR"):
        find_bundle(name, location="s3://bucket")


def test_a_file_that_is_read_as_a_whole_may_have_as_many_bytes_as_are_allowed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_regular(tmp_path / "a", 5) == b"12345"
    with pytest.raises(BudgetError, match="a: more than 4 bytes"):
        read_regular(tmp_path / "a", 4)


def test_a_file_without_a_size_has_its_limit_too() -> None:
    assert read_regular(Path("/proc/self/status"), 100_000).startswith(b"Name:")
    with pytest.raises(BudgetError, match="status: more than 20 bytes"):
        read_regular(Path("/proc/self/status"), 20)
