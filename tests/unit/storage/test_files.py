"""A file is written whole, and stays after the machine has lost its power: the order of the calls is what holds it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from app.jobs.head import FolderState
from app.storage.files import open_regular, write_file
from app.storage.location import write_location
from app.storage.objects import FolderObjects
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


def test_a_link_to_a_regular_file_is_opened(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"data")
    (tmp_path / "link").symlink_to("target")
    with open_regular(tmp_path / "link") as file:
        assert file.read() == b"data"
