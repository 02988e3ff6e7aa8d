"""Format the tables' figures with three digits: more would be noise."""

from __future__ import annotations

THREE_DIGITS = 100


def milliseconds(value: float) -> str:
    """Format a time, in the unit of its column."""
    return f"{value:,.0f}" if value >= THREE_DIGITS else f"{value:.3g}"


def megabytes(value: float | None) -> str:
    """Format an amount of memory; `?` if the system does not report it."""
    return "?" if value is None else f"{value:.0f}"


def times(value: float | None) -> str:
    """Format a ratio; `-` if there is none."""
    if value is None:
        return "-"
    return f"{value:.2f}" if value < 1 else f"{value:,.1f}" if value < THREE_DIGITS else f"{value:,.0f}"
