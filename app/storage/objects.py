"""Objects by name under one root: a folder or `s3://bucket/prefix`, behind one protocol."""

from __future__ import annotations

import io
import os
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

from botocore.exceptions import ClientError

from app import aws
from app.errors import CloudError, DiskError, LocationError, SettingsError
from app.storage.files import open_regular, over_bytes, path_of, read_regular, write_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


BLOCK_BYTES = 1024 * 1024  # a hundred reads for a file of 100 MB, and little memory
_PARTS_FROM_BYTES = 16 * 1024 * 1024  # from here parallel ranges of 8 MB (boto3's default) repay two more calls


class Objects(Protocol):
    """Objects under one root, by name; a name may hold slashes.

    Every method raises `CloudError` where S3 fails or refuses, and its subclass `DiskError` where a folder does.
    """

    root: str

    def check(self) -> None:
        """Raise a `CloudError` that says why, unless objects may be put here."""

    def put(self, name: str, data: bytes) -> None:
        """Store an object whole or not at all, over an earlier one of that name."""

    def get(self, name: str) -> bytes | None:
        """Return an object's bytes, or None when there is no object of that name."""

    def exists(self, name: str) -> bool:
        """Return whether there is an object of that name, without reading it."""

    def modified_s(self, name: str) -> float | None:
        """Return when an object was stored, seconds since 1970; None where that is unknown or there is no object."""

    def blocks(self, name: str) -> Iterator[bytes]:
        """Yield an object's bytes in blocks of at most `BLOCK_BYTES`, none of them empty.

        Raises:
            LocationError: There is no object of that name.
            CloudError: It cannot be read to its end.
        """

    def delete(self, name: str) -> None:
        """Delete an object, if there is one of that name."""

    def names(self, prefix: str = "") -> Iterator[str]:
        """Yield the names that begin with `prefix`, sorted."""


def open_objects(location: str) -> FolderObjects | S3Objects:
    """Return the objects under a location.

    Args:
        location: A folder, or `s3://bucket/prefix`.

    Raises:
        SettingsError: The location has another scheme, or no bucket, or is in the home of a user that is not there.
    """
    scheme, separator, rest = location.partition("://")
    if not separator:
        return FolderObjects(path_of(location))
    bucket, _, prefix = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise SettingsError(f"location {location!r}: give a folder or s3://bucket/prefix")
    return S3Objects(bucket, prefix.rstrip("/"))


def read_up_to(objects: Objects, name: str, most_bytes: int) -> bytes | None:
    """Return an object's first bytes, or None where there is no object of that name.

    Args:
        objects: Where it is.
        name: Its name.
        most_bytes: How many to read at most; one more than is allowed tells an object that is too large.

    Raises:
        LocationError: It is archived.
        CloudError: It cannot be read to its end.
    """
    data = bytearray()
    try:
        for block in objects.blocks(name):
            data += block
            if len(data) >= most_bytes:
                break
    except LocationError:
        if objects.exists(name):
            raise
        return None
    return bytes(data[:most_bytes])


class FolderObjects:
    """Files below a folder."""

    def __init__(self, folder: Path) -> None:
        """Open a folder, which need not exist yet."""
        self.root = str(folder)
        self.folder = folder

    def check(self) -> None:
        """Make the folder if need be, and check that it may be written."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DiskError(f"{self.root}: cannot be made: {error.strerror}") from error
        if not os.access(self.folder, os.W_OK):
            raise DiskError(f"{self.root}: may not be written: check its owner and mode")

    def put(self, name: str, data: bytes) -> None:
        """Write a file; see `write_file`."""
        try:
            write_file(self.folder / name, data)
        except OSError as error:
            raise DiskError(f"{self.root}: cannot write {name}: {error.strerror}") from error

    def get(self, name: str, most_bytes: int | None = None) -> bytes | None:
        """Read a file; raise `BudgetError` for one with more than `most_bytes`."""
        path = self.folder / name
        try:
            return read_regular(path, most_bytes) if path.is_file() else None
        except OSError as error:
            raise DiskError(f"{path}: cannot be read: {error.strerror}") from error

    def exists(self, name: str) -> bool:
        """Return whether there is such a file."""
        try:
            return (self.folder / name).is_file()
        except OSError as error:
            raise DiskError(f"{self.root}/{name}: cannot be read: {error.strerror}") from error

    def modified_s(self, name: str) -> float | None:
        """Return when a file was last changed."""
        path = self.folder / name
        try:
            return path.stat().st_mtime if path.is_file() else None
        except OSError as error:
            raise DiskError(f"{path}: cannot be read: {error.strerror}") from error

    def blocks(self, name: str) -> Iterator[bytes]:
        """Read a file block by block."""
        try:
            with open_regular(self.folder / name) as file:
                while block := file.read(BLOCK_BYTES):
                    yield block
        except (FileNotFoundError, IsADirectoryError):
            raise _missing(self.root, name) from None
        except OSError as error:
            raise DiskError(f"{self.root}/{name}: cannot be read: {error.strerror}") from error

    def delete(self, name: str) -> None:
        """Delete a file."""
        try:
            (self.folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise DiskError(f"{self.root}: cannot delete {name}: {error.strerror}") from error

    def names(self, prefix: str = "") -> Iterator[str]:
        """List files, without those still being written."""
        folder = self.folder / prefix.rpartition("/")[0]  # others are not looked into
        found = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
        names = (path.relative_to(self.folder).as_posix() for path in found)
        try:
            return iter(sorted(name for name in names if name.startswith(prefix)))
        except OSError as error:
            raise DiskError(f"{self.root}: cannot be read: {error.strerror}") from error


class MemoryObjects:
    """Objects in a dictionary, for tests.

    Attributes:
        objects: Data by name.
    """

    root = "memory"

    def __init__(self, objects: dict[str, bytes] | None = None) -> None:
        """Start with these objects, which stay the caller's."""
        self.objects = {} if objects is None else objects

    def check(self) -> None:
        """Accept any object."""

    def put(self, name: str, data: bytes) -> None:
        """Keep a copy."""
        self.objects[name] = bytes(data)

    def get(self, name: str) -> bytes | None:
        """Return what was put."""
        return self.objects.get(name)

    def exists(self, name: str) -> bool:
        """Return whether it was put."""
        return name in self.objects

    def modified_s(self, name: str) -> float | None:  # noqa: ARG002 - the protocol's
        """Return None: it is not kept."""
        return None

    def blocks(self, name: str) -> Iterator[bytes]:
        """Yield what was put, block by block."""
        if name not in self.objects:
            raise _missing(self.root, name)
        data = self.objects[name]
        for start in range(0, len(data), BLOCK_BYTES):
            yield data[start : start + BLOCK_BYTES]

    def delete(self, name: str) -> None:
        """Forget an object."""
        self.objects.pop(name, None)

    def names(self, prefix: str = "") -> Iterator[str]:
        """Sort the names."""
        return iter(sorted(name for name in self.objects if name.startswith(prefix)))


