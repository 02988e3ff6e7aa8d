"""What flows are made of alerts, and why."""

from __future__ import annotations

import zlib
from pathlib import Path

import msgspec
import pytest

from app.domains.alerts.flows.causality import before, technique_order
from app.domains.alerts.flows.flows import FlowChange, FlowConfig, Flows, build_flows
from app.domains.alerts.flows.severity import CRITICAL
from app.domains.alerts.incidents import ClusterSummary, Flow, FlowEdge
from app.errors import UnprocessableError, UnreadableStateError
from model.flow.corpus import read_corpus, read_recorded
from model.flow.evaluate import report
from model.flow.train import fit
from tests.flows_for_tests import LINKED, TABLE, cluster, step, together

CORPUS = Path(__file__).parents[5] / "shared" / "data" / "alerts" / "attack_flow_corpus_graphs.json"
HOUR_S, DAY_S = 3_600, 86_400

SCAN = cluster(1, [step(1_000, "T1595", "6.6.6.6", "web1"), step(1_100, "T1190", "6.6.6.6", "web1")])
SHELL = cluster(2, [step(2_000, "T1059", "web1", "web1")])
HOP = cluster(3, [step(5_000, "T1021.001", "web1", "db1")])
ELSEWHERE = cluster(4, [step(5_000, "T1059", "ws9", "ws9")])


def edge_of(flow: Flow, source: str, target: str) -> FlowEdge:
    [found] = [each for each in flow.edges if (each.source, each.target) == (source, target)]
    return found


def single(number: int, time: float, technique: str, src: str, dst: str, *, severity: int = 60) -> ClusterSummary:
    """A cluster of one alert."""
    return cluster(number, [step(time, technique, src, dst, severity=severity)])


def updated(flows: Flows, *clusters: ClusterSummary) -> list[FlowChange]:
    """Update flows; return the changes by the last cluster."""
    changes: list[FlowChange] = []
    for each in clusters:
        changes = flows.update(each)
    return changes


def test_a_target_that_becomes_a_source_carries_the_attack_on() -> None:
    [flow] = together([SCAN, SHELL, HOP, ELSEWHERE])
    assert flow.flow_id == 1
    assert flow.cluster_ids == (1, 2, 3)
    assert [node.id for node in flow.nodes] == ["1-1", "1-1001", "2-2", "3-3"]
    assert [node.tactic for node in flow.nodes] == ["reconnaissance", "initial-access", "execution", "lateral-movement"]
    assert (flow.start_time, flow.end_time) == (1_000, 5_005)
    assert edge_of(flow, "2-2", "3-3").reason == "50 min later: after activity on web1, from it"
    assert edge_of(flow, "1-1001", "2-2").reason == "15 min later: web1 was the target, then showed activity of its own"


def test_single_alerts_hours_apart_on_one_host_are_one_incident() -> None:
    techniques = ("T1566.001", "T1204.002", "T1059.001", "T1547.001", "T1003.001", "T1041")
    alerts = [single(n, 2 * HOUR_S * n, each, "wks-31", "wks-31") for n, each in enumerate(techniques)]
    [flow] = build_flows(alerts, TABLE)
    assert flow.cluster_ids == (0, 1, 2, 3, 4, 5)
    assert flow.reasons[0] == "opened: risk 3.6 of 6 types of alerts (threshold 2), 5 tactics"
    assert flow.reasons[1] == "joined by wks-31 (12)"


@pytest.mark.parametrize("steps", [9, 20, 30])
def test_a_busy_victim_is_no_gateway(steps: int) -> None:
    techniques = list(TABLE.techniques)[:steps]
    alerts = [single(n, 300 * n, each, "web1", "web1") for n, each in enumerate(techniques)]
    [flow] = build_flows(alerts, TABLE)
    assert len(flow.nodes) == steps


