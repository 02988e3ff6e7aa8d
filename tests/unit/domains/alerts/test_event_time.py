"""Dates that cannot be, ahead of an alert's arrival or far in its past, move no clock and close nothing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domains.alerts.alert import Alert, EnrichedAlert, Techniques, latest_time
from app.domains.alerts.attack import attack_table
from app.domains.alerts.clusters.affinity import Affinity
from app.domains.alerts.clusters.clusters import ClusterConfig, Clusters
from app.domains.alerts.clusters.packing import VERSION, _State
from app.domains.alerts.formats.reading import read_alert
from app.domains.alerts.formats.times import seconds
from app.domains.alerts.incidents import ClusterSummary, Step
from app.domains.alerts.membership import summary_of
from app.domains.alerts.state_bytes import pack_state, unpack_state
from tests.alerts_for_tests import alert as story_alert
from tests.alerts_for_tests import alerts_spine, emitted, payload, resolver, tenant_factory

if TYPE_CHECKING:
    from collections.abc import Sequence

START_S = 1_700_000_000.0
WRONG_S = seconds("2099-01-01T00:00:00Z", "time")
DAY_S, HOUR_S = 86_400.0, 3_600.0
SKEW_S = 300.0
CONFIG = ClusterConfig(delta_s=10, theta_s=20, own=1, patience=0, entity_s=0)
AFFINITY = Affinity([], tenant_factory().affinity._matrix[:0, :0], [])


def at(time: float, arrival_s: float, name: str = "port scan", host: str = "web1") -> EnrichedAlert:
    alert = Alert(id=int(time), time=time, src=host, dst=host, name=name)
    return EnrichedAlert(alert, Techniques((), Techniques.UNKNOWN, 0.0), latest_time(arrival_s, SKEW_S))


def wrong(arrival_s: float, host: str = "broken") -> EnrichedAlert:
    return at(WRONG_S, arrival_s, "disk is full", host)


def clusters_of(alerts: Sequence[EnrichedAlert]) -> tuple[Clusters, list[int]]:
    clusters = Clusters(AFFINITY, CONFIG)
    return clusters, [change.cluster_id for change in clusters.add(alerts)]


def test_two_alerts_of_2099_cut_no_cluster_and_clusters_go_on_to_expire() -> None:
    now = START_S + 2
    clusters, ids = clusters_of([at(START_S, now), wrong(now), wrong(now + 1, "other"), at(START_S + 4, now + 4)])
    assert ids[0] == ids[3]
    later = START_S + 5 * HOUR_S
    clusters.add([at(later, later, host="web2")])
    assert clusters.current(ids[0]) is None
    assert clusters.clock == later


def test_a_date_ahead_counts_as_of_the_arrival() -> None:
    clusters, _ = clusters_of([at(START_S, START_S + 1), wrong(START_S + 61), wrong(START_S + 65)])
    summary = clusters.summary(2)
    assert summary is not None
    assert (summary.alerts, summary.start_time, summary.end_time) == (2, START_S + 60, START_S + 64)


def test_a_clock_that_is_a_little_ahead_is_believed() -> None:
    clusters, _ = clusters_of([at(START_S + SKEW_S, START_S)])
    summary = clusters.summary(1)
    assert summary is not None
    assert summary.start_time == START_S + SKEW_S


def test_a_tenant_whose_clocks_are_all_wrong_is_clustered_by_arrival() -> None:
    arrivals = [START_S, START_S + 5, START_S + 3 * DAY_S, START_S + 3 * DAY_S + 5]
    clusters, ids = clusters_of([wrong(arrival_s) for arrival_s in arrivals])
    assert ids == [1, 1, 2, 2]
    assert clusters.current(1) is None  # it expired over the three days


@pytest.mark.parametrize("position", [0, 1, 2, 3])
@pytest.mark.parametrize("played_back_s", [0.0, 200 * DAY_S])
def test_wrong_dates_anywhere_leave_the_others_as_they_are(position: int, played_back_s: float) -> None:
    times = [0, 4, 6 * HOUR_S]
    right = [at(START_S + after, START_S + after + played_back_s) for after in times]
    arrival_s = right[min(position, 2)].latest - SKEW_S
    mixed = [*right[:position], wrong(arrival_s), wrong(arrival_s, "other"), *right[position:]]
    clusters, ids = clusters_of(mixed)
    others = [each for each, alert in zip(ids, mixed, strict=True) if not alert.is_ahead]
    assert others[0] == others[1] != others[2]
    assert clusters.current(others[0]) is None
    assert clusters.current(others[2]) == others[2]


@given(
    st.lists(st.one_of(st.none(), st.floats(0, 3 * HOUR_S)), min_size=1, max_size=12),
    st.lists(st.integers(0, 12), max_size=4),
)
def test_in_a_file_wrong_dates_change_neither_the_clock_nor_other_clusters(
    gaps: list[float | None], cuts: list[int]
) -> None:
    arrival_s, time = START_S + 500 * DAY_S, START_S
    alerts = []
    for gap in gaps:
        time += gap or 0
        alerts.append(wrong(arrival_s) if gap is None else at(time, arrival_s))
    right = [each for each in alerts if not each.is_ahead]
    clusters, ids = clusters_of(alerts)
    alone, expected = clusters_of(right)
    found = [each for each, alert in zip(ids, alerts, strict=True) if not alert.is_ahead]
    assert [found.index(each) for each in found] == [expected.index(each) for each in expected]
    if right:
        assert clusters.clock == alone.clock
    again = Clusters(AFFINITY, CONFIG)
    for cut in sorted({0, *cuts}):
        following = min([each for each in [*cuts, len(alerts)] if each > cut], default=len(alerts))
        again.add(alerts[cut:following])
        again = Clusters.load(again.dump(), AFFINITY, CONFIG)
    assert again.dump() == clusters.dump()


def test_alerts_of_1970_move_nothing() -> None:
    now = START_S
    clusters, ids = clusters_of([at(START_S, now), at(0, now, "disk is full"), at(60, now, "x"), at(START_S + 4, now)])
    assert ids == [1, 2, 3, 1]
    assert clusters.clock == START_S + 4
    clusters.add([at(START_S + 5 * HOUR_S, START_S + 5 * HOUR_S, host="web2")])
    assert [clusters.current(each) for each in (1, 2, 3)] == [None, None, None]


def test_the_clock_leaves_1970_with_the_second_alert_of_today() -> None:
    clusters, _ = clusters_of([at(0, START_S), at(START_S, START_S), at(START_S + 1, START_S + 1)])
    assert clusters.clock == START_S


def test_a_state_of_an_earlier_release_is_read_and_its_impossible_clock_is_set_back() -> None:
    clusters = Clusters(AFFINITY, CONFIG)
    unbounded = [msgspec.structs.replace(wrong(START_S, str(n)), latest=math.inf) for n in range(2)]
    clusters.add([*unbounded])
    former = unpack_state(clusters.dump(), _State, VERSION, "")
    old = pack_state(_Former(2, *msgspec.structs.astuple(former)[1:-3]))
    clusters = Clusters.load(old, AFFINITY, CONFIG)
    assert clusters.clock == WRONG_S
    clusters.add([at(START_S, START_S), at(START_S + 5 * HOUR_S, START_S + 5 * HOUR_S, host="web2")])
    assert clusters.clock == START_S + 5 * HOUR_S
    assert [clusters.current(each) for each in (1, 2, 3)] == [None, None, 3]


class _Former(msgspec.Struct, array_like=True):
    """State of clusters of version 2: as today's, without `clock_latest` and what follows."""

    version: int
    next_id: int
    clock: float
    ahead: float
    texts: list[str]
    counts: list[tuple[int, int, int]]
    total: tuple[int, int]
    clusters: list[object]
    signatures: list[object]
    merged_into: list[object]
    targets: list[object]
    patterns: list[object]


