"""Severity of a step: as its alerts state it, else by its technique."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.domains.alerts.attack import AttackTable
    from app.domains.alerts.incidents import Step

UNKNOWN_SEVERITY = 40  # of an alert that states neither severity nor technique: the least that is medium
TACTIC_SEVERITY = {
    "reconnaissance": 25, "resource-development": 30, "discovery": 35, "initial-access": 50, "execution": 50,
    "persistence": 55, "privilege-escalation": 60, "stealth": 50, "defense-impairment": 60, "collection": 55,
    "command-and-control": 60, "credential-access": 65, "lateral-movement": 65, "exfiltration": 65, "impact": 65,
}  # fmt: skip
"""Severity by the tactic where the alert states none: the further along the kill chain, the nearer the damage. None is
high, since a product that states no severity writes of harmless things as well."""
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
HIGH = 70  # the least that is high
CRITICAL_LEAST = 90  # severity of a step with one of them, unless its alerts state one that is not even high


def severity_of(step: Step, table: AttackTable) -> int:
    """Return a step's severity, 0 to 100: as its alerts state it, else by its technique's tactics."""
    if step.technique in CRITICAL and (step.severity is None or step.severity >= HIGH):
        return max(step.severity or 0, CRITICAL_LEAST)
    if step.severity is not None:
        return step.severity
    return max((TACTIC_SEVERITY.get(each, 0) for each in table.tactics_of(step.technique)), default=UNKNOWN_SEVERITY)
