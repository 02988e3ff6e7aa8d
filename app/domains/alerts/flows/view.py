"""Draw a group of clusters as a `Flow`: nodes, edges, and the probability that the clusters belong together."""

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


def draw(group: Sequence[int], graph: Graph, table: AttackTable, config: FlowConfig) -> Flow:
    """Return the flow of a group.

    Every edge goes from the earlier to the later step by (start, usual position of its technique, cluster, index in the
    cluster), so there is no cycle.
    """
    entries = sorted((graph.entries[cluster] for cluster in group), key=lambda entry: (entry.start, entry.id))
    links = graph.inside(group)
    marks = sorted(mark for entry in entries for mark in entry.marks)
    if len(marks) > config.most_nodes:
        last = config.most_nodes // 2
        marks = marks[: config.most_nodes - last] + marks[-last:]
    index_of = {(mark.cluster, mark.step): index for index, mark in enumerate(marks)}
    parents = _parents(marks, index_of, graph, links)
    kept = _pruned(marks, parents, config)
    ids = [f"{mark.cluster}-{mark.step}" for mark in marks]
    stages: list[int] = []
    nodes = []
    for index, mark in enumerate(marks):
        step = graph.entries[mark.cluster].steps[mark.step]
        reached = max((stages[parent.index] for parent, _ in kept[index]), default=-1)
        tactic, stage = _tactic(step.technique, reached, table)
        stages.append(stage)
        nodes.append(FlowNode(ids[index], mark.cluster, tactic, step))
    edges = tuple(
        FlowEdge(ids[parent.index], ids[index], probability, reason(parent.best))
        for index, found in enumerate(kept)
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
    """Return the geometric mean of the links in the maximum spanning tree of a group; 1 for one cluster."""
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
    marks: Sequence[Touch], index_of: dict[tuple[int, int], int], graph: Graph, links: Sequence[Link]
) -> list[dict[int, _Parent]]:
    found: list[dict[int, _Parent]] = [{} for _ in marks]

    def take(evidence: Evidence, weight: float) -> None:
        source = index_of.get((evidence.source.cluster, evidence.source.step))
        target = index_of.get((evidence.target.cluster, evidence.target.step))
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
