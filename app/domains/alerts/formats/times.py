"""Times as senders write them, as seconds since 1970.

Numbers and ISO 8601, which nearly all products write, are read here. Anything else is brought into a form that dateutil
reads, which takes ten times as long. A date has to be whole but for its year: dateutil would fill in today's.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from app.domains.alerts.alert import AlertFault

if TYPE_CHECKING:
    from collections.abc import Iterable

LATEST_SECONDS = 7_258_118_400.0  # the year 2200: no alert has a later time
ARRIVAL, TRANSPORT = "arrival", "transport"
"""Values of `other_attributes[TIME_FROM]`, where the alert has no time of its own that can be read."""
_UNITS = ((1.0, 0.0), (1e3, 1e11), (1e6, 1e14), (1e9, 1e17))
"""Units per second, and the least number in this unit: seconds, milliseconds, microseconds, nanoseconds (from 1973)."""
_FILETIME_1970, _FILETIME_2200 = 116_444_736_000_000_000, 189_025_920_000_000_000
"""Windows counts 100 ns since 1601. As nanoseconds since 1970 these numbers would be of 1973 to 1975."""
_FILETIME_UNITS = 1e7  # per second
_AHEAD_SECONDS = 86_400.0  # a sender's clock and zone may be ahead of ours by this much
_LONGEST = 80  # characters: JavaScript's form with the zone's name in words has some 70

_NUMBER = re.compile(r"\d{1,19}(?:\.\d{1,19})?")
_DIGITS = re.compile(r"(\d{4})(\d\d)(\d\d)(?:(\d\d)(\d\d)(\d\d)?(?:\.(\d{1,9}))?)?")
_DATES = tuple((1980 * unit, 2150 * unit) for unit in (10**4, 10**8, 10**10))
"""Numbers that are `YYYYMMDD`, `YYYYMMDDhhmm` or `YYYYMMDDhhmmss`: as seconds or milliseconds, of 1970 and 1976."""
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_NAMED_MONTH = re.compile(
    r"(?:(?:mon|tue|wed|thu|fri|sat|sun),? +)?([a-z]{3}) +(\d{1,2}),? +(?:(\d{4}),? +)?(\d\d):(\d\d):(\d\d)(\.\d{1,9})?"
    r"(?: +(?:utc|gmt|z|([+-]\d\d):?(\d\d)))?",
    re.IGNORECASE,
)
_JSON_DATE = re.compile(r"\\?/?Date\((-?\d{1,15})(?:[+-]\d{4})?\)\\?/?")
_LEAP_SECOND = re.compile(r"(:\d\d):60(?!\d)")
_REGION = re.compile(r"[ \[]([A-Z][A-Za-z]{1,14}(?:/[A-Z][A-Za-z_+-]{1,24}\d{0,2}){1,2})\]?")
_DAY_FIRST = re.compile(r"\d{1,2}\.\d{1,2}\.\d{2,4}(?!\d)")
_REWRITTEN = (
    (re.compile(r" ?[(\[][^()\[\]]{0,60}[)\]]$"), ""),  # JavaScript's `(Central European Time)`, Java's `[UTC]`
    (re.compile(r"(?<=\d)[Zz] ?(?:UTC|GMT)$"), "Z"),
    (re.compile(r"(?<= [+-]\d{4}) [A-Z]{1,5}(?: m=\S{1,40})?$"), ""),  # Go's `+0200 CEST m=+0.5`
    (re.compile(r"(?:GMT|UTC|Z) ?(?=[+-]\d)"), " "),  # dateutil takes `GMT+2` as POSIX does, with the other sign
    (re.compile(r"(?<=\d):(?=\d\d:\d\d:\d\d)"), " "),  # Apache's `23/May/2024:12:54:16`
)
_DOTTED_CLOCK = re.compile(r"(?<=[ T-])(\d{1,2})\.(\d\d)\.(\d\d)(?!\d)")  # DB2's `2024-05-23-12.54.16.5`
_ZONES = (
    "EST=-5 EDT=-4 CST=-6 CDT=-5 MST=-7 MDT=-6 PST=-8 PDT=-7 AKST=-9 HST=-10 WET=0 WEST=1 BST=1 CET=1 CEST=2 MET=1 "
    "MEST=2 EET=2 EEST=3 MSK=3 IST=5.5 SGT=8 HKT=8 JST=9 KST=9 AEST=10 AEDT=11 NZST=12 NZDT=13"
)
"""Hours ahead of UTC. Of names with several meanings: North America's, Britain's summer, India's."""
_ZONES_HOURS = {name: float(hours) for name, hours in (each.split("=") for each in _ZONES.split())}
_PROBES = (datetime(2000, 1, 1), datetime(2004, 2, 2))  # noqa: DTZ001 - what a date leaves out is taken from them
"""Two defaults that differ in year, month and day: what they do not agree in the text does not state."""
_DATEUTIL_RAISES = (ValueError, OverflowError, TypeError, AttributeError, ArithmeticError, LookupError)


