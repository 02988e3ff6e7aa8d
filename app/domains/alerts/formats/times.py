"""Times as senders write them, as seconds since 1970."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

from app.domains.alerts.alert import AlertFault

LATEST_SECONDS = 7_258_118_400.0  # the year 2200: no alert has a later time
_UNITS = ((1.0, 0.0), (1e3, 1e11), (1e6, 1e14), (1e9, 1e17))
"""Units per second, and the least number in this unit: seconds, milliseconds, microseconds, nanoseconds (from 1973)."""
_AHEAD_SECONDS = 86_400.0  # a sender's clock and zone may be ahead of ours by this much
_LONGEST = 64  # characters

_NUMBER = re.compile(r"\d{1,19}(?:\.\d{1,19})?")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_NAMED_MONTH = re.compile(
    r"(?:(?:mon|tue|wed|thu|fri|sat|sun),? +)?([a-z]{3}) +(\d{1,2}),? +(?:(\d{4}),? +)?(\d\d):(\d\d):(\d\d)(\.\d{1,9})?"
    r"(?: +(?:utc|gmt|z|([+-]\d\d):?(\d\d)))?",
    re.IGNORECASE,
)


def seconds(value: object, where: str, received: float | None = None) -> float:
    """Return a time as seconds since 1970.

    Args:
        value: A number or its text, in seconds, milliseconds, microseconds or nanoseconds, by its size; ISO 8601, in
            UTC without a zone; or the usual `May 23 2024 12:00:00`.
        where: The field's path, for the message.
        received: Arrival, seconds since 1970, by default now; a time without a year is the latest before it.

    Raises:
        AlertFault: `missing_time` or `bad_time`.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        raise AlertFault("missing_time", f"{where} is missing or empty; send seconds since 1970 or ISO 8601")
    found: float | None = None
    if type(value) is float or type(value) is int:
        found = _of_number(value)
    elif isinstance(value, str) and len(value) <= _LONGEST:
        found = _of_text(value.strip(), received)
    if found is None:
        raise AlertFault(
            "bad_time", f"{where} is no time between 1970 and 2200; send seconds since 1970 (UTC), or ISO 8601"
        )
    return found


def seconds_or_none(value: object, received: float | None = None) -> float | None:
    """Return a time as seconds since 1970, or None if it cannot be read."""
    try:
        return seconds(value, "", received)
    except AlertFault:
        return None


def with_year(moment: datetime, received: float | None) -> float | None:
    """Return the latest time that is not ahead, for a date without a year; the year of `moment` is ignored.

    Returns:
        None for a day that no recent year has.
    """
    latest = (time.time() if received is None else received) + _AHEAD_SECONDS
    if not 0 <= latest <= LATEST_SECONDS:
        return None
    this_year = datetime.fromtimestamp(latest, UTC).year
    for year in range(this_year, this_year - 9, -1):  # 29 February may be eight years ago
        try:
            found = moment.replace(year=year).timestamp()
        except ValueError:
            continue
        if found <= latest:
            return found if found >= 0 else None
    return None


def _of_number(value: float) -> float | None:
    for unit, least in _UNITS:  # a non-finite number is in none of the ranges
        if least <= value <= LATEST_SECONDS * unit:
            return value / unit
    return None


def _of_text(text: str, received: float | None) -> float | None:
    if _NUMBER.fullmatch(text) and text.isascii():
        return _of_number(float(text) if "." in text else int(text))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return _of_named_month(text, received)
    return _bounded(moment)


def _of_named_month(text: str, received: float | None) -> float | None:
    found = _NAMED_MONTH.fullmatch(text)
    if not found or found[1].lower() not in _MONTHS:
        return None
    year = found[3] or "2000"  # a leap year, so that 29 February is valid
    zone = f"{found[8]}:{found[9]}" if found[8] else "+00:00"
    month = _MONTHS.index(found[1].lower()) + 1
    try:
        moment = datetime.fromisoformat(
            f"{year}-{month:02}-{int(found[2]):02}T{found[4]}:{found[5]}:{found[6]}{found[7] or ''}{zone}"
        )
    except ValueError:
        return None
    return _bounded(moment) if found[3] else with_year(moment, received)


def _bounded(moment: datetime) -> float | None:
    found = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return found if 0 <= found <= LATEST_SECONDS else None
