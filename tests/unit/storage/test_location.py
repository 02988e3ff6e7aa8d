"""One file or object by its name: each form that a name may have, and one line for each that cannot be."""

from __future__ import annotations

import errno
import io
import os
import shutil
import stat
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import app.storage.objects  # noqa: F401 - before a test gives up the right to read it
from app.errors import LocationError, MillraceError, RequestError
from app.storage.location import check_allowed, check_location, read_location, write_location

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = 65534


@pytest.fixture
def forms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """All names of one file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return [
        "a b#1?.json",
        "./a b#1?.json",
        "~/a b#1?.json",
        str(tmp_path / "a b#1?.json"),
        (tmp_path / "a b#1?.json").as_uri(),
        f"file://{tmp_path}/a b#1?.json",
        f"file://localhost{tmp_path}/a%20b#1?.json",
    ]


def test_a_file_by_any_of_its_names(forms: list[str]) -> None:
    for number, name in enumerate(forms):
        check_location(name)
        write_location(name, bytes([number]))
        assert [read_location(other) for other in forms] == [bytes([number])] * len(forms)
    assert [str(path) for path in Path().iterdir()] == ["a b#1?.json"]


def test_folders_on_the_way_are_made(tmp_path: Path) -> None:
    write_location(str(tmp_path / "a" / "b" / "c.json"), b"{}")
    assert (tmp_path / "a" / "b" / "c.json").read_bytes() == b"{}"


def test_whoever_may_read_its_folder_may_read_it(tmp_path: Path) -> None:
    write_location(str(tmp_path / "a.json"), b"{}")
    assert stat.S_IMODE((tmp_path / "a.json").stat().st_mode) & 0o444 == 0o444


def test_standard_input_and_output(monkeypatch: pytest.MonkeyPatch) -> None:
    given, taken = io.TextIOWrapper(io.BytesIO(b"\xffin")), io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdin", given)
    monkeypatch.setattr(sys, "stdout", taken)
    check_location("-")
    assert read_location("-") == b"\xffin"
    write_location("-", b"\xffout")
    assert taken.buffer.getvalue() == b"\xffout"


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"before")

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LocationError, match=r"a\.json: cannot be written: No space left on device$"):
        write_location(str(path), b"after")
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("location", "told"),
    [
        ("nowhere.json", "nowhere.json: cannot be read: No such file or directory"),
        ("file:///nowhere.json", "file:///nowhere.json: cannot be read: No such file or directory"),
        (".", ".: cannot be read: Is a directory"),
        ("\0", r"'\x00': cannot be read: no path can have such characters"),
        ("\ud800", r"'\ud800': cannot be read: no path can have such characters"),
        ("a" * 300, "a" * 300 + ": cannot be read: File name too long"),
        ("a" * 5000, repr("a" * 100) + ": cannot be read: File name too long"),
    ],
)
def test_what_cannot_be_read_is_told(location: str, told: str) -> None:
    with pytest.raises(LocationError) as raised:
        read_location(location)
    assert str(raised.value) == told


@pytest.mark.parametrize(
    ("location", "told"),
    [
        ("", "cannot be written: it is a folder"),
        ("file/below.json", "cannot be written: File exists"),
        ("folder/", "cannot be written: it is a folder"),
        ("\0", "cannot be written: no path can have such characters"),
        ("a" * 300, "cannot be written: File name too long"),
    ],
)
def test_what_cannot_be_written_is_told(location: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(LocationError) as raised:
        write_location(f"{tmp_path}/{location}", b"")
    assert str(raised.value).endswith(told)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


WRONG = [
    ("", "an empty location: give a path, file://… or s3://bucket/key"),
    ("file://", "an empty location: give a path, file://… or s3://bucket/key"),
    ("file://elsewhere/a.json", "file://elsewhere/a.json: a file of another host; give file:///path"),
    ("file://[/a.json", "file://[/a.json: a file of another host; give file:///path"),
    ("https://example.com/a", "https://example.com/a: give a path, file://… or s3://bucket/key"),
    ("S3://bucket/key", "S3://bucket/key: give a path, file://… or s3://bucket/key"),
    ("s3://", "s3://: give s3://bucket/key"),
    ("s3://bucket", "s3://bucket: give s3://bucket/key"),
    ("s3://bucket/", "s3://bucket/: give s3://bucket/key"),
    ("s3:///key", "s3:///key: give s3://bucket/key"),
    ("s3://bucket/folder/", "s3://bucket/folder/: give s3://bucket/key"),
    ("s3://bucket/\ud800", r"'s3://bucket/\ud800': a key is text in UTF-8"),
    ("~nobody-of-this-name/a", "~nobody-of-this-name/a: there is no such user's home"),
    ("a\nb://c", r"'a\nb://c': give a path, file://… or s3://bucket/key"),
]


@pytest.mark.parametrize(("location", "told"), WRONG)
def test_what_can_be_no_location_is_told_before_any_work(location: str, told: str) -> None:
    for use in (check_location, read_location, lambda name: write_location(name, b"")):
        with pytest.raises(LocationError) as raised:
            use(location)
        assert str(raised.value) == told


@pytest.fixture
def locked(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder whose owner alone may read and write it, while we are somebody else; root may do anything."""
    folder = Path(tempfile.mkdtemp(prefix="millrace-locked-"))
    (folder / "a.json").write_bytes(b"{}")
    (folder / "a.json").chmod(0)
    folder.chmod(request.param)
    if os.geteuid() == 0:
        os.seteuid(NOBODY)
        try:
            yield folder
        finally:
            os.seteuid(0)
    else:
        yield folder
    folder.chmod(0o700)
    shutil.rmtree(folder)


