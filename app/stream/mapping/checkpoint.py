"""Keep how far a mapping got in its stream, in a file from one run to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from app.budgets import MOST_REQUEST_BYTES
from app.errors import SettingsError
from app.storage.files import read_regular, write_file
from app.stream.shards import StartingPosition  # noqa: TC001 - msgspec reads it from the annotation
from app.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class _Kept(msgspec.Struct):
    """The file's content: the stream (a later one may have the same name), and how far each of its shards was read."""

    stream_arn: str
    stream_created: str
    shards: dict[str, StartingPosition]


class CheckpointFile:
    """Positions by shard in one JSON file, replaced whole with each change."""

    def __init__(self, path: Path) -> None:
        """Take the file's path; the file need not exist yet.

        Raises:
            SettingsError: Something else is there, which a replacement would end: a device, say. Or no file can be.
        """
        try:
            is_other = path.exists() and not path.is_file()
        except OSError as error:  # a name that is too long, a folder that may not be searched
            raise SettingsError(f"checkpoint {path}: cannot be read: {error.strerror}") from None
        if is_other:
            raise SettingsError(f"checkpoint {path}: is not a file")
        self._path = path

    def load(self, stream_arn: str, created: str) -> dict[str, StartingPosition]:
        """Return how far an earlier run got; nothing if there was none, or its stream was another.

        Raises:
            SettingsError: The file cannot be read, or is not a checkpoint.
        """
        try:
            kept = msgspec.json.decode(read_regular(self._path, MOST_REQUEST_BYTES), type=_Kept)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise SettingsError(f"checkpoint {self._path}: cannot be read: {error.strerror}") from None
        except (msgspec.DecodeError, ValueError, RecursionError):
            raise SettingsError(f"checkpoint {self._path}: not a checkpoint: remove it to begin again") from None
        if (kept.stream_arn, kept.stream_created) != (stream_arn, created):
            logger.warning("the checkpoint is of another stream, or an earlier one of this name: starting again")
            return {}
        return kept.shards

    def save(self, stream_arn: str, created: str, shards: Mapping[str, StartingPosition]) -> None:
        """Write the file whole or not at all, so that a crash leaves the earlier one.

        Raises:
            SettingsError: It cannot be written.
        """
        try:
            write_file(self._path, msgspec.json.encode(_Kept(stream_arn, created, dict(shards))))
        except OSError as error:
            raise SettingsError(f"checkpoint {self._path}: cannot be written: {error.strerror}") from None
