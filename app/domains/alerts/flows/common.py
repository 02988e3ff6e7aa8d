"""Learn what is common to unrelated alerts: types that come everywhere, and types that come again and again."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

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
        return spread is not None and int(spread) > self._config.common_places

    def is_routine(self, node: Node) -> bool:
        """Return whether a step's type comes again and again at its place."""
        return len(self._hours.get((node.text, node.dst or node.src), ())) > self._config.routine_hours