@pytest.mark.parametrize("locked", [0o555, 0o000], indirect=True, ids=["read-only folder", "closed folder"])
def test_what_is_not_permitted_is_told(locked: Path) -> None:
    for use, told in ((read_location, "cannot be read"), (lambda name: write_location(name, b""), "cannot be written")):
        with pytest.raises(MillraceError) as raised:
            use(str(locked / "a.json"))
        assert str(raised.value) == f"{locked}/a.json: {told}: Permission denied"


@pytest.mark.parametrize(
    ("location", "allowed", "taken"),
    [
        ("s3://bucket/path/x", "s3://bucket/path", True),
        ("s3://bucket/path/x", "s3://bucket/path/", True),
        ("s3://bucket/path", "s3://bucket/path", True),
        ("s3://bucket/x", "s3://bucket", True),
        ("s3://bucket/x..y/...", "s3://bucket", True),
        ("s3://bucket/path2/x", "s3://bucket/path", False),
        ("s3://bucket2/path/x", "s3://bucket", False),
        ("s3://bucket/path/../other", "s3://bucket/path", False),
        ("s3://bucket/path/./other", "s3://bucket/path", False),
        ("s3://bucket/path/..", "s3://bucket/path", False),
        ("s3://Bucket/path/x", "s3://bucket/path", False),
        ("s3://other/s3://bucket/path/x", "s3://bucket/path", False),
        ("{folder}/in/x.json", "{folder}/in", True),
        ("file://{folder}/in/x.json", "{folder}/in", True),
        ("{folder}/in/new/x.json", "file://{folder}/in", True),
        ("{folder}/in/../in/x.json", "{folder}/in/", True),
        ("{folder}/in2/x.json", "{folder}/in", False),
        ("{folder}/in/../out/x.json", "{folder}/in", False),
        ("file://{folder}/in/%2e%2e/out/x.json", "{folder}/in", False),
        ("{folder}/in/link/x.json", "{folder}/in", False),
        ("{folder}/in/loop/x.json", "{folder}/out", False),
        ("{folder}/in/\0", "{folder}/in", False),
        ("/etc/passwd", "{folder}/in", False),
        ("s3://bucket/x", "{folder}", False),
        ("{folder}/in/x", "s3://bucket", False),
        ("-", "{folder}", False),
    ],
)
def test_a_location_is_allowed_below_those_that_a_setting_names(
    tmp_path: Path, location: str, allowed: str, taken: bool
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path / "out")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in" / "loop")
    asked, root = (each.format(folder=tmp_path) for each in (location, allowed))
    check_allowed(asked, [])  # without the setting
    if taken:
        check_allowed(asked, ["s3://elsewhere", root])
    else:
        with pytest.raises(RequestError, match="is below none of ALLOWED_LOCATIONS") as refused:
            check_allowed(asked, ["s3://elsewhere", root])
        assert "\n" not in str(refused.value)
