"""Learn what is common to unrelated alerts: types that come everywhere, and types that come again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

from app.domains.alerts.flows.causality import CLUSTER, PROBED, weight_of
from app.domains.alerts.flows.node import is_inside

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.domains.alerts.flows.causality import Evidence
    from app.domains.alerts.flows.config import FlowConfig
    from app.domains.alerts.flows.node import Node


_Key = TypeVar("_Key", str, int)


def tally(counts: dict[_Key, int], keys: Iterable[_Key], change: int) -> None:
    """Change the count of keys; one whose count is 0 is removed."""
    for key in keys:
        count = counts.get(key, 0) + change
        if count:
            counts[key] = count
        else:
            counts.pop(key, None)


class Common(NamedTuple):
    """How common a type is.

    Attributes:
        low: Whether it is for its steps below high severity.
        high: Whether it is for those of high severity.
        repeated: Whether it comes too often for a step of low severity to belong to a flow or to link.
    """

    low: bool
    high: bool
    repeated: bool


_LOW_TIMES = 2  # at which a type of low severity may come to belong to a flow or to link
_HIGH = 3  # times as many places as else may have a type of high severity


class Spread:
    """At how many places, and at how many different times, alerts came.

    Of a burst at many places at one time, as of an outbreak, and of a single busy place, only one is counted.
    """

    __slots__ = ("dsts", "outside", "slots", "srcs")

    def __init__(self) -> None:
        """Start without a step."""
        self.srcs: dict[str, int] = {}
        self.dsts: dict[str, int] = {}
        self.slots: dict[int, int] = {}
        self.outside = 0  # sources that are no machines inside

    def count(self, node: Node, change: int) -> None:
        """Add a step (1) or remove it (-1)."""
        srcs = len(self.srcs)
        tally(self.srcs, (node.src,), change)
        if len(self.srcs) != srcs and not is_inside(node.src):
            self.outside += change
        tally(self.dsts, (node.dst,), change)
        tally(self.slots, node.slots, change)

    @property
    def reach(self) -> int:
        """Return the smaller of the number of targets that each source has on average and the number of times."""
        return min(len(self.dsts) // max(len(self.srcs), 1), len(self.slots))

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
        self._hours: dict[tuple[str, str], dict[int, int]] = {}

    def change(self, node: Node, change: int) -> None:
        """Add a step (1) or remove it (-1)."""
        text = node.text
        nodes = self.nodes.get(text)
        if nodes is None:
            nodes, self._spread[text] = self.nodes.setdefault(text, {}), Spread()
        self._spread[text].count(node, change)
        hours = self._hours.get(node.habit)
        if hours is None:
            hours = self._hours[node.habit] = {}
        tally(hours, node.hours, change)
        if not hours:
            del self._hours[node.habit]
        if change > 0:
            nodes[node.number] = node
            return
        del nodes[node.number]
        if not nodes:
            del self.nodes[text], self._spread[text]

    def is_common(self, text: str) -> Common:
        """Return whether a type comes at many places or times.

        Of steps of high severity three times as many places are many, and no number of times; but a source with many
        targets is a scanner.
        """
        spread, config = self._spread.get(text), self._config
        if spread is None:
            return Common(low=False, high=False, repeated=False)
        places = int(spread)
        low = places > config.common_places or spread.outside > config.common_sources
        high = (
            places > _HIGH * config.common_places
            or spread.reach > config.common_places
            or spread.outside > config.common_sources
        )
        times = len(spread.slots)
        return Common(low=low or times > config.common_times, high=high, repeated=times > _LOW_TIMES)

    def times(self, text: str) -> int:
        """Return at how many different times a type came."""
        return len(self._spread[text].slots)

    def first(self, text: str) -> float:
        """Return when the earliest remembered step of a type began."""
        return min(node.step.start_time for node in self.nodes[text].values())

    def is_routine(self, habit: tuple[str, str]) -> bool:
        """Return whether a type comes again and again at a place (`Node.habit`)."""
        return len(self._hours.get(habit, ())) > self._config.routine_hours


class Meetings:
    """Who meets at each entity, over all steps: a proxy, a scanner or a domain controller is met by many others.

    At a machine, machines inside are counted; addresses outside are counted apart, since every public server is probed
    by thousands. At a user and a hash, machines are counted.
    """

    def __init__(self) -> None:
        """Start without a step."""
        self._others: dict[tuple[str, bool], tuple[dict[str, int], dict[int, int]]] = {}
        self._weights: dict[tuple[str, bool], float] = {}

    def change(self, node: Node, change: int) -> set[str]:
        """Add a step (1) or remove it (-1); return the entities with another weight than before."""
        changed = set()
        ends = [(each, is_inside(each)) for each in (node.src, node.dst) if each]
        for entity, touch in node.touches.items():
            probed = touch.role == PROBED
            others = [each for each, inside in ends if each != entity and inside is not probed]
            if touch.role == CLUSTER or not others:
                continue
            key = (entity, probed)
            held = self._others.get(key)
            there, slots = held or self._others.setdefault(key, ({}, {}))
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
