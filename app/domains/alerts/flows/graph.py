"""Links between clusters that share entities, and the groups of linked clusters.

The links depend only on the clusters that are present, not on the order in which they came. An entity's weight follows
from the number of clusters that have it now, and links are weighed again when it changes; since it changes in steps,
one more cluster seldom costs more than its own links. An entity links a cluster only to its neighbours in time among
the clusters that have the entity.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from app.domains.alerts.flows.causality import Evidence, rarity
from app.domains.alerts.flows.entry import Entry, best_evidence

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.domains.alerts.flows.config import FlowConfig

NEIGHBOURS = 4  # clusters before, and as many after, to which an entity links a cluster; further ones add nothing
_DIGITS = 6  # of a link's probability: more than is meaningful, fewer than depend on the order of multiplication


class Link:
    """Evidence between two clusters.

    Attributes:
        one: The smaller id.
        other: The larger id.
        evidence: By entity, the strongest.
        probability: That at least one piece of evidence holds: 1 - product(1 - rarity * strength).
    """

    __slots__ = ("evidence", "one", "other", "probability")

    def __init__(self, one: int, other: int) -> None:
        """Start without evidence."""
        self.one, self.other = one, other
        self.evidence: dict[str, Evidence] = {}
        self.probability = 0.0

    def rank(self) -> tuple[float, int, int]:
        """Return a sort key: the more probable link first, among equals the one of the smaller ids."""
        return -self.probability, self.one, self.other


class Graph:
    """Clusters and their links.

    Attributes:
        entries: Clusters by id.
        links: By cluster, by neighbour: every link, however weak.
        strong: By cluster, the neighbours in the same flow.
    """

    def __init__(self, config: FlowConfig) -> None:
        """Start empty."""
        self._config = config
        self.entries: dict[int, Entry] = {}
        self.links: dict[int, dict[int, Link]] = {}
        self.strong: dict[int, set[int]] = {}
        self._timelines: dict[str, list[tuple[float, int]]] = {}  # by entity, (start, id) of its clusters, sorted
        self._weights: dict[str, float] = {}
        self._stale: dict[tuple[int, int], Link] = {}

    def rarity(self, entity: str) -> float:
        """Return the present weight of an entity; 0 when it is too common."""
        return self._weights[entity]

    def build(self, entries: Iterable[Entry]) -> None:
        """Add many clusters to an empty graph at once."""
        for entry in entries:
            self._add_node(entry)
            for entity in entry.touches:
                self._timelines.setdefault(entity, []).append((entry.start, entry.id))
        for entity, timeline in self._timelines.items():
            timeline.sort()
            self._weights[entity] = self._weight(len(timeline))
            if len(timeline) <= self._config.common_clusters:
                self._link_all(entity)
        self._weigh_links(set())

    def change(self, removed: Iterable[int], added: Entry | None = None) -> set[int]:
        """Remove clusters and add one, which may have the id of a removed one.

        Returns:
            Present clusters with other strong neighbours than before, and the added one.
        """
        touched: set[int] = set()
        kept: set[str] = set()  # entities in whose timelines the cluster stays where it is
        for cluster in removed:
            entry = self.entries.pop(cluster)
            if added is not None and cluster == added.id and entry.start == added.start:
                kept = entry.touches.keys() & added.touches.keys()
            self._remove_node(entry, kept if added is not None and cluster == added.id else set(), touched)
        if added is not None:
            touched.add(added.id)
            self._add_node(added)
            for entity in added.touches:
                if entity not in kept:
                    self._insert(entity, added)
                elif len(self._timelines[entity]) <= self._config.common_clusters:
                    self._link_neighbours(entity, added)
        self._weigh_links(touched)
        return {cluster for cluster in touched if cluster in self.entries}

    def groups(self, clusters: Iterable[int]) -> list[tuple[int, ...]]:
        """Return the groups of all that is strongly linked to some clusters: sorted ids, within the largest size."""
        found: list[tuple[int, ...]] = []
        seen: set[int] = set()
        for cluster in sorted(clusters):
            if cluster not in seen:
                members = self._connected(cluster)
                seen |= members
                if len(members) <= self._config.most_flow_clusters:
                    found.append(tuple(sorted(members)))
                else:
                    found.extend(self._split(members))
        return found

    def inside(self, group: Iterable[int]) -> list[Link]:
        """Return the strong links within a group, the most probable first."""
        members = set(group)
        found = [
            self.links[cluster][neighbour]
            for cluster in members
            for neighbour in self.strong[cluster]
            if cluster < neighbour and neighbour in members
        ]
        found.sort(key=Link.rank)
        return found

    def _connected(self, start: int) -> set[int]:
        seen = {start}
        waiting = [start]
        while waiting:
            new = self.strong[waiting.pop()] - seen
            seen |= new
            waiting += new
        return seen

    def _split(self, members: set[int]) -> list[tuple[int, ...]]:
        """Group clusters by their strongest links first, as long as no group becomes too large."""
        group_of = {cluster: [cluster] for cluster in members}
        for link in self.inside(members):
            one, other = group_of[link.one], group_of[link.other]
            if one is not other and len(one) + len(other) <= self._config.most_flow_clusters:
                one += other
                for cluster in other:
                    group_of[cluster] = one
        return sorted(tuple(sorted(group)) for group in {id(each): each for each in group_of.values()}.values())

    def _add_node(self, entry: Entry) -> None:
        self.entries[entry.id], self.links[entry.id], self.strong[entry.id] = entry, {}, set()

    def _remove_node(self, entry: Entry, kept: set[str], touched: set[int]) -> None:
        cluster = entry.id
        for neighbour in self.links.pop(cluster):
            del self.links[neighbour][cluster]
        for neighbour in self.strong.pop(cluster):
            self.strong[neighbour].discard(cluster)
            touched.add(neighbour)
        for entity in entry.touches:
            if entity in kept:
                continue
            timeline = self._timelines[entity]
            index = bisect_left(timeline, (entry.start, cluster))
            del timeline[index]
            if not timeline:
                del self._timelines[entity], self._weights[entity]
            elif self._weigh_entity(entity, len(timeline) + 1):
                for first in range(max(index - NEIGHBOURS, 0), index):
                    if first + NEIGHBOURS < len(timeline):  # these have moved up to be neighbours
                        self._link(entity, timeline[first][1], timeline[first + NEIGHBOURS][1])

    def _insert(self, entity: str, entry: Entry) -> None:
        """Insert a cluster into an entity's timeline."""
        timeline = self._timelines.setdefault(entity, [])
        index = bisect_left(timeline, (entry.start, entry.id))
        timeline.insert(index, (entry.start, entry.id))
        if self._weigh_entity(entity, len(timeline) - 1):
            for first in range(max(index - NEIGHBOURS, 0), index):
                if first + NEIGHBOURS + 1 < len(timeline):  # these are no longer neighbours
                    self._unlink(entity, timeline[first][1], timeline[first + NEIGHBOURS + 1][1])
            self._link_neighbours(entity, entry)

    def _link_neighbours(self, entity: str, entry: Entry) -> None:
        timeline = self._timelines[entity]
        index = bisect_left(timeline, (entry.start, entry.id))
        for _, neighbour in timeline[max(index - NEIGHBOURS, 0) : index + NEIGHBOURS + 1]:
            if neighbour != entry.id:
                self._link(entity, entry.id, neighbour)

    def _weigh_entity(self, entity: str, before: int) -> bool:
        """Set an entity's weight by its number of clusters, which was `before`.

        Returns:
            Whether its links are to be updated one by one: it neither became nor ceased to be too common, for which
            all its links are updated here.
        """
        now, common = len(self._timelines[entity]), self._config.common_clusters
        was = self._weights.get(entity)
        weight = self._weights[entity] = self._weight(now)
        if before <= common < now:
            for one, other in self._pairs(entity, NEIGHBOURS + 1):
                self._unlink(entity, one, other)
        elif now <= common < before:
            self._link_all(entity)
        elif was is not None and was != weight:
            for one, other in self._pairs(entity, NEIGHBOURS + 1):
                link = self.links.get(one, {}).get(other)
                if link is not None and entity in link.evidence:
                    self._stale[link.one, link.other] = link
        return now <= common and before <= common

    def _weight(self, clusters: int) -> float:
        return 0.0 if clusters > self._config.common_clusters else rarity(clusters)

    def _pairs(self, entity: str, reach: int) -> list[tuple[int, int]]:
        """Return the pairs of clusters at most `reach` apart in an entity's timeline.

        A reach of `NEIGHBOURS` + 1 includes the pairs that were neighbours before one cluster came between them.
        """
        ids = [cluster for _, cluster in self._timelines[entity]]
        return [(one, other) for index, one in enumerate(ids) for other in ids[index + 1 : index + 1 + reach]]

    def _link_all(self, entity: str) -> None:
        for one, other in self._pairs(entity, NEIGHBOURS):
            self._link(entity, one, other)

    def _link(self, entity: str, one: int, other: int) -> None:
        """Set the evidence by one entity between two clusters that have it."""
        first, second = self.entries.get(one), self.entries.get(other)
        if first is None or second is None:  # one of several that are removed at once
            return
        evidence = best_evidence(first.touches[entity], second.touches[entity], entity, self._config)
        link = self.links[one].get(other)
        if evidence is None:
            self._unlink(entity, one, other)
            return
        if link is None:
            link = self.links[one][other] = self.links[other][one] = Link(min(one, other), max(one, other))
        link.evidence[entity] = evidence
        self._stale[link.one, link.other] = link

    def _unlink(self, entity: str, one: int, other: int) -> None:
        """Drop the evidence by one entity between two clusters."""
        link = self.links.get(one, {}).get(other)
        if link is not None and link.evidence.pop(entity, None) is not None:
            self._stale[link.one, link.other] = link

    def _weigh_links(self, touched: set[int]) -> None:
        """Set the probability of changed links; add both clusters to `touched` where a link becomes strong or weak."""
        weights = self._weights
        for (one, other), link in self._stale.items():
            if self.links.get(one, {}).get(other) is not link:  # one of its clusters was removed
                continue
            unlikely = 1.0
            for entity in sorted(link.evidence) if len(link.evidence) > 1 else link.evidence:
                unlikely *= 1.0 - weights[entity] * link.evidence[entity].strength
            link.probability = round(1.0 - unlikely, _DIGITS)
            if not link.evidence:
                del self.links[one][other], self.links[other][one]
            if (link.probability >= self._config.link_threshold) != (other in self.strong[one]):
                self.strong[one] ^= {other}
                self.strong[other] ^= {one}
                touched |= {one, other}
        self._stale.clear()
