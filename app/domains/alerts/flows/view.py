"""Draw linked steps as a `Flow`: nodes, edges, severity, risk and reasons."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from app.domains.alerts.entities import canonical, label
from app.domains.alerts.flows.causality import Evidence, nudged, reason, strength
from app.domains.alerts.flows.risk import opening, probability, risk_of
from app.domains.alerts.incidents import Flow, FlowEdge, FlowNode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.domains.alerts.aliases import AliasTable
    from app.domains.alerts.attack import AttackTable
    from app.domains.alerts.flows.causality import Touch
    from app.domains.alerts.flows.common import Meetings
    from app.domains.alerts.flows.config import FlowConfig
    from app.domains.alerts.flows.context import Around
    from app.domains.alerts.flows.node import Node

_EARLIER = 3  # steps of an entity that may have led to one: as many as link it
_SHOWN = 3  # entities that are named as what joins a flow
_DIGITS = 2


class _Parent:
    """An earlier step, with the evidence that it led to a later one."""

    __slots__ = ("best", "index", "probability", "unlikely")

    def __init__(self, index: int) -> None:
        self.index, self.unlikely, self.probability = index, 1.0, 0.0
        self.best: Evidence | None = None

    def add(self, evidence: Evidence, weight: float) -> None:
        probability = evidence.strength * weight
        self.unlikely *= 1.0 - probability
        if self.best is None or probability > self.probability:
            self.best, self.probability = evidence, probability


def draw(  # noqa: PLR0917 - all that a flow is drawn from
    linked: Sequence[Node],
    around: Around,
    meetings: Meetings,
    aliases: AliasTable,
    table: AttackTable,
    config: FlowConfig,
) -> Flow:
    """Return the flow of linked steps, and of those around them that belong to it.

    Every edge goes from the earlier to the later step by (start, usual position of its technique, number), so there is
    no cycle.
    """
    nodes = sorted((*linked, *around.joined), key=lambda each: each.sort_key)
    parents = _parents(nodes, meetings, config)
    kept = _pruned([node.touches[f"cluster {node.cluster}"] for node in nodes], parents, config)
    ids = [f"{node.cluster}-{node.number}" for node in nodes]
    stages: list[int] = []
    drawn = []
    for index, node in enumerate(nodes):
        reached = max((stages[parent.index] for parent, _ in kept[index]), default=-1)
        tactic, stage = _tactic(node.step.technique, reached, table)
        stages.append(stage)
        drawn.append(FlowNode(ids[index], node.cluster, tactic, node.step))
    edges = tuple(
        FlowEdge(ids[parent.index], ids[index], probability, reason(parent.best))
        for index, found in enumerate(kept)
        for parent, probability in found
        if parent.best is not None
    )
    clusters = sorted({node.cluster: node for node in reversed(nodes)}.values(), key=lambda node: node.sort_key)
    return Flow(
        flow_id=min(node.number for node in linked),
        cluster_ids=tuple(node.cluster for node in clusters),
        cluster_prob=probability(linked),
        nodes=tuple(drawn),
        edges=edges,
        start_time=min(node.step.start_time for node in nodes),
        end_time=max(node.step.end_time for node in nodes),
        severity=max(node.severity for node in nodes),
        risk=round(risk_of(linked), _DIGITS),
        alerts=sum(node.step.alerts for node in nodes),
        context=around.alerts,
        reasons=(*_reasons(linked, around, parents, table, config), *_renamed(nodes, aliases)),
    )


def _reasons(
    linked: Sequence[Node],
    around: Around,
    parents: Sequence[dict[int, _Parent]],
    table: AttackTable,
    config: FlowConfig,
) -> tuple[str, ...]:
    """Return in words what opened a flow, what joins its steps, and what is not part of it."""
    found = [f"opened: {opening(linked, table, config)}"]
    joins = Counter(parent.best.entity for of_step in parents for parent in of_step.values() if parent.best is not None)
    named = [
        f"{label(entity)} ({count})" for entity, count in sorted(joins.items(), key=lambda each: (-each[1], each[0]))
    ]
    if named:
        found.append(f"joined by {', '.join(named[:_SHOWN])}{' and others' if len(named) > _SHOWN else ''}")
    if around.joined:
        found.append(f"{len(around.joined)} steps that link nothing belong to it: elsewhere their types are rare")
    if around.alerts:
        found.append(
            f"{around.alerts} alerts of types that come elsewhere, too, were at its machines: they are its context"
        )
    return tuple(found)


def _renamed(nodes: Sequence[Node], aliases: AliasTable) -> list[str]:
    """Return in words which names of machines in a flow are others' aliases."""
    found: dict[str, None] = {}
    for node in nodes:
        for entity, key in ((canonical(node.step.src), node.src), (canonical(node.step.dst), node.dst)):
            if entity != key:
                found[aliases.reason(entity, key, node.step.start_time)] = None
    found.pop("", None)
    return sorted(found)[:_SHOWN]


def _parents(nodes: Sequence[Node], meetings: Meetings, config: FlowConfig) -> list[dict[int, _Parent]]:
    """Return for each step, in order of time, the earlier ones that share an entity."""
    found: list[dict[int, _Parent]] = [{} for _ in nodes]
    latest: dict[str, list[tuple[int, Touch]]] = {}
    for index, node in enumerate(nodes):
        for entity, touch in node.touches.items():
            earlier = latest.setdefault(entity, [])
            for other, before in earlier[-_EARLIER:]:
                value = strength(before, touch, config.window_s, config.half_life_s)
                evidence = Evidence(value, before, touch, entity)
                if value:
                    parent = found[index].get(other)
                    if parent is None:
                        parent = found[index][other] = _Parent(other)
                    parent.add(evidence, meetings.weight_of(evidence))
            earlier.append((index, touch))
    return found


def _pruned(
    marks: Sequence[Touch], parents: Sequence[dict[int, _Parent]], config: FlowConfig
) -> list[list[tuple[_Parent, float]]]:
    """Return the best parents of each step, without those that already lead to a better one."""
    ancestors: list[int] = []  # for each step, a bit for each step that leads to it
    kept = []
    for index, found in enumerate(parents):
        rated = [
            (parent, nudged(1.0 - parent.unlikely, marks[parent.index], marks[index], config.tactic_weight))
            for parent in found.values()
        ]
        rated.sort(key=lambda each: (-each[1], -each[0].index))
        rated = rated[: config.parents]
        reached = 0
        for parent, _ in rated:
            reached |= ancestors[parent.index]
        mine = [each for rank, each in enumerate(rated) if not rank or not reached >> each[0].index & 1]
        for parent, _ in mine:
            reached |= 1 << parent.index
        ancestors.append(reached)
        kept.append(mine)
    return kept


def _tactic(technique: str, reached: int, table: AttackTable) -> tuple[str, int]:
    """Return a technique's first tactic that is no step back in the kill chain, else its last, and its stage."""
    options = sorted((table.stage_of(tactic), tactic) for tactic in table.tactics_of(technique))
    if not options:
        return "", reached
    stage, tactic = next((each for each in options if each[0] >= reached), options[-1])
    return tactic, max(stage, reached)
