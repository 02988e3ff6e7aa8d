"""Alerts out of a file or standard input, some at a time: lines, JSON documents, tables of AIT-ADS, with gzip or not.

Lines are handed on as they arrive and nothing of them is kept, so that a pipe may go on for ever.
"""

from __future__ import annotations

import csv
import gzip
import sys
import zlib
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from app.domains.alerts.ait_ads import seed_alert
from app.domains.alerts.alert import LARGEST_ALERT_BYTES, AlertFault
from app.domains.alerts.cli.reading import Reading, Told, is_json
from app.domains.alerts.files.scanner import BrokenJsonError, Scanner
from app.errors import LocationError

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK_BYTES = 256 * 1024  # some thousand alerts: enough for the model to take them together
LARGEST_DOCUMENT_BYTES = 64 * 1024 * 1024  # that is read whole: decoded it takes about eight times as much
BATCH_ALERTS = 2_000  # of a document
GZIP = b"\x1f\x8b"
AIT_COLUMNS = ["time", "name", "ip", "host", "short", "time_label", "event_label"]
STDIN = Path("-")
_BOM = b"\xef\xbb\xbf"
_SETTINGS = ("cluster_config", "config")
_GOES_ON = (b"[", b"{", b",", b":")


class AlertInput:
    """One file of alerts, or standard input; iterate over it once.

    Attributes:
        path: Where it is; `-` is standard input.
        unit: What is counted in it: `line`, `alert` or `row`.
        size: Bytes of the file, or None where that is not known.
        cluster_config: The seed's settings for clusters, once they were read: they stand in the same document.
        config: The seed's settings for flows.
    """

    def __init__(self, path: Path | None, reading: Reading) -> None:
        """Opens the file; nothing is read yet.

        Raises:
            LocationError: It cannot be opened.
        """
        self.path, self._reading = path or STDIN, reading
        self.unit = "line"
        self.size: int | None = None
        self.cluster_config: dict[str, Any] = {}
        self.config: dict[str, Any] = {}
        if self.path == STDIN:
            if sys.stdin is None:
                raise LocationError("standard input: it is closed; name a file")
            self._file: Any = sys.stdin.buffer
            return
        try:
            self._file = self.path.open("rb")
            self.size = self.path.stat().st_size or None
        except OSError as error:
            raise LocationError(
                f"{self.path}: cannot be read: {error.strerror}; name a file, or - for standard input"
            ) from None

    @property
    def name(self) -> str:
        """What messages call it."""
        return "standard input" if self.path == STDIN else str(self.path)

    def place(self) -> int:
        """How many bytes of the file were read."""
        return 0 if self.size is None or self._file.closed else int(self._file.tell())  # a named pipe has no place

    def __iter__(self) -> Iterator[list[Told]]:
        """What was read, as it comes; each block of a pipe is told of before the next is waited for.

        Raises:
            LocationError: The file cannot be read on: its disk fails, or its gzip is broken.
        """
        try:
            with closing(self._file):
                yield from self._read()
        except (OSError, EOFError, zlib.error) as error:
            why = getattr(error, "strerror", None) or " ".join(str(error).split())
            raise LocationError(f"{self.name}: cannot be read on: {why}; what stands before was read") from None

    def _read(self) -> Iterator[list[Told]]:
        blocks = _blocks(self._file)
        head = b""
        while b"\n" not in head.lstrip() and len(head) <= LARGEST_ALERT_BYTES:
            block = next(blocks, b"")
            if not block:
                break
            head += block
        head = head.removeprefix(_BOM)
        first, _, behind = head.lstrip().partition(b"\n")
        if first.rstrip(b"\r").split(b",") == [column.encode() for column in AIT_COLUMNS]:
            self.unit = "row"
            yield from self._rows(_chained(behind, blocks))
        elif self._reading.takes_documents and _is_document(first, behind, cut=b"\n" not in head.lstrip()):
            self.unit = "alert"
            yield from self._documents(_chained(head, blocks))
        else:
            yield from self._lines(_chained(head, blocks))

    def _lines(self, blocks: Iterator[bytes]) -> Iterator[list[Told]]:
        for lines in _split(blocks):
            told: list[Told] = []
            for number, line in lines:
                if line is None:
                    told.append(Told(number, fault=_too_large()))
                elif line and not line.isspace():
                    told.extend(self._reading.line(line, number))
            yield told

    def _rows(self, blocks: Iterator[bytes]) -> Iterator[list[Told]]:
        count = 0
        for lines in _split(blocks):
            told: list[Told] = []
            texts = [(line or b"").decode("utf-8", "replace") for _, line in lines]
            for row in csv.DictReader(texts, AIT_COLUMNS):
                try:
                    told.append(self._reading.row(seed_alert(row, count), count + 1))
                except (TypeError, ValueError, KeyError):
                    fault = AlertFault("bad_field", f"expected {','.join(AIT_COLUMNS)}, time in seconds")
                    told.append(Told(count + 1, fault=fault, raw=",".join(map(str, row.values())).encode()))
                count += 1
            yield told

    def _documents(self, blocks: Iterator[bytes]) -> Iterator[list[Told]]:
        """Documents one behind the other: a list element by element, an object whole."""
        count, batch = 0, list[Told]()
        try:
            scanner = Scanner(blocks)
            while first := scanner.peek():
                if first != b"[":
                    raw, size = scanner.value(LARGEST_DOCUMENT_BYTES)
                    told = self._whole(raw, size, count)
                    count += len(told)
                    yield told
                    continue
                for element, _ in scanner.elements(LARGEST_ALERT_BYTES):
                    count += 1
                    batch.append(
                        Told(count, fault=_too_large()) if element is None else self._reading.element(element, count)
                    )
                    if len(batch) >= BATCH_ALERTS:
                        yield batch
                        batch = []
                yield batch
                batch = []
        except BrokenJsonError as error:
            message = f"{error}; the rest was not read: send JSON that is whole, or an alert a line"
            yield [*batch, Told(count + 1, fault=AlertFault("not_json", message))]

    def _whole(self, raw: bytes | None, size: int, before: int) -> list[Told]:
        if raw is None:
            fault = AlertFault(
                "document_too_large",
                f"{size} bytes in one document, more than {LARGEST_DOCUMENT_BYTES}; send an alert a line",
            )
            return [Told(before + 1, fault=fault)]
        told = list(self._reading.document(raw, before + 1))
        self.cluster_config |= self._reading.cluster_config
        self.config |= self._reading.config
        return told