def test_types_that_come_everywhere_are_context_and_link_nothing() -> None:
    everyday = [single(100 + n, 900 * n, "T1078", f"pc{n % 9}", f"pc{n % 9}") for n in range(40)]
    course = ("T1204.002", "T1059.001", "T1003.001")
    attack = [single(n, 1_000 * n, each, "pc3", "pc3", severity=69) for n, each in enumerate(course)]
    assert build_flows(everyday, TABLE) == []
    [flow] = build_flows([*everyday, *attack], TABLE)
    assert {node.step.technique for node in flow.nodes} == {"T1204.002", "T1059.001", "T1003.001"}
    assert flow.context == 1
    assert flow.reasons[-1] == "1 alerts of types that come elsewhere, too, were at its machines: they are its context"


def test_a_type_that_is_frequent_within_an_incident_alone_belongs_to_it() -> None:
    flow_of = [single(n, 600 * n, each, "web1", "web1") for n, each in enumerate(("T1190", "T1505.003", "T1059.004"))]
    scans = [single(50 + n, 700 + 330 * n, "T1046", "web1", f"10.0.0.{n}") for n in range(12)]
    [flow] = build_flows([*flow_of, *scans], TABLE)
    assert len(flow.nodes) == 15
    assert "12 steps that link nothing belong to it: elsewhere their types are rare" in flow.reasons


def test_a_server_that_many_use_is_a_victim_with_all_that_happens_to_it() -> None:
    files = [single(100 + n, 400 * n, "T1078", f"10.1.0.{n}", "files", severity=10) for n in range(40)]
    attack = [single(n, 9_000 + 600 * n, each, "files", "files") for n, each in enumerate(("T1059", "T1003", "T1560"))]
    beacons = [single(50 + n, 9_000 + 500 * n, "T1071", "files", "6.6.6.6") for n in range(9)]
    cleared = single(90, 12_000, "T1070", "files", "files", severity=20)
    [flow] = build_flows([*files, *attack, *beacons, cleared], TABLE)
    assert len(flow.nodes) == 13


def test_beacons_that_began_with_an_incident_belong_to_it_for_days() -> None:
    attack = [
        single(n, 600 * n, each, "pc7", "pc7", severity=70)
        for n, each in enumerate(("T1566.001", "T1204.002", "T1547"))
    ]
    beacons = [single(50 + n, 3_000 + 600 * n, "T1071.001", "pc7", "6.6.6.6") for n in range(280)]
    [flow] = build_flows([*attack, *beacons], TABLE)
    assert len(flow.nodes) == 283


def test_a_rare_login_of_low_severity_carries_the_attack_from_machine_to_machine() -> None:
    one = [single(n, 60 * n, each, "wks", "wks") for n, each in enumerate(("T1204.002", "T1059.001", "T1555"))]
    login = single(5, 5 * HOUR_S, "T1021.001", "wks", "sql", severity=20)
    other = [single(6, 6 * HOUR_S, "T1003.001", "sql", "sql"), single(7, 7 * HOUR_S, "T1560", "sql", "sql")]
    [flow] = build_flows([*one, login, *other], TABLE)
    assert len(flow.nodes) == 6
    everyday = [single(20 + n, 2 * HOUR_S * n, "T1021.001", f"pc{n}", "sql", severity=20) for n in range(9)]
    assert build_flows([*one, login, *everyday, *other], TABLE) == []


def test_a_scanner_of_high_severity_is_in_no_incident_of_its_targets() -> None:
    scans = [single(50 + n, 4_000 * n, f"T{1046 + n % 2}", "scan", f"pc{n}", severity=80) for n in range(8)]
    attack = [single(n, 9_000 + 60 * n, each, "pc3", "pc3") for n, each in enumerate(("T1059", "T1003", "T1560"))]
    [flow] = build_flows([*scans, *attack], TABLE)
    assert {each.step.src for each in flow.nodes} == {"pc3"}


