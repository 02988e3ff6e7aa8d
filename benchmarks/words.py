"""How the tables write figures: three digits, since more would be the machine's mood."""

from __future__ import annotations

THREE_DIGITS = 100


def milliseconds(value: float) -> str:
    """A time; micro- or milliseconds as the column says."""
    return f"{value:,.0f}" if value >= THREE_DIGITS else f"{value:.3g}"


def megabytes(value: float | None) -> str:
    """Memory, where the system tells it."""
    return "?" if value is None else f"{value:.0f}"


def times(value: float | None) -> str:
    """A ratio, where there is one."""
    if value is None:
        return "-"
    return f"{value:.2f}" if value < 1 else f"{value:,.1f}" if value < THREE_DIGITS else f"{value:,.0f}"
