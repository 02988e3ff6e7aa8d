"""One file or object by its name: a path, `file://…`, `s3://bucket/key`, or `-` for standard input and output."""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from app.errors import CloudError, LocationError

STANDARD = "-"


def read_location(location: str) -> bytes:
    """All bytes of a file, an S3 object or standard input.

    Raises:
        LocationError: There is none such, or it cannot be read.
        CloudError: S3 does not answer, or refuses.
    """
    if location == STANDARD:
        return sys.stdin.buffer.read()
    if location.startswith("s3://"):
        from app.storage.objects import open_objects  # noqa: PLC0415 - a file needs no botocore

        bucket, key = _bucket_and_key(location)
        found = open_objects(f"s3://{bucket}").get(key)
        if found is None:
            raise LocationError(f"{location}: there is no such object")
        return found
    path = _path(location)
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise LocationError(f"{location}: cannot be read: {_why(error)}") from None


def write_location(location: str, data: bytes) -> None:
    """Writes a file or an object whole or not at all, or writes to standard output.

    Raises:
        LocationError: It cannot be written.
        CloudError: S3 does not answer, or refuses.
    """
    if location == STANDARD:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    from app.storage.objects import FolderObjects, open_objects  # noqa: PLC0415 - reading a file needs no botocore

    if location.startswith("s3://"):
        bucket, key = _bucket_and_key(location)
        open_objects(f"s3://{bucket}").put(key, data)
        return
    path = _path(location)
    if path.is_dir() or not path.name:
        raise LocationError(f"{location}: cannot be written: it is a folder")
    try:
        FolderObjects(path.parent).put(path.name, data)
    except (CloudError, ValueError) as error:
        raise LocationError(f"{location}: cannot be written: {str(error).rpartition(': ')[2]}") from None


def check_location(location: str) -> None:
    """Refuses what can be no location at all, before work is done whose result should go there.

    Raises:
        LocationError: Its scheme is unknown, or a part of it is missing.
    """
    if location.startswith("s3://"):
        _bucket_and_key(location)
    elif location != STANDARD:
        _path(location)


def _bucket_and_key(location: str) -> tuple[str, str]:
    bucket, _, key = location.removeprefix("s3://").partition("/")
    if not bucket or not key or key.endswith("/"):
        raise LocationError(f"{location}: give s3://bucket/key")
    return bucket, key


def _path(location: str) -> Path:
    """The path of a local location."""
    scheme, separator, _ = location.partition("://")
    if separator and scheme != "file":
        raise LocationError(f"{location[:100]!r}: give a path, file://… or s3://bucket/key")
    if separator:
        parts = urlsplit(location)
        if parts.netloc not in {"", "localhost"}:
            raise LocationError(f"{location}: a file of another host; give file:///path")
        location = unquote(parts.path)
    if not location:
        raise LocationError("an empty location: give a path, file://… or s3://bucket/key")
    return Path(location).expanduser()


def _why(error: Exception) -> str:
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else str(error)
