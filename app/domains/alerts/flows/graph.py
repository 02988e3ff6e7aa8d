"""Links between steps that share entities, and the groups of linked steps.

The links depend only on the steps that are present, not on the order in which they came. An entity's weight follows
from how many different others meet at it; links are weighed again when it changes, and since it changes in steps, one
more step seldom costs more than its own links. An entity links a step only to its neighbours in time among the steps
that have the entity.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from app.domains.alerts.flows.causality import Evidence, strength

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.domains.alerts.flows.common import Meetings
    from app.domains.alerts.flows.config import FlowConfig
    from app.domains.alerts.flows.node import Node

NEIGHBOURS = 3  # steps before, and as many after, to which an entity links a step: enough for each role
_DIGITS = 6  # of a link's probability: more than is meaningful, fewer than depend on the order of multiplication


class Link:
    """Evidence between two steps.

    Attributes:
        one: The smaller number.
        other: The larger number.
        evidence: By entity.
        probability: That at least one piece of evidence holds: 1 - product(1 - weight * strength).
    """

    __slots__ = ("evidence", "one", "other", "probability")

    def __init__(self, one: int, other: int) -> None:
        """Start without evidence."""
        self.one, self.other = one, other
        self.evidence: dict[str, Evidence] = {}
        self.probability = 0.0

    def rank(self) -> tuple[float, int, int]:
        """Return a sort key: the more probable link first, among equals the one of the smaller numbers."""
        return -self.probability, self.one, self.other


class Graph:
    """Steps and their links.

    Attributes:
        nodes: Steps by number.
        links: By step, by neighbour: every link, however weak.
        strong: By step, the neighbours in the same flow.
    """

    def __init__(self, config: FlowConfig, meetings: Meetings) -> None:
        """Start empty; entities weigh as `meetings` has it."""
        self._config, self._meetings = config, meetings
        self.nodes: dict[int, Node] = {}
        self.links: dict[int, dict[int, Link]] = {}
        self.strong: dict[int, set[int]] = {}
        self._timelines: dict[str, list[tuple[float, int]]] = {}  # by entity, (start, number) of its steps, sorted
        self._stale: dict[tuple[int, int], Link] = {}

    def change(self, removed: Iterable[int], added: Iterable[Node], weighed: Iterable[str]) -> set[int]:
        """Remove steps, then add others, which may have the numbers of removed ones.

        Args:
            removed: Numbers of steps.
            added: Steps.
            weighed: Entities whose weight has changed.

        Returns:
            Present steps with other strong neighbours than before, and the added ones.
        """
        touched: set[int] = set()
        for number in removed:
            self._remove(self.nodes.pop(number), touched)
        for node in added:
            touched.add(node.number)
            self._add(node)
        for entity in weighed:
            self._reweigh(entity)
        self._weigh_links(touched)
        return {number for number in touched if number in self.nodes}

    def groups(self, numbers: Iterable[int]) -> list[tuple[int, ...]]:
        """Return the groups of all that is strongly linked to some steps: sorted numbers, within the largest size."""
        found: list[tuple[int, ...]] = []
        seen: set[int] = set()
        for number in sorted(numbers):
            if number not in seen:
                members = self._connected(number)
                seen |= members
                if len(members) <= self._config.most_flow_steps:
                    found.append(tuple(sorted(members)))
                else:
                    found.extend(self._split(members))
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
        """Group steps in order of time: each joins the group of its strongest earlier neighbour that has room.

        A later step changes no group but its own, so that a large incident is news a few times and not with each alert.
        """
        group_of: dict[int, list[int]] = {}
        for number in sorted(members, key=lambda each: (self.nodes[each].step.start_time, each)):
            links = [self.links[number][each] for each in self.strong[number] if each in group_of]
            near = (group_of[link.other if link.one == number else link.one] for link in sorted(links, key=Link.rank))
            group = next((each for each in near if len(each) < self._config.most_flow_steps), [])
            group.append(number)
            group_of[number] = group
        return sorted(tuple(sorted(group)) for group in {id(each): each for each in group_of.values()}.values())

    def _add(self, node: Node) -> None:
        self.nodes[node.number], self.links[node.number], self.strong[node.number] = node, {}, set()
        key = (node.step.start_time, node.number)
        for entity in node.touches:
            steps = self._timelines.setdefault(entity, [])
            index = bisect_left(steps, key)
            steps.insert(index, key)
            for first in range(max(index - NEIGHBOURS, 0), index):
                if first + NEIGHBOURS + 1 < len(steps):  # these are no longer neighbours
                    self._unlink(entity, steps[first][1], steps[first + NEIGHBOURS + 1][1])
            for _, neighbour in steps[max(index - NEIGHBOURS, 0) : index + NEIGHBOURS + 1]:
                if neighbour != node.number:
                    self._link(entity, node.number, neighbour)

    def _remove(self, node: Node, touched: set[int]) -> None:
        number = node.number
        for neighbour in self.links.pop(number):
            del self.links[neighbour][number]
        for neighbour in self.strong.pop(number):
            self.strong[neighbour].discard(number)
            touched.add(neighbour)
        for entity in node.touches:
            steps = self._timelines[entity]
            index = bisect_left(steps, (node.step.start_time, number))
            del steps[index]
            if not steps:
                del self._timelines[entity]
                continue
            for first in range(max(index - NEIGHBOURS, 0), index):
                if first + NEIGHBOURS < len(steps):  # these have moved up to be neighbours
                    self._link(entity, steps[first][1], steps[first + NEIGHBOURS][1])

    def _reweigh(self, entity: str) -> None:
        """Mark all links by an entity as to be weighed again."""
        for _, number in self._timelines.get(entity, ()):
            for link in self.links.get(number, {}).values():
                if entity in link.evidence:
                    self._stale[link.one, link.other] = link

    def _link(self, entity: str, one: int, other: int) -> None:
        """Set the evidence by one entity between two steps that have it."""
        first, second = self.nodes.get(one), self.nodes.get(other)
        if first is None or second is None:  # one of several that are removed at once
            return
        source, target = sorted((first.touches[entity], second.touches[entity]))
        value = strength(source, target, self._config.window_s, self._config.half_life_s)
        if not value:
            return
        link = self.links[one].get(other)
        if link is None:
            link = self.links[one][other] = self.links[other][one] = Link(min(one, other), max(one, other))
        link.evidence[entity] = Evidence(value, source, target, entity)
        self._stale[link.one, link.other] = link

    def _unlink(self, entity: str, one: int, other: int) -> None:
        """Drop the evidence by one entity between two steps."""
        link = self.links.get(one, {}).get(other)
        if link is not None and link.evidence.pop(entity, None) is not None:
            self._stale[link.one, link.other] = link

    def _weigh_links(self, touched: set[int]) -> None:
        """Set the probability of changed links; add both steps to `touched` where a link becomes strong or weak."""
        weight = self._meetings.weight_of
        for (one, other), link in self._stale.items():
            if self.links.get(one, {}).get(other) is not link:  # one of its steps was removed
                continue
            unlikely = 1.0
            for entity in sorted(link.evidence) if len(link.evidence) > 1 else link.evidence:
                unlikely *= 1.0 - weight(link.evidence[entity]) * link.evidence[entity].strength
            link.probability = round(1.0 - unlikely, _DIGITS)
            if not link.evidence:
                del self.links[one][other], self.links[other][one]
            if (link.probability >= self._config.link_threshold) != (other in self.strong[one]):
                self.strong[one] ^= {other}
                self.strong[other] ^= {one}
                touched |= {one, other}
        self._stale.clear()
