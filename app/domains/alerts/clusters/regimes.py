"""What goes on at a place: the alert types that come there again and again.

A scan raises the same alerts second after second. When another begins, or ends, what comes again and again changes,
even where most of the types are common to both; what comes now and then does not count.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

MEMORY_S = 32  # seconds that are remembered of a type at a place
_MASK = (1 << MEMORY_S) - 1
_MOST_TYPES = 64  # of a place: those beyond it, which came first, are forgotten

Regime: TypeAlias = "tuple[str, ...]"


class Regimes:
    """The types that came lately at each place.

    Attributes:
        places: For each place its types, each with the last second and a bit for each second before it, the place that
            was seen last at the end.
    """

    __slots__ = ("_least", "_most", "_window", "places")

    def __init__(self, window_s: int, least: int, most: int) -> None:
        """A type goes on when it came in `least` of the last `window_s` seconds; `most` places are remembered."""
        self._window, self._least, self._most = (1 << window_s) - 1, least, most
        self.places: OrderedDict[str, dict[str, tuple[int, int]]] = OrderedDict()

    def see(self, place: str, text: str, second: int) -> Regime:
        """Notes a type at a place; gives the types that go on there, in order of their last coming."""
        places = self.places
        types = places.get(place)
        if types is None:
            types = places[place] = {}
            if len(places) > self._most:
                places.popitem(last=False)
        else:
            places.move_to_end(place)
        types[text] = _noted(types.pop(text, None), second)
        window, least = self._window, self._least
        found, stale = [], []
        for each, (seen, bits) in types.items():
            age = second - seen
            if age >= MEMORY_S:
                stale.append(each)
            elif ((bits << age if age >= 0 else bits >> -age) & window).bit_count() >= least:
                found.append(each)
        for each in stale:
            del types[each]
        if len(types) > _MOST_TYPES:
            del types[next(iter(types))]
        return tuple(found)


def _noted(before: tuple[int, int] | None, second: int) -> tuple[int, int]:
    """A type's last second and its bits, with one more second; one that is late is a bit of the past."""
    if before is None or second - before[0] >= MEMORY_S:
        return second, 1
    last, mask = before
    ahead = second - last
    if ahead >= 0:
        return second, (mask << ahead | 1) & _MASK
    return last, mask | 1 << -ahead if -ahead < MEMORY_S else mask


def likeness(one: Regime, other: Regime, weight: Callable[[str], float]) -> float:
    """How alike two regimes are, 0 to 1: the weight of what is in both over that of what is in either.

    Where nothing goes on, in one of them, nothing can be said against it: 1.
    """
    if not one or not other or one == other:
        return 1.0
    both = either = 0.0
    for each in one:
        either += weight(each)
        if each in other:
            both += weight(each)
    for each in other:
        if each not in one:
            either += weight(each)
    return both / either if either else 1.0