def test_where_many_different_others_meet_links_nothing() -> None:
    techniques = list(TABLE.techniques)[:160]
    proxy = [single(n, 700 * n, each, f"pc{n}", "proxy") for n, each in enumerate(techniques)]
    assert len(together(proxy[:3])) == 1
    assert together(proxy) == []


def test_probes_from_outside_say_little_about_what_follows() -> None:
    techniques = list(TABLE.techniques)[:80]
    probes = [single(n, 700 * n, each, f"6.6.{n}.6", "10.0.0.5") for n, each in enumerate(techniques)]
    [flow] = together(
        [
            *probes,
            single(200, 40_000, "T1059", "10.0.0.5", "10.0.0.5"),
            single(201, 40_060, "T1003", "10.0.0.5", "10.0.0.5"),
        ]
    )
    assert flow.cluster_ids == (200, 201)


@pytest.mark.parametrize(
    ("severity", "technique", "stands"), [(95, "", 95), (70, "T1003.006", 90), (None, "T1486", 90), (100, "T1486", 100)]
)
def test_one_critical_alert_is_an_incident(severity: int | None, technique: str, stands: int) -> None:
    [flow] = build_flows([cluster(7, [step(1_000, technique, "dc1", "dc1", severity=severity)])], TABLE)
    assert (flow.flow_id, flow.severity, flow.edges) == (7, stands, ())
    assert flow.reasons[0].startswith("opened: a critical alert")


@pytest.mark.parametrize(("severity", "technique"), [(80, "T1059"), (55, "T1003.006")])
def test_one_alert_that_is_not_critical_is_none(severity: int, technique: str) -> None:
    assert build_flows([single(7, 1_000, technique, "dc1", "dc1", severity=severity)], TABLE) == []


def test_a_critical_alert_that_comes_everywhere_is_no_incident_by_itself_unless_its_technique_is() -> None:
    alarms = [single(n, 4_000 * n, "T1204.002", f"pc{n}", f"pc{n}", severity=95) for n in range(5)]
    flows = Flows(TABLE)
    words = [change.word for each in alarms for change in flows.update(each)]
    assert words == ["opened", "opened", "closed", "closed"]
    assert build_flows(alarms, TABLE) == []
    copies = [single(n, 4_000 * n, "T1003.003", f"dc{n}", f"dc{n}", severity=95) for n in range(5)]
    assert len(build_flows(copies, TABLE)) == 5


def test_severity_follows_from_the_tactic_where_no_alert_states_one() -> None:
    alerts = [
        cluster(n, [step(1_000 * n, each, "web1", "web1", severity=None)])
        for n, each in enumerate(("T1190", "T1003.001", "T1486"))
    ]
    [flow] = build_flows(alerts, TABLE)
    assert flow.severity == 90
    assert [node.step.severity for node in flow.nodes] == [None, None, None]


def test_alerts_below_the_severity_that_links_belong_where_their_machine_does() -> None:
    alerts = [single(n, 600 * n, each, "web1", "web1") for n, each in enumerate(("T1190", "T1505.003", "T1059.004"))]
    low = single(9, 900, "T1083", "web1", "web1", severity=10)
    [flow] = build_flows([*alerts, low], TABLE)
    assert len(flow.nodes) == 4
    assert build_flows([low, single(10, 950, "T1082", "web1", "web1", severity=10)], TABLE, LINKED) == []


def test_what_leads_there_by_another_step_is_not_drawn_twice() -> None:
    [flow] = together([single(each, 1_000 * each, "T1046", f"s{each}", "web1") for each in (1, 2, 3)])
    assert [(each.source, each.target) for each in flow.edges] == [("1-1", "2-2"), ("2-2", "3-3")]


def test_a_step_follows_from_three_others_at_the_most() -> None:
    many = [single(each, 1_000 + each, "T1046", f"s{each}", "web1") for each in range(1, 5)]
    [flow] = together([*many, single(9, 9_000, "T1021", "web1", "db1")])
    assert len([each for each in flow.edges if each.target == "9-9"]) <= 3
    [one] = together([*many, single(9, 9_000, "T1021", "web1", "db1")], msgspec.structs.replace(LINKED, parents=1))
    assert len([each for each in one.edges if each.target == "9-9"]) == 1


