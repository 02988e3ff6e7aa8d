"""A group of clusters drawn as an attack flow: steps, edges, and how probable it is that they belong together."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from app.domains.alerts.flows.causality import Evidence, nudged, reason
from app.domains.alerts.incidents import Flow, FlowEdge, FlowNode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.domains.alerts.attack import AttackTable
    from app.domains.alerts.flows.causality import Touch
    from app.domains.alerts.flows.config import FlowConfig
    from app.domains.alerts.flows.graph import Graph, Link

_DIGITS = 4


class _Parent:
    """What says that one step led to another."""

    __slots__ = ("best", "place", "probability", "unlikely")

    def __init__(self, place: int) -> None:
        self.place, self.unlikely, self.probability = place, 1.0, 0.0
        self.best: Evidence | None = None

    def add(self, evidence: Evidence, weight: float) -> None:
        says = evidence.strength * weight
        self.unlikely *= 1.0 - says
        if self.best is None or says > self.probability:
            self.best, self.probability = evidence, says


def draw(group: Sequence[int], graph: Graph, table: AttackTable, config: FlowConfig) -> Flow:
    """The flow of a group.

    An edge always goes from the earlier to the later step, by (start, usual place of its technique, cluster, place in
    the cluster): so there is no cycle.
    """
    entries = sorted((graph.entries[cluster] for cluster in group), key=lambda entry: (entry.start, entry.id))
    links = graph.inside(group)
    marks = sorted(mark for entry in entries for mark in entry.marks)
    if len(marks) > config.most_nodes:
        last = config.most_nodes // 2
        marks = marks[: config.most_nodes - last] + marks[-last:]
    place_of = {(mark.cluster, mark.step): place for place, mark in enumerate(marks)}
    parents = _parents(marks, place_of, graph, links)
    kept = _pruned(marks, parents, config)
    ids = [f"{mark.cluster}-{mark.step}" for mark in marks]
    stages: list[int] = []
    nodes = []
    for place, mark in enumerate(marks):
        step = graph.entries[mark.cluster].steps[mark.step]
        reached = max((stages[parent.place] for parent, _ in kept[place]), default=-1)
        tactic, stage = _tactic(step.technique, reached, table)
        stages.append(stage)
        nodes.append(FlowNode(ids[place], mark.cluster, tactic, step))
    edges = tuple(
        FlowEdge(ids[parent.place], ids[place], probability, reason(parent.best))
        for place, found in enumerate(kept)
        for parent, probability in found
        if parent.best is not None
    )
    return Flow(
        flow_id=min(group),
        cluster_ids=tuple(entry.id for entry in entries),
        cluster_prob=together(group, links),
        nodes=tuple(nodes),
        edges=edges,
        start_time=entries[0].start,
        end_time=max(entry.end for entry in entries),
    )


def together(group: Sequence[int], links: Sequence[Link]) -> float:
    """The geometric mean of the links of the strongest tree that joins a group's clusters; 1 for one cluster."""
    part = {cluster: cluster for cluster in group}
    taken = []
    for link in links:
        one, other = _root(part, link.one), _root(part, link.other)
        if one != other:
            part[other] = one
            taken.append(math.log(link.probability))
    return round(math.exp(math.fsum(taken) / len(taken)), _DIGITS) if taken else 1.0


def _root(part: dict[int, int], cluster: int) -> int:
    while part[cluster] != cluster:
        part[cluster] = cluster = part[part[cluster]]
    return cluster


def _parents(
    marks: Sequence[Touch], place_of: dict[tuple[int, int], int], graph: Graph, links: Sequence[Link]
) -> list[dict[int, _Parent]]:
    found: list[dict[int, _Parent]] = [{} for _ in marks]

    def take(evidence: Evidence, weight: float) -> None:
        source = place_of.get((evidence.source.cluster, evidence.source.step))
        target = place_of.get((evidence.target.cluster, evidence.target.step))
        if source is not None and target is not None and weight:
            of_target = found[target]
            parent = of_target.get(source)
            if parent is None:
                parent = of_target[source] = _Parent(source)
            parent.add(evidence, weight)

    for cluster in dict.fromkeys(mark.cluster for mark in marks):
        for evidence in graph.entries[cluster].inner:
            take(evidence, 1.0)
    for link in links:
        for entity in sorted(link.evidence):
            take(link.evidence[entity], graph.rarity(entity))
    return found


def _pruned(
    marks: Sequence[Touch], parents: Sequence[dict[int, _Parent]], config: FlowConfig
) -> list[list[tuple[_Parent, float]]]:
    """The best parents of each step; one that leads to another of them is left out, unless it is the best."""
    earlier: list[int] = []  # for each step, a bit for each step that leads to it
    kept = []
    for place, found in enumerate(parents):
        rated = [
            (parent, nudged(1.0 - parent.unlikely, marks[parent.place], marks[place], config.tactic_weight))
            for parent in found.values()
        ]
        rated.sort(key=lambda each: (-each[1], -each[0].place))
        rated = rated[: config.parents]
        reached = 0
        for parent, _ in rated:
            reached |= earlier[parent.place]
        mine = [each for rank, each in enumerate(rated) if not rank or not reached >> each[0].place & 1]
        for parent, _ in mine:
            reached |= 1 << parent.place
        earlier.append(reached)
        kept.append(mine)
    return kept


def _tactic(technique: str, reached: int, table: AttackTable) -> tuple[str, int]:
    """Of a technique's tactics, the first that is no step back in the kill chain; else the last one."""
    options = sorted((table.stage_of(tactic), tactic) for tactic in table.tactics_of(technique))
    if not options:
        return "", reached
    stage, tactic = next((each for each in options if each[0] >= reached), options[-1])
    return tactic, max(stage, reached)
