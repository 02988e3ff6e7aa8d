"""Records that the clustering of one tenant keeps in memory, and their limits."""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from app.domains.alerts.clusters.entities import EntityCounts
from app.domains.alerts.clusters.recurrence import PatternMemory, RecurrenceTracker
from app.domains.alerts.entities import canonical, label
from app.domains.alerts.incidents import ClusterSummary, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from app.domains.alerts.attack import AttackTable
    from app.domains.alerts.clusters.affinity import AlertType
    from app.domains.alerts.clusters.config import ClusterConfig

StepKey: TypeAlias = tuple[str, str, str]
"""A step within its cluster: text of its type, source, target."""
SignatureKey: TypeAlias = tuple[str, str, str, str, tuple[str, ...]]
"""Text and technique of a type, source, target, and all entities."""
NEVER = float("-inf")  # a time before any
_ID_BYTES = 7  # of a digest: two of 2,000 ids are the same once in 10**10 tenants, and it is a small whole number
MOST_STEP_ENTITIES = 16  # users, hashes and further hosts of a step: two alerts' worth of each kind
MOST_ALIASES = 16  # pairs of names of a machine that one cluster states: flows remember them longer


class StepRecord(msgspec.Struct, array_like=True, gc=False):
    """A `Step` that grows."""

    technique: str
    name: str
    src: str
    dst: str
    start: float
    end: float
    alerts: int
    first_id: int | str
    number: int
    severity: int | None
    entities: tuple[str, ...]

    def count(self, time: float, severity: int | None) -> None:
        """Count one more alert."""
        self.alerts += 1
        if time > self.end:
            self.end = time
        elif time < self.start:
            self.start = time
        if severity is not None and (self.severity is None or severity > self.severity):
            self.severity = severity

    def add_entities(self, entities: Iterable[str]) -> None:
        """Add entities in canonical form, besides source and target."""
        known = (canonical(self.src), canonical(self.dst), *self.entities)
        new = [each for each in entities if each not in known]
        if new:
            self.entities = (*self.entities, *new)[:MOST_STEP_ENTITIES]

    def joined(self, other: StepRecord) -> StepRecord:
        """Return both steps as one, with the name and first id of the earlier."""
        first = self if self.start <= other.start else other
        return StepRecord(
            first.technique, first.name, first.src, first.dst,
            min(self.start, other.start), max(self.end, other.end), self.alerts + other.alerts, first.first_id,
            min(self.number, other.number), highest(self.severity, other.severity),
            tuple(dict.fromkeys((*self.entities, *other.entities)))[:MOST_STEP_ENTITIES],
        )  # fmt: skip

    def step(self) -> Step:
        """Return the step as it stands."""
        return Step(
            self.technique, self.name, self.src, self.dst, self.start, self.end, self.alerts, self.first_id,
            self.number, self.severity, self.entities,
        )  # fmt: skip


