"""Severity of steps, and what makes linked steps an incident."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from app.domains.alerts.attack import AttackTable
    from app.domains.alerts.flows.config import FlowConfig
    from app.domains.alerts.flows.node import Node
    from app.domains.alerts.incidents import Step

UNKNOWN_SEVERITY = 40  # of an alert that states neither severity nor technique: the least that is medium
TACTIC_SEVERITY = {
    "reconnaissance": 25, "resource-development": 30, "discovery": 35, "initial-access": 50, "execution": 50,
    "persistence": 55, "privilege-escalation": 60, "stealth": 50, "defense-impairment": 60, "collection": 55,
    "command-and-control": 60, "credential-access": 65, "lateral-movement": 65, "exfiltration": 75, "impact": 80,
}  # fmt: skip
"""Severity by the tactic where the alert states none: the further along the kill chain, the nearer the damage."""
CRITICAL = frozenset(
    {
        "T1003.003",  # NTDS copied
        "T1003.006",  # DCSync
        "T1207",  # rogue domain controller
        "T1485",  # data destroyed
        "T1486",  # data encrypted
        "T1490",  # recovery inhibited
        "T1558.001",  # golden ticket
        "T1561", "T1561.001", "T1561.002",  # disk wiped
    }
)  # fmt: skip
"""Techniques of which one alert is an incident: what they do to a whole domain or its data cannot be undone."""
CRITICAL_LEAST = 90  # severity of a step with one of them, whatever its alerts state


def severity_of(step: Step, table: AttackTable) -> int:
    """Return a step's severity, 0 to 100: as its alerts state it, else by its technique's tactics."""
    if step.technique in CRITICAL:
        return max(step.severity or 0, CRITICAL_LEAST)
    if step.severity is not None:
        return step.severity
    return max((TACTIC_SEVERITY.get(each, 0) for each in table.tactics_of(step.technique)), default=UNKNOWN_SEVERITY)


def is_critical(node: Node, config: FlowConfig) -> bool:
    """Return whether a step is an incident by itself."""
    return node.severity >= config.critical_severity or node.step.technique in CRITICAL


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


def probability(nodes: Sequence[Node], table: AttackTable) -> float:
    """Return the probability that linked steps are an attack, by their risk and tactics."""
    odds = -2.0 + 0.6 * risk_of(nodes) + 0.3 * len(tactics_of(nodes, table))
    return round(min(max(1.0 / (1.0 + math.exp(-odds)), 0.01), 0.99), 4)
