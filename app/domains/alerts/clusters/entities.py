"""Entities of alerts, and how rare each is: what everybody has, like a gateway, says little of who belongs together."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import TYPE_CHECKING

from app.domains.alerts.alert import HASH, HOST, USER, texts_of

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from app.domains.alerts.alert import Alert

MOST_OF_A_KIND = 8  # hosts, users or hashes of one alert; those behind them are passed over
_NONE = (0, 0)
_MOST_HALVINGS = 63  # after as many, nothing is left of any count


def entities_of(alert: Alert) -> tuple[str, ...]:
    """Its source, target, hosts, users and hashes, each once."""
    attributes = alert.other_attributes
    found = {alert.src: None, alert.dst: None}
    if attributes:
        for key in (HOST, USER, HASH):
            value = attributes.get(key)
            if value.__class__ is str and value:  # nearly always, and quick
                found[value] = None
            elif value:
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
        self.counts: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self.total: tuple[int, int] = (0, 0)

    def see(self, entities: Iterable[str], clock: float) -> None:
        """Counts a saying's entities; counts are whole, so that the same comes out everywhere."""
        now = int(clock // self._half_life_s)
        counts = self.counts
        for entity in entities:
            count = counts.get(entity)
            if count is None:
                counts[entity] = (1, now)
            else:
                counts[entity] = (_halved(count, now) + 1, now)
                counts.move_to_end(entity)
        while len(counts) > self._most:
            counts.popitem(last=False)
        self.total = (_halved(self.total, now) + 1, now)

    def rarest(self, entities: Iterable[str], among: Container[str]) -> list[tuple[float, str]]:
        """Those that are among some others with their rarity, the rarest first.

        A rarity goes from 0, every saying has it, to 1, it was not seen before.
        """
        log, counts, everything = math.log1p, self.counts, math.log1p(max(self.total[0], 1))
        found = []
        for each in entities:
            if each in among:
                share = log(counts.get(each, _NONE)[0]) / everything
                found.append((1.0 - share if share < 1.0 else 0.0, each))
        if len(found) > 1:
            found.sort(reverse=True)
        return found


def _halved(count: tuple[int, int], now: int) -> int:
    return count[0] >> min(max(now - count[1], 0), _MOST_HALVINGS)
