"""Clusters that are linked by what they share, and the groups that come of it: a function of the clusters alone.

Whatever order clusters come in, the same ones give the same links: an entity's weight follows from how many clusters
have it now, and links are weighed again when it changes. It does so in steps, so that a cluster more seldom costs
more than its own links. An entity links a cluster only to the nearest ones in time that have it too.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from app.domains.alerts.flows.causality import Evidence, rarity
from app.domains.alerts.flows.entry import Entry, between

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.domains.alerts.flows.config import FlowConfig

MATES = 4  # clusters before, and as many after, to which an entity links a cluster; behind them it says nothing more
_DIGITS = 6  # of a link's probability: far more than it is worth, and no trace of the order of multiplication


class Link:
    """Two clusters that share something.

    Attributes:
        one: The smaller id.
        other: The larger id.
        evidence: By entity, the best of it.
        probability: That the two are of one flow: by at least one of the entities.
    """

    __slots__ = ("evidence", "one", "other", "probability")

    def __init__(self, one: int, other: int) -> None:
        """Starts without evidence."""
        self.one, self.other = one, other
        self.evidence: dict[str, Evidence] = {}
        self.probability = 0.0

    def rank(self) -> tuple[float, int, int]:
        """The more probable link first; of equals, that of the smaller ids."""
        return -self.probability, self.one, self.other


class Graph:
    """Clusters and their links.

    Attributes:
        entries: Clusters by id.
        links: By cluster, by neighbour: whatever they share, however little.
        strong: By cluster, the neighbours that are of one flow with it.
    """

    def __init__(self, config: FlowConfig) -> None:
        """Starts empty."""
        self._config = config
        self.entries: dict[int, Entry] = {}
        self.links: dict[int, dict[int, Link]] = {}
        self.strong: dict[int, set[int]] = {}
        self._having: dict[str, list[tuple[float, int]]] = {}  # the line of an entity: its clusters by their start
        self._weights: dict[str, float] = {}
        self._stale: dict[tuple[int, int], Link] = {}

    def rarity(self, entity: str) -> float:
        """What an entity counts now; nothing when it is too common."""
        return self._weights[entity]

    def build(self, entries: Iterable[Entry]) -> None:
        """Takes many clusters into an empty graph at once."""
        for entry in entries:
            self._enter(entry)
            for entity in entry.touches:
                self._having.setdefault(entity, []).append((entry.start, entry.id))
        for entity, having in self._having.items():
            having.sort()
            self._weights[entity] = self._weight(len(having))
            if len(having) <= self._config.common_clusters:
                self._find(entity)
        self._settle(set())

    def change(self, removed: Iterable[int], added: Entry | None = None) -> set[int]:
        """Takes clusters out and puts one in, which may have the id of one of them.

        Returns:
            Clusters that are there and have other strong neighbours than before, and the one that was added.
        """
        touched: set[int] = set()
        kept: set[str] = set()  # entities in whose line the cluster stays where it is
        for cluster in removed:
            entry = self.entries.pop(cluster)
            if added is not None and cluster == added.id and entry.start == added.start:
                kept = entry.touches.keys() & added.touches.keys()
            self._leave(entry, kept if added is not None and cluster == added.id else set(), touched)
        if added is not None:
            touched.add(added.id)
            self._enter(added)
            for entity in added.touches:
                if entity not in kept:
                    self._line_up(entity, added)
                elif len(self._having[entity]) <= self._config.common_clusters:
                    self._join_around(entity, added)
        self._settle(touched)
        return {cluster for cluster in touched if cluster in self.entries}

    def groups(self, clusters: Iterable[int]) -> list[tuple[int, ...]]:
        """The groups of everything that is linked to the given clusters, each by id; none is larger than allowed."""
        found: list[tuple[int, ...]] = []
        seen: set[int] = set()
        for cluster in sorted(clusters):
            if cluster not in seen:
                members = self._linked(cluster)
                seen |= members
                if len(members) <= self._config.most_flow_clusters:
                    found.append(tuple(sorted(members)))
                else:
                    found.extend(self._cut(members))
        return found

    def inside(self, group: Iterable[int]) -> list[Link]:
        """The links within a group that hold it together, the strongest first."""
        members = set(group)
        found = [
            self.links[cluster][neighbour]
            for cluster in members
            for neighbour in self.strong[cluster]
            if cluster < neighbour and neighbour in members
        ]
        found.sort(key=Link.rank)
        return found

    def _linked(self, start: int) -> set[int]:
        seen = {start}
        waiting = [start]
        while waiting:
            new = self.strong[waiting.pop()] - seen
            seen |= new
            waiting += new
        return seen

    def _cut(self, members: set[int]) -> list[tuple[int, ...]]:
        """Joins by the strongest links first, unless a group would become too large."""
        group_of = {cluster: [cluster] for cluster in members}
        for link in self.inside(members):
            one, other = group_of[link.one], group_of[link.other]
            if one is not other and len(one) + len(other) <= self._config.most_flow_clusters:
                one += other
                for cluster in other:
                    group_of[cluster] = one
        return sorted(tuple(sorted(group)) for group in {id(each): each for each in group_of.values()}.values())

    def _enter(self, entry: Entry) -> None:
        self.entries[entry.id], self.links[entry.id], self.strong[entry.id] = entry, {}, set()

    def _leave(self, entry: Entry, kept: set[str], touched: set[int]) -> None:
        cluster = entry.id
        for neighbour in self.links.pop(cluster):
            del self.links[neighbour][cluster]
        for neighbour in self.strong.pop(cluster):
            self.strong[neighbour].discard(cluster)
            touched.add(neighbour)
        for entity in entry.touches:
            if entity in kept:
                continue
            having = self._having[entity]
            place = bisect_left(having, (entry.start, cluster))
            del having[place]
            if not having:
                del self._having[entity], self._weights[entity]
            elif self._counted(entity, len(having) + 1):
                for first in range(max(place - MATES, 0), place):
                    if first + MATES < len(having):  # these have moved up to be mates
                        self._join(entity, having[first][1], having[first + MATES][1])

    def _line_up(self, entity: str, entry: Entry) -> None:
        having = self._having.setdefault(entity, [])
        place = bisect_left(having, (entry.start, entry.id))
        having.insert(place, (entry.start, entry.id))
        if self._counted(entity, len(having) - 1):
            for first in range(max(place - MATES, 0), place):
                if first + MATES + 1 < len(having):  # these are mates no longer
                    self._part(entity, having[first][1], having[first + MATES + 1][1])
            self._join_around(entity, entry)

    def _join_around(self, entity: str, entry: Entry) -> None:
        having = self._having[entity]
        place = bisect_left(having, (entry.start, entry.id))
        for _, mate in having[max(place - MATES, 0) : place + MATES + 1]:
            if mate != entry.id:
                self._join(entity, entry.id, mate)

    def _counted(self, entity: str, before: int) -> bool:
        """Weighs an entity by how many have it now; whether its line is to be looked at cluster by cluster."""
        now, common = len(self._having[entity]), self._config.common_clusters
        was = self._weights.get(entity)
        weight = self._weights[entity] = self._weight(now)
        if before <= common < now:
            for one, other in self._pairs(entity, before_last=True):
                self._part(entity, one, other)
        elif now <= common < before:
            self._find(entity)
        elif was is not None and was != weight:
            for one, other in self._pairs(entity, before_last=True):
                link = self.links.get(one, {}).get(other)
                if link is not None and entity in link.evidence:
                    self._stale[link.one, link.other] = link
        return now <= common and before <= common

    def _weight(self, clusters: int) -> float:
        return 0.0 if clusters > self._config.common_clusters else rarity(clusters)

    def _pairs(self, entity: str, *, before_last: bool = False) -> list[tuple[int, int]]:
        """Mates in an entity's line; also those one further apart, which were mates before one came between."""
        line = [cluster for _, cluster in self._having[entity]]
        reach = MATES + 1 if before_last else MATES
        return [(one, other) for place, one in enumerate(line) for other in line[place + 1 : place + 1 + reach]]

    def _find(self, entity: str) -> None:
        """Links by an entity that is not too common, or no longer."""
        for one, other in self._pairs(entity):
            self._join(entity, one, other)

    def _join(self, entity: str, one: int, other: int) -> None:
        """Finds what one entity says of two clusters that have it."""
        first, second = self.entries.get(one), self.entries.get(other)
        if first is None or second is None:  # one of several that leave at once
            return
        evidence = between(first.touches[entity], second.touches[entity], entity, self._config)
        link = self.links[one].get(other)
        if evidence is None:
            self._part(entity, one, other)
            return
        if link is None:
            link = self.links[one][other] = self.links[other][one] = Link(min(one, other), max(one, other))
        link.evidence[entity] = evidence
        self._stale[link.one, link.other] = link

    def _part(self, entity: str, one: int, other: int) -> None:
        """Drops what one entity says of two clusters."""
        link = self.links.get(one, {}).get(other)
        if link is not None and link.evidence.pop(entity, None) is not None:
            self._stale[link.one, link.other] = link

    def _settle(self, touched: set[int]) -> None:
        """Works out the probability of links that changed; notes both ends when that makes or breaks a belonging."""
        weights = self._weights
        for (one, other), link in self._stale.items():
            if self.links.get(one, {}).get(other) is not link:  # a cluster of it has left
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
