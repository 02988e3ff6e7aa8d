"""The demo's excerpt of a scenario, and its picture of the stream of incidents."""

from __future__ import annotations

import gzip
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from app.domains.alerts.alert import DEFAULT_TENANT
from app.domains.alerts.incidents import ClusterSummary, Flow
from app.errors import LocationError
from devtools import incident_view as alerts_demo_view
from devtools.alerts_demo import POISON, _alerts, _excerpt, _share
from devtools.incident_view import IncidentView

if TYPE_CHECKING:
    from pathlib import Path

HEADER = "time,name,ip,host,short,time_label,event_label\n"


def row(time: float, label: str) -> str:
    return f"{time},a name,10.0.0.1,web,S,x,{label}\n"


def test_an_excerpt_is_the_time_of_the_attack_thinned_by_kind(tmp_path: Path) -> None:
    day = 86_400
    rows = [row(time, "-") for time in range(0, 3 * day, 600)]
    rows += [row(day + time / 10, "scan") for time in range(500)]
    rows += [row(day + 400 + time, "login") for time in range(3)]
    rows += [row(time, "slow") for time in range(0, 2 * day, day // 2)]  # goes on for days: no part of it
    path = tmp_path / "ait_ads_x.csv.gz"
    path.write_bytes(
        gzip.compress((HEADER + "".join(sorted(rows, key=lambda each: float(each.split(",")[0])))).encode())
    )

    alerts = [msgspec.json.decode(data) for _, data in _excerpt(path, 100)]
    kinds = Counter(each.get("label", "-") for each in alerts)
    assert kinds["login"] == 3
    assert 90 <= len(alerts) <= 100
    assert kinds["scan"] > 80
    assert all(day - 301 <= each["time"] <= day + 703 for each in alerts)
    assert [each["time"] for each in alerts] == sorted(each["time"] for each in alerts)


@given(st.lists(st.integers(1, 500), min_size=1, max_size=12), st.integers(12, 1_000))
def test_a_share_fills_the_room_and_no_more(sizes: list[int], room: int) -> None:
    most = _share(sizes, room)
    taken = sum(min(size, most) for size in sizes)
    assert taken <= room
    assert taken == sum(sizes) or taken > room - len(sizes)


def test_what_is_fed(tmp_path: Path) -> None:
    made, origin = _alerts(None, None)
    assert len(made) == 300
    assert "invented" in origin
    lines = tmp_path / "mine.jsonl"
    lines.write_bytes(b"one\ntwo\nthree")
    assert _alerts(lines, 2) == ([(DEFAULT_TENANT, b"one"), (DEFAULT_TENANT, b"two")], "mine.jsonl")
    for name, rows in (("b", 2), ("a", 1)):
        (tmp_path / f"ait_ads_{name}.csv").write_text(HEADER + row(1, "scan") * rows)
    assert len(_alerts(tmp_path, None)[0]) == 1  # of a folder the smallest
    with pytest.raises(LocationError, match="no ait_ads"):
        _alerts(tmp_path / "..", None)
    (tmp_path / "ait_ads_c.csv").write_text("not,a,table\n1,2,3\n")
    with pytest.raises(LocationError, match="not a table of AIT-ADS"):
        _alerts(tmp_path / "ait_ads_c.csv", None)


def test_bad_alerts_are_bad_in_ways_of_their_own() -> None:
    assert len({data for _, data in POISON}) == len(POISON)


def cluster(number: int, alerts: int = 2, techniques: tuple[str, ...] = ()) -> dict[str, Any]:
    summary = ClusterSummary(number, alerts, 0, 1, ("a",), ("b",), ("a", "b"), techniques, (), ())
    return {
        "type": "cluster",
        "change": "opened",
        "cluster_id": number,
        "merged": [],
        "cluster": msgspec.to_builtins(summary),
    }


def flow(
    number: int,
    *clusters: int,
    change: str = "opened",
    merged: tuple[int, ...] = (),
    severity: int = 55,
    risk: float = 2.0,
    reasons: tuple[str, ...] = ("opened: risk 2.0",),
) -> dict[str, Any]:
    made = Flow(number, clusters, 0.5, (), (), 0, 1, severity, risk, 3, reasons=reasons)
    return {
        "type": "flow",
        "change": change,
        "flow_id": number,
        "merged": list(merged),
        "flow": msgspec.to_builtins(made),
    }


@pytest.fixture
def view(monkeypatch: pytest.MonkeyPatch) -> IncidentView:
    monkeypatch.setattr(alerts_demo_view, "StreamReader", lambda *_: None)
    return IncidentView(Console(width=120, record=True, color_system=None), "incidents")


def shown(view: IncidentView) -> str:
    with view._console.capture() as captured:
        view._console.print(view.tables())
    return captured.get()


def test_the_picture_follows_merges(view: IncidentView) -> None:
    for record in (cluster(1, 2, ("T1046",)), cluster(2), flow(1, 1), flow(2, 2)):
        view.take(record)
    assert (set(view.clusters), set(view.flows)) == ({1, 2}, {1, 2})
    view.take({**cluster(1, 5, ("T1046",)), "change": "merged", "merged": [2]})
    view.take({"type": "cluster", "change": "became", "cluster_id": 2, "into": 1})
    view.take(flow(1, 1, change="merged", merged=(2,)))
    assert (set(view.clusters), set(view.flows)) == ({1}, {1})
    assert "took in 2" in shown(view)
    assert "flow 1 merged with flow 2" in shown(view)
    assert "T1046" in shown(view)


def test_the_table_is_bounded_and_shows_what_has_techniques_first(view: IncidentView) -> None:
    view.take(cluster(1, 2, ("T1046",)))
    for number in range(2, 60):
        view.take(cluster(number))
    assert len(shown(view).splitlines()) < 24
    assert "│       1 │      2 │" in shown(view)
    assert "│      59 │" in shown(view)


def test_without_a_terminal_changes_are_lines_and_not_too_many(view: IncidentView) -> None:
    for number in range(100):
        view.take(cluster(number, 2, ("T1046",)))
    lines = view._console.export_text().splitlines()
    assert lines[0] == "  cluster 0 opened: a → b, T1046"
    assert len(lines) == alerts_demo_view.LINES


def test_changes_of_flows_are_lines_with_severity_and_reason(view: IncidentView) -> None:
    view.take(flow(3, 1))
    view.take(flow(3, 1, 2, change="grew"))  # no news: it is as severe as before
    view.take(flow(3, 1, 2, change="grew", severity=90, reasons=("opened: a critical alert",)))
    view.take(flow(3, 1, change="shrank"))
    view.take(flow(4, 9))
    view.take(flow(2, 9, merged=(4,)))  # an earlier step came: its id is the flow's
    view.take({"type": "flow", "change": "became", "flow_id": 4, "into": 2})
    view.take(flow(3, change="closed", reasons=("closed: no news for 7 days",)))
    assert view._console.export_text().splitlines() == [
        "  flow 3 opened: medium, 55 of 100, 0 steps of 1 cluster; risk 2.0",
        "  flow 3 grew: critical, 90 of 100, 0 steps of 2 clusters; a critical alert",
        "  flow 3 shrank: medium, 55 of 100, 0 steps of 1 cluster; risk 2.0",
        "  flow 4 opened: medium, 55 of 100, 0 steps of 1 cluster; risk 2.0",
        "  flow 2 opened with flow 4: medium, 55 of 100, 0 steps of 1 cluster; risk 2.0",
        "  flow 3 closed: no news for 7 days",
    ]
    assert set(view.flows) == {2}


def test_the_most_severe_flows_come_first_and_leave_space_for_clusters(view: IncidentView) -> None:
    for number in range(1, 30):
        view.take(cluster(number, 2, ("T1046",)))
        view.take(flow(number, number, severity=number))
    lines = shown(view).splitlines()
    assert len(lines) < 24
    assert [line.split()[1] for line in lines if "risk 2.0" in line][:5] == ["29", "28", "27", "26", "25"]
    assert "│      29 │" in shown(view)


def test_the_most_severe_flow_is_drawn(view: IncidentView) -> None:
    assert view.best_flow() is None
    view.take(flow(3, 1, risk=9.0))
    view.take(flow(4, 2, severity=90))
    view.take(flow(5, 3, severity=90, risk=3.0))
    best = view.best_flow()
    assert best is not None
    assert best.flow_id == 5