def seconds(value: object, where: str, received: float | None = None) -> float:
    """Return a time as seconds since 1970.

    Args:
        value: A number or its text, in seconds, milliseconds, microseconds, nanoseconds or Windows' FILETIME, by its
            size; ISO 8601, in UTC without a zone; or any form of a date and time that dateutil reads.
        where: The field's path, for the message.
        received: Arrival, seconds since 1970, by default now; a time without a year is the latest before it.

    Raises:
        AlertFault: `missing_time` or `bad_time`.
    """
    found = seconds_or_none(value, received)
    if found is not None:
        return found
    if value is None or (isinstance(value, str) and not value.strip()):
        raise AlertFault("missing_time", f"{where} is missing or empty; send seconds since 1970 or ISO 8601")
    raise AlertFault(
        "bad_time", f"{where} is no time between 1970 and 2200; send seconds since 1970 (UTC), or ISO 8601"
    )


def seconds_or_none(value: object, received: float | None = None) -> float | None:
    """Return a time as seconds since 1970, or None if it cannot be read."""
    if type(value) is float or type(value) is int:
        return _of_number(value)
    if isinstance(value, str) and len(value) <= _LONGEST:
        return _of_text(value.strip(), received)
    return None


def first_seconds(
    times: Iterable[object], transport: Iterable[object], where: str, received: float | None = None
) -> tuple[float, str]:
    """Return the first readable time of an alert, and what it is instead of the alert's own.

    Args:
        times: The alert's own times, those with precedence first.
        transport: Times that a transport gave it, such as those of a syslog head.
        where: The paths of its own times, for the message.
        received: Arrival, seconds since 1970.

    Returns:
        Seconds since 1970; and empty, `TRANSPORT` or `ARRIVAL`.

    Raises:
        AlertFault: `missing_time` or `bad_time`: there is none, and no arrival.
    """
    seen: object = None
    for value in times:
        if (found := seconds_or_none(value, received)) is not None:
            return found, ""
        seen = seen or value
    for value in transport:
        if (found := seconds_or_none(value, received)) is not None:
            return found, TRANSPORT
    if received is not None and 0 <= received <= LATEST_SECONDS:
        return received, ARRIVAL
    return seconds(seen, where, received), ""  # raises


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
    if _FILETIME_1970 <= value <= _FILETIME_2200:
        return (value - _FILETIME_1970) / _FILETIME_UNITS
    for first, beyond in _DATES:
        if first <= value < beyond:
            return _of_digits(str(int(value)))
    for unit, least in _UNITS:  # a non-finite number is in none of the ranges
        if least <= value <= LATEST_SECONDS * unit:
            return value / unit
    return None


