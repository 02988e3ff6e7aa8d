"""What makes linked steps an incident: their risk, their tactics, or one critical step."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from app.domains.alerts.flows.severity import CRITICAL

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from app.domains.alerts.attack import AttackTable
    from app.domains.alerts.flows.config import FlowConfig
    from app.domains.alerts.flows.node import Node

OFFSET = 0.1  # added to a risk, so that a risk of 0 has a logarithm
_INTERCEPT, _SLOPE = -7.7, 5.5  # of the log odds by the logarithm of the risk
_LEAST, _MOST = 0.02, 0.95  # shares of attacks among the least and the most probable incidents of the stories


def is_critical(node: Node, config: FlowConfig) -> bool:
    """Return whether a step is an incident by itself: it is critical, and its type does not come everywhere."""
    return node.severity >= config.critical_severity and node.alone


def risk_of(nodes: Iterable[Node]) -> float:
    """Return the risk of linked steps: the sum of severities, 0 to 1 each, over their different types."""
    highest: dict[str, int] = {}
    for node in nodes:
        highest[node.text] = max(highest.get(node.text, 0), node.severity)
    return sum(sorted(highest.values())) / 100


def is_incident(nodes: Sequence[Node], table: AttackTable, config: FlowConfig) -> bool:
    """Return whether linked steps are an incident: by one critical step, or by their risk and tactics."""
    if any(is_critical(node, config) for node in nodes):
        return True
    risk = risk_of(nodes)
    return risk >= config.risk_threshold or (
        2 * risk >= config.risk_threshold and len(tactics_of(nodes, table)) >= config.tactic_threshold
    )


def opening(nodes: Sequence[Node], table: AttackTable, config: FlowConfig) -> str:
    """Return in words why linked steps are an incident."""
    critical = [node for node in nodes if is_critical(node, config)]
    if critical:
        first = max(critical, key=lambda node: (node.severity, -node.number))
        named = f"{first.step.technique} " if first.step.technique in CRITICAL else ""
        return f"a critical alert, {named}severity {first.severity}"
    tactics = len(tactics_of(nodes, table))
    return (
        f"risk {risk_of(nodes):.1f} of {len({node.text for node in nodes})} types of alerts "
        f"(threshold {config.risk_threshold:g}), {tactics} {'tactic' if tactics == 1 else 'tactics'}"
    )


def tactics_of(nodes: Iterable[Node], table: AttackTable) -> set[str]:
    """Return the first tactic of each technique of steps."""
    return {tactics[0] for node in nodes if (tactics := table.tactics_of(node.step.technique))}


def probability(nodes: Sequence[Node]) -> float:
    """Return the probability that linked steps are an attack, by their risk: fitted by `model/stories/calibrate.py`."""
    odds = _INTERCEPT + _SLOPE * math.log(risk_of(nodes) + OFFSET)
    return round(min(max(1.0 / (1.0 + math.exp(-odds)), _LEAST), _MOST), 4)
