"""Learn what is common to unrelated alerts: types that come everywhere, and types that come again and again."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, TypeVar

from app.domains.alerts.flows.causality import CLUSTER, PROBED, weight_of
from app.domains.alerts.flows.node import is_inside

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.domains.alerts.flows.causality import Evidence
    from app.domains.alerts.flows.config import FlowConfig
    from app.domains.alerts.flows.node import Node


_Key = TypeVar("_Key", str, int)


def tally(counter: Counter[_Key], keys: Iterable[_Key], change: int) -> None:
    """Change the count of keys; one whose count is 0 is removed."""
    for key in keys:
        counter[key] += change
        if not counter[key]:
            del counter[key]


class Spread:
    """At how many places, and at how many different times, alerts came.

    Of a burst at many places at one time, as of an outbreak, and of a single busy place, only one is counted.
    """

    __slots__ = ("dsts", "slots", "srcs")

    def __init__(self, nodes: Iterable[Node] = ()) -> None:
        """Count the places and times of steps."""
        self.srcs: Counter[str] = Counter()
        self.dsts: Counter[str] = Counter()
        self.slots: Counter[int] = Counter()
        for each in nodes:
            self.count(each, 1)

    def count(self, node: Node, change: int) -> None:
        """Add a step (1) or remove it (-1)."""
        tally(self.srcs, (node.src,), change)
        tally(self.dsts, (node.dst,), change)
        tally(self.slots, node.slots, change)

    def __int__(self) -> int:
        """Return the smaller of the number of places and the number of times."""
        return min(max(len(self.srcs), len(self.dsts)), len(self.slots))


class Types:
    """The steps of each type, and which of them are frequent."""

    def __init__(self, config: FlowConfig) -> None:
        """Start without a step."""
        self._config = config
        self.nodes: dict[str, dict[int, Node]] = {}
        self._spread: dict[str, Spread] = {}
        self._hours: dict[tuple[str, str], Counter[int]] = {}

    def change(self, node: Node, change: int) -> None:
        """Add a step (1) or remove it (-1)."""
        text = node.text
        nodes = self.nodes.setdefault(text, {})
        self._spread.setdefault(text, Spread()).count(node, change)
        hours = self._hours.setdefault((text, node.dst or node.src), Counter())
        tally(hours, node.hours, change)
        if not hours:
            del self._hours[text, node.dst or node.src]
        if change > 0:
            nodes[node.number] = node
            return
        del nodes[node.number]
        if not nodes:
            del self.nodes[text], self._spread[text]

    def is_common(self, text: str) -> bool:
        """Return whether a type comes at many places at many times."""
        spread = self._spread.get(text)
        if spread is None:
            return False
        outside = sum(not is_inside(each) for each in spread.srcs)
        return (
            int(spread) > self._config.common_places
            or len(spread.slots) > self._config.common_times
            or outside > self._config.common_sources
        )

    def is_routine(self, node: Node) -> bool:
        """Return whether a step's type comes again and again at its place."""
        return len(self._hours.get((node.text, node.dst or node.src), ())) > self._config.routine_hours


class Meetings:
    """Who meets at each entity, over all steps: a proxy, a scanner or a domain controller is met by many others.

    At a machine, machines inside are counted; addresses outside are counted apart, since every public server is probed
    by thousands. At a user and a hash, machines are counted.
    """

    def __init__(self) -> None:
        """Start without a step."""
        self._others: dict[tuple[str, bool], tuple[Counter[str], Counter[int]]] = {}
        self._weights: dict[tuple[str, bool], float] = {}

    def change(self, node: Node, change: int) -> set[str]:
        """Add a step (1) or remove it (-1); return the entities with another weight than before."""
        changed = set()
        for entity, touch in node.touches.items():
            probed = touch.role == PROBED
            others = [
                each for each in (node.src, node.dst) if each and each != entity and is_inside(each) is not probed
            ]
            if touch.role == CLUSTER or not others:
                continue
            key = (entity, probed)
            there, slots = self._others.setdefault(key, (Counter(), Counter()))
            tally(there, others, change)
            tally(slots, node.slots, change)
            weight = weight_of(min(len(there), len(slots)))
            if weight != self._weights.get(key, 1.0):
                changed.add(entity)
            self._weights[key] = weight
            if not there:
                del self._others[key], self._weights[key]
        return changed

    def weight(self, entity: str, *, probed: bool = False) -> float:
        """Return the weight of an entity: 1 for one that few others meet.

        Args:
            entity: The entity.
            probed: Whether it is the target of an address outside.
        """
        return self._weights.get((entity, probed), 1.0)

    def weight_of(self, evidence: Evidence) -> float:
        """Return the weight of evidence by its entity."""
        probed = PROBED in (evidence.source.role, evidence.target.role)
        return min(self.weight(evidence.entity), self.weight(evidence.entity, probed=probed))
