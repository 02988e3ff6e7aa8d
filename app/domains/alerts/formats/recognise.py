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
LINE_FORMATS = frozenset(each.name for each in _LINES)
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


_TITLES, _LINE_TITLES = (", ".join(each.title for each in some) for some in (FORMATS, _LINES))
_MEND = "docs/own-formats.md shows how to add one to those of `millrace alerts format list`"


def use_own_formats(formats: tuple[Format, ...]) -> None:
    """Try formats before all others from now on, in place of those of an earlier call."""
    _OWN[:] = formats


def all_formats() -> tuple[Format, ...]:
    """Return the user's own formats, and those of Millrace."""
    return (*_OWN, *FORMATS)


def recognised(record: dict[str, Any] | str) -> Format:
    """Return the format of one record without an envelope.

    Raises:
        AlertFault: `unknown_format`; the message names the formats, last, since a command cuts it to a line.
    """
    found = format_or_none(record)
    if found is None:
        raise unknown(record)
    return found


def unknown(record: dict[str, Any] | str) -> AlertFault:
    """Return the fault of a record that no format takes; a file may have millions of them."""
    if isinstance(record, str):
        message = f"the line is of no format that is read here: {_LINE_TITLES}, or JSON; {_MEND}"
        return AlertFault("unknown_format", message)
    own_titles = "".join(f"{each.title}, " for each in _OWN)
    return AlertFault("unknown_format", f"{_nearly(record)}; {_MEND}: {own_titles}{_TITLES}")


def format_or_none(record: dict[str, Any] | str) -> Format | None:
    """Return the format of one record without an envelope, or None."""
    if isinstance(record, str):
        return next((each for each in _LINES if each.matches(record)), None)
    if (mine := own_format(record)) is not None:
        return mine
    if "src" in record and "dst" in record and "id" in record and "time" in record:
        return own.FORMAT if own.matches(record) else seed.FORMAT
    if seed.ATTRIBUTES in record:
        return seed.FORMAT
    for each in _OBJECTS:
        if each.matches(record):
            return each
    return None


def own_format(record: dict[str, Any]) -> Format | None:
    """Return the user's own format that takes a record, or None."""
    return next((each for each in _OWN if each.matches(record)), None) if _OWN else None


def _nearly(record: dict[str, Any]) -> str:
    """Describe a record of no known format."""
    if "event_type" in record:
        return "of Suricata's EVE only lines whose event_type is alert are read"
    if "class_uid" in record:
        return "of OCSF only findings are read, class_uid 2001 to 2008"
    return "the record is of no known format"
