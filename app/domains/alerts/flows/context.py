"""Steps that link nothing, since their type is frequent: which of them belong to a flow all the same."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from app.domains.alerts.flows.causality import CLUSTER, ITSELF, MENTIONED
from app.domains.alerts.flows.node import is_inside

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from app.domains.alerts.flows.common import Meetings, Types
    from app.domains.alerts.flows.config import FlowConfig
    from app.domains.alerts.flows.node import Node

_BEFORE_S, _AFTER_S = 1_800.0, 3_600.0  # of a flow, in which steps can belong to it
_OUTSIDE_S = 24 * 3_600.0  # the same of what an address outside did that took part in the flow
_LEAST_SHARE = 0.75  # of a type's steps that are near a flow if its alerts belong to it
_LEAST_WEIGHT = 0.5  # of an entity that a step must share with a flow


class Around(NamedTuple):
    """What came at the entities of a flow meanwhile.

    Attributes:
        joined: Steps that belong to it: outside of the flow, their type is not frequent.
        alerts: Number of alerts of all others.
    """

    joined: tuple[Node, ...]
    alerts: int


class Context:
    """The steps of frequent types, by their entities."""

    def __init__(self, config: FlowConfig, types: Types, meetings: Meetings) -> None:
        """Start without a step."""
        self._config, self._types, self._meetings = config, types, meetings
        self._by_entity: dict[str, dict[int, Node]] = {}

    def add(self, node: Node) -> None:
        """Add a step."""
        for entity in node.touches:
            self._by_entity.setdefault(entity, {})[node.number] = node

    def discard(self, node: Node) -> None:
        """Remove a step, if it is there."""
        for entity in node.touches:
            there = self._by_entity.get(entity)
            if there is not None and there.pop(node.number, None) is not None and not there:
                del self._by_entity[entity]

    def of(self, nodes: Sequence[Node]) -> Around:
        """Return what came at the entities of linked steps meanwhile."""
        ends = {end for node in nodes for end in (node.src, node.dst)}
        entities = {
            entity
            for node in nodes
            for entity, touch in node.touches.items()
            if touch.role not in (CLUSTER, MENTIONED)
            and (touch.role == ITSELF or self._meetings.weight(entity) >= _LEAST_WEIGHT)
        }
        start = min(node.step.start_time for node in nodes)
        end = max(node.step.end_time for node in nodes)
        near: dict[int, Node] = {}
        began: dict[str, bool] = {}  # by type
        for entity in entities:
            for number, node in self._by_entity.get(entity, {}).items():
                before, after = _BEFORE_S, _AFTER_S
                if node.text not in began:
                    began[node.text] = self._began(node.text, start)
                if node.src and not is_inside(node.src):
                    before = after = _OUTSIDE_S
                elif began[node.text]:
                    after = math.inf
                within = node.step.start_time <= end + after and node.step.end_time >= start - before
                if within and (not node.src or node.src in ends):
                    near[number] = node
        inside = near.keys() | {node.number for node in nodes}
        frequent = {text: self._is_frequent(text, inside) for text in {node.text for node in near.values()}}
        joined = tuple(node for _, node in sorted(near.items()) if not frequent[node.text])
        beside = (node for node in near.values() if frequent[node.text] and node.step.start_time <= end + _AFTER_S)
        return Around(joined, sum(node.step.alerts for node in beside))

    def _began(self, text: str, start: float) -> bool:
        """Return whether a type comes again and again since a flow began, as the beacons of an implant do."""
        return self._types.times(text) > self._config.common_times and self._types.first(text) >= start - _BEFORE_S

    def _is_frequent(self, text: str, inside: AbstractSet[int]) -> bool:
        """Return whether a type comes elsewhere or at other times as well, or often and of low severity."""
        there, least = self._types.nodes[text], self._config.link_severity
        stated = [node.step.severity for node in there.values() if node.step.severity is not None]
        if max(stated, default=least) < least and self._types.is_common(text).repeated:
            return True
        return sum(number in inside for number in there) < _LEAST_SHARE * len(there)
