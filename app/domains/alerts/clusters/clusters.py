"""Clusters of alerts, advanced an alert at a time, in bounded memory.

Alerts that say the same (one type between the same entities) in the same second are one. Any other alert is compared
with what was said last: how long ago, how alike the types are, which entities they share, and whether the same goes on
at their target (`ClusterConfig` has the rule). It joins the cluster of its best link; links that are near to certain
make one cluster of several.

Nothing here depends on how the alerts are cut into calls, nor on the time of day: the only clock is that of the alerts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from app.cache import RecentCache
from app.domains.alerts.attack import attack_table
from app.domains.alerts.clusters.affinity import Affinity, AlertType
from app.domains.alerts.clusters.config import ClusterConfig
from app.domains.alerts.clusters.entities import Entities, entities_of
from app.domains.alerts.clusters.links import Kind, Links
from app.domains.alerts.clusters.packing import pack, unpack
from app.domains.alerts.clusters.record import Saying, StepRecord
from app.domains.alerts.clusters.regimes import Regimes
from app.domains.alerts.clusters.scenes import Scenes, scene_of
from app.domains.alerts.clusters.state import State
from app.domains.alerts.incidents import ClusterChange, ClusterSummary
from app.domains.alerts.text import fold

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.domains.alerts.alert import EnrichedAlert
    from app.domains.alerts.clusters.record import OpenCluster, SayingKey
    from app.domains.alerts.clusters.scenes import Scene

__all__ = ["Affinity", "ClusterConfig", "Clusters"]

OFTEN_A_DAY = 1_440.0  # seconds of a day: a type that comes every minute is not rare
LONGEST_TYPE = 200  # characters of a folded name: what stands behind them makes no other type
_NAMES_REMEMBERED = 10_000


class Clusters:
    """The clusters of one tenant."""

    def __init__(self, affinity: Affinity, config: ClusterConfig = ClusterConfig()) -> None:  # noqa: B008 - frozen
        """Starts without a cluster."""
        self._affinity, self._config = affinity, config
        self._state = State(
            Entities(config.half_life_s, config.most_entities),
            Regimes(config.regime_window_s, config.regime_least, config.most_places),
            Scenes(config.recall_s, config.recall_least_s, config.most_places),
        )
        self._links = Links(affinity, config, self._state)
        self._kinds: RecentCache[tuple[str, str], Kind] = RecentCache(_NAMES_REMEMBERED)

    def add(self, alerts: Sequence[EnrichedAlert]) -> list[ClusterChange]:
        """Adds alerts in their order; gives what each did."""
        return [self._add(each) for each in alerts]

    def summary(self, cluster_id: int) -> ClusterSummary | None:
        """A cluster as it stands; None if it never was, became part of another, or has expired."""
        record = self._state.clusters.get(cluster_id)
        return None if record is None else record.summary(attack_table())

    def current(self, cluster_id: int) -> int | None:
        """The cluster that this one is or has become part of; None if it never was, or has expired."""
        return self._state.current(cluster_id)

    def on_close(self, see: Callable[[ClusterSummary], object]) -> None:
        """Call `see` with the last summary of each cluster that is closed from here on."""
        self._state.on_close = lambda record: see(record.summary(attack_table()))

    def dump(self) -> bytes:
        """All that is remembered; the same bytes for the same alerts, however they were cut."""
        return pack(self._state)

    @classmethod
    def load(cls, data: bytes, affinity: Affinity, config: ClusterConfig = ClusterConfig()) -> Self:  # noqa: B008
        """Clusters as they were dumped.

        Raises:
            CloudError: These are not bytes that `dump` of this version gave.
        """
        self = cls(affinity, config)
        unpack(data, self._state)
        return self

    def _add(self, each: EnrichedAlert) -> ClusterChange:
        alert, ids = each.alert, each.techniques.ids
        kind = self._kind(alert.name, ids[0] if ids else "")
        key = (kind.type.text, kind.type.technique, alert.src, alert.dst, entities_of(alert))
        saying = self._state.sayings.get(key)
        if saying is not None and saying.last // 1 == alert.time // 1:
            return self._repeat(saying, alert.time)
        return self._say(key, kind, saying, each)

    def _repeat(self, saying: Saying, time: float) -> ClusterChange:
        """One more that says the same in the same second."""
        cluster = saying.cluster
        cluster.count(time)
        step = cluster.steps.get(saying.step)
        if step is not None:
            step.count(time)
        notable = cluster.alerts >= 2 * cluster.told
        if notable:
            cluster.told = cluster.alerts
        return ClusterChange(cluster.id, duplicate=True, notable=notable)

    def _say(self, key: SayingKey, kind: Kind, saying: Saying | None, each: EnrichedAlert) -> ClusterChange:
        """One that says something new, or says it in another second."""
        state, config, alert = self._state, self._config, each.alert
        time, entities = alert.time, key[4]
        state.advance(time, config)
        regime = state.regimes.see(alert.dst, key[0], int(time // 1))
        linked = self._links.find(kind, key, saying, time, regime)
        scene = scene_of(alert.dst, regime) if config.recall_s and key[0] in regime else None
        if scene and not linked:
            linked = self._recalled(scene, time)
        merged: tuple[int, ...] = ()
        if linked:
            cluster, merged = state.merge(linked, config)
        else:
            cluster = state.open(time)
        stays = saying is not None and saying.cluster is cluster
        if saying is None:
            saying = Saying(kind.type, key, cluster)
            state.remember(saying)
            state.entities.see(entities, state.clock)
        if not stays:
            saying.cluster.sayings.pop(saying, None)
            saying.cluster = cluster
        cluster.sayings[saying] = None
        state.say(saying, time)
        saying.regime, saying.pace = regime, kind.pace
        if scene:
            self._remember(scene, cluster, time)
        news = self._note(cluster, saying, each, stays)
        state.bound(config)
        notable = bool(linked) and (news or bool(merged) or cluster.alerts >= 2 * cluster.told)
        if notable:
            cluster.told = cluster.alerts
        return ClusterChange(cluster.id, not linked, merged, notable=notable)

    def _recalled(self, scene: Scene, time: float) -> list[OpenCluster]:
        """The cluster that a scene was before, if it is open still."""
        found = self._state.scenes.find(scene, time)
        now = None if found is None else self._state.current(found)
        return [] if now is None else [self._state.clusters[now]]

    def _remember(self, scene: Scene, cluster: OpenCluster, time: float) -> None:
        """Takes note that a scene is this cluster."""
        scenes = self._state.scenes
        before = scenes.seen.get(scene)
        scenes.note(scene, cluster.id, None if before is None else self._state.current(before[0]), time)

    def _kind(self, name: str, technique: str) -> Kind:
        """The kind of an alert that has this name and this surest technique."""
        found = self._kinds.get((name, technique))
        if found is None:
            text = fold(name)[:LONGEST_TYPE]
            pace = min(self._affinity.rate(text) / OFTEN_A_DAY, 1.0) ** self._config.patience
            found = Kind(AlertType(text, technique), pace)
            self._kinds.put((name, technique), found)
        return found

    def _note(self, cluster: OpenCluster, saying: Saying, each: EnrichedAlert, stays: bool) -> bool:
        """Writes an alert into its cluster; whether it has a new technique or entity.

        A saying that stays in its cluster brings no new ends: they are listed, or their list is full.
        """
        alert, config, state = each.alert, self._config, self._state
        state.clusters.move_to_end(cluster.id)
        cluster.touched = state.clock
        cluster.count(alert.time)
        most = config.most_listed
        news = _put(cluster.techniques, each.techniques.ids, most)
        if not stays:
            news |= _put(cluster.entities, saying.entities, most)
            _put(cluster.srcs, (alert.src,), most)
            _put(cluster.dsts, (alert.dst,), most)
        step = cluster.steps.get(saying.step)
        if step is not None:
            step.count(alert.time)
        elif len(cluster.steps) < config.most_steps:
            cluster.steps[saying.step] = StepRecord(
                saying.type.technique,
                alert.name[:LONGEST_TYPE],
                alert.src,
                alert.dst,
                alert.time,
                alert.time,
                1,
                alert.id,
            )
        return news


def _put(listed: dict[str, None], values: tuple[str, ...], most: int) -> bool:
    """Adds values to a list that is not full; whether there was a new one."""
    before = len(listed)
    for value in values:
        if value not in listed and len(listed) < most:
            listed[value] = None
    return len(listed) > before
