"""Where the files of the alerts stand: a folder or `s3://bucket/prefix`, whose objects are read in blocks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from app import aws
from app.errors import CloudError, LocationError
from app.storage.objects import FolderObjects, Objects, S3Objects, open_objects

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK_BYTES = 1024 * 1024  # a hundred calls for the largest usual file, and little beside what a chunk needs


class Bucket(Objects, Protocol):
    """Objects under one root that may be larger than memory."""

    def blocks(self, name: str) -> Iterator[bytes]:
        """An object's bytes, some at a time, none of them empty.

        Raises:
            LocationError: There is none of that name.
            CloudError: It cannot be read to its end.
        """


class FolderBucket(FolderObjects):
    """Files below a folder."""

    def __init__(self, folder: Path) -> None:
        """Opens a folder, which need not exist yet."""
        super().__init__(folder)
        self.folder = folder

    def blocks(self, name: str) -> Iterator[bytes]:
        """Reads a file."""
        try:
            with (self.folder / name).open("rb") as file:
                while block := file.read(BLOCK_BYTES):
                    yield block
        except (FileNotFoundError, IsADirectoryError):
            raise _missing(self.root, name) from None
        except OSError as error:
            raise CloudError(f"{self.root}/{name}: cannot be read: {error.strerror}") from error


class S3Bucket(S3Objects):
    """Objects below a prefix of an S3 bucket."""

    def blocks(self, name: str) -> Iterator[bytes]:
        """Reads an object as it comes over the network."""
        s3 = aws.client("s3")
        try:
            body = s3.get_object(Bucket=self._bucket, Key=self._prefix + name)["Body"]
            yield from body.iter_chunks(BLOCK_BYTES)
        except s3.exceptions.NoSuchKey:
            raise _missing(self.root, name) from None
        except (BotoCoreError, ClientError) as error:
            raise aws.explained(error, f"{self.root}/{name}") from error


def open_bucket(location: str) -> FolderBucket | S3Bucket:
    """The objects under a location.

    Args:
        location: A folder, or `s3://bucket/prefix`.

    Raises:
        SettingsError: The location has another scheme, or no bucket.
    """
    objects = open_objects(location)
    if isinstance(objects, S3Objects):
        bucket, _, prefix = objects.root.removeprefix("s3://").partition("/")
        return S3Bucket(bucket, prefix)
    return FolderBucket(Path(objects.root))


def _missing(root: str, name: str) -> LocationError:
    return LocationError(f"{root}/{name}: there is no such object")