class OpenCluster:
    """A cluster that alerts can still join.

    Attributes:
        id: Smallest id of the clusters that were merged into it.
        alerts: Number of alerts.
        start: Time of the earliest alert.
        end: Time of the latest alert.
        last_clock: Clock at its latest change.
        last_notified_count: Number of alerts at its latest notable change.
        srcs: Sources in order; a dictionary serves as an ordered set, here and below.
        dsts: Targets.
        entities: All entities in canonical form.
        techniques: Technique ids.
        steps: By the text of their type, source and target.
        severity: The highest severity of its alerts; None if none states one.
        aliases: (name, address) of machines that its alerts state together.
        merged: Ids of clusters that became part of it.
        signatures: Signatures that alerts are still compared with.
    """

    __slots__ = (
        "alerts", "aliases", "dsts", "end", "entities", "id", "last_clock", "last_notified_count", "merged", "severity",
        "signatures", "srcs", "start", "steps", "techniques",
    )  # fmt: skip

    def __init__(self, cluster_id: int, time: float, clock: float) -> None:
        """Start without an alert."""
        self.id, self.alerts, self.last_notified_count = cluster_id, 0, 1
        self.start, self.end, self.last_clock = time, time, clock
        self.srcs: dict[str, None] = {}
        self.dsts: dict[str, None] = {}
        self.entities: dict[str, None] = {}
        self.techniques: dict[str, None] = {}
        self.steps: dict[tuple[str, str, str], StepRecord] = {}
        self.merged: list[int] = []
        self.severity: int | None = None
        self.aliases: dict[tuple[str, str], None] = {}
        self.signatures: dict[AlertSignature, None] = {}

    def count(self, time: float, severity: int | None) -> None:
        """Count one more alert."""
        self.severity = highest(self.severity, severity)
        self.alerts += 1
        if time > self.end:
            self.end = time
        elif time < self.start:
            self.start = time

    def notify_if(self, news: bool) -> bool:
        """Return whether a change is notable: for its news, or because the count has doubled since the last one."""
        notable = news or self.alerts >= 2 * self.last_notified_count
        if notable:
            self.last_notified_count = self.alerts
        return notable

    def summary(self, table: AttackTable) -> ClusterSummary:
        """Return the cluster as it stands."""
        tactics = dict.fromkeys(tactic for each in self.techniques for tactic in table.tactics_of(each))
        steps = sorted(self.steps.values(), key=lambda step: (step.start, step.end))
        return ClusterSummary(
            cluster_id=self.id,
            alerts=self.alerts,
            start_time=self.start,
            end_time=self.end,
            srcs=tuple(self.srcs),
            dsts=tuple(self.dsts),
            entities=tuple(map(label, self.entities)),
            techniques=tuple(self.techniques),
            tactics=tuple(tactics),
            steps=tuple(step.step() for step in steps),
            merged=tuple(self.merged),
            severity=self.severity,
            aliases=tuple(self.aliases),
        )

    def absorb(self, other: OpenCluster, most_listed: int, most_steps: int) -> None:
        """Merge another cluster into this one; the smaller id stays, and its lists come first."""
        first, second = (self, other) if self.id < other.id else (other, self)
        merged = [*first.merged, second.id, *second.merged][:most_listed]
        for name in ("srcs", "dsts", "entities", "techniques"):
            setattr(self, name, _first(most_listed, (*getattr(first, name), *getattr(second, name))))
        steps = dict(first.steps)
        for key, step in second.steps.items():
            mine = steps.get(key)
            if mine is not None:
                steps[key] = mine.joined(step)
            elif len(steps) < most_steps:
                steps[key] = step
        self.steps, self.merged = steps, merged
        self.severity = highest(self.severity, other.severity)
        self.aliases = dict(list({**first.aliases, **second.aliases}.items())[:MOST_ALIASES])
        self.id, self.alerts = first.id, self.alerts + other.alerts
        self.start, self.end = min(self.start, other.start), max(self.end, other.end)
        for signature in other.signatures:
            signature.cluster = self
        self.signatures.update(other.signatures)


class AlertSignature:
    """The latest alert of one type between the same entities: what new alerts are compared with.

    Attributes:
        type: Its alert type.
        key: The signature as a key.
        src: Source.
        dst: Target.
        entities: All entities.
        step: Key of its step in the cluster.
        last_time: Time of the latest alert.
        last_clock: Clock when that alert came.
        recurring: Recurring types of the target when it came.
        pace: What a second counts for its type.
        cluster: The cluster that it is in.
    """

    __slots__ = (
        "cluster", "dst", "entities", "key", "last_clock", "last_time", "pace", "recurring", "src", "step", "type",
    )  # fmt: skip

    def __init__(self, kind: AlertType, key: SignatureKey, cluster: OpenCluster) -> None:
        """Start without an alert; `State.mark_latest` sets the times."""
        self.type, self.key, self.cluster = kind, key, cluster
        _, _, self.src, self.dst, self.entities = key
        self.step = (kind.text, self.src, self.dst)
        self.last_time = self.last_clock = 0.0
        self.recurring: tuple[str, ...] = ()
        self.pace = 1.0


