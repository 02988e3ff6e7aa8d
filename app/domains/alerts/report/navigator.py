"""Write the techniques of incidents as a layer for ATT&CK Navigator.

The format is version 4.5 of Navigator's layers (`layers/spec/v4.5/layerformat.md` in its repository). A technique's
score is the highest severity of its steps, 0 to 100, or the number of its alerts where no step states a severity.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.domains.alerts.attack import attack_table
from app.domains.alerts.report.words import moment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.domains.alerts.incidents import Flow, Step

LAYER_VERSION = "4.5"
NAVIGATOR_VERSION = "5.1.0"  # layers of version 4.5 need at least 4.9.0
_COLOURS = ("#ffffff", "#ffe08a", "#f58b3c", "#b3001b")
_MOST_FLOWS_NAMED = 20


def layer_of(flows: Sequence[Flow], name: str) -> dict[str, Any]:
    """Return the techniques of flows as a layer.

    Args:
        flows: The flows.
        name: The layer's name.
    """
    table = attack_table()
    found: dict[tuple[str, str], list[tuple[int, Step]]] = {}
    for flow in flows:
        for node in flow.nodes:
            if node.step.technique in table.techniques:
                found.setdefault((node.step.technique, node.tactic), []).append((flow.flow_id, node.step))
    severities = {key: _severity([step for _, step in steps]) for key, steps in found.items()}
    is_stated = any(each is not None for each in severities.values())
    techniques = [_technique(key, found[key], severities[key], is_stated=is_stated) for key in sorted(found)]
    highest = 100 if is_stated else max((each["score"] for each in techniques), default=1)
    return {
        "name": name,
        "versions": {
            "attack": table.version.partition(".")[0],
            "navigator": NAVIGATOR_VERSION,
            "layer": LAYER_VERSION,
        },
        "domain": "enterprise-attack",
        "description": (
            f"Techniques of {len(flows)} attack flows; the score is "
            + ("the highest severity, 0 to 100" if is_stated else "the number of alerts")
        ),
        "sorting": 3,  # by descending score
        "layout": {"layout": "side", "showID": True, "showName": True, "expandedSubtechniques": "annotated"},
        "techniques": techniques,
        "gradient": {"colors": list(_COLOURS), "minValue": 0, "maxValue": max(highest, 1)},
        "selectTechniquesAcrossTactics": False,
    }


def _technique(
    key: tuple[str, str], steps: Sequence[tuple[int, Step]], severity: int | None, *, is_stated: bool
) -> dict[str, Any]:
    technique, tactic = key
    alerts = sum(step.alerts for _, step in steps)
    flows = list(dict.fromkeys(str(flow) for flow, _ in steps))
    first, last = min(step.start_time for _, step in steps), max(step.end_time for _, step in steps)
    machines = list(dict.fromkeys(end for _, step in steps for end in (step.src, step.dst)))
    score = {"score": severity} if is_stated else {"score": alerts}
    return {
        "techniqueID": technique,
        **({"tactic": tactic} if tactic else {}),
        **({} if score["score"] is None else score),
        "enabled": True,
        "comment": f"alerts: {alerts}, from {moment(first)} to {moment(last)} UTC",
        "metadata": [
            {"name": "alerts", "value": str(alerts)},
            {"name": "flows", "value": ", ".join(flows[:_MOST_FLOWS_NAMED])},
            {"name": "machines", "value": str(len(machines))},
        ],
    }


def _severity(steps: Sequence[Step]) -> int | None:
    return max((step.severity for step in steps if step.severity is not None), default=None)