def test_a_stream_keeps_the_alerts_own_time_and_shows_the_other_beside_it() -> None:
    spine = alerts_spine()
    spine.run([payload(0), payload(1, id="w", time="2099-01-01T00:00:00Z", dst="db9"), payload(2)], ["t"] * 3)
    first, second, third = emitted(spine, "enriched")
    assert second["alert"]["time"] == WRONG_S
    assert second["event_time"] == story_alert(0)["time"]
    assert "event_time" not in first
    assert "event_time" not in third


def test_flows_of_a_tenant_go_on_after_wrong_dates_came_first() -> None:
    ahead = [payload(n, time=WRONG_S + n, src=f"s{n // 2}", dst=f"d{n // 2}", name=f"reading {n}") for n in range(4)]
    latest = []
    for first in ([], ahead):
        spine = alerts_spine()
        alerts = [*first, *map(payload, range(8))]
        spine.run(alerts, ["t"] * len(alerts))
        flows = [each["flow"] for each in emitted(spine, "incidents") if each["type"] == "flow"]
        latest.append(flows[-1]["end_time"])
    assert latest[0] == latest[1]


def test_flows_whose_clock_an_earlier_release_moved_ahead_go_on() -> None:
    read = [read_alert(story_alert(number)) for number in range(8)]
    alerts = [EnrichedAlert(each, found) for each, found in zip(read, resolver().resolve(read), strict=True)]
    fresh, moved = tenant_factory().tenant(), tenant_factory().tenant()
    for number in range(2):
        host = f"s{number}"
        step = Step("", "x", host, host, WRONG_S, WRONG_S, 2, 1)
        summary = ClusterSummary(90 + number, 2, WRONG_S, WRONG_S, (host,), (host,), (host,), (), (), (step,))
        moved.flows.update(summary)
    expected = [fresh.observe(each).flows for each in alerts]
    assert any(expected)
    assert [moved.observe(each).flows for each in alerts] == expected


def test_a_summary_made_for_a_job_elsewhere_has_no_impossible_time() -> None:
    alerts = [at(START_S, START_S), wrong(START_S), at(START_S + 5, START_S)]
    summary = summary_of(1, alerts, attack_table())
    assert (summary.start_time, summary.end_time) == (START_S, START_S + 5)
    summary = summary_of(1, [wrong(START_S)], attack_table())
    assert summary.end_time == START_S + SKEW_S
