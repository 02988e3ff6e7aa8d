"""Rows of the user's files and what tickets are made from."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from app.domains.alerts.alert import Alert, EnrichedAlert, Techniques
from app.domains.alerts.flows.flows import build_flows
from app.domains.alerts.tickets import (
    QUERY_IDS,
    cluster_row,
    cluster_ticket,
    event_row,
    flow_row,
    flow_ticket,
    global_metrics,
    splunk_query,
    spread,
)
from tests.flows_for_tests import LINKED, TABLE, cluster, step

ONE = cluster(
    1,
    [step(1_000, "T1595", "6.6.6.6", "web,1"), step(1_100, "T1059.001", "web,1", "web,1", alerts=3)],
    mentioned=["alice"],
    merged=[4],
)
OTHER = cluster(2, [step(2_000, "", "web,1", "db1")])
[FLOW] = build_flows([ONE, OTHER], TABLE, LINKED)
ALERT = EnrichedAlert(
    Alert(id="a-1", time=1_000.5, src="6.6.6.6", dst="web,1", name="Scan", other_attributes={"port": 80}),
    Techniques(("T1595",), Techniques.LOOKUP, 1.0),
)


def written(value: object) -> Any:
    """A value as it is read from the file that it was written to."""
    return json.loads(msgspec.json.encode(value))


def test_a_row_of_cluster_json() -> None:
    assert written(cluster_row(ONE, ["a-1", 7], [3], TABLE)) == {
        "cluster_id": 1,
        "ids": ["a-1", 7],
        "splunk_query": '("a-1") OR (7)',
        "start_time": 1_000.0,
        "end_time": 1_105.0,
        "src": ["6.6.6.6", "web,1"],
        "dst": ["web,1"],
        "cluster_techs": ["T1595", "T1059.001"],
        "cluster_tacs": ["43", "2"],
        "cluster_stages": ["0", "3"],
        "alerts": 4,
        "severity": 60,
        "merged": [3, 4],
    }


def test_a_row_of_flow_json() -> None:
    row = written(flow_row(FLOW, ["a-1", 7, "b"]))
    assert (row["flow_id"], row["cluster_prob"], row["ids"]) == (1, FLOW.cluster_prob, ["a-1", 7, "b"])
    assert row["cluster_ids"] == [1, 2]
    assert row["edges"][0].keys() == {"source", "target", "probability", "reason"}


def test_a_clusters_ticket() -> None:
    ticket = written(cluster_ticket(ONE, [event_row(ALERT, TABLE)], TABLE))
    metrics = ticket.pop("metrics")
    assert ticket == {
        "ticket_id": "cluster-1",
        "cluster_id": 1,
        "involved_events": [
            {
                "id": "a-1", "src": "6.6.6.6", "dst": "web,1", "time": 1_000.5, "name": "Scan", "tech": ["T1595"],
                "severity": None, "severity_from": "", "tac": [43], "stage": [0], "other_attributes_dict": {"port": 80},
            }
        ],
        "start_time": 1_000.0,
        "end_time": 1_105.0,
        "involved_entities": ["6.6.6.6", "web,1", "alice"],
        "involved_techs": ["T1595", "T1059.001"],
        "involved_tacs": [43, 2],
        "involved_stages": [0, 3],
        "alerts": 4,
        "severity": 60,
    }  # fmt: skip
    assert metrics["tech"] == {"avg": 1, "min": 1, "max": 1, "median": 1, "count": 2}
    assert metrics.keys() == {"tech", "tac", "stage"}


def test_a_flows_ticket_from_its_clusters() -> None:
    ticket = written(flow_ticket(FLOW, ["a-1", 7], [ONE, OTHER], TABLE))
    assert (ticket["ticket_id"], ticket["flow_id"], ticket["ids"]) == ("flow-1", 1, ["a-1", 7])
    assert (ticket["start_time"], ticket["end_time"]) == (1_000.0, 2_005.0)
    assert ticket["involved_entities"] == ["6.6.6.6", "web,1", "alice", "db1"]
    assert (ticket["involved_techs"], ticket["involved_tacs"], ticket["involved_stages"]) == (
        ["T1595", "T1059.001"], [43, 2], [0, 3],
    )  # fmt: skip
    assert ticket["metrics"]["event"] == {
        "avg": 2.5, "min": 1, "max": 4, "median": 2.5, "q1": 1.75, "q3": 3.25, "count": 2,
    }  # fmt: skip
    assert ticket["metrics"]["entity"]["max"] == 3
    assert ticket["metrics"]["time_range"]["max"] == 105


def test_a_flows_ticket_from_the_flow_alone() -> None:
    whole, alone = (flow_ticket(FLOW, (), clusters, TABLE) for clusters in ([ONE, OTHER], []))
    assert alone["ids"] == ["at-1000", "at-1100", "at-2000"]
    for name in ("involved_techs", "involved_tacs", "involved_stages", "cluster_ids", "start_time"):
        assert alone[name] == whole[name]
    for name in ("tech", "tac", "stage", "event", "time_range"):
        assert alone["metrics"][name] == whole["metrics"][name]


def test_a_cluster_that_is_not_at_hand_is_told_of_by_its_steps() -> None:
    ticket = flow_ticket(FLOW, (), [OTHER], TABLE)
    assert ticket["involved_techs"] == ["T1595", "T1059.001"]
    assert set(ticket["involved_entities"]) == {"6.6.6.6", "web,1", "db1", "alice"}


def test_metrics_over_all_clusters() -> None:
    found = global_metrics([ONE, OTHER])
    assert found["clusters"] == 2
    assert found["metrics"]["tac"]["avg"] == 1
    assert written(global_metrics([]))["metrics"]["event"]["count"] == 0


@pytest.mark.parametrize(
    ("ids", "query"),
    [
        ([], ""),
        ([1, -2, "abc_9"], '(1) OR ("-2") OR (abc_9)'),
        (["NYw+++DxY"], '("NYw+++DxY")'),
        (['x") OR (index=*'], '("x\\") OR (index=*")'),
        (["back\\", "or", "*"], '("back\\\\") OR ("or") OR ("*")'),
        (["new\nline | delete"], '("new line | delete")'),
        (["\u0661\u0662"], '("\u0661\u0662")'),
    ],
)
def test_no_id_can_add_to_a_search(ids: list[int | str], query: str) -> None:
    assert splunk_query(ids) == query


def test_a_search_does_not_grow_without_end() -> None:
    assert splunk_query(range(10 * QUERY_IDS)).count("OR") == QUERY_IDS - 1


def test_how_values_spread() -> None:
    assert spread([1, 2, 3, 4]) == {
        "avg": 2.5, "min": 1, "max": 4, "median": 2.5, "q1": 1.75, "q3": 3.25, "count": 4,
    }  # fmt: skip
    assert spread([7], quarters=False) == {"avg": 7, "min": 7, "max": 7, "median": 7, "count": 1}
    assert set(spread([]).values()) == {0}
