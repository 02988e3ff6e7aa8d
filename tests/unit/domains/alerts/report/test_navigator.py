"""The layer for ATT&CK Navigator: what its format of version 4.5 asks for, and what its numbers are."""

from __future__ import annotations

import msgspec

from app.domains.alerts.attack import attack_table
from app.domains.alerts.report.navigator import layer_of
from tests.flows_for_tests import flow_of, step


def test_a_technique_has_the_highest_severity_and_its_alerts() -> None:
    steps = [
        msgspec.structs.replace(step(0, "T1059.001", "a", "b", alerts=3), severity=55),
        msgspec.structs.replace(step(60, "T1059.001", "b", "b"), severity=80),
        step(120, "T1486", "b", "b", alerts=7, severity=None),
        step(180, "", "b", "b"),
    ]
    layer = layer_of([flow_of(steps)], "Incidents")
    assert (layer["name"], layer["domain"]) == ("Incidents", "enterprise-attack")
    assert layer["versions"] == {"attack": "19", "navigator": "5.1.0", "layer": "4.5"}
    powershell, encrypted = layer["techniques"]
    assert (powershell["techniqueID"], powershell["tactic"], powershell["score"]) == ("T1059.001", "execution", 80)
    assert {"name": "alerts", "value": "4"} in powershell["metadata"]
    assert "score" not in encrypted  # unscored: nothing states its severity
    assert layer["gradient"]["minValue"] < layer["gradient"]["maxValue"] == 100


def test_where_no_severity_is_stated_the_score_is_the_number_of_alerts() -> None:
    layer = layer_of(
        [flow_of([step(0, "T1046", "a", "b", alerts=30, severity=None), step(60, "T1486", "b", "b", severity=None)])],
        "x",
    )
    assert [each["score"] for each in layer["techniques"]] == [30, 1]
    assert layer["gradient"]["maxValue"] == 30


def test_a_layer_has_the_fields_of_its_format() -> None:
    layer = layer_of([flow_of([step(0, each, "a", "b") for each in attack_table().techniques])], "all")
    for each in layer["techniques"]:
        assert set(each) <= {"techniqueID", "tactic", "score", "enabled", "comment", "metadata"}
        assert all(isinstance(entry["value"], str) for entry in each["metadata"])
        assert each["tactic"] in attack_table().tactics_of(each["techniqueID"])
    assert layer_of([], "none")["techniques"] == []
