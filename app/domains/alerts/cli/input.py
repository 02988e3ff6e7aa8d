"""A file of alerts, standard input, or texts of the command line, read some at a time; and records made of them."""

from __future__ import annotations

import itertools
import os
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from app.domains.alerts.alert import DEFAULT_TENANT, AlertFault
from app.domains.alerts.formats.file import AlertFile
from app.domains.alerts.formats.inflate import BrokenGzipError, PackedFileError
from app.domains.alerts.formats.parts import BrokenPartError
from app.domains.alerts.formats.pieces import InputItem, PieceReader, text_item
from app.domains.alerts.formats.scanner import BrokenJsonError
from app.domains.alerts.records import encoded
from app.domains.alerts.synthetic import SAMPLE_ALERTS, synthetic_alerts
from app.domains.alerts.tenancy import key_of
from app.errors import BudgetError, EventError, LocationError
from app.storage.files import open_named

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BLOCK_BYTES = 256 * 1024  # some thousand alerts: enough for the model to take them together
STDIN = Path("-")


class AlertInput:
    """One file of alerts, or standard input; iterate over it once.

    Attributes:
        path: The file; `-` is standard input.
        size: Bytes of the file, or None where that is not known.
        arrival_s: When a file was last changed, seconds since 1970; None for standard input, whose alerts come now.
    """

    def __init__(self, path: Path | None, pieces: PieceReader | None = None) -> None:
        """Open the file; nothing is read yet.

        Raises:
            LocationError: It cannot be opened.
        """
        self.path = path or STDIN
        self.size: int | None = None
        self.arrival_s: float | None = None
        if self.path == STDIN:
            if sys.stdin is None:
                raise LocationError("standard input: it is closed; name a file")
            self._stream: Any = sys.stdin.buffer
        else:
            try:
                self._stream = open_named(self.path)
            except OSError as error:
                raise LocationError(
                    f"{self.path}: cannot be read: {error.strerror}; name a file, or - for standard input"
                ) from None
            found = os.fstat(self._stream.fileno())
            self.size, self.arrival_s = found.st_size or None, found.st_mtime
        pieces = pieces or PieceReader()
        pieces.received = self.arrival_s
        self._file = AlertFile(self._blocks(), pieces, holds=True)

    @property
    def name(self) -> str:
        """Return the input's name for messages."""
        return "standard input" if self.path == STDIN else str(self.path)

    @property
    def cluster_config(self) -> dict[str, Any]:
        """Return the input's settings for clusters, as far as it was read."""
        return self._file.cluster_config

    @property
    def config(self) -> dict[str, Any]:
        """Return the input's settings for flows, as far as it was read."""
        return self._file.config

    def position(self) -> int:
        """Return how many bytes of the file were read."""
        return 0 if self.size is None or self._stream.closed else int(self._stream.tell())

    def __iter__(self) -> Iterator[list[InputItem]]:
        """Yield the items as they come, those of each block of a pipe before the next is waited for.

        Raises:
            LocationError: The rest of the file cannot be read: its disk fails, or its gzip is broken.
            EventError: The file is packed in a form that is not read here.
            BudgetError: The file would take too much memory, or inflates to too much.
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
        except BudgetError as error:
            raise BudgetError(f"{self.name}: {error}; what came before was read") from None
        except PackedFileError as error:
            raise EventError(f"{self.name}: {error}") from None
        except (OSError, BrokenGzipError) as error:
            why = getattr(error, "strerror", None) or " ".join(str(error).split())
            raise LocationError(f"{self.name}: cannot be read to its end: {why}; what came before was read") from None

    def _blocks(self) -> Iterator[bytes]:
        while block := self._stream.read1(BLOCK_BYTES):
            yield block


class TextInput:
    """Texts of the command line as an input."""

    path, name, size, arrival_s = Path("--text"), "--text", None, None

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


def alert_records(
    path: Path | None, count: int | None, *, endless: bool, key: str | None = None
) -> tuple[Iterator[tuple[str, bytes]], int | None]:
    """Return the records (partition key, data) that `feed` and `demo` put on a stream: one alert each.

    A line goes as it stands, also one that cannot be read, so that the pipeline decides. A file is cut short to a count
    and never repeated, since its alerts would be the same alerts again.

    Args:
        path: A file of any format, `-` for standard input; None for invented alerts.
        count: How many at most; of invented ones without it one attack's worth.
        endless: Whether invented alerts are endless without a count.
        key: The partition key of all of them, instead of each alert's tenant.

    Returns:
        The records, and how many where that is known.

    Raises:
        LocationError: The file cannot be opened.
    """
    if path is None:
        total = count or (None if endless else SAMPLE_ALERTS)
        made = synthetic_alerts(total)
        return ((key or DEFAULT_TENANT, msgspec.json.encode(each)) for each in made), total
    return itertools.islice(_of_file(AlertInput(path), key), count), count


def _of_file(source: AlertInput, key: str | None) -> Iterator[tuple[str, bytes]]:
    found = False
    for each in itertools.chain.from_iterable(source):
        data = _data_of(each)
        if data is not None:
            found = True
            tenant = each.alert.tenant if each.alert else ""
            yield key or key_of(tenant or DEFAULT_TENANT), data
    if not found:
        raise EventError(f"{source.name}: has no alerts; docs/alert-formats.md has the formats")


def _data_of(each: InputItem) -> bytes | None:
    """Return an item as a record: the line as it stood, or the alert in Millrace's form; None if it was too large."""
    if each.raw is not None:
        return each.raw
    return None if each.alert is None else encoded(each.alert)


def _broken(count: int, fault: AlertFault) -> InputItem:
    return InputItem(fault=fault, index=count, number=count + 1, unit="alert")
