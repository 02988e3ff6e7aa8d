"""What is kept of one cluster, and of one saying: alerts of one type between the same entities."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import msgspec

from app.domains.alerts.incidents import ClusterSummary, Step

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.domains.alerts.attack import AttackTable
    from app.domains.alerts.clusters.affinity import AlertType


SayingKey: TypeAlias = tuple[str, str, str, str, tuple[str, ...]]
"""A type's text and technique, source, target, and all entities."""


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

    def count(self, time: float) -> None:
        """One more alert, at its time."""
        self.alerts += 1
        if time > self.end:
            self.end = time
        elif time < self.start:
            self.start = time

    def step(self) -> Step:
        """As it is told."""
        return Step(self.technique, self.name, self.src, self.dst, self.start, self.end, self.alerts, self.first_id)


class OpenCluster:
    """An open cluster.

    Attributes:
        id: The smallest id of what it was merged from.
        alerts: How many.
        start: Time of its first.
        end: Of its last.
        touched: What the clock said when it changed last.
        told: How many alerts it had when its last notable change was.
        srcs: Sources, in order; a dictionary as an ordered set.
        dsts: Targets.
        entities: All entities.
        techniques: Technique ids.
        steps: By technique (or type, where that is not known), source and target.
        merged: Ids of clusters that became part of it.
        sayings: Its sayings that are still compared with; by their key.
    """

    __slots__ = (
        "alerts", "dsts", "end", "entities", "id", "merged", "sayings", "srcs", "start", "steps", "techniques", "told",
        "touched",
    )  # fmt: skip

    def __init__(self, cluster_id: int, time: float, clock: float) -> None:
        """Starts without an alert."""
        self.id, self.alerts, self.told = cluster_id, 0, 1
        self.start, self.end, self.touched = time, time, clock
        self.srcs: dict[str, None] = {}
        self.dsts: dict[str, None] = {}
        self.entities: dict[str, None] = {}
        self.techniques: dict[str, None] = {}
        self.steps: dict[tuple[str, str, str], StepRecord] = {}
        self.merged: list[int] = []
        self.sayings: dict[Saying, None] = {}

    def count(self, time: float) -> None:
        """One more alert, at its time."""
        self.alerts += 1
        if time > self.end:
            self.end = time
        elif time < self.start:
            self.start = time

    def summary(self, table: AttackTable) -> ClusterSummary:
        """As it is told."""
        tactics = dict.fromkeys(tactic for each in self.techniques for tactic in table.tactics_of(each))
        steps = sorted(self.steps.values(), key=lambda step: (step.start, step.end))
        return ClusterSummary(
            cluster_id=self.id,
            alerts=self.alerts,
            start_time=self.start,
            end_time=self.end,
            srcs=tuple(self.srcs),
            dsts=tuple(self.dsts),
            entities=tuple(self.entities),
            techniques=tuple(self.techniques),
            tactics=tuple(tactics),
            steps=tuple(step.step() for step in steps),
            merged=tuple(self.merged),
        )

    def take(self, other: OpenCluster, most_listed: int, most_steps: int) -> None:
        """Makes another cluster part of this one; the smaller id stays, and its lists come first."""
        first, second = (self, other) if self.id < other.id else (other, self)
        merged = [*first.merged, second.id, *second.merged][:most_listed]
        for name in ("srcs", "dsts", "entities", "techniques"):
            setattr(self, name, _first(most_listed, (*getattr(first, name), *getattr(second, name))))
        steps = dict(first.steps)
        for key, step in second.steps.items():
            mine = steps.get(key)
            if mine is not None:
                steps[key] = _joined(mine, step)
            elif len(steps) < most_steps:
                steps[key] = step
        self.steps, self.merged = steps, merged
        self.id, self.alerts = first.id, self.alerts + other.alerts
        self.start, self.end = min(self.start, other.start), max(self.end, other.end)
        for saying in other.sayings:
            saying.cluster = self
        self.sayings.update(other.sayings)


class Saying:
    """Alerts of one type between the same entities, while others may link to them.

    Attributes:
        type: What they say.
        key: What is said, as a key.
        src: Where from.
        dst: Where to.
        entities: All their entities.
        step: Key of their step in the cluster.
        last: Time of the last one.
        touched: What the clock said when it came.
        regime: What went on at its target when it came.
        pace: What a second counts for its type.
        cluster: The cluster that it is in.
    """

    __slots__ = ("cluster", "dst", "entities", "key", "last", "pace", "regime", "src", "step", "touched", "type")

    def __init__(self, kind: AlertType, key: SayingKey, cluster: OpenCluster) -> None:
        """Starts at no time: the rest is set when it is said."""
        self.type, self.key, self.cluster = kind, key, cluster
        _, _, self.src, self.dst, self.entities = key
        self.step = (kind.technique or kind.text, self.src, self.dst)
        self.last = self.touched = 0.0
        self.regime: tuple[str, ...] = ()
        self.pace = 1.0


def _first(most: int, values: Iterable[str]) -> dict[str, None]:
    """The first values, each once."""
    found = dict.fromkeys(values)
    return found if len(found) <= most else dict.fromkeys(list(found)[:most])


def _joined(one: StepRecord, other: StepRecord) -> StepRecord:
    first = one if one.start <= other.start else other
    return StepRecord(
        first.technique, first.name, first.src, first.dst,
        min(one.start, other.start), max(one.end, other.end), one.alerts + other.alerts, first.first_id,
    )  # fmt: skip
