"""A file of alerts, standard input, or texts of the command line, read some at a time."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.domains.alerts.alert import AlertFault
from app.domains.alerts.formats.file import AlertFile, BrokenPartError
from app.domains.alerts.formats.inflate import BrokenGzipError
from app.domains.alerts.formats.pieces import InputItem, PieceReader, text_item
from app.domains.alerts.formats.scanner import BrokenJsonError
from app.errors import LocationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BLOCK_BYTES = 256 * 1024  # some thousand alerts: enough for the model to take them together
STDIN = Path("-")


class AlertInput:
    """One file of alerts, or standard input; iterate over it once.

    Attributes:
        path: The file; `-` is standard input.
        size: Bytes of the file, or None where that is not known.
    """

    def __init__(self, path: Path | None, pieces: PieceReader | None = None) -> None:
        """Open the file; nothing is read yet.

        Raises:
            LocationError: It cannot be opened.
        """
        self.path = path or STDIN
        self.size: int | None = None
        if self.path == STDIN:
            if sys.stdin is None:
                raise LocationError("standard input: it is closed; name a file")
            self._stream: Any = sys.stdin.buffer
        else:
            try:
                self._stream = self.path.open("rb")
                self.size = self.path.stat().st_size or None
            except OSError as error:
                raise LocationError(
                    f"{self.path}: cannot be read: {error.strerror}; name a file, or - for standard input"
                ) from None
        self._file = AlertFile(self._blocks(), pieces, holds=True)

    @property
    def name(self) -> str:
        """The input's name in messages."""
        return "standard input" if self.path == STDIN else str(self.path)

    @property
    def cluster_config(self) -> dict[str, Any]:
        """Its settings for clusters, as far as it was read."""
        return self._file.cluster_config

    @property
    def config(self) -> dict[str, Any]:
        """Its settings for flows, as far as it was read."""
        return self._file.config

    def position(self) -> int:
        """Return how many bytes of the file were read."""
        return 0 if self.size is None or self._stream.closed else int(self._stream.tell())  # a named pipe has none

    def __iter__(self) -> Iterator[list[InputItem]]:
        """Yield the items as they come, those of each block of a pipe before the next is waited for.

        Raises:
            LocationError: The file cannot be read on: its disk fails, or its gzip is broken.
        """
        count = 0
        try:
            with closing(self._stream):
                for items in self._file:
                    count += len(items)
                    yield items
        except BrokenJsonError as error:
            message = f"{error}; the rest was not read: send JSON that is whole, or an alert a line"
            yield [_broken(count, AlertFault("not_json", message))]
        except BrokenPartError as error:
            yield [_broken(count, AlertFault("bad_field", f"{error}; the rest was not read"))]
        except (OSError, BrokenGzipError) as error:
            why = getattr(error, "strerror", None) or " ".join(str(error).split())
            raise LocationError(f"{self.name}: cannot be read on: {why}; what stands before was read") from None

    def _blocks(self) -> Iterator[bytes]:
        while block := self._stream.read1(BLOCK_BYTES):
            yield block


class TextInput:
    """Texts of the command line as an input."""

    path, name, size = Path("--text"), "--text", None

    def __init__(self, texts: Sequence[str]) -> None:
        """Take the texts."""
        self._texts = texts
        self.cluster_config: dict[str, Any] = {}
        self.config: dict[str, Any] = {}

    def position(self) -> int:
        """Return 0: there are no bytes to be counted."""
        return 0

    def __iter__(self) -> Iterator[list[InputItem]]:
        """Yield all of them at once."""
        yield [text_item(text.encode("utf-8", "replace")) for text in self._texts]


def _broken(count: int, fault: AlertFault) -> InputItem:
    return InputItem(fault=fault, index=count, number=count + 1, unit="alert")