def test_steps_of_a_cluster_that_share_nothing_are_weakly_joined() -> None:
    [flow] = together([cluster(1, [step(1_000, "T1046", "a", "b"), step(1_100, "", "c", "d")])])
    assert flow.edges == (FlowEdge("1-1", "1-1001", 0.2621, "95 s later in the same cluster 1"),)


def test_a_shared_user_joins_what_shares_no_host_for_a_while() -> None:
    one = cluster(1, [step(1_000, "T1078", "ws1", "ws1")], mentioned=["user:alice"])
    other = cluster(2, [step(1_012, "T1098", "ws2", "ws2", lasts=0)], mentioned=["user:alice"])
    [flow] = together([one, other])
    assert flow.edges[0].reason == "7 s later: same user or file alice"
    assert together([one, cluster(2, [step(2 * DAY_S, "T1098", "ws2", "ws2")], mentioned=["user:alice"])]) == []


def test_an_account_in_the_place_of_a_host_is_that_user() -> None:
    mail = cluster(1, [step(1_000, "T1110", "6.6.6.6", "k.neumann@corp.example.com")], mentioned=["user:k.neumann"])
    cloud = cluster(2, [step(DAY_S, "T1098", "7.7.7.7", "k.neumann")], mentioned=["user:k.neumann"])
    [flow] = together([mail, cloud])
    assert flow.edges[0].reason == "24 h later: same target k.neumann"
    assert not any("is short for" in each for each in flow.reasons)


def test_the_same_host_in_another_spelling_is_the_same() -> None:
    assert together([single(1, 1_000, "", "a", "WEB1"), single(2, 1_100, "", "web1", "b")])


def test_a_machine_is_one_by_its_name_and_its_address() -> None:
    by_name = [single(n, 600 * n, each, "wks-31", "wks-31") for n, each in enumerate(("T1566", "T1204", "T1059"))]
    by_address = single(4, 2_400, "T1071", "10.20.0.31", "6.6.6.6")
    both = msgspec.structs.replace(single(5, 2_500, "T1082", "wks-31", "wks-31"), aliases=(("WKS-31", "10.20.0.31"),))
    [flow] = build_flows([*by_name, by_address, both], TABLE)
    assert len(flow.nodes) == 5
    assert "10.20.0.31 was wks-31" in flow.reasons
    again = msgspec.structs.replace(single(6, 9_000, "T1083", "wks-99", "wks-99"), aliases=(("wks-99", "10.20.0.31"),))
    late = single(7, 9_100, "T1041", "10.20.0.31", "6.6.6.7")
    [flow] = build_flows([*by_name, by_address, both, again, late], TABLE)
    assert 7 not in flow.cluster_ids, "another machine has the address now"


@pytest.mark.parametrize("nowhere", ["", "-", "127.0.0.1", "localhost", "Unknown"])
def test_what_names_nobody_joins_nothing(nowhere: str) -> None:
    assert together([single(each, each, "", nowhere, nowhere) for each in (1, 2)]) == []


@pytest.mark.parametrize(
    ("gap_s", "config", "linked"),
    [
        (5 * HOUR_S, {}, True),
        (4 * DAY_S, {}, True),
        (6 * DAY_S, {}, False),
        (6 * DAY_S, {"half_life_s": 10 * DAY_S}, True),
        (8 * DAY_S, {"half_life_s": 300 * DAY_S}, False),
    ],
)
def test_a_link_fades_with_time_and_ends_with_the_window(gap_s: float, config: dict[str, float], linked: bool) -> None:
    alerts = [single(1, 0, "", "a", "x"), single(2, gap_s, "", "x", "b")]
    assert bool(together(alerts, msgspec.structs.replace(LINKED, **config))) == linked