def _blocks(file: Any) -> Iterator[bytes]:  # noqa: ANN401 - what sys.stdin has, or a file
    """A file's bytes as they come; those of a gzip file unpacked."""
    plain = gzip.GzipFile(fileobj=file) if file.peek(len(GZIP))[: len(GZIP)] == GZIP else file
    while block := plain.read1(BLOCK_BYTES):
        yield block


def _chained(head: bytes, blocks: Iterator[bytes]) -> Iterator[bytes]:
    if head:
        yield head
    yield from blocks


def _split(blocks: Iterator[bytes]) -> Iterator[list[tuple[int, bytes | None]]]:
    """The whole lines of each block, counted from 1; one that is too long is None, and is not kept."""
    number, rest, dropped = 0, b"", False
    for block in blocks:
        *lines, rest = (rest + block).split(b"\n")
        found: list[tuple[int, bytes | None]] = []
        for line in lines:
            number += 1
            found.append((number, None if dropped or len(line) > LARGEST_ALERT_BYTES else line))
            dropped = False
        if len(rest) > LARGEST_ALERT_BYTES:
            rest, dropped = b"", True
        yield found
    if rest or dropped:
        yield [(number + 1, None if dropped else rest)]


def _is_document(first: bytes, behind: bytes, *, cut: bool) -> bool:
    """Whether JSON begins that goes on behind the first line, or has settings; and not a line that was broken off.

    Args:
        first: The first line, or as much of it as was read.
        behind: What follows it.
        cut: Whether no end of the line has been read.
    """
    if not is_json(first):
        return False
    try:
        # A whole line that ends within quotes was broken off; a line as large as this may be cut there by us.
        value = msgspec.json.decode(first if cut and len(first) > LARGEST_ALERT_BYTES else first + b"\n")
    except msgspec.MsgspecError as error:
        if "truncated" not in str(error):
            return False
        return not behind.lstrip().startswith(b"{") or first.rstrip().endswith(_GOES_ON)
    except RecursionError:
        return False
    return len(first) > LARGEST_ALERT_BYTES or (isinstance(value, dict) and any(value.get(key) for key in _SETTINGS))


def _too_large() -> AlertFault:
    return AlertFault("alert_too_large", f"more than {LARGEST_ALERT_BYTES} bytes; send the alert without its raw data")
