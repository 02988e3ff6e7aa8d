"""The one reader of alerts: files under `input/`, files and pipes of the commands, and the records of `feed`.

The form of an input is recognised in this order:

    table      the header of AIT-ADS: a row an alert
    document   JSON that goes on behind its first line, or has a long first line: the elements of a list, or of
               an object's `input`, one by one; any other object whole. What follows it is looked at again
    lines      an alert a line, in any format; a line of JSON may also hold several alerts, or several values

Lines are handed on as they arrive and nothing is kept of them, so that a pipe may go on for ever. Whatever is held
together, the items of a batch or an object that is read whole, has a budget.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from app.domains.alerts.ait_ads import COLUMNS, alert_of_line
from app.domains.alerts.alert import LARGEST_ALERT_BYTES, AlertFault
from app.domains.alerts.formats.encoding import as_utf8
from app.domains.alerts.formats.envelopes import MOST_PIECES, too_many
from app.domains.alerts.formats.inflate import inflated
from app.domains.alerts.formats.parts import (
    LARGEST_HELD_BYTES,
    SETTINGS,
    UNREADABLE,
    FileSettings,
    Parts,
)
from app.domains.alerts.formats.pieces import InputItem, PieceReader, is_json
from app.domains.alerts.formats.reading import LARGEST_RECORD_BYTES, add_nodes
from app.domains.alerts.formats.scanner import BrokenJsonError, Scanner, is_open
from app.errors import BudgetError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HEAD_BYTES = 64 * 1024  # of a first line: a longer one is read as a document, which one large alert is too
BATCH_ALERTS = 2_000  # enough for the model to take them together
BATCH_BYTES = 4 * 1024 * 1024  # of alerts that are handed on together: in memory they take up to ten times as much
MOST_FAULTY = 100_000
"""Elements that are no alerts in a file that is smaller than their number, since it is packed.

