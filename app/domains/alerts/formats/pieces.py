"""Read one piece of an input: a line, an element of a list, an object with several alerts, a record of a table."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from app.domains.alerts.alert import DESCRIPTION, LONGEST_NAME, Alert, AlertFault
from app.domains.alerts.formats.envelopes import json_of
from app.domains.alerts.formats.reading import only_alert, read_alert, read_alerts, read_alerts_bytes, settings_of
from app.domains.alerts.formats.recognise import all_formats
from app.domains.alerts.formats.snort import MARK
from app.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

TEXT = "text"
_ENCODED_MARK = MARK.encode()


class InputItem(msgspec.Struct):
    """One element of an input: an alert, or why it is none.

    Attributes:
        alert: The alert; of a bare text, an alert with that name and nothing else.
        fault: Why there is none.
        raw: The element as it came, where it was a line of its own or is no alert; None of one that is too large.
        is_text: Whether it is a bare text.
        text_id: The id that came with a bare text, or None.
        index: Its position among the input's elements, from 0.
        number: The number that messages give it, from 1.
        unit: What `number` counts: `line`, `alert` or `row`.
        size: Bytes that it came in; 0 of one that is too large, whose bytes are not held.
    """

    alert: Alert | None = None
    fault: AlertFault | None = None
    raw: bytes | None = None
    is_text: bool = False
    text_id: int | float | str | None = None
    index: int = 0
    number: int = 0
    unit: str = "line"
    size: int = 0


class Items(NamedTuple):
    """The elements of an object, and its settings."""

    items: list[InputItem]
    cluster_config: dict[str, Any]
    config: dict[str, Any]


class _TextRequest(msgspec.Struct, forbid_unknown_fields=True):
    """An object that holds a text alone; `input` is the key of the seed system's model."""

    text: str = ""
    input: str = ""
    name: str = ""
    title: str = ""
    description: str = ""
    id: int | float | str | None = None
    request_id: int | float | str | None = None


class PieceReader:
    """Reads pieces of any format, or of one.

    Attributes:
        received: Arrival of the input, seconds since 1970, for times without a year and alerts without a time; None is
            now.
    """

    def __init__(
        self, tenant: str = "", format_: str = "", *, texts: bool = False, received: float | None = None
    ) -> None:
        """Take the settings that hold for all of an input.

        Args:
            tenant: The owner of alerts that name none.
            format_: The name of the only format, or empty to recognise each alert's.
            texts: Whether a line of no format is a text to be classified.
            received: Arrival of the input.

        Raises:
            SettingsError: There is no format of this name.
        """
        self.received = received
        known = {each.name: each for each in all_formats()}
        names = [*known, *([TEXT] if texts else [])]
        if format_ and format_ not in names:
            raise SettingsError(f"--format {format_}: there is none such; give one of {', '.join(names)}")
        self._tenant, self._texts = tenant, texts
        self._only_text, self._format = format_ == TEXT, known.get(format_)

    @property
    def _arrival(self) -> float:
        return time.time() if self.received is None else self.received

    @property
    def takes_documents(self) -> bool:
        """Return whether JSON may span several lines."""
        return not self._only_text

    def line(self, line: bytes) -> InputItem:
        """Read a line: an alert, or a bare text."""
        if self._only_text:
            return text_item(line)
        try:
            return InputItem(alert=self._one(line), raw=line)
        except AlertFault as fault:
            item = _text_of(line, fault) if self._texts and not self._format else None
            return item or InputItem(fault=fault.kept(), raw=line)

    def element(self, raw: bytes) -> InputItem:
        """Read an element of a list: an object, or a line in quotes."""
        try:
            return InputItem(alert=self._element(raw))
        except AlertFault as fault:
            if self._texts and raw[:1] == b'"' and fault.reason == "unknown_format":
                return text_item(raw)
            return InputItem(fault=fault.kept(), raw=raw)

    def record(self, record: Mapping[str, Any]) -> InputItem:
        """Read a record in the seed system's form."""
        try:
            return InputItem(alert=read_alert(record, self._tenant, received=self._arrival))
        except AlertFault as fault:
            return InputItem(fault=fault.kept(), raw=msgspec.json.encode(record))

    def document(self, raw: bytes) -> Items:
        """Read an object that is an alert, or an envelope of several."""
        item = self.line(raw)
        if item.fault is None or item.fault.reason != "not_one_alert":
            item.raw = None if item.alert else item.raw  # it may be a part of an input, and no line of it
            return Items([item], {}, {})
        cluster_config: dict[str, Any] = {}
        config: dict[str, Any] = {}
        try:
            value: Any = json_of(raw.decode())
            _, cluster_config, config = settings_of(value if type(value) is dict else {})
        except AlertFault as fault:
            if fault.reason != "not_one_alert":
                return Items([InputItem(fault=fault.kept(), raw=raw)], {}, {})
            value = raw.decode()  # several values, of which one may be broken
        readings = read_alerts(value, self._tenant, received=self._arrival, only=self._format)
        items = [
            InputItem(alert=each.alert) if each.alert else InputItem(fault=each.fault, raw=_encoded(each.record))
            for each in readings
        ]
        return Items(items, cluster_config, config)

    def _element(self, raw: bytes) -> Alert:
        if raw[:1] != b'"':
            return self._one(raw)
        return self._one(str(json_of(_decoded(raw))).encode("utf-8", "replace"))

    def _one(self, raw: bytes) -> Alert:
        return only_alert(read_alerts_bytes(raw, self._tenant, received=self._arrival, only=self._format))


def is_json(line: bytes) -> bool:
    """Return whether a line begins as an object or a list does; the mark of Snort begins so too."""
    text = line.lstrip()
    return text[:1] == b"{" or (text[:1] == b"[" and not text.startswith(_ENCODED_MARK))


def text_item(line: bytes) -> InputItem:
    """Return a bare text, or one in the quotes of JSON, as an alert that has nothing else."""
    text = line.decode("utf-8", "replace")
    if text[:1] == '"':
        with contextlib.suppress(msgspec.MsgspecError, ValueError):
            text = msgspec.json.decode(line, type=str)
    name = text.strip()[:LONGEST_NAME]
    return InputItem(alert=Alert(id=0, time=0.0, src="", dst="", name=name), raw=line, is_text=True)


def _text_of(line: bytes, fault: AlertFault) -> InputItem | None:
    """Return a line that is no alert, or an object that holds a text alone, as a text; None if it is neither."""
    if fault.reason == "unknown_format" and not is_json(line):
        return text_item(line)
    try:
        request = msgspec.json.decode(line, type=_TextRequest)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    name = (request.text or request.input or request.name or request.title).strip()
    if not name:
        return None
    item = text_item(name.encode("utf-8", "replace"))
    item.raw, item.text_id = line, request.request_id if request.id is None else request.id
    if item.alert is not None and request.description:
        item.alert.other_attributes[DESCRIPTION] = request.description
    return item


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise AlertFault("not_utf8", f"byte {error.start} is not UTF-8; send text in UTF-8") from None


def _encoded(record: object) -> bytes | None:
    """Return a record as it stood, or as JSON; None if it has halves of surrogate pairs."""
    if isinstance(record, str):
        return record.encode("utf-8", "replace")
    try:
        return msgspec.json.encode(record)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
