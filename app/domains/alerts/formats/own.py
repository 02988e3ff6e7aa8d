"""Alerts as Millrace itself writes them, so that one stage can stand behind another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from app.domains.alerts.alert import Alert, Techniques
from app.domains.alerts.formats.format import Format
from app.domains.alerts.formats.mapping import Table
from app.domains.alerts.formats.seed import REQUIRED, read_plain

if TYPE_CHECKING:
    from collections.abc import Mapping

ATTRIBUTES, TECHNIQUE = "other_attributes", "technique"
ALERT, TECHNIQUES = "alert", "techniques"
"""Keys of a record of the stream role `enriched`: the alert, and beside it what was told of it."""
_ENOUGH = 2  # of the required fields, beside what only we write

TABLE = Table(
    id=("id",),
    time=("time",),
    src=("src",),
    dst=("dst",),
    name=("name",),
    tech=("tech",),
    tenant=("tenant",),
    keep=(f"{ATTRIBUTES}.*",),
)


def matches(record: dict[str, Any]) -> bool:
    """Whether it is an alert of ours: its attributes are named so, or its techniques were told."""
    return (ATTRIBUTES in record or type(record.get(TECHNIQUE)) is dict) and len(REQUIRED & record.keys()) >= _ENOUGH


def read(record: dict[str, Any], tenant: str = "", received: float | None = None) -> Alert:
    """A record as an alert."""
    return read_plain(record, ATTRIBUTES, tenant, received)


def techniques_carried(record: Mapping[str, Any]) -> Techniques | None:
    """What an earlier stage found out of an alert's techniques.

    Args:
        record: The alert's record, of any format.

    Returns:
        None where no stage has been, or where what it left cannot be read: the techniques are told anew.
    """
    try:
        return msgspec.convert(record.get(TECHNIQUE, record.get(TECHNIQUES)), Techniques)
    except (msgspec.ValidationError, RecursionError):
        return None


FORMAT = Format(
    name="millrace",
    title="Millrace's own",
    known_by="`other_attributes`, or `technique` as an object, beside two of `id`, `time`, `src`, `dst` and `name`",
    matches=matches,
    read=read,
    tables=(("", TABLE),),
    notes=(
        "A record of the role `enriched` is read by its `alert`.",
        "What a stage before it told (`technique`, or `techniques`) is read by `read_techniques_carried`.",
    ),
)
