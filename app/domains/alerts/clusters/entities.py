"""Rarity of entities: an entity that every alert has, like a gateway, links nothing."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

_NONE = (0, 0)
_MOST_HALVINGS = 63  # no count is larger than 2**63


class EntityCounts:
    """Counts in how many signatures each entity occurred; counts halve over time.

    Attributes:
        counts: Count of each entity and the half-life period of that count, the latest at the end.
        total: Count of all signatures, and its period.
    """

    __slots__ = ("_half_life_s", "_most", "counts", "total")

    def __init__(self, half_life_s: float, most: int) -> None:
        """Start without counts; at most `most` entities are counted."""
        self._half_life_s, self._most = max(half_life_s, 1.0), most
        self.counts: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self.total: tuple[int, int] = (0, 0)

    def add(self, entities: Iterable[str], clock: float) -> None:
        """Count a signature's entities; counts are integers, so results do not depend on rounding."""
        period = int(clock // self._half_life_s)
        counts = self.counts
        for entity in entities:
            count = counts.get(entity)
            if count is None:
                counts[entity] = (1, period)
            else:
                counts[entity] = (_halved(count, period) + 1, period)
                counts.move_to_end(entity)
        while len(counts) > self._most:
            counts.popitem(last=False)
        self.total = (_halved(self.total, period) + 1, period)

    def rarest(self, entities: Iterable[str], among: Container[str]) -> list[tuple[float, str]]:
        """Return (rarity, entity) of those entities that are also in `among`, the rarest first.

        Rarity is 1 - log(1 + count) / log(1 + total): from 0, in every signature, to 1, not seen before.
        """
        log, counts, everything = math.log1p, self.counts, math.log1p(max(self.total[0], 1))
        found = []
        for entity in entities:
            if entity in among:
                share = log(counts.get(entity, _NONE)[0]) / everything
                found.append((1.0 - share if share < 1.0 else 0.0, entity))
        if len(found) > 1:
            found.sort(reverse=True)
        return found


def _halved(count: tuple[int, int], period: int) -> int:
    return count[0] >> min(max(period - count[1], 0), _MOST_HALVINGS)
