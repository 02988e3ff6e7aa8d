"""Which cluster was what went on at a place, so that a scan goes on in its cluster after something has disturbed it.

While another type comes again and again beside a scan, its regime is another one, and so is its cluster. When that is
over, the regime is what it was: its alerts belong to what they belonged to before, and not to a third cluster.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from app.domains.alerts.clusters.regimes import Regime

Scene: TypeAlias = "tuple[str, Regime]"
"""A place, and the types that go on there, in order of their texts."""


def scene_of(place: str, regime: Regime) -> Scene:
    """The scene of a regime, in whatever order its types came."""
    return place, tuple(sorted(regime))


class Scenes:
    """The scenes of late.

    Attributes:
        seen: Of each scene its cluster, its last time, and for how many seconds it was that cluster; what was seen last
            at the end.
    """

    __slots__ = ("_least", "_most", "_recall_s", "seen")

    def __init__(self, recall_s: float, least: int, most: int) -> None:
        """One that went on for `least` seconds is known for `recall_s` more; `most` of them are remembered."""
        self._recall_s, self._least, self._most = recall_s, least, most
        self.seen: OrderedDict[Scene, tuple[int, float, int]] = OrderedDict()

    def find(self, scene: Scene, time: float) -> int | None:
        """The cluster of a scene that went on for long and not long ago."""
        found = self.seen.get(scene)
        if found is None or found[2] < self._least or abs(time - found[1]) >= self._recall_s:
            return None
        return found[0]

    def note(self, scene: Scene, cluster: int, before: int | None, time: float) -> None:
        """Takes note of the cluster of a scene; `before` is what has become of the one that it had."""
        found = self.seen.get(scene)
        seconds = 1
        if found is not None:
            _, last, lasted = found
            if before == cluster and abs(time - last) < self._recall_s:
                seconds = lasted + (last // 1 != time // 1)
            time = max(time, last) if before == cluster else time
            self.seen.move_to_end(scene)
        self.seen[scene] = (cluster, time, seconds)
        if len(self.seen) > self._most:
            self.seen.popitem(last=False)
