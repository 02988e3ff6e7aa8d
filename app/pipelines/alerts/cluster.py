"""Clusters of alerts, advanced an alert at a time, in bounded memory.

Alerts that say the same (one type between the same entities) in the same second are one. Any other alert is compared
with what was said last: how long ago, how alike the types are, which entities they share, and whether the same goes on
at their target (`ClusterConfig` has the rule). It joins the cluster of its best link; links that are near to certain
make one cluster of several.

Nothing here depends on how the alerts are cut into calls, nor on the time of day: the only clock is that of the alerts.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Self

from app.pipelines.alerts.attack import attack_table
from app.pipelines.alerts.clusters.affinity import Affinity, AlertType
from app.pipelines.alerts.clusters.config import ClusterConfig
from app.pipelines.alerts.clusters.entities import Entities, entities_of
from app.pipelines.alerts.clusters.record import ClusterRecord, Saying, StepRecord
from app.pipelines.alerts.clusters.regimes import Regime, Regimes, likeness
from app.pipelines.alerts.clusters.state import SayingKey, State, pack, unpack
from app.pipelines.alerts.incidents import ClusterChange, ClusterSummary
from app.pipelines.alerts.recent import Recent
from app.pipelines.alerts.text import fold

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.pipelines.alerts.alert import EnrichedAlert

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
        )
        self._paces: Recent[str, float] = Recent(_NAMES_REMEMBERED)
        self._folded: Recent[str, str] = Recent(_NAMES_REMEMBERED)

    def add(self, alerts: Sequence[EnrichedAlert]) -> list[ClusterChange]:
        """Adds alerts in their order; gives what each did."""
        return [self._add(each) for each in alerts]

    def summary(self, cluster_id: int) -> ClusterSummary | None:
        """A cluster as it stands; None if it never was, became part of another, or has expired."""
        record = self._state.clusters.get(cluster_id)
        return None if record is None else record.summary(attack_table())

    def current(self, cluster_id: int) -> int | None:
        """The cluster that this one is or has become part of; None if it never was, or has expired."""
        state = self._state
        while cluster_id in state.into:
            cluster_id = state.into[cluster_id]
        return cluster_id if cluster_id in state.clusters else None

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
        self._state = unpack(data, self._state)
        return self

    def _add(self, each: EnrichedAlert) -> ClusterChange:
        alert, ids = each.alert, each.techniques.ids
        text = self._folded.get(alert.name)
        if text is None:
            text = fold(alert.name)[:LONGEST_TYPE]
            self._folded.put(alert.name, text)
        entities = entities_of(alert)
        key = (text, ids[0] if ids else "", alert.src, alert.dst, entities)
        saying = self._state.sayings.get(key)
        if saying is not None and saying.last // 1 == alert.time // 1:
            return self._repeat(saying, alert.time)
        return self._say(key, saying, each)

    def _repeat(self, saying: Saying, time: float) -> ClusterChange:
        """One more that says the same in the same second."""
        cluster = saying.cluster
        cluster.alerts += 1
        cluster.start, cluster.end = min(cluster.start, time), max(cluster.end, time)
        step = cluster.steps.get(saying.step)
        if step is not None:
            step.alerts += 1
            step.start, step.end = min(step.start, time), max(step.end, time)
        notable = cluster.alerts >= 2 * cluster.told
        if notable:
            cluster.told = cluster.alerts
        return ClusterChange(cluster.id, duplicate=True, notable=notable)

    def _say(
        self, key: tuple[str, str, str, str, tuple[str, ...]], saying: Saying | None, each: EnrichedAlert
    ) -> ClusterChange:
        state, config, alert = self._state, self._config, each.alert
        time, entities = alert.time, key[4]
        state.advance(time, config)
        regime = state.regimes.see(alert.dst, key[0], int(time // 1))
        pace = self._pace(key[0])
        linked = self._linked(key, saying, time, regime, pace)
        opened = not linked
        if opened:
            cluster = ClusterRecord(state.next_id, time, state.clock)
            state.next_id += 1
            state.clusters[cluster.id] = cluster
            merged: tuple[int, ...] = ()
        else:
            cluster, merged = state.merge(linked, config)
        if saying is None:
            saying = Saying(AlertType(key[0], key[1]), entities, alert.src, alert.dst, cluster)
            state.entities.see(entities, state.clock)
        elif saying.cluster is not cluster:
            saying.cluster.sayings.pop(saying, None)
            saying.cluster = cluster
        cluster.sayings[saying] = None
        state.sayings.pop(key, None)
        state.sayings[key] = saying
        saying.last, saying.touched, saying.regime, saying.pace = time, state.clock, regime, pace
        news = self._note(cluster, saying, each)
        state.bound(config)
        notable = not opened and (news or bool(merged) or cluster.alerts >= 2 * cluster.told)
        if notable:
            cluster.told = cluster.alerts
        return ClusterChange(cluster.id, opened, merged, notable=notable)

    def _linked(
        self, key: SayingKey, own: Saying | None, time: float, regime: Regime, pace: float
    ) -> list[ClusterRecord]:
        """The clusters that an alert links to, each once: all that it is sure of, or the best."""
        state, config, weight = self._state, self._config, self._affinity.weight
        between, kind, dst, bonus = self._affinity.between, AlertType(key[0], key[1]), key[3], config.entity_s
        within, reach, theta = config.delta_s + bonus, config.reach_s, config.theta_s
        sure: dict[int, ClusterRecord] = {}
        known, best, best_cost = None, None, config.delta_s
        rarity = {each: state.entities.rarity(each) for each in key[4]} if bonus else {}
        said = itertools.chain((own,) if own else (), reversed(state.sayings.values()))
        for saying in itertools.islice(said, config.candidates):
            if saying.cluster is known:  # in a scan, that is nearly all of them
                continue
            gap = abs(time - saying.last)
            cost = gap * max(saying.pace, pace)
            if saying.dst == dst and saying.type.text == key[0]:
                cost *= config.own
            if cost >= within or gap >= reach:
                continue
            cost += theta * (1.0 - between(kind, saying.type))
            if cost >= within or saying.cluster.id in sure:
                continue
            if saying.dst == dst:
                cost += config.regime_s * (1.0 - likeness(regime, saying.regime, weight))
            if bonus:
                cost -= bonus * max([rarity[each] for each in saying.entities if each in rarity], default=0.0)
            if cost < config.delta_s * config.merge:
                known = sure[saying.cluster.id] = saying.cluster
            elif cost < best_cost:
                best, best_cost = saying.cluster, cost
        return list(sure.values()) if sure else [best] if best else []

    def _pace(self, text: str) -> float:
        """What a second counts for a type: 1 for one that comes often, less for a rare one."""
        found = self._paces.get(text)
        if found is None:
            found = min(self._affinity.rate(text) / OFTEN_A_DAY, 1.0) ** self._config.patience
            self._paces.put(text, found)
        return found

    def _note(self, cluster: ClusterRecord, saying: Saying, each: EnrichedAlert) -> bool:
        """Writes an alert into its cluster; whether it has a new technique or entity."""
        alert, config, state = each.alert, self._config, self._state
        state.clusters.pop(cluster.id)
        state.clusters[cluster.id] = cluster
        cluster.touched = state.clock
        cluster.alerts += 1
        cluster.start, cluster.end = min(cluster.start, alert.time), max(cluster.end, alert.time)
        most = config.most_listed
        news = _put(cluster.techniques, each.techniques.ids, most)
        news |= _put(cluster.entities, saying.entities, most)
        _put(cluster.srcs, (alert.src,), most)
        _put(cluster.dsts, (alert.dst,), most)
        step = cluster.steps.get(saying.step)
        if step is not None:
            step.alerts += 1
            step.start, step.end = min(step.start, alert.time), max(step.end, alert.time)
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