class State:
    """Memory of one tenant's clustering.

    Attributes:
        entities: Occurrences of each entity.
        recurrence: Recurring types of each target.
        patterns: Cluster of each recurring pattern.
        next_id: Id of the next cluster.
        next_step: Number of the next step, over all clusters.
        clock: Latest time that two alerts confirm, or that one reached without a jump; `NEVER` before the first.
        clock_latest: `EnrichedAlert.latest` of the alert that moved the clock last; `NEVER` while no alert with a
            possible date has moved it.
        ahead: Time that the last alert reached by a jump; `NEVER` if it did not jump.
        clusters: By id, the one that changed last at the end.
        signatures: By key, the one with the latest alert at the end.
        ids: Digests of the alerts' ids, the latest at the end; a dictionary serves as an ordered set.
        merged_into: Cluster that each merged cluster became part of.
        signature_counts: In how many signatures each entity is; derived from `signatures`.
        ahead_signatures: How many signatures have a time ahead of the clock; derived from `signatures`.
        on_close: Called with each cluster that is closed; not part of the stored state.
    """

    def __init__(self, config: ClusterConfig) -> None:
        """Start without an alert."""
        self.entities = EntityCounts(config.half_life_s, config.most_entities)
        self.recurrence = RecurrenceTracker(config.recurrence_window_s, config.recurrence_least, config.most_targets)
        self.patterns = PatternMemory(config.recall_s, config.recall_least_s, config.most_targets)
        self.next_id = 1
        self.next_step = 1
        self.clock = NEVER
        self.clock_latest = NEVER
        self.ahead = NEVER
        self.clusters: OrderedDict[int, OpenCluster] = OrderedDict()
        self.signatures: OrderedDict[SignatureKey, AlertSignature] = OrderedDict()
        self.ids: dict[int, None] = {}
        self.merged_into: dict[int, int] = {}
        self.signature_counts: dict[str, int] = {}
        self.ahead_signatures = 0
        self.on_close: Callable[[OpenCluster], object] | None = None

    def event_time(self, latest: float) -> float:
        """Return the time at which to cluster an alert that is dated after `latest`.

        It is the clock and the time that has passed since: between the arrivals of the alert that moved the clock and
        of this one. On a live stream that is its arrival; among old alerts that are played back it is the time of those
        around it. Without a clock it is the latest possible time.
        """
        return min(latest, self.clock + max(latest - self.clock_latest, 0.0)) if self.has_clock else latest

    @property
    def has_clock(self) -> bool:
        """Return whether an alert with a possible date has moved the clock."""
        return self.clock_latest != NEVER

    def advance(self, time: float, latest: float, config: ClusterConfig, *, is_ahead: bool = False) -> None:
        """Move the clock to an alert's time; a jump ahead needs a second alert that confirms it.

        So one alert with a wrong date does not close every cluster, and none dated beyond its arrival does.

        Args:
            time: The alert's `event_time`.
            latest: The latest time that it can have.
            config: How far the clock moves at once.
            is_ahead: Whether its own date lies beyond its arrival.
        """
        if is_ahead:
            if time > self.clock:
                self.clock, self.clock_latest = time, latest if self.has_clock else NEVER
            return
        if not NEVER < self.clock_latest < math.inf:
            self._check_clock(time, latest, config)
        if self.clock_latest == NEVER or 0 < time - self.clock <= config.jump_s:
            self.clock, self.clock_latest, self.ahead = time, latest, NEVER
        elif time <= self.clock:
            self.ahead = NEVER
        elif self.ahead == NEVER:
            self.ahead = time
        else:
            self.clock, self.clock_latest, self.ahead = min(time, self.ahead), latest, NEVER

    def _check_clock(self, time: float, latest: float, config: ClusterConfig) -> None:
        """Set the clock, and all that is later, back if impossible dates have moved it.

        They are those that came first, or that an earlier release took without a bound.
        """
        unbounded = self.clock_latest == math.inf and self.clock - latest > config.jump_s
        if not unbounded and (self.has_clock or self.clock <= time):
            return
        self.clock, self.clock_latest = time, NEVER
        for cluster in self.clusters.values():
            cluster.start, cluster.end = min(cluster.start, time), min(cluster.end, time)
            cluster.last_clock = min(cluster.last_clock, time)
            for step in cluster.steps.values():
                step.start, step.end = min(step.start, time), min(step.end, time)
        for signature in self.signatures.values():
            signature.last_time, signature.last_clock = min(signature.last_time, time), min(signature.last_clock, time)
        self.ahead_signatures = sum(each.last_time > each.last_clock for each in self.signatures.values())
        self.recurrence.targets.clear()
        self.patterns.seen.clear()

    def is_update(self, alert_id: int | str, step: StepKey, most: int) -> bool:
        """Return whether an alert was seen before: one with this id, a text, of the same step; and remember it.

        Products number their alerts anew with each file or day, so that a whole number does not identify one.
        """
        if alert_id.__class__ is not str or not alert_id:
            return False
        text = "\0".join((alert_id, *step))
        digest = int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=_ID_BYTES).digest())
        known = digest in self.ids
        self.ids.pop(digest, None)
        self.ids[digest] = None
        while len(self.ids) > most:
            del self.ids[next(iter(self.ids))]
        return known

    def open(self, time: float) -> OpenCluster:
        """Return a new cluster without an alert."""
        cluster = self.clusters[self.next_id] = OpenCluster(self.next_id, time, self.clock)
        self.next_id += 1
        return cluster

    def current(self, cluster_id: int) -> int | None:
        """Return the id of the open cluster that this one is or has become part of; None if there is none."""
        merged_into = self.merged_into
        while cluster_id in merged_into:
            cluster_id = merged_into[cluster_id]
        return cluster_id if cluster_id in self.clusters else None

    def merge(self, clusters: Sequence[OpenCluster], config: ClusterConfig) -> tuple[OpenCluster, tuple[int, ...]]:
        """Make clusters one; return it, and the ids that ended.

        The cluster with the most signatures absorbs the others, so that few signatures move; the smallest id stays.
        """
        if len(clusters) == 1:
            return clusters[0], ()
        ids = [each.id for each in clusters]
        kept = max(clusters, key=lambda each: (len(each.signatures), -each.id))
        for each in sorted(clusters, key=lambda each: each.id):
            if each is not kept:
                kept.absorb(each, config.most_listed, config.most_steps)
        for ended in ids:
            del self.clusters[ended]
        self.clusters[kept.id] = kept
        merged = tuple(sorted(ended for ended in ids if ended != kept.id))
        for ended in merged:
            self.merged_into[ended] = kept.id
        return kept, merged

    def enforce_limits(self, config: ClusterConfig) -> None:
        """Forget what has expired and what exceeds a limit, the least recently changed first."""
        clusters, signatures, clock = self.clusters, self.signatures, self.clock
        while signatures:
            signature = next(iter(signatures.values()))
            if len(signatures) <= config.most_signatures and clock - signature.last_clock <= config.reach_s:
                break
            self.remove_signature(signature)
            signature.cluster.signatures.pop(signature, None)
        while clusters:
            cluster = next(iter(clusters.values()))
            if len(clusters) <= config.most_clusters and clock - cluster.last_clock <= config.expiry_s:
                break
            self.close(cluster)
        while len(self.merged_into) > config.most_merged:
            del self.merged_into[next(iter(self.merged_into))]

    def add_signature(self, signature: AlertSignature) -> None:
        """Add a new signature to those that alerts are compared with."""
        self.signatures[signature.key] = signature
        counts = self.signature_counts
        for entity in signature.entities:
            counts[entity] = counts.get(entity, 0) + 1

    def mark_latest(self, signature: AlertSignature, time: float) -> None:
        """Set the time of a signature's latest alert, and move it to the end."""
        self.signatures.move_to_end(signature.key)
        self.ahead_signatures += (time > self.clock) - (signature.last_time > signature.last_clock)
        signature.last_time, signature.last_clock = time, self.clock

    def remove_signature(self, signature: AlertSignature) -> None:
        """Remove a signature; the caller removes it from its cluster."""
        del self.signatures[signature.key]
        self.ahead_signatures -= signature.last_time > signature.last_clock
        counts = self.signature_counts
        for entity in signature.entities:
            counts[entity] -= 1
            if not counts[entity]:
                del counts[entity]

    def close(self, cluster: OpenCluster) -> None:
        """Forget a cluster and its signatures."""
        if self.on_close is not None:
            self.on_close(cluster)
        del self.clusters[cluster.id]
        for ended in cluster.merged:
            self.merged_into.pop(ended, None)
        for signature in cluster.signatures:
            self.remove_signature(signature)


def highest(one: int | None, other: int | None) -> int | None:
    """Return the higher of two severities, where None is lower than any."""
    return other if one is None else one if other is None else max(one, other)


def _first(most: int, values: Iterable[str]) -> dict[str, None]:
    """Return the first values, each once."""
    found = dict.fromkeys(values)
    return found if len(found) <= most else dict.fromkeys(list(found)[:most])
