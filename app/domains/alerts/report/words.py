"""Times, durations, and names of techniques in words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from app.domains.alerts.attack import attack_table, parent_of

if TYPE_CHECKING:
    from collections.abc import Sequence

_DAY_S, _HOUR_S, _MINUTE_S = 86_400, 3_600, 60


def technique_name(key: str) -> str:
    """Return `T1003.001 OS Credential Dumping: LSASS Memory`; the id alone where ATT&CK has no such technique."""
    name = name_of(key)
    return f"{key} {name}" if name else key


def name_of(key: str) -> str:
    """Return a technique's name; that of a sub-technique behind its parent's."""
    table = attack_table()
    found, parent = table.techniques.get(key), table.techniques.get(parent_of(key))
    if found is None:
        return ""
    return found.name if parent is None or parent is found else f"{parent.name}: {found.name}"


def some(values: Sequence[str], most: int) -> list[str]:
    """Return the first values, and how many more there are."""
    return list(values) if len(values) <= most else [*values[:most], f"+{len(values) - most}"]


def clock(time: float) -> str:
    """Return the time of day, UTC."""
    return datetime.fromtimestamp(time, UTC).strftime("%H:%M:%S")


def day(time: float) -> str:
    """Return the day, UTC."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d")


def moment(time: float) -> str:
    """Return day and time, UTC."""
    return f"{day(time)} {clock(time)}"


def lasting(seconds: float) -> str:
    """Return a duration in its two largest units."""
    whole = round(seconds)
    if whole < _MINUTE_S:
        return f"{whole} s"
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S} min {whole % _MINUTE_S:02} s"
    if whole < _DAY_S:
        return f"{whole // _HOUR_S} h {whole % _HOUR_S // _MINUTE_S:02} min"
    return f"{whole // _DAY_S} d {whole % _DAY_S // _HOUR_S} h"
