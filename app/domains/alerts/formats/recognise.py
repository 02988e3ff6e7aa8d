"""Recognize the format of a record by a few of its keys, and the alerts in an envelope."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.domains.alerts.alert import AlertFault
from app.domains.alerts.formats import (
    asff,
    cef,
    cef_line,
    ecs,
    guardduty,
    leef,
    ocsf,
    own,
    seed,
    snort,
    suricata,
    wazuh,
)
from app.domains.alerts.formats.products import PRODUCTS

if TYPE_CHECKING:
    from app.domains.alerts.formats.format import Format

FORMATS: tuple[Format, ...] = (
    seed.FORMAT,
    own.FORMAT,
    cef_line.FORMAT,
    cef.FORMAT,
    ocsf.FORMAT,
    ecs.FORMAT,
    suricata.FORMAT,
    snort.FORMAT,
    guardduty.FORMAT,
    asff.FORMAT,
    wazuh.FORMAT,
    leef.FORMAT,
    *PRODUCTS,
)
"""All formats, in the order of the documentation."""

_LINES = (cef_line.FORMAT, leef.FORMAT, snort.FORMAT)
_OBJECTS = (
    suricata.FORMAT,
    ocsf.FORMAT,
    asff.FORMAT,
    guardduty.FORMAT,
    wazuh.FORMAT,
    own.FORMAT,
    *PRODUCTS,
    cef.FORMAT,  # before Elastic: Logstash's CEF has a timestamp of Elastic's
    ecs.FORMAT,
    seed.FORMAT,  # last: mapped CEF has an id, a time and a name too
)
_OWN: list[Format] = []
"""Formats of the user's own, tried first; of the process, as its settings are."""
_LISTS = ("input", "Findings", "findings")
"""Keys with a list of alerts: in the seed's file, answers of AWS services, and details of their events."""

_ODATA = frozenset(("value", "nextLink", "@odata.context", "@odata.count", "@odata.nextLink"))
"""Keys of an answer of Microsoft's APIs, with its alerts under `value`."""


def use_own_formats(formats: tuple[Format, ...]) -> None:
    """Try formats before all others from now on, in place of those of an earlier call."""
    _OWN[:] = formats


def all_formats() -> tuple[Format, ...]:
    """Return the user's own formats, and those of Millrace."""
    return (*_OWN, *FORMATS)


def recognised(record: dict[str, Any] | str) -> Format:
    """Return the format of one record without an envelope.

    Raises:
        AlertFault: `unknown_format`; the message names the formats.
    """
    if isinstance(record, str):
        for each in _LINES:
            if each.matches(record):
                return each
        raise AlertFault("unknown_format", f"the line is of no format that is read here: {_titles(_LINES)}, or JSON")
    if (taker := _own(record)) is not None:
        return taker
    if "src" in record and "dst" in record and "id" in record and "time" in record:
        return own.FORMAT if own.matches(record) else seed.FORMAT
    if seed.ATTRIBUTES in record:
        return seed.FORMAT
    for each in _OBJECTS:
        if each.matches(record):
            return each
    raise AlertFault("unknown_format", f"{_nearly(record)}; the formats that are read here: {_titles(all_formats())}")


def contained(record: dict[str, Any]) -> list[Any] | None:
    """Return the alerts in an envelope; None if the record is an alert itself, or of the user's own format."""
    return None if _own(record) is not None else _contained(record)


def _contained(record: dict[str, Any]) -> list[Any] | None:
    for key in (*_LISTS, "value") if record.keys() <= _ODATA else _LISTS:
        if key in record and type(record[key]) is list:
            return list(record[key])
    hits = record.get("hits")
    if type(hits) is dict and type(hits.get("hits")) is list:
        return list(hits["hits"])
    detail = record.get("detail")
    if type(detail) is dict and "detail-type" in record:
        inner = contained(detail)
        return [detail] if inner is None else inner
    if type(record.get(own.ALERT)) is dict and type(record.get(own.TECHNIQUES)) is dict:
        return [record[own.ALERT]]
    source = record.get("_source")
    if type(source) is dict:
        return [{**source, **{key: record[key] for key in ("_id", "_index") if key in record}}]
    return None


def _own(record: dict[str, Any]) -> Format | None:
    return next((each for each in _OWN if each.matches(record)), None)


def _titles(formats: tuple[Format, ...]) -> str:
    return ", ".join(each.title for each in formats)


def _nearly(record: dict[str, Any]) -> str:
    """Describe a record of no known format."""
    if "event_type" in record:
        return "of Suricata's EVE only lines whose event_type is alert are read"
    if "class_uid" in record:
        return "of OCSF only findings are read, class_uid 2001 to 2008"
    return "the record is of no known format"
