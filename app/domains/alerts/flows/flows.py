"""The attack flows of one tenant, updated one cluster at a time; the package's docstring explains them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from app.domains.alerts.flows.causality import TechniqueOrder, technique_order
from app.domains.alerts.flows.config import FlowConfig
from app.domains.alerts.flows.entry import Entry, pack_flows, unpack_flows
from app.domains.alerts.flows.graph import Graph
from app.domains.alerts.flows.view import draw
from app.domains.alerts.incidents import Flow  # noqa: TC001 - msgspec reads the type of a field

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from app.domains.alerts.attack import AttackTable
    from app.domains.alerts.incidents import ClusterSummary

__all__ = ["FlowChange", "FlowConfig", "Flows", "build_flows"]

_DEFAULT = FlowConfig()
_KEPT_SHARE = 15 / 16  # of `most_clusters`, once it is exceeded: forgetting several at once makes it rare
_DIGITS = 3  # leading binary digits of a count that must change to be news: growth by an eighth to a quarter
_SMALL = 1 << _DIGITS  # below it, every change of a count is news
_TICKS_PER_WINDOW = 16  # how often old clusters are forgotten


class FlowChange(msgspec.Struct, frozen=True):
    """A change of one flow that an analyst wants to see.

    Attributes:
        flow: The flow as it stands.
        opened: Whether there was no flow of this id before.
        merged: Flows that became part of it; an id is used again only if the flow falls apart.
    """

    flow: Flow
    opened: bool
    merged: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Group:
    """Linked clusters.

    Attributes:
        clusters: Their ids, sorted.
        steps: Number of their steps.
        techniques: Techniques of their steps.
    """

    clusters: tuple[int, ...]
    steps: int
    techniques: frozenset[str]

    @property
    def is_flow(self) -> bool:
        """Return whether there are at least two steps to put in order."""
        return len(self.clusters) > 1 or self.steps > 1

    def notified_size(self) -> tuple[object, ...]:
        """Return the sizes whose change is news: so a flow of n steps is news about log(n) times."""
        clusters = len(self.clusters)
        return (
            self.clusters if clusters < _SMALL else _rounded(clusters),
            _rounded(self.steps),
            _rounded(len(self.techniques)),
        )


class Clock:
    """The latest end of a cluster, by which old clusters are forgotten.

    An end further ahead than the window counts only when a second cluster confirms it, so that one wrong clock does
    not make everything else old.

    Attributes:
        now: The latest end that counts.
        ahead: Id and end of a cluster that is too far ahead to count yet.
        horizon: Clusters that ended before it are forgotten; it moves in ticks.
    """

    def __init__(self, window_s: float) -> None:
        """Start before every time."""
        self._window_s = window_s
        self.now = float("-inf")
        self.ahead: tuple[int, float] | None = None
        self.horizon = float("-inf")

    def move(self, cluster: int, end: float, latest: float) -> bool:
        """Note the end of a cluster; return whether the horizon moved.

        Args:
            cluster: Its id.
            end: Its end.
            latest: The latest time that the clock can have.
        """
        if latest < self.now:
            self.now, self.horizon, self.ahead = latest, min(self.horizon, self._horizon(latest)), None
        end = min(end, latest)
        limit = self.now + self._window_s
        if self.now != float("-inf") and end > limit:
            if self.ahead is None or self.ahead[0] == cluster or self.ahead[1] <= limit:
                self.ahead = (cluster, end)
                return False
            end, self.ahead = min(end, self.ahead[1]), None
        if end <= self.now:
            return False
        self.now = end
        horizon = self._horizon(end)
        moved, self.horizon = horizon > self.horizon, max(horizon, self.horizon)
        return moved

    def _horizon(self, now: float) -> float:
        tick = self._window_s / _TICKS_PER_WINDOW
        return now // tick * tick - self._window_s


class Flows:
    """A tenant's flows. A single cluster of one step is no flow."""

    def __init__(self, table: AttackTable, config: FlowConfig = _DEFAULT, order: TechniqueOrder | None = None) -> None:
        """Start without a cluster."""
        self._table, self._config, self._order = table, config, order or technique_order()
        self._graph = Graph(config)
        self._groups: dict[int, _Group] = {}  # by their smallest cluster id, which is the flow's id
        self._group_of: dict[int, int] = {}
        self._clock = Clock(config.window_s)

    def __len__(self) -> int:
        """Return the number of remembered clusters."""
        return len(self._graph.entries)

    def update(self, cluster: ClusterSummary, now: float = math.inf) -> list[FlowChange]:
        """Update the flows with a cluster as it stands: a new one, one that grew, or one that absorbed others.

        Args:
            cluster: The cluster.
            now: The clock of the clusters, beyond which that of the flows does not go.

        Returns:
            Changed flows in order of id: those that opened, took in another flow, or have more clusters, steps or
            techniques. Each of the first eight of these is news, then an increase by at most a quarter. A cluster that
            is unchanged, or that ended before the window, changes nothing. Changes of other flows because old clusters
            are forgotten show with their next update. Of a flow that falls apart, because the entity that joined it has
            become common, the parts that are flows are returned.
        """
        graph = self._graph
        entry = Entry.of(cluster, self._config)
        old = graph.entries.get(entry.id)
        gone = [each for each in cluster.merged if each in graph.entries and each != entry.id]
        if not gone and old is not None and old.is_same(entry):
            return []
        stale = self._clock.move(entry.id, entry.end, now)
        if not entry.steps or entry.end < self._clock.horizon:
            return []
        entry.prepare(self._table, self._order, self._config)
        if old is not None:
            gone.append(old.id)
        before = {self._group_of[each] for each in gone}
        changes = self._regroup(before, graph.change(gone, entry), gone, entry.id)
        if stale:
            self._forget(group for group in self._groups.values() if self._end(group) < self._clock.horizon)
        self._enforce_limit()
        return changes

    def flows(self) -> list[Flow]:
        """Return all flows in order of id."""
        return [self._draw(group) for _, group in sorted(self._groups.items()) if group.is_flow]

    def flow(self, flow_id: int) -> Flow | None:
        """Return one flow, or None if there is none of this id."""
        group = self._groups.get(flow_id)
        return self._draw(group) if group is not None and group.is_flow else None

    def dump(self) -> bytes:
        """Return the state as bytes; equal for the same clusters."""
        return pack_flows(self._clock.now, self._clock.ahead, self._clock.horizon, self._graph.entries)

    @classmethod
    def load(cls, data: bytes, table: AttackTable, config: FlowConfig = _DEFAULT) -> Flows:
        """Return flows as they were dumped.

        Raises:
            UnreadableStateError: The bytes were not written by `dump` of this version.
        """
        flows = cls(table, config)
        stored, entries = unpack_flows(data)
        clock = flows._clock
        clock.now, clock.ahead, clock.horizon = stored.now, stored.ahead, stored.horizon
        for entry in entries:
            entry.prepare(table, flows._order, config)
        flows._graph.build(entries)
        flows._regroup(set(), set(flows._graph.entries), (), None)
        return flows

    def _regroup(
        self, before: set[int], touched: set[int], gone: Iterable[int], updated: int | None
    ) -> list[FlowChange]:
        """Group the clusters with changed links again.

        Args:
            before: Groups that lose a cluster.
            touched: Clusters with changed links.
            gone: Clusters that were removed.
            updated: The cluster that was added in their place; None to return no changes.
        """
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
            if opened or merged or (old is not None and old.notified_size() != group.notified_size()):
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
            self._regroup(before, self._graph.change(gone), gone, None)

    def _enforce_limit(self) -> None:
        """Forget the groups without news for longest when there are too many clusters."""
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
    """Return the flows of clusters: the result of an update with each of them, in order of their ends."""
    flows = Flows(table, config)
    for cluster in sorted(clusters, key=lambda each: (each.end_time, each.cluster_id)):
        flows.update(cluster)
    return flows.flows()


def _rounded(count: int) -> int:
    """Return a count cut to its leading binary digits: 1 to 8, then 10, 12, 14, 16, 20, 24 and so on."""
    small = max(count.bit_length() - _DIGITS, 0)
    return count >> small << small
