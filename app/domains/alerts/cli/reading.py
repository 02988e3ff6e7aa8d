"""One piece of input into alerts, for the command line: a line, an element of a list, a document, a row."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import msgspec

from app.domains.alerts.alert import LONGEST_NAME, Alert, AlertFault
from app.domains.alerts.formats import FORMATS, read_alert, read_alert_bytes, read_document
from app.domains.alerts.formats.reading import json_of
from app.domains.alerts.formats.recognise import contained
from app.domains.alerts.formats.snort import MARK
from app.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TEXT = "text"
_LINE_FORMATS = frozenset(("cef_line", "snort"))
_ENCODED_MARK = MARK.encode()


class _Request(msgspec.Struct, forbid_unknown_fields=True):
    """An object that holds a text alone; `input` is what the seed's model is asked."""

    text: str = ""
    input: str = ""
    name: str = ""
    id: int | str = ""
    request_id: int | str = ""


class Told(msgspec.Struct, frozen=True):
    """What a piece of input said: an alert, or why it is none.

    Attributes:
        number: Its place in the input, from 1.
        alert: The alert; of a bare text, one whose name it is.
        fault: Why there is none.
        raw: The line as it stood, where it is all of the alert.
        is_text: Whether it is a bare text.
    """

    number: int
    alert: Alert | None = None
    fault: AlertFault | None = None
    raw: bytes | None = None
    is_text: bool = False


class Reading:
    """How pieces are read: whose they are, of which format, whether a bare text is one.

    Attributes:
        cluster_config: What the document that was read last said of clusters.
        config: What it said of flows.
    """

    def __init__(self, tenant: str = "", format_: str = "", *, texts: bool = False) -> None:
        """Takes what holds for all of an input.

        Args:
            tenant: Whose the alerts are that do not say.
            format_: The name of the only format, or empty to tell it from each alert.
            texts: Whether a line of no format is a text to be classified.

        Raises:
            SettingsError: There is no format of this name.
        """
        known = {each.name: each for each in FORMATS}
        names = [*known, *([TEXT] if texts else [])]
        if format_ and format_ not in names:
            raise SettingsError(f"--format {format_}: there is none such; give one of {', '.join(names)}")
        self._tenant, self._texts = tenant, texts
        self._only_text, self._format = format_ == TEXT, known.get(format_)
        self.cluster_config: dict[str, Any] = {}
        self.config: dict[str, Any] = {}

    @property
    def takes_documents(self) -> bool:
        """Whether JSON may go over several lines."""
        return not self._only_text

    def line(self, line: bytes, number: int) -> Iterator[Told]:
        """A line: an alert, a document of several, or a bare text."""
        line = line.strip()
        if self._only_text:
            yield text_told(line, number)
            return
        try:
            yield Told(number, alert=self._one(line), raw=line)
        except AlertFault as fault:
            if fault.reason == "not_one_alert" and is_json(line):
                for each in self.document(line, number):
                    yield Told(number, each.alert, each.fault)
            elif self._texts and not self._format and (said := _said(line, fault)):
                yield text_told(said, number)
            else:
                yield Told(number, fault=fault, raw=line)

    def element(self, raw: bytes, number: int) -> Told:
        """An element of a list: an object, or a line in quotes."""
        try:
            return Told(number, alert=self._element(raw))
        except AlertFault as fault:
            if self._texts and raw[:1] == b'"' and fault.reason == "unknown_format":
                return text_told(raw, number)
            return Told(number, fault=fault, raw=raw)

    def row(self, record: Mapping[str, Any], number: int) -> Told:
        """A record in the seed's form."""
        try:
            return Told(number, alert=read_alert(record, self._tenant))
        except AlertFault as fault:
            return Told(number, fault=fault, raw=msgspec.json.encode(record))

    def document(self, raw: bytes, first: int) -> Iterator[Told]:
        """A document's alerts, counted from `first`."""
        try:
            value = json_of(raw.decode())
            if self._format is not None:
                records = value if isinstance(value, list) else contained(value) if isinstance(value, dict) else None
                for number, each in enumerate([value] if records is None else records, first):
                    yield self.element(msgspec.json.encode(each), number)
                return
            found = read_document(value if isinstance(value, dict | list) else [value], self._tenant)
        except UnicodeDecodeError as error:
            fault = AlertFault("not_utf8", f"byte {error.start} is not UTF-8; send JSON in UTF-8")
            yield Told(first, fault=fault)
            return
        except AlertFault as fault:
            yield Told(first, fault=fault)
            return
        self.cluster_config, self.config = found.cluster_config, found.config
        alerts = dict(zip(found.indexes, found.alerts, strict=True))
        faults = dict(found.faults)
        for place in range(len(alerts) + len(faults)):
            yield Told(first + place, alerts.get(place), faults.get(place))

    def _element(self, raw: bytes) -> Alert:
        if raw[:1] == b'"':
            value = json_of(raw.decode())
            return self._one(str(value).encode("utf-8", "replace"))
        return self._one(raw)

    def _one(self, raw: bytes) -> Alert:
        if self._format is None:
            return read_alert_bytes(raw, self._tenant)
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            raise AlertFault("not_utf8", f"byte {error.start} is not UTF-8; send text in UTF-8") from None
        record: Any = json_of(text) if is_json(raw) else text
        if isinstance(record, list) or (isinstance(record, dict) and len(contained(record) or [0]) != 1):
            raise AlertFault("not_one_alert", "the record holds several alerts")
        inner = contained(record) if isinstance(record, dict) else None
        record = inner[0] if inner else record
        of_lines = self._format.name in _LINE_FORMATS
        if of_lines != isinstance(record, str) or (of_lines and not self._format.matches(record)):
            raise AlertFault("unknown_format", f"it is not of {self._format.title}, {self._format.known_by}")
        return self._format.read(record, self._tenant, None)


def is_json(line: bytes) -> bool:
    """Whether it begins as an object or a list does; the mark of Snort begins so too."""
    text = line.lstrip()
    return text[:1] == b"{" or (text[:1] == b"[" and not text.startswith(_ENCODED_MARK))


def _said(line: bytes, fault: AlertFault) -> bytes:
    """The text of a line that is no alert, or of an object that holds a text alone; empty where there is none."""
    if fault.reason == "unknown_format" and not is_json(line):
        return line
    try:
        request = msgspec.json.decode(line, type=_Request)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return b""
    return (request.text or request.input or request.name).encode("utf-8", "replace")


def text_told(line: bytes, number: int) -> Told:
    """A bare text, or one in the quotes of JSON, as an alert that has nothing else."""
    text = line.decode("utf-8", "replace")
    if text[:1] == '"':
        with contextlib.suppress(msgspec.MsgspecError, ValueError):
            text = msgspec.json.decode(line, type=str)
    name = text.strip()[:LONGEST_NAME]
    return Told(number, alert=Alert(id=number, time=0.0, src="", dst="", name=name), raw=line, is_text=True)
