"""The end of a run: never silent, the most severe first, and the same numbers as lines and as a page."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from app.domains.alerts.report.incident import by_severity
from app.domains.alerts.report.summary import summarize
from tests.commands_for_tests import run_command
from tests.flows_for_tests import cluster, flow_of, step

if TYPE_CHECKING:
    from pathlib import Path

    from app.domains.alerts.incidents import Step


def strangers(count: int) -> str:
    """Alerts an hour apart, each of machines of its own, with severities from 1 on."""
    alerts: list[dict[str, Any]] = [
        {
            "id": number,
            "time": 1_715_673_600 + 3_600 * number,
            "src": f"10.0.{number}.1",
            "dst": f"10.0.{number}.2",
            "name": f"Something of kind {chr(97 + number % 26)}{'x' * (number // 26)} was seen",
            "severity": 1 + number % 60,
            "other_attributes": {"user": f"user{number}"},
        }
        for number in range(count)
    ]
    return "\n".join(map(json.dumps, alerts))


def millrace(*arguments: str, given: str = "") -> tuple[str, str]:
    done = run_command("millrace", ["alerts", *arguments, "--no-model"], given=given)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def unstated(each: Step) -> Step:
    return msgspec.structs.replace(each, severity=None)


def test_a_run_without_any_incident_says_what_there_is() -> None:
    shown, _ = millrace("run", given=strangers(30))
    assert "0 incidents." in shown
    assert "Of 30 alerts, 0 are in incidents, 0 in clusters that are none, and 30 stand alone." in shown
    assert "the most severe alerts, one of each type" in shown
    assert [line.split()[2] for line in shown.splitlines() if "Something of kind" in line] == [
        str(severity) for severity in range(30, 20, -1)
    ]


def test_alerts_that_are_closed_or_updates_are_left_out_and_counted() -> None:
    alert = {"time": 1_715_673_600, "src": "a", "dst": "b", "name": "Mimikatz was seen", "severity": 95}
    closed = [alert | {"id": number, "closed": f"status {number}"} for number in range(3)]
    updates = [alert | {"id": "finding"}, alert | {"id": "finding", "time": 1_715_680_000}]
    given = "\n".join(map(json.dumps, [*closed, *updates]))
    shown, _ = millrace("run", given=given)
    assert "Of 5 alerts, 1 are in incidents, 0 in clusters that are none, and 0 stand alone; 4 were left out." in shown
    assert "Left out, closed: 3." in shown
    assert "Left out, an update of an alert that is known by its id: 1." in shown
    lines = [json.loads(line) for line in millrace("cluster", given=given)[0].splitlines()]
    assert [each["cluster_id"] for each in lines] == [None, None, None, 1, None]
    assert lines[0]["skipped"] == "closed: status 0"


def test_flows_without_any_flow_say_so_beside_the_lines() -> None:
    shown, said = millrace("flow", given=strangers(3))
    assert shown == ""
    assert "and 3 stand alone." in said


def test_as_lines_the_last_is_the_summary() -> None:
    shown, _ = millrace("run", "--json", given=strangers(12))
    summary = json.loads(shown.splitlines()[-1])
    assert summary["type"] == "summary"
    assert (summary["alerts"], summary["alone"], summary["flows"]) == (12, 12, 0)
    assert [each["severity"] for each in summary["most_severe"]] == list(range(12, 2, -1))
    other, _ = millrace("run", "--json", "--role", "enriched", given=strangers(12))
    assert "summary" not in other  # whoever asks for one stream's records gets these


@pytest.mark.parametrize("html", ["report.html", "no/such/folder/report.html"])
def test_a_page_beside_the_other_results(tmp_path: Path, html: str) -> None:
    path = tmp_path / html
    arguments = ["alerts", "run", "--no-model", "--html", str(path), "--out", str(tmp_path / "out")]
    done = run_command("millrace", arguments, given=strangers(5))
    if path.parent.exists():
        assert done.returncode == 0
        assert "5 stand alone" in path.read_text()
        assert json.loads((tmp_path / "out" / "navigator.json").read_text())["versions"]["layer"] == "4.5"
    else:
        assert done.returncode == 47
        assert "cannot be written: No such file or directory; give --html a file of your own" in done.stderr


def test_a_page_does_not_overwrite_the_input(tmp_path: Path) -> None:
    file = tmp_path / "alerts.json"
    file.write_text(strangers(2))
    done = run_command("millrace", ["alerts", "run", str(file), "--html", str(file)])
    assert done.returncode == 47
    assert "it is the input; give --html a file of its own" in done.stderr
    assert file.read_text() == strangers(2)


def test_alerts_are_counted_in_flows_in_clusters_or_alone() -> None:
    clusters = [cluster(1, [step(0, "T1059", "a", "b", alerts=4)]), cluster(7, [step(9, "", "c", "c", alerts=2)])]
    flows = [flow_of([unstated(step(0, "T1059", "a", "b", alerts=4)), unstated(step(9, "T1003", "b", "b"))])]
    summary = summarize(20, 1, {"default": (clusters, flows)}, [])
    assert summary.alone == 20 - 4 - 2 - 1
    assert summary.in_flows == 4 + 1
    assert (summary.clusters, summary.flows, summary.flows_by_severity) == (2, 1, {"unstated": 1})


CLOSED_AND_UPDATED = "\n".join(
    json.dumps({"time": 1_715_673_600 + number, "src": "ws-11", "dst": "dc1", "techniques": ["T1003.006"], **each})
    for number, each in enumerate(
        (
            {"id": "f-1", "name": "Replication by a workstation", "severity": 95, "aliases": [["dc1", "10.0.0.5"]]},
            {"id": "f-1", "name": "Replication by a workstation", "severity": 95},
            {"id": "f-2", "name": "An old finding", "severity": 99, "closed": "by hand"},
        )
    )
)


def test_closed_alerts_and_updates_are_in_no_cluster_and_are_no_severe_alerts() -> None:
    lines = [json.loads(line) for line in millrace("cluster", given=CLOSED_AND_UPDATED)[0].splitlines()]
    assert [each["cluster_id"] for each in lines] == [1, None, None]
    assert [each.get("skipped") for each in lines] == [
        None,
        "an update of an alert that is known by its id",
        "closed: by hand",
    ]
    shown, _ = millrace("run", given=CLOSED_AND_UPDATED)
    assert "1 incident: 1 critical." in shown
    assert "Of 3 alerts, 1 are in incidents, 0 in clusters that are none, and 0 stand alone; 2 were left out." in shown
    assert "An old finding" not in shown
    assert "more alike" not in shown


def test_the_page_knows_the_machines_of_single_alerts_by_their_names(tmp_path: Path) -> None:
    attack = "\n".join(
        json.dumps({
            "id": number,
            "time": 1_715_673_600 + 600 * number,
            "src": "ws-11",
            "dst": ("dc1", "10.0.0.5")[number],
            "name": name,
            "severity": 95,
            "aliases": [["dc1", "10.0.0.5"]],
        })
        for number, name in enumerate(("Replication by a workstation", "A log was cleared"))
    )  # fmt: skip
    page = tmp_path / "report.html"
    millrace("run", "--html", str(page), given=attack)
    assert "<dt>Machines</dt><dd>ws-11, dc1 (10.0.0.5)</dd>" in page.read_text()


def test_flows_stand_with_the_most_severe_first() -> None:
    plain = unstated(step(0, "T1059", "a", "b"))
    low, high = (flow_of([plain] * 3, flow_id=each, severity=each) for each in (20, 95))
    stated = flow_of([msgspec.structs.replace(step(0, "", "a", "b"), severity=70)], flow_id=50)
    last = flow_of([plain] * 9, flow_id=2)
    assert [each.flow_id for each in by_severity([last, low, stated, high])] == [95, 50, 20, 2]