def test_time_says_what_came_first_whatever_the_tactics_say() -> None:
    [flow] = together([cluster(1, [step(1_000, "T1486", "a", "b"), step(1_100, "T1595", "a", "b")])])
    assert [node.step.technique for node in flow.nodes] == ["T1486", "T1595"]
    [usual] = together([cluster(1, [step(1_000, "T1595", "a", "b"), step(1_100, "T1486", "a", "b")])])
    assert usual.edges[0].probability > flow.edges[0].probability
    steps = [step(1_000, "T1486", "a", "b"), step(1_100, "T1595", "a", "b")]
    [same] = together([cluster(1, steps)], msgspec.structs.replace(LINKED, tactic_weight=0))
    assert usual.edges[0].probability > same.edges[0].probability > flow.edges[0].probability


def test_tactics_order_what_happened_at_one_time() -> None:
    [flow] = together([cluster(1, [step(1_000, "T1486", "a", "b"), step(1_000, "T1190", "a", "b")])])
    assert [node.step.technique for node in flow.nodes] == ["T1190", "T1486"]
    assert flow.edges[0].reason.startswith("at the same time, in the order of tactics")


def test_a_technique_of_several_tactics_has_the_one_that_is_no_step_back() -> None:
    steps = [step(1_000, "T1078", "a", "b"), step(1_100, "T1190", "a", "b"), step(1_200, "T1078", "a", "b")]
    [flow] = together([cluster(1, steps)])
    assert [node.tactic for node in flow.nodes][::2] == ["initial-access", "initial-access"]
    steps[1] = step(1_100, "T1059", "a", "b")
    [flow] = together([cluster(1, steps)])
    assert [node.tactic for node in flow.nodes] == ["initial-access", "execution", "persistence"]


def test_changes_tell_what_became_of_flows() -> None:
    flows = Flows(TABLE)
    late = cluster(
        7,
        [
            step(5_000, "T1003", "db1", "db1"),
            step(5_100, "T1041", "db1", "8.8.8.8"),
            step(5_200, "T1486", "db1", "db1"),
        ],
    )
    [opened] = flows.update(late)
    assert (opened.flow.flow_id, opened.word) == (7, "opened")
    early = msgspec.structs.replace(
        SCAN, steps=(*SCAN.steps, *cluster(2, [step(1_200, "T1505", "web1", "web1")]).steps)
    )
    [opened] = flows.update(early)
    assert (opened.flow.flow_id, opened.word) == (1, "opened")
    [joined] = flows.update(single(8, 3_000, "T1021.001", "web1", "db1"))
    assert (joined.flow.cluster_ids, joined.word, joined.merged) == ((1, 8, 7), "merged", (7,))
    assert flows.flow(7) is None
    assert flows.flow(1) == joined.flow


def test_a_step_that_goes_on_is_no_news_and_a_new_one_is() -> None:
    flows = Flows(TABLE, LINKED)
    flows.update(SCAN)
    longer = msgspec.structs.replace(SCAN.steps[1], end_time=1_400.0, alerts=9)
    assert flows.update(msgspec.structs.replace(SCAN, steps=(SCAN.steps[0], longer))) == []
    [flow] = flows.flows()
    assert flow.nodes[1].step.alerts == 9
    [change] = flows.update(cluster(1, [SCAN.steps[0], longer, step(1_500, "T1059", "web1", "web1")]))
    assert (change.word, change.flow) == ("grew", flows.flow(1))


def test_a_flow_that_grows_and_grows_is_told_of_ever_more_seldom() -> None:
    flows = Flows(TABLE, LINKED)
    steps = [step(1_000 + each, "T1046", f"host{each}", "web1") for each in range(32)]
    news = [count for count in range(1, 33) if flows.update(cluster(1, steps[:count]))]
    assert news == [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32]


