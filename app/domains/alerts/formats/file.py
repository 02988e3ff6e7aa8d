"""The one reader of alerts: files under `input/`, files and pipes of the commands, and the records of `feed`.

The form of an input is recognised in this order:

    table      the header of AIT-ADS: a row an alert
    document   JSON that goes on behind its first line, or has a long first line: the elements of a list, or of
               an object's `input`, one by one; any other object whole. What follows it is looked at again
    lines      an alert a line, in any format; a line of JSON may also hold several alerts, or several values

Lines are handed on as they arrive and nothing is kept of them, so that a pipe may go on for ever.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import msgspec

from app.domains.alerts.ait_ads import seed_alert
from app.domains.alerts.alert import LARGEST_ALERT_BYTES, AlertFault
from app.domains.alerts.formats.encoding import as_utf8
from app.domains.alerts.formats.envelopes import NODES
from app.domains.alerts.formats.inflate import inflated
from app.domains.alerts.formats.pieces import InputItem, PieceReader, is_json
from app.domains.alerts.formats.reading import add_nodes
from app.domains.alerts.formats.scanner import BrokenJsonError, Scanner, is_open

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LARGEST_PART_BYTES = 256 * 1024 * 1024  # of a part that is read whole: node features, or a document without `input`
LARGEST_HELD_BYTES = 64 * 1024 * 1024  # of a document that is held until its node features are known
HEAD_BYTES = 64 * 1024  # of a first line: a longer one is read as a document, which one large alert is too
BATCH_ALERTS = 2_000  # enough for the model to take them together
AIT_COLUMNS = ["time", "name", "ip", "host", "short", "time_label", "event_label"]
_AIT_HEADER = ",".join(AIT_COLUMNS).encode()
_GOES_ON = (b"[", b"{", b",", b":")
_READ = msgspec.Raw(b"[]")  # stands for an `input` whose elements were handed on
_UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)


class BrokenPartError(Exception):
    """A part of a document other than its alerts cannot be read; the message is one line without values."""


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
        self.node_feature: dict[str, dict[str, Any]] = {}
        self.cluster_config: dict[str, Any] = {}
        self.config: dict[str, Any] = {}
        self._index = 0

    def __iter__(self) -> Iterator[list[InputItem]]:
        """Yield the items as they come, the lines of one block before the next is waited for.

        Raises:
            BrokenJsonError: A document breaks off, or its brackets do not fit.
            BrokenGzipError: The file begins as gzip does and cannot be inflated.
            PackedFileError: The file is packed otherwise.
            BrokenPartError: Another part than the alerts has a wrong type.
        """
        yield from filter(None, self._read(Scanner(as_utf8(inflated(self._blocks)))))

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
        for lines in scanner.lines(LARGEST_ALERT_BYTES):
            items: list[InputItem] = []
            for line in lines:
                number += 1
                found: list[InputItem] = []
                if line is None:
                    found = [InputItem(fault=_too_large())]
                elif line and not line.isspace():
                    found = self._line(line.strip())
                unit = "line" if counts else "alert"
                items += [self._numbered(each, number if counts else 0, unit) for each in found]
                if len(items) >= self._batch:
                    yield items
                    items = []
            yield items

    def _line(self, line: bytes) -> list[InputItem]:
        """Read a line: mostly one alert; the seed system's object, or several JSON values, are taken apart."""
        if self._pieces.takes_documents and is_json(line):
            if b'"input"' in line:
                return self._values(line) or [self._pieces.line(line)]
            item = self._pieces.line(line)
            if item.fault is not None and item.fault.reason in {"not_one_alert", "not_json"}:
                return self._values(line) or self._pieces.document(line).items
            return [item]
        return [self._pieces.line(line)]

    def _values(self, line: bytes) -> list[InputItem]:
        """Read all values of a line; nothing where it is not JSON to its end, or one object that is broken inside."""
        scanner, found = Scanner(iter([line])), list[InputItem]()
        try:
            while first := scanner.peek():
                if first not in {b"{", b"["}:
                    return []
                value = Scanner(iter([scanner.whole_value()]))
                found += [item for items in self._read_document(value, holds=True) for item in items]
        except BrokenJsonError:
            return []
        return found

    def _rows(self, scanner: Scanner) -> Iterator[list[InputItem]]:
        lines = scanner.lines(LARGEST_ALERT_BYTES)
        header, count = True, 0
        for block in lines:
            items: list[InputItem] = []
            texts = [(line or b"").decode("utf-8", "replace") for line in block[header:]]
            header = header and not block
            for row in csv.DictReader(texts, AIT_COLUMNS):
                try:
                    item = self._pieces.record(seed_alert(row, count))
                except (TypeError, ValueError, KeyError):
                    fault = AlertFault("bad_field", f"expected {','.join(AIT_COLUMNS)}, time in seconds")
                    item = InputItem(fault=fault, raw=",".join(map(str, row.values())).encode())
                count += 1
                items.append(self._numbered(item, count, "row"))
                if len(items) >= self._batch:
                    yield items
                    items = []
            yield items

    def _document(self, scanner: Scanner) -> Iterator[list[InputItem]]:
        for items in self._read_document(scanner, holds=self._holds):
            yield [self._numbered(each, 0, "alert") for each in items]

    def _read_document(self, scanner: Scanner, *, holds: bool) -> Iterator[list[InputItem]]:
        """Read the value that begins here: the elements of a list, or an object."""
        if scanner.peek() == b"[":
            yield from self._elements(scanner)
        elif holds:
            yield self._held(scanner)
        else:
            members: dict[str, msgspec.Raw] = {}
            yield from self._members(scanner, members)
            yield self._rest(members)

    def _held(self, scanner: Scanner) -> list[InputItem]:
        """Read an object whole, and add its node features to its alerts.

        Raises:
            BrokenJsonError: It breaks off.
        """
        began, members, held = scanner.position, dict[str, msgspec.Raw](), list[InputItem]()
        for items in self._members(scanner, members):
            if scanner.position - began <= LARGEST_HELD_BYTES:
                held += items
        if scanner.position - began > LARGEST_HELD_BYTES:
            message = f"more than {LARGEST_HELD_BYTES} bytes in one document; send a list, or an alert a line"
            return [InputItem(fault=AlertFault("document_too_large", message))]
        held += self._rest(members)
        for item in held if self.node_feature else ():
            if item.alert is not None:
                add_nodes(item.alert, self.node_feature)
        return held

    def _members(self, scanner: Scanner, members: dict[str, msgspec.Raw]) -> Iterator[list[InputItem]]:
        """Yield the elements of an object's `input`, and gather its other members."""
        for key in scanner.members():
            name = _text(key)
            if name == "input" and scanner.peek() == b"[":
                yield from self._elements(scanner)
                members[name] = _READ
                continue
            value, size = scanner.value(LARGEST_PART_BYTES)
            if value is None:
                raise BrokenPartError(f"{name[:50]!r} has {size} bytes: {LARGEST_PART_BYTES} can be read")
            members[name] = msgspec.Raw(value)

    def _rest(self, members: Mapping[str, msgspec.Raw]) -> list[InputItem]:
        """Take the other parts of an object with an `input`; read an object without one."""
        if members.get("input") is not _READ:
            return self._whole(msgspec.json.encode(members))
        nodes = _object(members, NODES)
        self.node_feature |= {node: each for node, each in nodes.items() if isinstance(each, dict)}
        self.cluster_config |= _object(members, "cluster_config")
        self.config |= _object(members, "config")
        return []

    def _whole(self, raw: bytes) -> list[InputItem]:
        """Read an object that is an alert, or an envelope of some."""
        found = self._pieces.document(raw)
        self.cluster_config |= found.cluster_config
        self.config |= found.config
        return found.items

    def _elements(self, scanner: Scanner) -> Iterator[list[InputItem]]:
        items: list[InputItem] = []
        try:
            for raw, _ in scanner.elements(LARGEST_ALERT_BYTES):
                items.append(InputItem(fault=_too_large()) if raw is None else self._pieces.element(raw))
                if len(items) >= self._batch:
                    yield items
                    items = []
        except BrokenJsonError:
            yield items
            raise
        yield items

    def _numbered(self, item: InputItem, number: int, unit: str) -> InputItem:
        """Give an item its index, and its number in messages; 0 is its count."""
        item.index, self._index = self._index, self._index + 1
        item.number, item.unit = number or self._index, unit
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


def _too_large() -> AlertFault:
    return AlertFault("alert_too_large", f"more than {LARGEST_ALERT_BYTES} bytes; send the alert without its raw data")


def _text(key: bytes) -> str:
    try:
        return msgspec.json.decode(key, type=str)
    except _UNREADABLE:
        raise BrokenJsonError("a key is no text in UTF-8") from None


def _object(members: Mapping[str, msgspec.Raw], name: str) -> dict[str, Any]:
    """Return a member that is an object; null, or none, is an empty one."""
    try:
        return msgspec.json.decode(members.get(name, b"null"), type=dict[str, Any] | None) or {}
    except _UNREADABLE as error:
        raise BrokenPartError(f"{name}: expected an object, {{…}}, of JSON that can be read: {error}") from None
