"""Alerts out of a file, one after the other; what cannot be read is told with its reason and its place.

Read in pieces: the seed's document with its `input`, a bare list, and texts with an alert a line, packed with gzip or
not. Another document (a search's answer, a service's findings) is read whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from app.domains.alerts.alert import LARGEST_ALERT_BYTES, Alert, AlertFault
from app.domains.alerts.files.inflate import BrokenGzipError, inflated
from app.domains.alerts.files.scanner import BrokenJsonError, Scanner

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

LARGEST_PART_BYTES = 256 * 1024 * 1024  # of what is read whole: node features, or a document without `input`
_UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)


class UnreadableFileError(Exception):
    """A file has nothing that can be taken: why, in one line without its values."""


class Skipped(msgspec.Struct, frozen=True):
    """An element that is no alert.

    Attributes:
        index: Its place in the file, from 0.
        reason: A code in snake case: `AlertFault`'s, or `not_json`.
        message: What is wrong and how to mend it.
        raw: The element; None where it is too large to keep.
    """

    index: int
    reason: str
    message: str
    raw: bytes | None = None


class Documents(Protocol):
    """What reads alerts of all formats: the package `formats`."""

    def read_alert(self, raw: bytes) -> Alert:
        """One alert from its JSON or its line.

        Raises:
            AlertFault: It cannot be read.
        """

    def read_document(self, document: Any) -> tuple[Sequence[Alert], Sequence[tuple[int, AlertFault]]]:  # noqa: ANN401 - any JSON
        """The alerts of a document that is not the seed's, and the place and the fault of each of the others.

        Raises:
            AlertFault: It cannot be read as a whole.
        """


class AlertFile:
    """One file of alerts: iterate over it once, and it knows what stood beside them.

    Attributes:
        node_feature: Features by node; a node whose value is no object is left out.
        cluster_config: For clustering.
        config: For flows.
    """

    def __init__(self, blocks: Iterator[bytes], documents: Documents) -> None:
        """Takes the file's blocks; none is read yet."""
        self._blocks, self._documents = blocks, documents
        self.node_feature: dict[str, dict[str, Any]] = {}
        self.cluster_config: dict[str, Any] = {}
        self.config: dict[str, Any] = {}
        self._index = 0

    def __iter__(self) -> Iterator[Alert | Skipped]:
        """The file's elements in their order.

        Raises:
            UnreadableFileError: It is no JSON, or breaks off, or its gzip does.
        """
        try:
            yield from self._read(Scanner(inflated(self._blocks)))
        except BrokenJsonError as error:
            raise UnreadableFileError(f"not JSON: {error}; nothing of the file was taken") from None
        except BrokenGzipError as error:
            raise UnreadableFileError(f"{error}; nothing of the file was taken") from None

    def _read(self, scanner: Scanner) -> Iterator[Alert | Skipped]:
        first = scanner.peek()
        if not first:
            raise UnreadableFileError('empty: put {"input": [...]} there')
        if first == b"[":
            yield from self._elements(scanner)
        elif first == b"{":
            yield from self._document(scanner)
            yield from self._lines(scanner)  # JSON lines: each is a document of its own
        else:
            yield from self._lines(scanner)
        if scanner.peek():
            raise UnreadableFileError(f"not JSON: text behind its end, at byte {scanner.place}")

    def _elements(self, scanner: Scanner) -> Iterator[Alert | Skipped]:
        for raw, size in scanner.elements(LARGEST_ALERT_BYTES):
            yield self._one(raw, size)

    def _lines(self, scanner: Scanner) -> Iterator[Alert | Skipped]:
        while scanner.peek():
            raw, size = scanner.line(LARGEST_ALERT_BYTES)
            yield self._one(raw, size)

    def _document(self, scanner: Scanner) -> Iterator[Alert | Skipped]:
        """An object: the seed's, or one that is read whole."""
        members: dict[str, msgspec.Raw] = {}
        is_seeds = False
        for key in scanner.members():
            name = _text(key)
            if name == "input" and scanner.peek() == b"[":
                is_seeds = True
                yield from self._elements(scanner)
                continue
            value, size = scanner.value(LARGEST_PART_BYTES)
            if value is None:
                raise UnreadableFileError(f"{name[:50]!r} has {size} bytes: {LARGEST_PART_BYTES} can be read")
            members[name] = msgspec.Raw(value)
        if is_seeds:
            nodes = _object(members, "node_feature")
            self.node_feature = {node: each for node, each in nodes.items() if isinstance(each, dict)}
            self.cluster_config, self.config = _object(members, "cluster_config"), _object(members, "config")
            return
        yield from self._whole(msgspec.json.encode(members))

    def _whole(self, raw: bytes) -> Iterator[Alert | Skipped]:
        """The alerts of a document of another form: one alert, or many."""
        try:
            document = msgspec.json.decode(raw)
        except _UNREADABLE as error:
            yield self._skipped("not_json", f"not JSON: {error}", raw)
            return
        try:
            alerts, faults = self._documents.read_document(document)
        except AlertFault as whole:
            yield self._skipped(whole.reason, whole.message, raw)
            return
        yield from alerts
        alone = not alerts and len(faults) == 1
        for place, fault in faults:
            yield Skipped(self._index + place, fault.reason, fault.message, raw if alone else None)
        self._index += len(alerts) + len(faults)

    def _one(self, raw: bytes | None, size: int) -> Alert | Skipped:
        if raw is None:
            message = f"it has {size} bytes: {LARGEST_ALERT_BYTES} can be read"
            return self._skipped("alert_too_large", message, None)
        try:
            alert = self._documents.read_alert(raw)
        except AlertFault as fault:
            return self._skipped(fault.reason, fault.message, raw)
        self._index += 1
        return alert

    def _skipped(self, reason: str, message: str, raw: bytes | None) -> Skipped:
        self._index += 1
        return Skipped(self._index - 1, reason, message, raw)


def _text(key: bytes) -> str:
    try:
        return msgspec.json.decode(key, type=str)
    except _UNREADABLE:
        raise UnreadableFileError("not JSON: a key is no text in UTF-8") from None


def _object(members: Mapping[str, msgspec.Raw], name: str) -> dict[str, Any]:
    """A member that is an object; null, or none, is an empty one."""
    try:
        return msgspec.json.decode(members.get(name, b"null"), type=dict[str, Any] | None) or {}
    except _UNREADABLE as error:
        raise UnreadableFileError(f"{name}: expected an object, {{…}}, of JSON that can be read: {error}") from None
