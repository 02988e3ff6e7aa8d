"""Attack flows: the clusters of a tenant in the order of cause, kept up to date a cluster at a time.

Time order and shared entities carry causality. The usual order of tactics breaks ties between steps of the same time
and nudges probabilities, no more: alone, it tells two pairs in three (`model/flow/README.md`).

Flows follow from the clusters that are remembered and from nothing else: not from the order in which they came, nor
from how often each was told of. What is forgotten, and when, follows from the sequence of updates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from app.domains.alerts.flows.config import FlowConfig
from app.domains.alerts.flows.entry import Entry
from app.domains.alerts.flows.graph import Graph
from app.domains.alerts.flows.order import TechniqueOrder, technique_order
from app.domains.alerts.flows.state import Clock, dump_state, load_state
from app.domains.alerts.flows.view import draw
from app.domains.alerts.incidents import Flow  # noqa: TC001 - msgspec reads the type of a field

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from app.domains.alerts.attack import AttackTable
    from app.domains.alerts.incidents import ClusterSummary

__all__ = ["FlowChange", "FlowConfig", "Flows", "build_flows"]

_DEFAULT = FlowConfig()

_KEPT_SHARE = 15 / 16  # of the clusters that are allowed, after too many made the oldest go: so that it is rare
_DIGITS = 3  # binary ones of a count that must differ to be told of: it grew by an eighth to a quarter
_FEW = 1 << _DIGITS  # of fewer each is told of


class FlowChange(msgspec.Struct, frozen=True):
    """What an update did to one flow that a person who watches it would want to know.

    Attributes:
        flow: As it stands.
        opened: Whether there was no flow of this id before.
        merged: Flows that became part of it; their ids are used again only if it falls apart.
    """

    flow: Flow
    opened: bool
    merged: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Group:
    """Clusters that belong together, by id.

    Attributes:
        clusters: Their ids, sorted.
        steps: How many steps they have.
        techniques: Of their steps.
    """

    clusters: tuple[int, ...]
    steps: int
    techniques: frozenset[str]

    @property
    def is_flow(self) -> bool:
        """Whether there is anything to put in order."""
        return len(self.clusters) > 1 or self.steps > 1

    def told(self) -> tuple[object, ...]:
        """What makes it worth telling of again when it is another: a flow of n steps is told of some log(n) times."""
        clusters = len(self.clusters)
        return (
            self.clusters if clusters < _FEW else _rounded(clusters),
            _rounded(self.steps),
            _rounded(len(self.techniques)),
        )


class Flows:
    """A tenant's flows. A cluster of one step that is linked to no other is none."""

    def __init__(self, table: AttackTable, config: FlowConfig = _DEFAULT, order: TechniqueOrder | None = None) -> None:
        """Starts without a cluster."""
        self._table, self._config, self._order = table, config, order or technique_order()
        self._graph = Graph(config)
        self._groups: dict[int, _Group] = {}
        self._group_of: dict[int, int] = {}
        self._clock = Clock(config.window_s)

    def __len__(self) -> int:
        """How many clusters are remembered."""
        return len(self._graph.entries)

    def update(self, cluster: ClusterSummary) -> list[FlowChange]:
        """A cluster as it stands now: a new one, one that grew, or one that others became part of.

        Returns:
            The flows of which there is news, by id: those that opened, took in another flow, or have more clusters,
            steps or techniques: each of the first eight is news, and then some more, at most a quarter. None for a
            cluster that says what is known, or that ended before the window. What changes in others because old
            clusters are forgotten shows with their next update. A flow that falls apart, because what joined it has
            become common, is told of as far as its parts are flows.
        """
        graph = self._graph
        entry = Entry.of(cluster, self._config)
        old = graph.entries.get(entry.id)
        gone = [each for each in cluster.merged if each in graph.entries and each != entry.id]
        if not gone and _says_the_same(old, entry):
            return []
        stale = self._clock.move(entry.id, entry.end)
        if not entry.steps or entry.end < self._clock.horizon:
            return []
        entry.prepare(self._table, self._order, self._config)
        if old is not None:
            gone.append(old.id)
        before = {self._group_of[each] for each in gone}
        changes = self._settle(before, graph.change(gone, entry), gone, entry.id)
        if stale:
            self._forget(group for group in self._groups.values() if self._end(group) < self._clock.horizon)
        self._bound()
        return changes

    def flows(self) -> list[Flow]:
        """All flows, by id."""
        return [self._draw(group) for _, group in sorted(self._groups.items()) if group.is_flow]

    def flow(self, flow_id: int) -> Flow | None:
        """One flow, or None where there is none of this id."""
        group = self._groups.get(flow_id)
        return self._draw(group) if group is not None and group.is_flow else None

    def dump(self) -> bytes:
        """The state as bytes: the same for the same clusters."""
        return dump_state(self._clock, self._graph.entries)

    @classmethod
    def load(cls, data: bytes, table: AttackTable, config: FlowConfig = _DEFAULT) -> Flows:
        """The state as it was dumped.

        Raises:
            CloudError: The bytes are not a state that this version wrote.
        """
        flows = cls(table, config)
        entries = load_state(data, flows._clock)
        for entry in entries:
            entry.prepare(table, flows._order, config)
        flows._graph.build(entries)
        flows._settle(set(), set(flows._graph.entries), (), None)
        return flows

    def _settle(
        self, before: set[int], touched: set[int], gone: Iterable[int], updated: int | None
    ) -> list[FlowChange]:
        """Works out the groups of clusters whose links changed, and what that means for flows."""
        groups = self._graph.groups(touched)
        before |= {self._group_of[each] for group in groups for each in group if each in self._group_of}
        was = {group: self._groups.pop(group) for group in before}
        became = dict.fromkeys(gone, updated)
        for cluster in gone:
            self._group_of.pop(cluster, None)
        changes = []
        for clusters in groups:
            self._groups[clusters[0]] = self._group(clusters)
            for each in clusters:
                self._group_of[each] = clusters[0]
        for clusters in groups if updated is not None else ():
            group, old = self._groups[clusters[0]], was.get(clusters[0])
            if not group.is_flow:
                continue
            merged = tuple(
                sorted(
                    flow
                    for flow, former in was.items()
                    if former.is_flow
                    and flow not in self._groups
                    and self._group_of.get(became.get(flow, flow) or flow) == clusters[0]
                )
            )
            opened = old is None or not old.is_flow
            if opened or merged or (old is not None and old.told() != group.told()):
                changes.append(FlowChange(self._draw(group), opened, merged))
        return changes

    def _group(self, clusters: tuple[int, ...]) -> _Group:
        entries = [self._graph.entries[cluster] for cluster in clusters]
        return _Group(
            clusters,
            sum(len(entry.steps) for entry in entries),
            frozenset().union(*(entry.techniques for entry in entries)),
        )

    def _forget(self, groups: Iterable[_Group]) -> None:
        gone = [cluster for group in groups for cluster in group.clusters]
        if gone:
            before = {self._group_of[each] for each in gone}
            self._settle(before, self._graph.change(gone), gone, None)

    def _bound(self) -> None:
        """Forgets the groups that had nothing new for longest when there are too many clusters."""
        most = self._config.most_clusters
        left = len(self._graph.entries)
        if left > most:
            oldest = []
            for group in sorted(self._groups.values(), key=lambda each: (self._end(each), each.clusters)):
                if left <= most * _KEPT_SHARE:
                    break
                oldest.append(group)
                left -= len(group.clusters)
            self._forget(oldest)

    def _end(self, group: _Group) -> float:
        entries = self._graph.entries
        return max(entries[cluster].end for cluster in group.clusters)

    def _draw(self, group: _Group) -> Flow:
        return draw(group.clusters, self._graph, self._table, self._config)


def build_flows(clusters: Sequence[ClusterSummary], table: AttackTable, config: FlowConfig = _DEFAULT) -> list[Flow]:
    """The flows of clusters: what updating with one after the other, by their end, comes to."""
    flows = Flows(table, config)
    for cluster in sorted(clusters, key=lambda each: (each.end_time, each.cluster_id)):
        flows.update(cluster)
    return flows.flows()


def _rounded(count: int) -> int:
    """A count by its leading binary digits: 1 to 8 each, then 10, 12, 14, 16, 20, 24 and so on."""
    small = max(count.bit_length() - _DIGITS, 0)
    return count >> small << small


def _says_the_same(old: Entry | None, new: Entry) -> bool:
    return old is not None and (old.start, old.end, old.steps, old.mentioned) == (
        new.start,
        new.end,
        new.steps,
        new.mentioned,
    )