def _of_digits(text: str) -> float | None:
    """Return the time of `20240523`, `202405231254` or `20240523125416.5`; None for other digits."""
    found = _DIGITS.fullmatch(text)
    if not found or (found[7] and not found[6]):
        return None
    year, month, day, hour, minute, second = (int(each or 0) for each in found.groups()[:6])
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    return moment.timestamp() + float(f"0.{found[7] or 0}")


def _of_text(text: str, received: float | None) -> float | None:
    if _NUMBER.fullmatch(text) and text.isascii():
        number: float = float(text) if "." in text else int(text)
        return _of_digits(text) if _DATES[-1][0] <= number < _DATES[-1][1] else _of_number(number)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return _of_named_month(text, received)
    return _bounded(moment)


def _of_named_month(text: str, received: float | None) -> float | None:
    """Read what syslog and most products besides write, without dateutil."""
    found = _NAMED_MONTH.fullmatch(text)
    if not found or found[1].lower() not in _MONTHS:
        return _of_any(text, received)
    year = found[3] or "2000"  # a leap year, so that 29 February is valid
    zone = f"{found[8]}:{found[9]}" if found[8] else "+00:00"
    month = _MONTHS.index(found[1].lower()) + 1
    try:
        moment = datetime.fromisoformat(
            f"{year}-{month:02}-{int(found[2]):02}T{found[4]}:{found[5]}:{found[6]}{found[7] or ''}{zone}"
        )
    except ValueError:
        return _of_any(text, received)
    return _bounded(moment) if found[3] else with_year(moment, received)


def _of_any(text: str, received: float | None) -> float | None:
    """Read any other form with dateutil, once it is in one that dateutil reads as its writer meant it."""
    text = " ".join(text.split())  # JavaScript puts a narrow blank before PM
    if not text.isascii() or not any(map(str.isdigit, text)):
        return None
    if stamp := _JSON_DATE.fullmatch(text):
        return int(stamp[1]) / 1e3 if 0 <= int(stamp[1]) <= LATEST_SECONDS * 1e3 else None
    if text[-1] in "Zz" and (digits := _of_digits(text[:-1])) is not None:
        return digits
    region = _REGION.search(text)
    plain, leap = _LEAP_SECOND.subn(r"\1:59", text.replace(region[0], "") if region else text)
    for pattern, put in _REWRITTEN:
        plain = pattern.sub(put, plain)
    if ":" not in plain:
        plain = _DOTTED_CLOCK.sub(r" \1:\2:\3", plain)
    try:
        zone = ZoneInfo(region[1]) if region else None
        moment, yearless = _parsed(plain.strip(" *:"), zone or UTC)
        moment += timedelta(seconds=min(leap, 1))
        return with_year(moment, received) if yearless else _bounded(moment)
    except _DATEUTIL_RAISES:
        return None


def _parsed(text: str, zone: tzinfo) -> tuple[datetime, bool]:
    """Return the time that dateutil reads in a text, in `zone` without one of its own, and whether it has no year.

    Raises:
        ValueError: It has no month or no day; or anything else that dateutil raises.
    """
    from dateutil import parser  # noqa: PLC0415 - a function whose alerts have ordinary times starts without it

    day_first = _DAY_FIRST.match(text) is not None
    moment, other = (parser.parse(text, default=each, dayfirst=day_first, tzinfos=_offset_of) for each in _PROBES)
    if (moment.month, moment.day) != (other.month, other.day):
        raise ValueError("no day")
    return moment if moment.tzinfo else moment.replace(tzinfo=zone), moment.year != other.year


def _offset_of(name: str | None, offset: int | None) -> int | None:
    """Return seconds ahead of UTC of a zone's name, for dateutil; None, which is UTC here, for an unknown one."""
    if offset is not None or name is None:
        return offset
    hours = _ZONES_HOURS.get(name.upper())
    return None if hours is None else int(hours * 3600)


def _bounded(moment: datetime) -> float | None:
    found = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return found if 0 <= found <= LATEST_SECONDS else None
