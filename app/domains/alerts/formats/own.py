"""Alerts as Millrace writes them, so that one stage can read the output of another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from app.domains.alerts.alert import Alert, Techniques
from app.domains.alerts.formats.format import Format
from app.domains.alerts.formats.mapping import Table
from app.domains.alerts.formats.seed import REQUIRED, read_plain
from app.domains.alerts.formats.severity import STATED

if TYPE_CHECKING:
    from collections.abc import Mapping

ATTRIBUTES, TECHNIQUE = "other_attributes", "technique"
ALERT, TECHNIQUES = "alert", "techniques"
"""Keys of a record of the role `enriched` besides the alert."""
_ENOUGH = 2  # required fields, in addition to one that only Millrace writes

TABLE = Table(
    id=("id",),
    time=("time",),
    src=("src",),
    dst=("dst",),
    name=("name",),
    tech=("tech",),
    tenant=("tenant",),
    severity={"severity": STATED},
    keep=(f"{ATTRIBUTES}.*",),
)


def matches(record: dict[str, Any]) -> bool:
    """Return whether Millrace wrote a record: it has our key of attributes, or resolved techniques."""
    return (ATTRIBUTES in record or type(record.get(TECHNIQUE)) is dict) and len(REQUIRED & record.keys()) >= _ENOUGH


def read(record: dict[str, Any], tenant: str = "", received: float | None = None) -> Alert:
    """Return a record as an alert."""
    return read_plain(record, ATTRIBUTES, tenant, received)


def techniques_carried(record: Mapping[str, Any]) -> Techniques | None:
    """Return the techniques that an earlier stage resolved.

    Args:
        record: The alert's record, of any format.

    Returns:
        None if there was no such stage, or its result cannot be read: then the techniques are resolved again.
    """
    try:
        return msgspec.convert(record.get(TECHNIQUE, record.get(TECHNIQUES)), Techniques)
    except (msgspec.ValidationError, RecursionError):
        return None


FORMAT = Format(
    name="millrace",
    title="Millrace's own",
    known_by="`other_attributes`, or `technique` as an object, with two of `id`, `time`, `src`, `dst` and `name`",
    matches=matches,
    read=read,
    tables=(("", TABLE),),
    notes=(
        "A record of the role `enriched` is read by its `alert`.",
        "`severity_from`, `aliases` and `closed` are read as they were written.",
        "`read_techniques_carried` reads techniques that an earlier stage resolved (`technique`, or `techniques`).",
    ),
)
