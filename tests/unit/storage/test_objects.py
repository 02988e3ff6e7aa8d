"""S3's refusals that no emulator gives, and the objects of tests in memory."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from s3transfer.exceptions import RetriesExceededError, S3DownloadFailedError

import app
from app import aws
from app.domains.alerts.lookups.table import open_lookup
from app.errors import CloudError, CredentialsError, DiskError, LocationError, MillraceError, SettingsError
from app.inference.signing import read_keys
from app.storage.objects import BLOCK_BYTES, MemoryObjects, open_objects
from app.stream.mapping.checkpoint import CheckpointFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class FakeS3:
    """A client that refuses heads, and whose downloads of large objects fail."""

    class exceptions:  # noqa: N801 - boto3's name
        class NoSuchKey(ClientError):  # noqa: N818 - as above
            pass

    def __init__(self, fault: Exception) -> None:
        self.fault = fault

    def head_object(self, **_: str) -> None:
        raise self.fault

    def get_object(self, **_: str) -> dict[str, Any]:
        return {"ContentLength": 100_000_000, "Body": io.BytesIO()}

    def download_fileobj(self, *_: Any) -> None:
        raise self.fault


@pytest.fixture
def refusing() -> Iterator[Callable[[Exception], None]]:
    with pytest.MonkeyPatch.context() as patch:
        yield lambda fault: patch.setattr(aws, "client", lambda _service: FakeS3(fault))


def test_a_head_that_may_not_be_asked_for_is_no_answer(refusing: Callable[[Exception], None]) -> None:
    answer: Any = {"Error": {"Code": "403", "Message": "Forbidden"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
    refusing(ClientError(answer, "HeadObject"))
    with pytest.raises(CredentialsError, match=r"^s3://bucket/prefix/name: AWS refuses the credentials"):
        open_objects("s3://bucket/prefix").exists("name")


@pytest.mark.parametrize("fault", [RetriesExceededError(TimeoutError()), S3DownloadFailedError("another ETag")])
def test_a_large_object_that_breaks_off_or_changes_is_one_line(
    fault: Exception, refusing: Callable[[Exception], None]
) -> None:
    refusing(fault)
    with pytest.raises(CloudError, match=r"^s3://bucket/prefix/name: cannot be read to its end: .+$"):
        open_objects("s3://bucket/prefix").get("name")


@pytest.mark.parametrize("open_it", [open_objects, lambda name: open_lookup(f"{name}.csv")])
def test_a_home_of_nobody_is_one_line(open_it: Callable[[str], object]) -> None:
    with pytest.raises(SettingsError, match="there is no such user's home"):
        open_it("~nobody-here/x")


def test_a_name_that_no_file_can_have_is_one_line(tmp_path: Path) -> None:
    name = "x" * 300
    objects = open_objects(str(tmp_path / name))
    for use in (
        objects.names,
        lambda: objects.get(name),
        lambda: objects.exists(name),
        lambda: CheckpointFile(Path(name)),
        lambda: read_keys([name]),
    ):
        with pytest.raises(MillraceError, match="File name too long"):
            use()


def test_homes_are_looked_up_where_one_of_nobody_is_no_exception() -> None:
    modules = [path for path in Path(app.__path__[0]).rglob("*.py") if ".expanduser()" in path.read_text()]
    assert {path.name for path in modules} == {"files.py", "location.py", "request.py"}


def test_a_folder_that_cannot_be_used_is_a_fault_of_the_disk(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    objects = open_objects(str(tmp_path / "file" / "folder"))
    for call in (objects.check, lambda: objects.put("name", b"{}"), lambda: objects.delete("name")):
        with pytest.raises(DiskError, match=f"^{tmp_path}/file/folder: cannot .*: Not a directory$") as raised:
            call()
        assert isinstance(raised.value, CloudError)  # whatever waits for S3 waits for a disk


def test_objects_in_memory_keep_the_contract() -> None:
    objects = MemoryObjects()
    objects.check()
    objects.put("b/2", bytes(BLOCK_BYTES + 1))
    objects.put("b/1", b"")
    assert list(objects.names("b/")) == ["b/1", "b/2"]
    assert [len(block) for block in objects.blocks("b/2")] == [BLOCK_BYTES, 1]
    assert objects.exists("b/1")
    objects.delete("b/1")
    objects.delete("b/1")
    assert (objects.exists("b/1"), objects.get("b/1")) == (False, None)
    with pytest.raises(LocationError, match="there is no such object"):
        next(objects.blocks("b/1"))
