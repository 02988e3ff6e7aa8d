"""What flows keep of one cluster: its first steps, their entities, and evidence between them. Also as stored bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from app.domains.alerts.entities import canonical
from app.domains.alerts.flows.causality import (
    ITSELF,
    MENTIONED,
    SAME_CLUSTER,
    SOURCE,
    TARGET,
    Evidence,
    Touch,
    strength,
)
from app.domains.alerts.incidents import Step
from app.domains.alerts.state_bytes import pack_state, unpack_state
from app.errors import UnreadableStateError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.domains.alerts.attack import AttackTable
    from app.domains.alerts.flows.causality import TechniqueOrder
    from app.domains.alerts.flows.config import FlowConfig
    from app.domains.alerts.incidents import ClusterSummary

LONGEST_NAME = 256  # characters of a step's name that are kept: it is for people, and stored many times
TOUCHES = 4  # of an entity in one cluster that are kept: the first and last as an earlier step, and as a later one

VERSION = 1  # of the stored format; to be raised with any change of the structs below
WHAT = "state of flows"


class Entry:
    """A cluster as flows see it.

    Attributes:
        id: The cluster's id.
        start: Time of its first alert.
        end: Time of its last alert.
        steps: Its first steps.
        techniques: Techniques of these steps.
        mentioned: Entities that are no end of a step: users, hashes.
        marks: Each step as a touch without an entity: its position in time.
        touches: By entity in lower case, its touches of the cluster in order of time.
        inner: Evidence between the cluster's own steps.
    """

    __slots__ = ("end", "id", "inner", "marks", "mentioned", "start", "steps", "techniques", "touches")

    def __init__(
        self, cluster_id: int, start: float, end: float, steps: tuple[Step, ...], mentioned: tuple[str, ...]
    ) -> None:
        """Set the stored attributes; `prepare` derives the others."""
        self.id, self.start, self.end, self.steps, self.mentioned = cluster_id, start, end, steps, mentioned
        self.techniques = frozenset(step.technique for step in steps)
        self.marks: list[Touch] = []
        self.touches: dict[str, list[Touch]] = {}
        self.inner: list[Evidence] = []

    @classmethod
    def of(cls, cluster: ClusterSummary, config: FlowConfig) -> Entry:
        """Return the entry of a cluster, cut to the limits."""
        steps = tuple(
            step if len(step.name) <= LONGEST_NAME else msgspec.structs.replace(step, name=step.name[:LONGEST_NAME])
            for step in cluster.steps[: config.most_steps]
        )
        ends = {canonical(entity) for step in steps for entity in (step.src, step.dst)}
        mentioned = tuple(
            entity for entity in cluster.entities[: config.most_entities] if canonical(entity) not in ends
        )
        return cls(cluster.cluster_id, cluster.start_time, cluster.end_time, steps, mentioned)

    def prepare(self, table: AttackTable, order: TechniqueOrder, config: FlowConfig) -> None:
        """Derive touches, and evidence within the cluster."""
        self.marks = [
            Touch(step.start_time, order.position(step.technique, table), self.id, index, step.end_time, MENTIONED)
            for index, step in enumerate(self.steps)
        ]
        by_time = sorted(self.marks)
        for mark in by_time:
            step = self.steps[mark.step]
            for entity, role in _ends(step):
                self.touches.setdefault(entity, []).append(mark._replace(role=role))
        if by_time:
            for entity in self.mentioned:
                key = entity.lower()
                if canonical(key) and key not in self.touches:
                    self.touches[key] = [by_time[0]] if len(by_time) == 1 else [by_time[0], by_time[-1]]
        self.inner = self._within(by_time, config)
        for entity, touched in self.touches.items():
            if len(touched) > TOUCHES:
                self.touches[entity] = _outer(touched)

    def is_same(self, other: Entry) -> bool:
        """Return whether another entry has the same content."""
        return (self.start, self.end, self.steps, self.mentioned) == (
            other.start,
            other.end,
            other.steps,
            other.mentioned,
        )

    def _within(self, by_time: list[Touch], config: FlowConfig) -> list[Evidence]:
        """Return evidence for each step from its neighbour, and from the latest steps with an entity of its own."""
        found: list[Evidence] = []
        last: dict[tuple[str, int], Touch] = {}
        for index, mark in enumerate(by_time):
            if index:
                found.append(Evidence(SAME_CLUSTER, by_time[index - 1], mark, ""))
            ends = _ends(self.steps[mark.step])
            for entity, role in ends:
                mine = mark._replace(role=role)
                for other in (SOURCE, TARGET, ITSELF):
                    earlier = last.get((entity, other))
                    if earlier is not None:
                        value = strength(earlier, mine, config.window_s, config.half_life_s)
                        if value:
                            found.append(Evidence(value, earlier, mine, entity))
            for entity, role in ends:
                last[entity, role] = mark._replace(role=role)
        return found


def best_evidence(one: list[Touch], other: list[Touch], entity: str, config: FlowConfig) -> Evidence | None:
    """Return the strongest evidence by an entity that a step of one cluster led to a step of the other, either way.

    Args:
        one: Touches of the entity in one cluster, in order of time.
        other: The same in the other cluster.
        entity: The entity.
        config: Settings of the flows.
    """
    if len(one) == len(other) == 1:
        source, target = (one[0], other[0]) if one[0] < other[0] else (other[0], one[0])
        value = strength(source, target, config.window_s, config.half_life_s)
        return Evidence(value, source, target, entity) if value else None
    best: Evidence | None = None
    earlier: Touch | None = None
    for touch in sorted((*one, *other)):
        if earlier is not None and earlier.cluster != touch.cluster:
            value = strength(earlier, touch, config.window_s, config.half_life_s)
            if value and (best is None or value > best.strength):
                best = Evidence(value, earlier, touch, entity)
        earlier = touch
    return best


def _ends(step: Step) -> tuple[tuple[str, int], ...]:
    """Return the source and target of a step with their roles, without those that identify nobody."""
    src, dst = canonical(step.src), canonical(step.dst)
    if src == dst:
        return ((src, ITSELF),) if src else ()
    return tuple((entity, role) for entity, role in ((src, SOURCE), (dst, TARGET)) if entity)


def _outer(touched: list[Touch]) -> list[Touch]:
    """Return the first and last touch of all, and in each role."""
    kept = {touched[0], touched[-1]}
    for role in (SOURCE, TARGET):
        of_role = [touch for touch in touched if touch.role & role]
        if of_role:
            kept |= {of_role[0], of_role[-1]}
    return sorted(kept)


class StoredFlows(msgspec.Struct, array_like=True):
    """The stored state of a tenant's flows; the first four attributes are those of `flows.Clock`."""

    version: int
    now: float
    ahead: tuple[int, float] | None
    horizon: float
    texts: list[str]
    clusters: list[_Cluster]


