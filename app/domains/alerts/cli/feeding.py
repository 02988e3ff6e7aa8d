"""Alerts as records of a stream for `feed` and `demo`: one alert a record, keyed by its tenant."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import msgspec

from app.domains.alerts.alert import DEFAULT_TENANT
from app.domains.alerts.cli.input import AlertInput
from app.domains.alerts.formats.pieces import PieceReader
from app.domains.alerts.records import encoded, key_of
from app.domains.alerts.synthetic import SAMPLE_ALERTS, synthetic_alerts
from app.errors import EventError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from app.domains.alerts.formats.pieces import InputItem


def alert_records(
    path: Path | None, count: int | None, *, endless: bool, key: str | None = None
) -> tuple[Iterator[tuple[str, bytes]], int | None]:
    """Records (partition key, data) of a file of alerts, or invented ones.

    A line goes as it stands, also one that cannot be read: what becomes of it is the pipeline's to say. A file is cut
    short to a count and never repeated, since its alerts would be its alerts again.

    Args:
        path: A file of any format, `-` for standard input; None for invented alerts.
        count: How many at most; of invented ones without it one attack's worth.
        endless: Whether invented alerts go on for ever when there is no count.
        key: The partition key of all of them, instead of each alert's tenant.

    Returns:
        The records, and how many where that is known.

    Raises:
        LocationError: The file cannot be opened.
    """
    if path is None:
        total = count or (None if endless else SAMPLE_ALERTS)
        made = synthetic_alerts(total)
        return ((key or DEFAULT_TENANT, msgspec.json.encode(each)) for each in made), total
    return itertools.islice(_of_file(AlertInput(path, PieceReader()), key), count), count


def _of_file(source: AlertInput, key: str | None) -> Iterator[tuple[str, bytes]]:
    found = False
    for each in itertools.chain.from_iterable(source):
        data = data_of(each)
        if data is not None:
            found = True
            tenant = each.alert.tenant if each.alert else ""
            yield key or key_of(tenant or DEFAULT_TENANT), data
    if not found:
        raise EventError(f"{source.name}: has no alerts; docs/alert-formats.md has the formats")


def data_of(each: InputItem) -> bytes | None:
    """What was read as a record: the line as it stood, or the alert in Millrace's form; None where it was too large."""
    if each.raw is not None:
        return each.raw
    return None if each.alert is None else encoded(each.alert)
