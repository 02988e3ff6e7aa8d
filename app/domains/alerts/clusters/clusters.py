"""The clusters of one tenant; the package's docstring explains the algorithm."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Self

import msgspec

from app.cache import RecentCache
from app.domains.alerts.attack import attack_table
from app.domains.alerts.clusters.affinity import Affinity, AlertType
from app.domains.alerts.clusters.config import ClusterConfig
from app.domains.alerts.clusters.links import Links, PacedType
from app.domains.alerts.clusters.packing import pack, unpack
from app.domains.alerts.clusters.recurrence import pattern_of
from app.domains.alerts.clusters.state import MOST_ALIASES, AlertSignature, State, StepRecord
from app.domains.alerts.entities import entities_of
from app.domains.alerts.incidents import ClusterChange, ClusterSummary
from app.domains.alerts.text import fold

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.domains.alerts.alert import EnrichedAlert
    from app.domains.alerts.clusters.recurrence import RecurringPattern
    from app.domains.alerts.clusters.state import OpenCluster, SignatureKey, StepKey

__all__ = ["Affinity", "ClusterConfig", "Clusters"]

FREQUENT_A_DAY = 1_440.0  # seconds of a day with an alert: a type that occurs every minute is not rare
LONGEST_TYPE = 200  # characters of a name: further ones distinguish no types
_CACHED_NAMES = 10_000


class Clusters:
    """The clusters of one tenant."""

    def __init__(self, affinity: Affinity, config: ClusterConfig = ClusterConfig()) -> None:  # noqa: B008 - frozen
        """Start without a cluster."""
        self._affinity, self._config = affinity, config
        self._state = State(config)
        self._links = Links(affinity, config, self._state)
        self._types: RecentCache[tuple[str, str], PacedType] = RecentCache(_CACHED_NAMES)

    def add(self, alerts: Sequence[EnrichedAlert]) -> list[ClusterChange]:
        """Add alerts in their order; return the change that each made."""
        return [self._add(each) for each in alerts]

    def summary(self, cluster_id: int) -> ClusterSummary | None:
        """Return a cluster as it stands; None if it is unknown, merged into another, or expired."""
        cluster = self._state.clusters.get(cluster_id)
        return None if cluster is None else cluster.summary(attack_table())

    def current(self, cluster_id: int) -> int | None:
        """Return the id of the open cluster that this one is or has become part of; None if there is none."""
        return self._state.current(cluster_id)

    @property
    def clock(self) -> float:
        """Return the clock: seconds since 1970, or minus infinity before the first alert."""
        return self._state.clock

    def on_close(self, callback: Callable[[ClusterSummary], object]) -> None:
        """Call `callback` with the last summary of each cluster that is closed from here on."""
        self._state.on_close = lambda cluster: callback(cluster.summary(attack_table()))

    def dump(self) -> bytes:
        """Return the state as bytes: equal for the same alerts, however they were cut into calls."""
        return pack(self._state)

    @classmethod
    def load(cls, data: bytes, affinity: Affinity, config: ClusterConfig = ClusterConfig()) -> Self:  # noqa: B008
        """Return clusters as they were dumped.

        Raises:
            UnreadableStateError: The bytes were not written by `dump` of this version.
        """
        self = cls(affinity, config)
        unpack(data, self._state)
        return self

    def _add(self, each: EnrichedAlert) -> ClusterChange:
        alert, ids = each.alert, each.techniques.ids
        if alert.closed:
            return ClusterChange(0, skipped=f"closed: {alert.closed}")
        is_ahead = alert.time > each.latest
        time = self._state.event_time(each.latest) if is_ahead else alert.time
        paced = self._type(alert.name, ids[0] if ids else "")
        if self._state.is_update(alert.id, (paced.type.text, alert.src, alert.dst), self._config.most_ids):
            return ClusterChange(0, skipped="an update of an alert that is known by its id")
        key = (paced.type.text, paced.type.technique, alert.src, alert.dst, entities_of(alert))
        signature = self._state.signatures.get(key)
        if signature is not None and signature.last_time // 1 == time // 1:
            change = _count_duplicate(signature, time, alert.severity)
        else:
            change = self._place(key, paced, signature, each, time)
        return msgspec.structs.replace(change, event_time=time) if is_ahead else change

    def _place(
        self, key: SignatureKey, paced: PacedType, signature: AlertSignature | None, each: EnrichedAlert, time: float
    ) -> ClusterChange:
        """Put an alert that is no duplicate into a cluster: steps 2 to 6 of the package's docstring."""
        state, config, alert = self._state, self._config, each.alert
        entities = key[4]
        state.advance(time, each.latest, config, is_ahead=each.is_ahead)
        recurring = state.recurrence.observe(alert.dst, key[0], int(time // 1))
        linked = self._links.find(paced, key, signature, time, recurring)
        pattern = pattern_of(alert.dst, recurring) if config.recall_s and key[0] in recurring else None
        if pattern and not linked:
            linked = self._recalled(pattern, time)
        merged: tuple[int, ...] = ()
        if linked:
            cluster, merged = state.merge(linked, config)
        else:
            cluster = state.open(time)
        stays = signature is not None and signature.cluster is cluster
        if signature is None:
            signature = AlertSignature(paced.type, key, cluster)
            state.add_signature(signature)
            state.entities.add(entities, state.clock)
        if not stays:
            signature.cluster.signatures.pop(signature, None)
            signature.cluster = cluster
        cluster.signatures[signature] = None
        state.mark_latest(signature, time)
        signature.recurring, signature.pace = recurring, paced.pace
        if pattern:
            self._remember(pattern, cluster, time)
        news = self._record(cluster, signature, each, time, stays)
        state.enforce_limits(config)
        notable = bool(linked) and cluster.notify_if(news or bool(merged))
        return ClusterChange(cluster.id, not linked, merged, notable=notable)

    def _recalled(self, pattern: RecurringPattern, time: float) -> list[OpenCluster]:
        """Return the cluster that a recurring pattern had before, if it is still open."""
        found = self._state.patterns.recall(pattern, time)
        current = None if found is None else self._state.current(found)
        return [] if current is None else [self._state.clusters[current]]

    def _remember(self, pattern: RecurringPattern, cluster: OpenCluster, time: float) -> None:
        """Remember that a recurring pattern belongs to a cluster."""
        patterns = self._state.patterns
        before = patterns.seen.get(pattern)
        patterns.note(pattern, cluster.id, None if before is None else self._state.current(before[0]), time)

    def _type(self, name: str, technique: str) -> PacedType:
        """Return the type of an alert by its name and surest technique."""
        found = self._types.get((name, technique))
        if found is None:
            text = type_text(name)
            pace = min(self._affinity.rate(text) / FREQUENT_A_DAY, 1.0) ** self._config.patience
            found = PacedType(AlertType(text, technique), pace)
            self._types.put((name, technique), found)
        return found

    def _record(
        self, cluster: OpenCluster, signature: AlertSignature, each: EnrichedAlert, time: float, stays: bool
    ) -> bool:
        """Add an alert to its cluster's lists; return whether it brings a new technique or entity.

        A signature that stays in its cluster brings no new source or target: they are listed, or the list is full.
        """
        alert, config, state = each.alert, self._config, self._state
        state.clusters.move_to_end(cluster.id)
        cluster.last_clock = state.clock
        cluster.count(time, alert.severity)
        most = config.most_listed
        news = _add_up_to(most, cluster.techniques, each.techniques.ids)
        if not stays:
            news |= _add_up_to(most, cluster.entities, signature.entities)
            _add_up_to(most, cluster.srcs, (alert.src,))
            _add_up_to(most, cluster.dsts, (alert.dst,))
        for alias in alert.aliases:
            if len(cluster.aliases) < MOST_ALIASES:
                cluster.aliases[alias] = None
        step = cluster.steps.get(signature.step)
        if step is not None:
            step.count(time, alert.severity)
            if not stays:
                step.add_entities(signature.entities)
        elif len(cluster.steps) < config.most_steps:
            step = cluster.steps[signature.step] = StepRecord(
                signature.type.technique, alert.name[:LONGEST_TYPE], alert.src, alert.dst, time, time, 1, alert.id,
                state.next_step, alert.severity, (),
            )  # fmt: skip
            step.add_entities(signature.entities)
            state.next_step += 1
        return news


@functools.lru_cache(_CACHED_NAMES)
def type_text(name: str) -> str:
    """Return the text of an alert's type, by its name; the same for the name of a step."""
    return fold(name[:LONGEST_TYPE])


def step_key(name: str, src: str, dst: str) -> StepKey:
    """Return which step of a cluster an alert belongs to, by its name and ends; the same for the step's own."""
    return type_text(name), src, dst


def _count_duplicate(signature: AlertSignature, time: float, severity: int | None) -> ClusterChange:
    """Count one more alert of a signature in the same second."""
    cluster = signature.cluster
    cluster.count(time, severity)
    step = cluster.steps.get(signature.step)
    if step is not None:
        step.count(time, severity)
    return ClusterChange(cluster.id, duplicate=True, notable=cluster.notify_if(news=False))


def _add_up_to(most: int, values: dict[str, None], new: tuple[str, ...]) -> bool:
    """Add values to an ordered set of at most `most`; return whether one was added."""
    before = len(values)
    for value in new:
        if value not in values and len(values) < most:
            values[value] = None
    return len(values) > before