class _Cluster(msgspec.Struct, array_like=True):
    id: int
    start: float
    end: float
    mentioned: list[int]
    steps: list[_Step]


class _Step(msgspec.Struct, array_like=True):
    """A step; texts by their index, times in full, since differences would lose bits."""

    technique: int
    name: int
    src: int
    dst: int
    start: float
    end: float
    alerts: int
    first_id: int | str


def pack_flows(now: float, ahead: tuple[int, float] | None, horizon: float, entries: Mapping[int, Entry]) -> bytes:
    """Return the clock and the entries as bytes: each text once, clusters in order of id."""
    texts: dict[str, int] = {}

    def index(text: str) -> int:
        return texts.setdefault(text, len(texts))

    clusters = [
        _Cluster(
            entry.id,
            entry.start,
            entry.end,
            [index(entity) for entity in entry.mentioned],
            [
                _Step(
                    index(step.technique), index(step.name), index(step.src), index(step.dst),
                    step.start_time, step.end_time, step.alerts, step.first_id,
                )
                for step in entry.steps
            ],
        )
        for _, entry in sorted(entries.items())
    ]  # fmt: skip
    return pack_state(StoredFlows(VERSION, now, ahead, horizon, list(texts), clusters))


def unpack_flows(data: bytes) -> tuple[StoredFlows, list[Entry]]:
    """Return what `pack_flows` stored.

    Raises:
        UnreadableStateError: The bytes were not written by this version.
    """
    stored = unpack_state(data, StoredFlows, VERSION, WHAT)
    try:
        return stored, [_entry(cluster, stored.texts) for cluster in stored.clusters]
    except IndexError as error:
        raise UnreadableStateError(f"{WHAT}: is not what was written ({error}); restore or delete it") from None


def _entry(cluster: _Cluster, texts: list[str]) -> Entry:
    steps = tuple(
        Step(
            texts[step.technique], texts[step.name], texts[step.src], texts[step.dst],
            step.start, step.end, step.alerts, step.first_id,
        )
        for step in cluster.steps
    )  # fmt: skip
    return Entry(cluster.id, cluster.start, cluster.end, steps, tuple(texts[each] for each in cluster.mentioned))
