"""What flows remember of one cluster: its first steps, whom they touch, and which step follows from which."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from app.domains.alerts.flows.causality import (
    ITSELF,
    MENTIONED,
    NOWHERE,
    SAME_CLUSTER,
    SOURCE,
    TARGET,
    Evidence,
    Touch,
    strength,
)

if TYPE_CHECKING:
    from app.domains.alerts.attack import AttackTable
    from app.domains.alerts.flows.config import FlowConfig
    from app.domains.alerts.flows.order import TechniqueOrder
    from app.domains.alerts.incidents import ClusterSummary, Step

LONGEST_NAME = 256  # characters of a step's name that flows keep: it is read by people, and kept many times
TOUCHES = 4  # of an entity by one cluster that are kept: the first and last as an earlier step, and as a later one


class Entry:
    """A cluster as flows see it.

    Attributes:
        id: The cluster's id.
        start: Of its first alert.
        end: Of its last.
        steps: Its first steps.
        techniques: Of these.
        mentioned: Entities that are no end of a step, as they came: users, hashes.
        marks: Each step as a touch of no entity: its place in time.
        touches: By entity in lower case, how the cluster touches it, by time.
        inner: Evidence between its own steps.
    """

    __slots__ = ("end", "id", "inner", "marks", "mentioned", "start", "steps", "techniques", "touches")

    def __init__(
        self, cluster_id: int, start: float, end: float, steps: tuple[Step, ...], mentioned: tuple[str, ...]
    ) -> None:
        """Takes what a dump keeps; `prepare` works out the rest."""
        self.id, self.start, self.end, self.steps, self.mentioned = cluster_id, start, end, steps, mentioned
        self.techniques = frozenset(step.technique for step in steps)
        self.marks: list[Touch] = []
        self.touches: dict[str, list[Touch]] = {}
        self.inner: list[Evidence] = []

    @classmethod
    def of(cls, cluster: ClusterSummary, config: FlowConfig) -> Entry:
        """A cluster as it stands, cut to the bounds."""
        steps = tuple(
            step if len(step.name) <= LONGEST_NAME else replace(step, name=step.name[:LONGEST_NAME])
            for step in cluster.steps[: config.most_steps]
        )
        ends = {entity for step in steps for entity in (step.src, step.dst)}
        mentioned = tuple(entity for entity in cluster.entities[: config.most_entities] if entity not in ends)
        return cls(cluster.cluster_id, cluster.start_time, cluster.end_time, steps, mentioned)

    def prepare(self, table: AttackTable, order: TechniqueOrder, config: FlowConfig) -> None:
        """Works out touches and evidence within the cluster."""
        self.marks = [
            Touch(step.start_time, order.place(step.technique, table), self.id, index, step.end_time, MENTIONED)
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
                if key not in NOWHERE and key not in self.touches:
                    self.touches[key] = [by_time[0]] if len(by_time) == 1 else [by_time[0], by_time[-1]]
        self.inner = self._within(by_time, config)
        for entity, touched in self.touches.items():
            if len(touched) > TOUCHES:
                self.touches[entity] = _outer(touched)

    def _within(self, by_time: list[Touch], config: FlowConfig) -> list[Evidence]:
        """Evidence for each step: its neighbour, and the last steps before it that touched what it touches."""
        found: list[Evidence] = []
        last: dict[tuple[str, int], Touch] = {}
        for place, mark in enumerate(by_time):
            if place:
                found.append(Evidence(SAME_CLUSTER, by_time[place - 1], mark, ""))
            ends = _ends(self.steps[mark.step])
            for entity, role in ends:
                mine = mark._replace(role=role)
                for other in (SOURCE, TARGET, ITSELF):
                    before = last.get((entity, other))
                    if before is not None:
                        says = strength(before, mine, config.window_s, config.half_life_s)
                        if says:
                            found.append(Evidence(says, before, mine, entity))
            for entity, role in ends:
                last[entity, role] = mark._replace(role=role)
        return found


def between(one: list[Touch], other: list[Touch], entity: str, config: FlowConfig) -> Evidence | None:
    """The best evidence by one entity that a step of one cluster led to a step of the other, whichever came first."""
    if len(one) == len(other) == 1:
        source, target = (one[0], other[0]) if one[0] < other[0] else (other[0], one[0])
        says = strength(source, target, config.window_s, config.half_life_s)
        return Evidence(says, source, target, entity) if says else None
    best: Evidence | None = None
    before: Touch | None = None
    for touch in sorted((*one, *other)):
        if before is not None and before.cluster != touch.cluster:
            says = strength(before, touch, config.window_s, config.half_life_s)
            if says and (best is None or says > best.strength):
                best = Evidence(says, before, touch, entity)
        before = touch
    return best


def _ends(step: Step) -> tuple[tuple[str, int], ...]:
    src, dst = step.src.lower(), step.dst.lower()
    if src == dst:
        return () if src in NOWHERE else ((src, ITSELF),)
    return tuple((entity, role) for entity, role in ((src, SOURCE), (dst, TARGET)) if entity not in NOWHERE)


def _outer(touched: list[Touch]) -> list[Touch]:
    """The first and last touch in each role, of which what comes first or last in time is enough."""
    kept = {touched[0], touched[-1]}
    for role in (SOURCE, TARGET):
        of_role = [touch for touch in touched if touch.role & role]
        if of_role:
            kept |= {of_role[0], of_role[-1]}
    return sorted(kept)
