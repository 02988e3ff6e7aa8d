"""Recurring alert types: those that keep coming at one target, and the cluster that such a pattern belonged to.

A scan raises the same alerts second after second. When another scan begins or ends, the recurring types change, even
if both raise mostly the same types; types that come now and then do not count.

While another type disturbs a scan, the recurring types differ and the alerts go to another cluster. After the
disturbance the types are as before, and the remembered pattern leads back to the first cluster instead of a third.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

MEMORY_S = 32  # seconds of a type's occurrences at a target that are remembered, a bit each
_MASK = (1 << MEMORY_S) - 1
_MOST_TYPES = 64  # types remembered of one target; further ones push out the type that occurred longest ago

RecurringTypes: TypeAlias = tuple[str, ...]
"""Folded names of the recurring types of a target, in order of their latest occurrence."""
RecurringPattern: TypeAlias = tuple[str, RecurringTypes]
"""A target and its recurring types, sorted by name."""


class RecurrenceTracker:
    """Tracks which alert types recur at each target.

    Attributes:
        targets: For each target its types, each with the second of its latest occurrence and a bit mask of the seconds
            up to it (bit 0 is that second); the target seen last is at the end.
    """

    __slots__ = ("_least", "_most", "_window", "targets")

    def __init__(self, window_s: int, least: int, most: int) -> None:
        """Call a type recurring if it occurred in `least` of the last `window_s` seconds; track `most` targets."""
        self._window, self._least, self._most = (1 << window_s) - 1, least, most
        self.targets: OrderedDict[str, dict[str, tuple[int, int]]] = OrderedDict()

    def observe(self, target: str, text: str, second: int) -> RecurringTypes:
        """Note a type at a target in a second, and return the target's recurring types."""
        targets = self.targets
        types = targets.get(target)
        if types is None:
            types = targets[target] = {}
            if len(targets) > self._most:
                targets.popitem(last=False)
        else:
            targets.move_to_end(target)
        types[text] = _with_second(types.pop(text, None), second)
        window, least = self._window, self._least
        recurring, stale = [], []
        for name, (latest, bits) in types.items():
            age = second - latest
            if age >= MEMORY_S:
                stale.append(name)
            elif ((bits << age if age >= 0 else bits >> -age) & window).bit_count() >= least:
                recurring.append(name)
        for name in stale:
            del types[name]
        if len(types) > _MOST_TYPES:
            del types[next(iter(types))]
        return tuple(recurring)


def _with_second(before: tuple[int, int] | None, second: int) -> tuple[int, int]:
    """Return the latest second and the bit mask of a type with one more second, which may be a late one."""
    if before is None or second - before[0] >= MEMORY_S:
        return second, 1
    latest, bits = before
    ahead = second - latest
    if ahead >= 0:
        return second, (bits << ahead | 1) & _MASK
    return latest, bits | 1 << -ahead if -ahead < MEMORY_S else bits


def similarity(one: RecurringTypes, other: RecurringTypes, weight: Callable[[str], float]) -> float:
    """Return the weighted Jaccard similarity of two sets of recurring types, 0 to 1.

    It is 1 where nothing recurs in one of them: then there is no evidence of a change.
    """
    if not one or not other or one == other:
        return 1.0
    both = either = 0.0
    for name in one:
        either += weight(name)
        if name in other:
            both += weight(name)
    for name in other:
        if name not in one:
            either += weight(name)
    return both / either if either else 1.0


def pattern_of(target: str, types: RecurringTypes) -> RecurringPattern:
    """Return the pattern of a target's recurring types, whatever order they came in."""
    return target, tuple(sorted(types))


class PatternMemory:
    """Remembers which cluster each recurring pattern belonged to.

    Attributes:
        seen: For each pattern its cluster, its latest time and for how many seconds it belonged to that cluster; the
            pattern seen last is at the end.
    """

    __slots__ = ("_least", "_most", "_recall_s", "seen")

    def __init__(self, recall_s: float, least: int, most: int) -> None:
        """Recall a pattern that lasted `least` seconds for `recall_s` more; remember `most` patterns."""
        self._recall_s, self._least, self._most = recall_s, least, most
        self.seen: OrderedDict[RecurringPattern, tuple[int, float, int]] = OrderedDict()

    def recall(self, pattern: RecurringPattern, time: float) -> int | None:
        """Return the cluster of a pattern that lasted long enough and was seen recently, or None."""
        found = self.seen.get(pattern)
        if found is None or found[2] < self._least or abs(time - found[1]) >= self._recall_s:
            return None
        return found[0]

    def note(self, pattern: RecurringPattern, cluster: int, previous: int | None, time: float) -> None:
        """Remember a pattern's cluster.

        Args:
            pattern: The pattern.
            cluster: Id of its cluster now.
            previous: Id of the cluster that the remembered one has become part of by now, or None.
            time: Time of the alert.
        """
        found = self.seen.get(pattern)
        seconds = 1
        if found is not None:
            _, latest, lasted = found
            if previous == cluster and abs(time - latest) < self._recall_s:
                seconds = lasted + (latest // 1 != time // 1)
            time = max(time, latest) if previous == cluster else time
            self.seen.move_to_end(pattern)
        self.seen[pattern] = (cluster, time, seconds)
        if len(self.seen) > self._most:
            self.seen.popitem(last=False)
