"""Entities of alerts, and how rare each is: what everybody has, like a gateway, says little of who belongs together."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from app.pipelines.alerts.alert import HASH, HOST, USER, texts_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.pipelines.alerts.alert import Alert

MOST_OF_A_KIND = 8  # hosts, users or hashes of one alert; those behind them are passed over
_MOST_HALVINGS = 63  # after as many, nothing is left of any count


def entities_of(alert: Alert) -> tuple[str, ...]:
    """Its source, target, hosts, users and hashes, each once."""
    attributes = alert.other_attributes
    found = {alert.src: None, alert.dst: None}
    if attributes:
        for key in (HOST, USER, HASH):
            if key in attributes:
                found.update(dict.fromkeys(texts_of(attributes, key)[:MOST_OF_A_KIND]))
    return tuple(found)


class Entities:
    """In how many sayings each entity was seen; what is long ago weighs less, and what is seldom seen is forgotten.

    Attributes:
        counts: For each entity its count and the period in which that was true, the latest at the end.
        total: All sayings, and the period.
    """

    __slots__ = ("_half_life_s", "_most", "counts", "total")

    def __init__(self, half_life_s: float, most: int) -> None:
        """Takes how long it takes until a count weighs half, and how many entities are counted."""
        self._half_life_s, self._most = max(half_life_s, 1.0), most
        self.counts: dict[str, tuple[int, int]] = {}
        self.total: tuple[int, int] = (0, 0)

    def see(self, entities: Iterable[str], clock: float) -> None:
        """Counts a saying's entities; counts are whole, so that the same comes out everywhere."""
        now = int(clock // self._half_life_s)
        counts = self.counts
        for entity in entities:
            counts[entity] = (_halved(counts.pop(entity, (0, now)), now) + 1, now)
        while len(counts) > self._most:
            del counts[next(iter(counts))]
        self.total = (_halved(self.total, now) + 1, now)

    def rarity(self, entity: str) -> float:
        """From 0, every saying has it, to 1, it was not seen before."""
        count, total = self.counts.get(entity, (0, 0))[0], self.total[0]
        return 1.0 - min(math.log1p(count) / math.log1p(total), 1.0) if total else 1.0


def _halved(count: tuple[int, int], now: int) -> int:
    return count[0] >> min(max(now - count[1], 0), _MOST_HALVINGS)