def test_a_critical_step_is_news_however_large_the_flow() -> None:
    flows = Flows(TABLE, LINKED)
    steps = [step(1_000 + each, "T1046", f"host{each}", "web1") for each in range(17)]
    updated(flows, cluster(1, steps[:16]))
    assert flows.update(cluster(1, steps)) == []
    encrypted = step(1_100, "T1486", "web1", "web1", severity=None)
    [change] = flows.update(cluster(1, [*steps, encrypted]))
    assert (change.word, change.flow.severity, change.flow.nodes[-1].step.technique) == ("grew", 90, "T1486")


def test_a_cluster_that_became_part_of_another_takes_its_steps_along() -> None:
    flows = Flows(TABLE, LINKED)
    updated(flows, SCAN, SHELL, HOP)
    whole = msgspec.structs.replace(SCAN, steps=(*SCAN.steps, *SHELL.steps), merged=(2,))
    [change] = flows.update(whole)
    assert change.flow.cluster_ids == (1, 3)
    assert [node.id for node in change.flow.nodes] == ["1-1", "1-1001", "1-2", "3-3"]


def test_a_flow_that_loses_what_linked_it_is_told_of() -> None:
    flows = Flows(TABLE)
    attack = [
        single(n, 1_000 * n, each, "pc3", "pc3", severity=69) for n, each in enumerate(("T1078", "T1059", "T1003"))
    ]
    assert [each.word for each in updated(flows, *attack)] == ["opened"]
    words = [
        change.word
        for n in range(12)
        for change in flows.update(single(20 + n, 5_000 + 900 * n, "T1078", f"pc{n + 10}", f"pc{n + 10}"))
    ]
    assert words == ["closed"]
    assert flows.flows() == []


def test_a_flow_that_falls_apart_is_told_of() -> None:
    flows = Flows(TABLE)
    left = [
        single(n, 1_000 * n, each, "left", "left", severity=75) for n, each in enumerate(("T1566", "T1204", "T1059"), 1)
    ]
    right = [
        single(n, 1_000 * n, each, "right", "right", severity=75)
        for n, each in enumerate(("T1570", "T1003", "T1041"), 5)
    ]
    bridge = single(4, 3_500, "T1021", "left", "right")
    [joined] = updated(flows, *left, bridge, *right)
    assert len(joined.flow.nodes) == 7
    changes = [
        change for n in range(9) for change in flows.update(single(20 + n, 9_000 + 900 * n, "T1021", f"a{n}", f"b{n}"))
    ]
    assert [(each.word, each.flow.flow_id, len(each.flow.nodes)) for each in changes] == [
        ("shrank", 1, 3),
        ("opened", 5, 3),
    ]


def test_an_incident_without_news_for_a_window_closes_and_says_so() -> None:
    flows = Flows(TABLE)
    attack = [single(n, 1_000 * n, each, "web1", "web1") for n, each in enumerate(("T1190", "T1059", "T1003"))]
    updated(flows, *attack)
    assert updated(flows, single(10, 5 * DAY_S, "", "far", "away")) == []
    [closed] = updated(flows, single(11, 9 * DAY_S, "", "far", "off"))
    assert (closed.word, len(closed.flow.nodes)) == ("closed", 3)
    assert closed.flow.reasons[-1] == "closed: no news for 7 days"
    assert flows.flow(0) is None
    assert flows.update(attack[0]) == [], "it ended before the window"
    assert [flow.flow_id for flow in build_flows([*attack, single(11, 9 * DAY_S, "", "far", "off")], TABLE)] == [0]


def test_an_incident_that_closes_stays_closed_when_its_machine_gets_a_name_at_that_moment() -> None:
    flows = Flows(TABLE, FlowConfig(window_s=3_600))
    course = ("T1190", "T1059", "T1003")
    attack = [single(n, 500 * n, each, "10.0.0.9", "10.0.0.9", severity=80) for n, each in enumerate(course)]
    updated(flows, *attack, single(8, 4_000, "T1046", "far", "away"))
    named = msgspec.structs.replace(single(9, 7_500, "T1082", "far", "off"), aliases=(("wks-9", "10.0.0.9"),))
    assert [change.word for change in flows.update(named)] == ["closed"]
    assert len(flows) == 2, "its steps are forgotten"


