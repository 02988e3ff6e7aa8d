"""How values spread: what tickets say of how large one cluster or flow is beside the others."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def spread(values: Sequence[float], *, quarters: bool = True) -> dict[str, float]:
    """Mean, least, most, median, quarter points and how many; all 0 where there is no value.

    The quarter points lie between values in proportion, as spreadsheets and numpy have it.
    """
    if not values:
        found: dict[str, float] = dict.fromkeys(("avg", "min", "max", "median", "q1", "q3"), 0)
    else:
        middle = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3
        found = {
            "avg": statistics.fmean(values),
            "min": min(values),
            "max": max(values),
            "median": statistics.median(values),
            "q1": middle[0],
            "q3": middle[2],
        }
    if not quarters:
        del found["q1"], found["q3"]
    return found | {"count": len(values)}