class S3Objects:
    """Objects below a prefix of an S3 bucket; large ones travel in parts, side by side."""

    def __init__(self, bucket: str, prefix: str) -> None:
        """Open a prefix; nothing is called yet."""
        self.root = f"s3://{bucket}/{prefix}".rstrip("/")
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""

    def check(self) -> None:
        """Ask for the bucket."""
        with aws.explaining(f"{self.root}: bucket {self._bucket}"):
            aws.client("s3").head_bucket(Bucket=self._bucket)

    def put(self, name: str, data: bytes) -> None:
        """Put an object: in one call, or from 8 MB on as a multipart upload, which appears whole."""
        with aws.explaining(f"{self.root}/{name}"):
            aws.client("s3").upload_fileobj(io.BytesIO(data), self._bucket, self._prefix + name)

    def get(self, name: str, most_bytes: int | None = None) -> bytes | None:
        """Get an object: in one call, or a large one in ranges; raise `BudgetError` for more than `most_bytes`."""
        s3, key = aws.client("s3"), self._prefix + name
        with aws.explaining(f"{self.root}/{name}"):
            try:
                answer = s3.get_object(Bucket=self._bucket, Key=key)
            except s3.exceptions.NoSuchKey:
                return None
            except s3.exceptions.InvalidObjectState as error:
                raise _archived(self.root, name) from error
            size: int = answer["ContentLength"]
            if most_bytes is not None and size > most_bytes:
                answer["Body"].close()
                raise over_bytes(f"{self.root}/{name}", most_bytes)
            if size < _PARTS_FROM_BYTES:
                return bytes(answer["Body"].read())
            answer["Body"].close()
            return self._get_in_ranges(s3, key)

    def _get_in_ranges(self, s3: Any, key: str) -> bytes:  # noqa: ANN401 - boto3 makes its clients at run time
        from s3transfer.exceptions import RetriesExceededError, S3DownloadFailedError  # noqa: PLC0415 - with boto3

        data = io.BytesIO()
        try:
            s3.download_fileobj(self._bucket, key, data)
        except (RetriesExceededError, S3DownloadFailedError) as error:  # neither is an error of botocore's
            raise CloudError(f"s3://{self._bucket}/{key}: cannot be read to its end: {error}") from error
        return data.getvalue()

    def exists(self, name: str) -> bool:
        """Ask for an object's head."""
        return self._head(name) is not None

    def modified_s(self, name: str) -> float | None:
        """Ask for an object's head."""
        head = self._head(name)
        return None if head is None else head["LastModified"].timestamp()

    def _head(self, name: str) -> dict[str, Any] | None:
        """Return an object's head, or None where S3 has none, which is its answer too where there is no bucket."""
        with aws.explaining(f"{self.root}/{name}"):
            try:
                head: dict[str, Any] = aws.client("s3").head_object(Bucket=self._bucket, Key=self._prefix + name)
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] == HTTPStatus.NOT_FOUND:
                    return None
                raise
        return head

    def blocks(self, name: str) -> Iterator[bytes]:
        """Read an object as it comes over the network."""
        s3 = aws.client("s3")
        with aws.explaining(f"{self.root}/{name}"):
            try:
                body = s3.get_object(Bucket=self._bucket, Key=self._prefix + name)["Body"]
            except s3.exceptions.NoSuchKey:
                raise _missing(self.root, name) from None
            except s3.exceptions.InvalidObjectState:
                raise _archived(self.root, name) from None
            yield from body.iter_chunks(BLOCK_BYTES)

    def delete(self, name: str) -> None:
        """Delete an object; S3 does not say whether there was one."""
        with aws.explaining(f"{self.root}/{name}"):
            aws.client("s3").delete_object(Bucket=self._bucket, Key=self._prefix + name)

    def names(self, prefix: str = "") -> Iterator[str]:
        """List keys, in S3's order, which is sorted."""
        with aws.explaining(f"{self.root}/{prefix}"):
            pages = aws.client("s3").get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix + prefix):
                for item in page.get("Contents", []):
                    yield item["Key"].removeprefix(self._prefix)


def _archived(root: str, name: str) -> LocationError:
    return LocationError(f"{root}/{name}: is archived: restore it from its storage class")


def _missing(root: str, name: str) -> LocationError:
    return LocationError(f"{root}/{name}: there is no such object")