def test_an_incident_that_goes_on_for_longer_than_the_window_stays_whole() -> None:
    alerts = [single(n, 2 * DAY_S * n, each, "web1", "web1") for n, each in enumerate(list(TABLE.techniques)[:10])]
    [flow] = build_flows(alerts, TABLE)
    assert len(flow.nodes) == 10
    low = single(20, DAY_S, "T1033", "web1", "web1", severity=10)
    [flow] = build_flows([*alerts, low], TABLE)
    assert len(flow.nodes) == 11, "and keeps what belongs to it"


def test_of_too_many_steps_that_link_the_oldest_are_forgotten() -> None:
    flows = Flows(TABLE, FlowConfig(most_linked=64))
    for n, technique in enumerate(sorted(TABLE.techniques.keys() - CRITICAL)[:300]):
        flows.update(single(n, 700 * n, technique, "web1", "web1"))
        assert len(flows) <= 64
    assert max(each.end_time for each in flows.flows()) == 700 * 299 + 5


def test_one_wrong_clock_makes_nothing_old() -> None:
    flows = Flows(TABLE, LINKED)
    flows.update(SCAN)
    wrong = single(5, 4_000 * DAY_S, "", "far", "away")
    flows.update(wrong)
    flows.update(msgspec.structs.replace(wrong, alerts=2, steps=(step(4_001 * DAY_S, "", "far", "away"),)))
    assert flows.flow(1) is not None
    flows.update(single(6, 4_000 * DAY_S, "", "really", "late"))
    assert flows.flow(1) is None


def test_too_many_steps_push_the_oldest_out_that_are_no_incident() -> None:
    flows = Flows(TABLE, FlowConfig(most_steps=100))
    attack = [single(n, 1_000 * n, each, "web1", "web1") for n, each in enumerate(("T1190", "T1059", "T1003"))]
    updated(flows, *attack)
    for each, technique in enumerate(sorted(TABLE.techniques.keys() - CRITICAL)[100:400], 10):
        flows.update(single(each, 5_000 + each, technique, f"h{each}", f"i{each}"))
        assert len(flows) <= 100
    assert [len(flow.nodes) for flow in flows.flows()] == [3]


def test_a_long_chain_goes_on_in_another_flow() -> None:
    gaps = [0, 60, 120, 30 * HOUR_S, 30 * HOUR_S + 60, 30 * HOUR_S + 120]
    chain = [cluster(n, [step(gap, "", f"h{n}", f"h{n + 1}", lasts=0)]) for n, gap in enumerate(gaps)]
    config = msgspec.structs.replace(LINKED, common_times=100)
    assert [flow.cluster_ids for flow in together(chain, config)] == [(0, 1, 2, 3, 4, 5)]
    cut = together(chain, msgspec.structs.replace(config, most_flow_steps=3))
    assert [flow.cluster_ids for flow in cut] == [(0, 1, 2), (3, 4, 5)]


def test_an_incident_larger_than_a_flow_is_not_news_with_each_alert() -> None:
    flows = Flows(TABLE, msgspec.structs.replace(LINKED, most_flow_steps=32, common_times=1_000, common_places=1_000))
    techniques = sorted(TABLE.techniques)
    changes = [
        change for n in range(160) for change in flows.update(single(n + 1, 60 * n, techniques[n], f"h{n % 40}", "dc1"))
    ]
    assert len(flows.flows()) >= 160 // 32
    assert sum(change.word == "opened" for change in changes) <= len(flows.flows()) + 1
    assert len(changes) < 160


