"""Named objects under one root: a folder or an `s3://bucket/prefix`.

Two kinds stand behind one small seam, so that a quarantine or a model bundle neither knows nor cares where it is.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from app import aws
from app.errors import CloudError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator


READABLE = 0o644  # a temporary file is its owner's alone; what is stored may be read by another user's container


class Objects(Protocol):
    """Objects under one root, by name; a name may hold slashes."""

    root: str

    def check(self) -> None:
        """Finds out whether objects may be put here at all.

        Raises:
            CloudError: They may not; the message says why.
        """

    def put(self, name: str, data: bytes) -> None:
        """Stores an object whole or not at all, over an earlier one of that name."""

    def get(self, name: str) -> bytes | None:
        """An object's bytes, or None when there is none of that name."""

    def delete(self, name: str) -> None:
        """Deletes an object; that there is none of that name is as good."""

    def names(self, prefix: str = "") -> Iterator[str]:
        """The names that begin with `prefix`, sorted."""


def open_objects(location: str) -> Objects:
    """The objects under a location.

    Args:
        location: A folder, or `s3://bucket/prefix`.

    Raises:
        SettingsError: The location has another scheme, or no bucket.
    """
    scheme, separator, rest = location.partition("://")
    if not separator:
        return FolderObjects(Path(location).expanduser())
    bucket, _, prefix = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise SettingsError(f"location {location!r}: give a folder or s3://bucket/prefix")
    return S3Objects(bucket, prefix.rstrip("/"))


class FolderObjects:
    """Files below a folder."""

    def __init__(self, folder: Path) -> None:
        """Opens a folder, which need not exist yet."""
        self.root = str(folder)
        self._folder = folder

    def check(self) -> None:
        """Makes the folder if need be, and asks whether it may be written."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CloudError(f"{self.root}: cannot be made: {error.strerror}") from error
        if not os.access(self._folder, os.W_OK):
            raise CloudError(f"{self.root}: may not be written: check its owner and mode")

    def put(self, name: str, data: bytes) -> None:
        """Writes beside and renames, so that a crash leaves no half-written file under the name."""
        path = self._folder / name
        try:
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
        except OSError as error:
            raise CloudError(f"{self.root}: cannot write {name}: {error.strerror}") from error

    def get(self, name: str) -> bytes | None:
        """Reads a file."""
        path = self._folder / name
        try:
            return path.read_bytes() if path.is_file() else None
        except OSError as error:
            raise CloudError(f"{path}: cannot be read: {error.strerror}") from error

    def delete(self, name: str) -> None:
        """Deletes a file."""
        try:
            (self._folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise CloudError(f"{self.root}: cannot delete {name}: {error.strerror}") from error

    def names(self, prefix: str = "") -> Iterator[str]:
        """Lists files, without those still being written."""
        found = (path for path in self._folder.rglob("*") if path.is_file() and not path.name.startswith("."))
        names = (path.relative_to(self._folder).as_posix() for path in found)
        return iter(sorted(name for name in names if name.startswith(prefix)))


class S3Objects:
    """Objects below a prefix of an S3 bucket."""

    def __init__(self, bucket: str, prefix: str) -> None:
        """Opens a prefix; nothing is called yet."""
        self.root = f"s3://{bucket}/{prefix}".rstrip("/")
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""

    def check(self) -> None:
        """Asks for the bucket."""
        try:
            aws.client("s3").head_bucket(Bucket=self._bucket)
        except (BotoCoreError, ClientError) as error:
            raise aws.explained(error, f"{self.root}: bucket {self._bucket}") from error

    def put(self, name: str, data: bytes) -> None:
        """Puts an object."""
        try:
            aws.client("s3").put_object(Bucket=self._bucket, Key=self._prefix + name, Body=data)
        except (BotoCoreError, ClientError) as error:
            raise aws.explained(error, f"{self.root}/{name}") from error

    def get(self, name: str) -> bytes | None:
        """Gets an object."""
        s3 = aws.client("s3")
        try:
            body: bytes = s3.get_object(Bucket=self._bucket, Key=self._prefix + name)["Body"].read()
        except s3.exceptions.NoSuchKey:
            return None
        except (BotoCoreError, ClientError) as error:
            raise aws.explained(error, f"{self.root}/{name}") from error
        return body

    def delete(self, name: str) -> None:
        """Deletes an object; S3 does not say whether there was one."""
        try:
            aws.client("s3").delete_object(Bucket=self._bucket, Key=self._prefix + name)
        except (BotoCoreError, ClientError) as error:
            raise aws.explained(error, f"{self.root}/{name}") from error

    def names(self, prefix: str = "") -> Iterator[str]:
        """Lists keys, in S3's order, which is sorted."""
        pages = aws.client("s3").get_paginator("list_objects_v2")
        try:
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix + prefix):
                for item in page.get("Contents", []):
                    yield item["Key"].removeprefix(self._prefix)
        except (BotoCoreError, ClientError) as error:
            raise aws.explained(error, f"{self.root}/{prefix}") from error
