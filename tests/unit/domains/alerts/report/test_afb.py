"""The file for Attack Flow Builder, held to what the Builder's reader asks for.

The Builder raises on an object of an unknown template, on an id that no object has, on a block without anchors, an
anchor without latches, a line without handles and a canvas without objects, and on a list where it expects a value.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from hypothesis import given

from app.domains.alerts.attack import attack_table
from app.domains.alerts.flows.flows import build_flows
from app.domains.alerts.incidents import ClusterSummary, FlowEdge
from app.domains.alerts.report.afb import builder_file
from tests.flows_for_tests import TABLE, clusters_of, flow_of, step

ANGLES = [str(angle) for angle in range(0, 360, 30)]
ACTION = {"name", "ttp", "description", "confidence", "execution_start", "execution_end"}
CONFIDENCES = {"speculative", "very-doubtful", "doubtful", "even-odds", "probable", "very-probable", "certain"}


def read(file: dict[str, Any]) -> tuple[dict[str, dict[str, Any]], list[tuple[str, str]]]:
    """Read a file as the Builder does; return its objects by id, and its lines as (block, block)."""
    file = msgspec.json.decode(msgspec.json.encode(file))
    assert file["schema"] == "attack_flow_v2"
    assert "version" not in file  # that is how the Builder knows the format before
    objects = {each["instance"]: each for each in file["objects"]}
    assert len(objects) == len(file["objects"])
    [canvas] = [each for each in file["objects"] if each["id"] == "flow"]
    block_of: dict[str, str] = {}
    for each in file["objects"]:
        kind = each["id"]
        if kind in {"action", "asset"}:
            assert list(each["anchors"]) == ANGLES
            for angle, anchor in each["anchors"].items():
                assert objects[anchor]["id"] == (
                    "vertical_anchor" if int(angle) % 180 in {60, 90, 120} else "horizontal_anchor"
                )
                for latch in objects[anchor]["latches"]:
                    assert objects[latch]["id"] == "generic_latch"
                    assert block_of.setdefault(latch, each["instance"]) == each["instance"]
            assert each["instance"] in file["layout"]
        else:
            assert kind in {
                "flow",
                "dynamic_line",
                "generic_latch",
                "generic_handle",
                "vertical_anchor",
                "horizontal_anchor",
            }
    lines = []
    for each in file["objects"]:
        if each["id"] == "dynamic_line":
            assert [objects[handle]["id"] for handle in each["handles"]] == ["generic_handle"]
            lines.append((block_of[each["source"]], block_of[each["target"]]))
    placed = [key for key, each in objects.items() if each["id"] in {"action", "asset", "dynamic_line"}]
    assert sorted(canvas["objects"]) == sorted(placed)
    return objects, lines


def properties(each: dict[str, Any]) -> dict[str, Any]:
    return dict(each["properties"])


def test_a_flow_has_its_steps_edges_and_machines() -> None:
    flow = flow_of(
        [step(0, "T1190", "203.0.113.9", "web1"), step(60, "T1003.001", "web1", "dc1"), step(90, "", "dc1", "dc1")]
    )
    objects, lines = read(builder_file(flow))
    actions = [each for each in objects.values() if each["id"] == "action"]
    assets = [properties(each)["name"] for each in objects.values() if each["id"] == "asset"]
    assert assets == ["203.0.113.9", "web1", "dc1"]
    first, second, third = map(properties, actions)
    assert first["name"] == "Exploit Public-Facing Application"
    assert first["ttp"] == [["tactic", "TA0001"], ["technique", "T1190"]]
    assert second["ttp"] == [["tactic", "TA0006"], ["technique", "T1003.001"]]
    assert third["ttp"] == [["tactic", None], ["technique", None]]
    assert (first["confidence"], second["confidence"]) == (None, "probable")
    assert first["execution_start"] == {"time": "1970-01-01T00:00:00.000", "zone": "UTC"}
    ids = [each["instance"] for each in actions]
    assert [line for line in lines if set(line) <= set(ids)] == [(ids[0], ids[1]), (ids[1], ids[2])]
    assert len(lines) == 2 + len(assets)


def test_steps_stand_below_those_that_lead_to_them_and_never_on_each_other() -> None:
    flow = flow_of([step(60 * number, "T1059", f"h{number}", f"h{number + 1}") for number in range(60)])
    flow = msgspec.structs.replace(
        flow, edges=tuple(FlowEdge(flow.nodes[each // 2].id, flow.nodes[each].id, 0.5, "x") for each in range(1, 60))
    )
    file = builder_file(flow)
    objects, lines = read(file)
    layout = file["layout"]
    for source, target in lines:
        if objects[target]["id"] == "action":
            assert layout[source][1] < layout[target][1]
    places = [tuple(place) for place in layout.values()]
    assert len(set(places)) == len(places)


@given(clusters_of())
def test_any_flow_can_be_read_and_keeps_its_edges(clusters: list[ClusterSummary]) -> None:
    for flow in build_flows(clusters, TABLE):
        objects, lines = read(builder_file(flow, "acme"))
        kinds = [objects[target]["id"] for _, target in lines]
        assert kinds.count("action") == len(flow.edges)
        for each in objects.values():
            if each["id"] == "action":
                found = properties(each)
                assert set(found) == ACTION
                assert found["confidence"] is None or found["confidence"] in CONFIDENCES
                technique = dict(found["ttp"])["technique"]
                assert technique is None or technique in attack_table().techniques
                datetime.fromisoformat(found["execution_start"]["time"])


def test_one_flow_is_one_file_and_two_tenants_share_no_id() -> None:
    flow = flow_of([step(0, "T1190", "a", "b"), step(1, "T1059", "b", "b")])
    assert builder_file(flow, "acme") == builder_file(flow, "acme")
    mine, theirs = (read(builder_file(flow, tenant))[0] for tenant in ("acme", "other"))
    assert mine.keys().isdisjoint(theirs)