def test_a_state_of_something_else_is_refused() -> None:
    good = Flows(TABLE, LINKED).dump()
    wrong = msgspec.msgpack.encode([9, 0.0, None, 0.0, [], []])
    no_text = msgspec.msgpack.encode([2, 0.0, None, 0.0, ["a"], [], [[], []]]).replace(b"\xa1a", b"\xa1\xff")
    out_of_range = msgspec.msgpack.encode(
        [2, 0.0, None, 0.0, [], [[1, 1, 0, 0, 0, 0, 0.0, 1.0, 1, "a", None, [7], [], []]], [[], []]]
    )
    for data in (
        b"",
        b"nothing",
        good[:-3],
        good + b"x",
        *(zlib.compress(each) for each in (b"x", wrong, no_text, out_of_range)),
    ):
        with pytest.raises(UnreadableStateError, match="state of flows"):
            Flows.load(data, TABLE)


def test_flows_of_the_former_release_begin_anew() -> None:
    former = msgspec.msgpack.encode([1, 9.0, None, 0.0, ["a"], [[1, [[1, 0]], "other fields"]]])
    flows = Flows.load(zlib.compress(former), TABLE)
    assert flows.dump() == Flows(TABLE).dump()


def test_a_file_may_change_how_flows_are_made() -> None:
    config = FlowConfig.from_request({"window_s": 60, "parents": 2.0, "eps": 1})
    assert config == FlowConfig(window_s=60.0, parents=2)
    with pytest.raises(UnprocessableError, match=r"link_threshold is 7; it must be a number between 0\.01 and 1"):
        FlowConfig.from_request({"link_threshold": 7})
    with pytest.raises(ValueError, match="most_flow_steps is 1; it must be between 2 and"):
        FlowConfig(most_flow_steps=1)


def test_the_learned_order_knows_the_ends_of_an_attack() -> None:
    order = technique_order()
    positions = [order.position(each, TABLE) for each in ("T1190", "T1059", "T1021.001", "T1486")]
    assert positions == sorted(positions)
    assert before(positions[0], positions[-1]) > 0.9
    assert order.position("T1059.001", TABLE) == order.position("T1059", TABLE)
    assert order.position("", TABLE) == order.position("T9999", TABLE) == 0


def test_preparation_comes_before_access_in_the_learned_order() -> None:
    order = technique_order()
    assert order.position("T1595", TABLE) < order.position("T1583", TABLE) < order.position("T1190", TABLE)


def test_recorded_steps_are_pairs_in_order_of_time(tmp_path: Path) -> None:
    file = tmp_path / "steps.csv"
    file.write_text(
        "attack,step,seconds_from_start,lasts_seconds,techniques\n"
        "1_a,2,60.5,1,T1486 T9999\n1_a,1,0,5,T1190 T1059\n1_a,3,90,1,T1190\n1_b,1,0,1,\n"
    )
    (attack,) = read_recorded(file, TABLE)
    technique = attack.techniques
    assert attack.name == "1_a"
    assert [(technique[first], technique[later]) for first, later in attack.direct] == [
        ("T1190", "T1486"), ("T1059", "T1486"), ("T1486", "T1190"),
    ]  # fmt: skip
    assert len(attack.reachable) == 4, "T1190 at both ends is no pair"


@pytest.mark.slow
@pytest.mark.skipif(not CORPUS.exists(), reason="attack_flow_corpus_graphs.json is not here")
def test_the_order_is_the_one_that_training_learns_and_is_as_good_as_said() -> None:
    flows = read_corpus(msgspec.json.decode(CORPUS.read_bytes()), TABLE)
    assert fit(flows, TABLE) == technique_order()
    share = {name: (direct, reachable) for name, direct, reachable in report(flows, TABLE)}
    for learned, chain in zip(share["learned order alone"], share["kill chain alone"], strict=True):
        assert learned.half > chain.half + 0.01
        assert learned.decided > chain.decided + 0.01
    assert share["kill chain alone"][1].half > 0.66
    assert share["time, alerts late by 0 s"] == ((1.0, 1.0), (1.0, 1.0))
    hour, by_order = share["time to the hour"], share["time to the hour, ties by the learned order"]
    assert by_order[1].half > hour[1].half