Each costs as much time as an alert: 9 KB of gzip may have three million. Logs with few alerts in them, as Suricata's,
take ten bytes an element or more when they are packed.
"""
_AIT_HEADER = ",".join(COLUMNS).encode()
_GOES_ON = (b"[", b"{", b",", b":")


class AlertFile:
    """One input of alerts; iterate over it once.

    Attributes:
        node_feature: Features by node of its documents; a node without an object is left out.
        cluster_config: Their settings for clusters.
        config: Their settings for flows.
    """

    def __init__(
        self,
        blocks: Iterator[bytes],
        pieces: PieceReader | None = None,
        *,
        holds: bool = False,
        batch: int = BATCH_ALERTS,
    ) -> None:
        """Take the input's blocks, gzip or not; none is read yet.

        Args:
            blocks: None of them empty.
            pieces: Which formats are read, and who owns alerts without a tenant.
            holds: Whether a document's alerts wait for its end, so that they have its node features. Otherwise whoever
                reads adds `node_feature` afterwards.
            batch: The most items that are handed on together.
        """
        self._blocks, self._pieces = blocks, pieces or PieceReader()
        self._holds, self._batch = holds, batch
        self._settings = FileSettings()
        self.node_feature = self._settings.node_feature
        self.cluster_config = self._settings.cluster_config
        self.config = self._settings.config
        self._index = self._faulty = self._came_bytes = 0

    def __iter__(self) -> Iterator[list[InputItem]]:
        """Yield the items as they come, the lines of one block before the next is waited for.

        Raises:
            BrokenJsonError: A document breaks off, or its brackets do not fit.
            BrokenGzipError: The file begins as gzip does and cannot be inflated.
            PackedFileError: The file is packed otherwise.
            BrokenPartError: Another part than the alerts has a wrong type.
            BudgetError: The file inflates to too much, its settings would take too much memory, or hardly any of its
                many elements is an alert.
        """
        yield from filter(None, self._read(Scanner(as_utf8(inflated(self._counted())))))

    def _counted(self) -> Iterator[bytes]:
        for block in self._blocks:
            self._came_bytes += len(block)
            yield block

    def _read(self, scanner: Scanner) -> Iterator[list[InputItem]]:
        first, _ = scanner.first_line(HEAD_BYTES)
        if first.rstrip(b"\r") == _AIT_HEADER:
            yield from self._rows(scanner)
            return
        while scanner.peek():
            if not (self._pieces.takes_documents and _is_document(*scanner.first_line(HEAD_BYTES))):
                yield from self._lines(scanner)
                return
            yield from self._document(scanner)
            while self._pieces.takes_documents and scanner.line_goes_on() and scanner.peek() in {b"{", b"["}:
                yield from self._document(scanner)

    def _lines(self, scanner: Scanner) -> Iterator[list[InputItem]]:
        number, counts = scanner.blank_lines, not self._index  # behind a document the lines' own numbers say nothing
        unit = "line" if counts else "alert"

        def items(lines: list[bytes | None]) -> Iterator[InputItem]:
            nonlocal number
            for line in lines:
                number += 1
                if line is None:
                    yield self._numbered(InputItem(fault=_too_large()), number if counts else 0, unit)
                elif line and not line.isspace():
                    for each in _sized(self._line(line.strip()), len(line)):
                        yield self._numbered(each, number if counts else 0, unit)

        for lines in scanner.lines(LARGEST_ALERT_BYTES):
            yield from self._batches(items(lines))

    def _batches(self, items: Iterable[InputItem]) -> Iterator[list[InputItem]]:
        """Yield items as they come, as many together as a batch may have; those before an error come before it."""
        batch: list[InputItem] = []
        size = 0
        try:
            for item in items:
                batch.append(item)
                size += item.size
                if len(batch) >= self._batch or size >= BATCH_BYTES:
                    yield batch
                    batch, size = [], 0
        except (BrokenJsonError, BudgetError):
            yield batch
            raise
        yield batch

    def _line(self, line: bytes) -> list[InputItem]:
        """Read a line: mostly one alert; the seed system's object, or several JSON values, are taken apart."""
        if self._pieces.takes_documents and is_json(line):
            if b'"input"' in line:
                found = self._values(line)
                return [self._pieces.line(line)] if found is None else found
            item = self._pieces.line(line)
            if item.fault is not None and item.fault.reason in {"not_one_alert", "not_json"}:
                found = self._values(line)
                return self._pieces.document(line).items if found is None else found
            return [item]
        return [self._pieces.line(line)]

    def _values(self, line: bytes) -> list[InputItem] | None:
        """Read all values of a line; None where it is not JSON to its end, or one object that is broken inside."""
        scanner, found = Scanner(iter([line])), list[InputItem]()
        try:
            while first := scanner.peek():
                if first not in {b"{", b"["}:
                    return None
                value = Scanner(iter([scanner.whole_value()]))
                for items in self._read_document(value, holds=True):
                    found += items
                    if len(found) > MOST_PIECES:
                        return [InputItem(fault=too_many(MOST_PIECES, "alerts"), raw=line)]
        except BrokenJsonError:
            return None
        return found

    def _rows(self, scanner: Scanner) -> Iterator[list[InputItem]]:
        header, count = True, 0

        def items(lines: list[bytes | None]) -> Iterator[InputItem]:
            nonlocal count
            for line in lines:
                if line is None or line.rstrip(b"\r"):
                    count += 1
                    item = InputItem(fault=_too_large()) if line is None else self._row(line, count - 1)
                    yield self._numbered(item, count, "row")

        for block in scanner.lines(LARGEST_ALERT_BYTES):
            yield from self._batches(items(block[header:]))
            header = header and not block

    def _row(self, line: bytes, number: int) -> InputItem:
        try:
            item = self._pieces.record(alert_of_line(line, number))
        except ValueError:
            fault = AlertFault("bad_field", f"expected {','.join(COLUMNS)}, time in seconds")
            item = InputItem(fault=fault, raw=line)
        item.size = len(line)
        return item

    def _document(self, scanner: Scanner) -> Iterator[list[InputItem]]:
        for items in self._read_document(scanner, holds=self._holds):
            yield [self._numbered(each, 0, "alert") for each in items]

    def _read_document(self, scanner: Scanner, *, holds: bool) -> Iterator[list[InputItem]]:
        """Read the value that begins here: the elements of a list, or an object."""
        if scanner.peek() == b"[":
            yield from self._elements(scanner)
            return
        parts = Parts()
        for key in scanner.members():
            name = _text(key)
            if name == "input" and scanner.peek() == b"[":
                parts.has_input = True
                if holds:
                    parts.hold(scanner)
                else:
                    yield from self._elements(scanner)
            elif name in SETTINGS:
                parts.settings[name] = value = self._settings.read(name, scanner)
                parts.add(key, value)
            else:
                parts.add(key, scanner.value(LARGEST_RECORD_BYTES)[0])
        if parts.has_input:
            self._settings.add(parts.settings)
            yield from self._held(parts)
        else:
            yield from self._batches(self._whole(parts.text()))

    def _held(self, parts: Parts) -> Iterator[list[InputItem]]:
        """Read the alerts that waited for the end of their document, and add its node features."""
        if not parts.is_held:
            yield [_document_too_large(LARGEST_HELD_BYTES)]
            return
        for items in self._batches(map(self._element, parts.elements())):
            for item in items if self.node_feature else ():
                if item.alert is not None:
                    add_nodes(item.alert, self.node_feature)
            yield items

    def _whole(self, raw: bytes | None) -> list[InputItem]:
        """Read an object that is an alert, or an envelope of some."""
        if raw is None:
            return [_document_too_large(LARGEST_RECORD_BYTES)]
        found = self._pieces.document(raw)
        self.cluster_config |= found.cluster_config
        self.config |= found.config
        return _sized(found.items, len(raw))

    def _elements(self, scanner: Scanner) -> Iterator[list[InputItem]]:
        yield from self._batches(self._element(raw) for raw, _ in scanner.elements(LARGEST_ALERT_BYTES))

    def _element(self, raw: bytes | None) -> InputItem:
        item = InputItem(fault=_too_large()) if raw is None else self._pieces.element(raw)
        item.size = len(raw or b"")
        return item

    def _numbered(self, item: InputItem, number: int, unit: str) -> InputItem:
        """Give an item its index, and its number in messages; 0 is its count."""
        item.index, self._index = self._index, self._index + 1
        item.number, item.unit = number or self._index, unit
        if item.fault is not None:
            self._faulty += 1
            if self._faulty > max(MOST_FAULTY, self._came_bytes):
                raise BudgetError(
                    f"{self._faulty} elements are no alerts, in a packed file of {self._came_bytes} bytes: the last is "
                    f"{unit} {item.number}, {item.fault.reason}; send the alerts alone"
                )
        if item.is_text and item.alert is not None:
            item.alert.id = item.number
        return item


def _is_document(first: bytes, behind: bytes) -> bool:
    """Return whether JSON begins that goes on behind the first line, and not a line that was broken off.

    Args:
        first: The first line, or the beginning of a long one.
        behind: What follows it, as far as it has been read.
    """
    if not is_json(first):
        return False
    if len(first) > HEAD_BYTES:
        return True
    return is_open(first) and (not behind.lstrip().startswith(b"{") or first.rstrip().endswith(_GOES_ON))


def _sized(items: list[InputItem], size: int) -> list[InputItem]:
    """Return the items of a text, each with its share of the text's bytes."""
    for item in items:
        item.size = size // len(items)
    return items


def _document_too_large(most: int) -> InputItem:
    message = f"more than {most} bytes in one document; send a list, or an alert a line"
    return InputItem(fault=AlertFault("document_too_large", message))


def _too_large() -> AlertFault:
    return AlertFault("alert_too_large", f"more than {LARGEST_ALERT_BYTES} bytes; send the alert without its raw data")


def _text(key: bytes) -> str:
    try:
        return msgspec.json.decode(key, type=str)
    except UNREADABLE:
        raise BrokenJsonError("a key is no text in UTF-8") from None
