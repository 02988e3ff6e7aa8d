"""What flows are made of clusters, and why."""

from __future__ import annotations

import zlib
from pathlib import Path

import msgspec
import pytest

from app.domains.alerts.flows.causality import before, technique_order
from app.domains.alerts.flows.flows import FlowConfig, Flows, build_flows
from app.domains.alerts.incidents import Flow, FlowEdge
from app.errors import UnreadableStateError
from model.flow.corpus import read_corpus, read_recorded
from model.flow.evaluate import report
from model.flow.train import fit
from tests.flows_for_tests import TABLE, cluster, step

CORPUS = Path(__file__).parents[5] / "shared" / "data" / "alerts" / "attack_flow_corpus_graphs.json"
HOUR_S, DAY_S = 3_600, 86_400

SCAN = cluster(1, [step(1_000, "T1595", "6.6.6.6", "web1"), step(1_100, "T1190", "6.6.6.6", "web1")])
SHELL = cluster(2, [step(2_000, "T1059", "web1", "web1")])
HOP = cluster(3, [step(5_000, "T1021.001", "web1", "db1")])
ELSEWHERE = cluster(4, [step(5_000, "T1059", "ws9", "ws9")])


def edge_of(flow: Flow, source: str, target: str) -> FlowEdge:
    [found] = [each for each in flow.edges if (each.source, each.target) == (source, target)]
    return found


def linked(one: float, other: float, **config: float) -> bool:
    """Whether a host that was a target at one time and a source at the other makes a flow of two clusters."""
    flows = build_flows(
        [cluster(1, [step(one, "", "a", "x")]), cluster(2, [step(other, "", "x", "b")])],
        TABLE,
        FlowConfig.from_request(config),
    )
    return bool(flows)


def test_a_target_that_becomes_a_source_carries_the_attack_on() -> None:
    [flow] = build_flows([SCAN, SHELL, HOP, ELSEWHERE], TABLE)
    assert flow.flow_id == 1
    assert flow.cluster_ids == (1, 2, 3)
    assert [node.id for node in flow.nodes] == ["1-0", "1-1", "2-0", "3-0"]
    assert [node.tactic for node in flow.nodes] == ["reconnaissance", "initial-access", "execution", "lateral-movement"]
    assert (flow.start_time, flow.end_time) == (1_000, 5_005)
    hop = edge_of(flow, "1-1", "3-0")
    assert hop.reason == "65 min later: web1 was the target, then the source"
    assert hop.probability > edge_of(flow, "2-0", "3-0").probability > 0.5
    assert edge_of(flow, "1-1", "2-0").reason == "15 min later: web1 was the target, then showed activity of its own"


def test_what_leads_there_by_another_step_is_not_drawn_twice() -> None:
    [flow] = build_flows([cluster(each, [step(1_000 * each, "", f"s{each}", "web1")]) for each in (1, 2, 3)], TABLE)
    assert [(each.source, each.target) for each in flow.edges] == [("1-0", "2-0"), ("2-0", "3-0")]


def test_the_best_reason_is_drawn_even_if_another_step_lies_between() -> None:
    [flow] = build_flows([SCAN, SHELL, HOP], TABLE)
    assert {(each.source, each.target) for each in flow.edges} >= {("1-1", "2-0"), ("2-0", "3-0"), ("1-1", "3-0")}


def test_a_step_follows_from_three_others_at_the_most() -> None:
    many = [cluster(each, [step(1_000 + each, "", f"s{each}", "web1")]) for each in range(1, 5)]
    [flow] = build_flows([*many, cluster(9, [step(9_000, "", "web1", "db1")])], TABLE)
    assert len([each for each in flow.edges if each.target == "9-0"]) <= 3
    [one] = build_flows([*many, cluster(9, [step(9_000, "", "web1", "db1")])], TABLE, FlowConfig(parents=1))
    assert len([each for each in one.edges if each.target == "9-0"]) == 1


def test_one_cluster_of_several_steps_is_a_flow_and_one_step_is_none() -> None:
    [flow] = build_flows([SCAN, ELSEWHERE], TABLE)
    assert (flow.cluster_ids, flow.cluster_prob) == ((1,), 1.0)
    assert edge_of(flow, "1-0", "1-1").reason == "95 s later: same source 6.6.6.6"


def test_steps_of_a_cluster_that_share_nothing_are_weakly_joined() -> None:
    [flow] = build_flows([cluster(1, [step(1_000, "", "a", "b"), step(1_100, "", "c", "d")])], TABLE)
    assert flow.edges == (FlowEdge("1-0", "1-1", 0.3, "95 s later in the same cluster"),)


def test_a_shared_user_joins_clusters_that_share_no_host() -> None:
    one = cluster(1, [step(1_000, "T1078", "ws1", "ws1")], mentioned=["alice"])
    other = cluster(2, [step(1_012, "T1078", "ws2", "ws2", lasts=0)], mentioned=["Alice"])
    [flow] = build_flows([one, other], TABLE)
    assert flow.edges[0].reason == "7 s later: same user or file alice"


def test_the_same_host_in_another_spelling_is_the_same() -> None:
    assert build_flows([cluster(1, [step(1_000, "", "a", "WEB1")]), cluster(2, [step(1_100, "", "web1", "b")])], TABLE)


@pytest.mark.parametrize("nowhere", ["", "-", "127.0.0.1", "localhost", "Unknown"])
def test_what_names_nobody_joins_nothing(nowhere: str) -> None:
    one, other = (cluster(each, [step(each, "", nowhere, nowhere)]) for each in (1, 2))
    assert build_flows([one, other], TABLE) == []


def test_what_everybody_has_joins_nobody() -> None:
    gateway = [cluster(each, [step(1_000 + each, "", f"h{each}", "gateway")]) for each in range(30)]
    assert len(build_flows(gateway[:2], TABLE)) == 1
    assert build_flows(gateway, TABLE) == []
    rare = [cluster(each, [step(1_000 + each, "", f"h{each}", "web1")], mentioned=["gateway"]) for each in (40, 41)]
    [flow] = build_flows([*gateway, *rare], TABLE)
    assert flow.cluster_ids == (40, 41)


def test_a_link_fades_with_time_and_ends_with_the_window() -> None:
    assert linked(0, 5 * HOUR_S)
    assert not linked(0, 20 * HOUR_S)
    assert linked(0, 20 * HOUR_S, half_life_s=10 * DAY_S)
    assert not linked(0, 3 * DAY_S, half_life_s=300 * DAY_S)
    assert linked(0, 3 * DAY_S, half_life_s=300 * DAY_S, window_s=4 * DAY_S)


def test_time_says_what_came_first_whatever_the_tactics_say() -> None:
    [flow] = build_flows([cluster(1, [step(1_000, "T1486", "a", "b"), step(1_100, "T1595", "a", "b")])], TABLE)
    assert [node.step.technique for node in flow.nodes] == ["T1486", "T1595"]
    [usual] = build_flows([cluster(1, [step(1_000, "T1595", "a", "b"), step(1_100, "T1486", "a", "b")])], TABLE)
    assert usual.edges[0].probability > flow.edges[0].probability
    [same] = build_flows(
        [cluster(1, [step(1_000, "T1486", "a", "b"), step(1_100, "T1595", "a", "b")])],
        TABLE,
        FlowConfig(tactic_weight=0),
    )
    assert usual.edges[0].probability > same.edges[0].probability > flow.edges[0].probability


def test_tactics_order_what_happened_at_one_time() -> None:
    [flow] = build_flows([cluster(1, [step(1_000, "T1486", "a", "b"), step(1_000, "T1190", "a", "b")])], TABLE)
    assert [node.step.technique for node in flow.nodes] == ["T1190", "T1486"]
    assert flow.edges[0].reason == "at the same time, in the order of tactics: same source a"


def test_a_technique_of_several_tactics_has_the_one_that_is_no_step_back() -> None:
    steps = [step(1_000, "T1078", "a", "b"), step(1_100, "T1190", "a", "b"), step(1_200, "T1078", "a", "b")]
    [flow] = build_flows([cluster(1, steps)], TABLE)
    assert [node.tactic for node in flow.nodes][::2] == ["initial-access", "initial-access"]
    steps[1] = step(1_100, "T1059", "a", "b")
    [flow] = build_flows([cluster(1, steps)], TABLE)
    assert [node.tactic for node in flow.nodes] == ["initial-access", "execution", "persistence"]


def test_changes_tell_what_became_of_flows() -> None:
    flows = Flows(TABLE)
    late = cluster(7, [step(5_000, "T1003", "db1", "db1"), step(5_100, "T1041", "db1", "8.8.8.8")])
    [opened] = flows.update(late)
    assert (opened.flow.flow_id, opened.opened, opened.merged) == (7, True, ())
    [opened] = flows.update(SCAN)
    assert (opened.flow.flow_id, opened.opened) == (1, True)
    [joined] = flows.update(cluster(8, [step(3_000, "T1021.001", "web1", "db1")]))
    assert (joined.flow.cluster_ids, joined.opened, joined.merged) == ((1, 8, 7), False, (7,))
    assert flows.flow(7) is None
    assert flows.flow(1) == joined.flow


def test_a_step_that_goes_on_is_no_news_and_a_new_one_is() -> None:
    flows = Flows(TABLE)
    flows.update(SCAN)
    longer = msgspec.structs.replace(SCAN.steps[1], end_time=1_400.0, alerts=9)
    assert flows.update(cluster(1, [SCAN.steps[0], longer])) == []
    [flow] = flows.flows()
    assert flow.nodes[1].step.alerts == 9
    [change] = flows.update(cluster(1, [SCAN.steps[0], longer, step(1_500, "T1059", "web1", "web1")]))
    assert change.flow == flows.flow(1)


@pytest.mark.parametrize("technique", ["T1059", "T10{}"], ids=["steps", "techniques"])
def test_a_flow_that_grows_and_grows_is_told_of_ever_more_seldom(technique: str) -> None:
    flows = Flows(TABLE)
    steps = [step(1_000 + each, technique.format(10 + each), f"host{each}", "web1") for each in range(32)]
    news = [count for count in range(1, 33) if flows.update(cluster(1, steps[:count]))]
    assert news == [2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32]


def test_a_cluster_that_takes_the_place_of_another_is_told_of() -> None:
    flows = Flows(TABLE)
    for each in (SCAN, SHELL):
        flows.update(each)
    moved = cluster(9, [*SHELL.steps], merged=[2])
    [change] = flows.update(moved)
    assert change.flow.cluster_ids == (1, 9)


def test_a_cluster_that_became_part_of_another_is_no_longer_in_its_flow() -> None:
    flows = Flows(TABLE)
    for each in (SCAN, SHELL, HOP):
        flows.update(each)
    [change] = flows.update(cluster(1, [*SCAN.steps, *SHELL.steps], merged=[2]))
    assert change.flow.cluster_ids == (1, 3)
    assert change.merged == ()


def test_a_flow_whose_first_cluster_merged_away_is_followed() -> None:
    flows = Flows(TABLE)
    flows.update(ELSEWHERE)
    flows.update(cluster(5, [step(6_000, "T1003", "x", "y"), step(6_100, "T1041", "y", "z")]))
    [change] = flows.update(cluster(4, [*ELSEWHERE.steps, step(6_000, "T1003", "x", "y")], merged=[5]))
    assert (change.flow.flow_id, change.opened, change.merged) == (4, True, (5,))


def test_what_had_nothing_new_for_a_window_is_forgotten() -> None:
    flows = Flows(TABLE)
    for each in (SCAN, SHELL):
        flows.update(each)
    flows.update(cluster(5, [step(1.5 * DAY_S, "", "far", "away")]))
    assert len(flows) == 3
    flows.update(cluster(6, [step(2.5 * DAY_S, "", "far", "off")]))
    assert flows.flow(1) is None
    assert len(flows) == 2
    assert flows.update(HOP) == []  # it ended before the window
    assert len(flows) == 2


def test_what_was_common_is_not_when_old_clusters_are_forgotten() -> None:
    flows = Flows(TABLE, FlowConfig(common_clusters=2))
    for number, time in enumerate((0, 1.5 * DAY_S, 1.5 * DAY_S + 60)):
        flows.update(cluster(number, [step(time, "", f"s{number}", "web1")]))
    assert flows.flows() == []
    flows.update(cluster(9, [step(2.5 * DAY_S, "", "far", "away")]))
    assert [flow.cluster_ids for flow in flows.flows()] == [(1, 2)]


def test_one_wrong_clock_makes_nothing_old() -> None:
    flows = Flows(TABLE)
    flows.update(SCAN)
    wrong = cluster(5, [step(4_000 * DAY_S, "", "far", "away")])
    flows.update(wrong)
    flows.update(msgspec.structs.replace(wrong, alerts=2, steps=(step(4_001 * DAY_S, "", "far", "away"),)))
    assert flows.flow(1) is not None
    flows.update(cluster(6, [step(4_000 * DAY_S, "", "really", "late")]))
    assert flows.flow(1) is None


def test_too_many_clusters_push_the_oldest_out() -> None:
    flows = Flows(TABLE, FlowConfig(most_clusters=100))
    for each in range(300):
        flows.update(cluster(each, [step(1_000 + each, "", f"h{each}", f"i{each}"), step(1_001, "", f"h{each}", "-")]))
        assert len(flows) <= 100
    assert [flow.flow_id for flow in flows.flows()][-1] == 299


def test_a_long_chain_is_cut_where_it_is_weakest() -> None:
    gaps = [0, 60, 120, 3 * HOUR_S, 3 * HOUR_S + 60, 3 * HOUR_S + 120]
    chain = [cluster(n, [step(gap, "", f"h{n}", f"h{n + 1}", lasts=0)]) for n, gap in enumerate(gaps)]
    assert [flow.cluster_ids for flow in build_flows(chain, TABLE)] == [(0, 1, 2, 3, 4, 5)]
    cut = build_flows(chain, TABLE, FlowConfig(most_flow_clusters=3))
    assert [flow.cluster_ids for flow in cut] == [(0, 1, 2), (3, 4, 5)]


def test_of_too_many_steps_the_first_and_the_last_are_drawn() -> None:
    steps = [step(1_000 + each, "", "a", f"h{each}") for each in range(20)]
    [flow] = build_flows([cluster(1, steps)], TABLE, FlowConfig(most_nodes=5))
    assert [node.id for node in flow.nodes] == ["1-0", "1-1", "1-2", "1-18", "1-19"]
    assert {end for each in flow.edges for end in (each.source, each.target)} <= {node.id for node in flow.nodes}


def test_names_are_kept_as_far_as_people_read_them() -> None:
    long = msgspec.structs.replace(SCAN.steps[0], name="x" * 4_096)
    [flow] = build_flows([cluster(1, [long, SCAN.steps[1]])], TABLE)
    assert flow.nodes[0].step.name == "x" * 256


def test_of_a_long_cluster_the_first_steps_are_looked_at() -> None:
    steps = [step(1_000 + each, "", "a", f"h{each}") for each in range(9)]
    [flow] = build_flows([cluster(1, steps)], TABLE, FlowConfig(most_steps=4))
    assert [node.id for node in flow.nodes] == ["1-0", "1-1", "1-2", "1-3"]


def test_a_state_of_something_else_is_refused() -> None:
    good = Flows(TABLE).dump()
    wrong = msgspec.msgpack.encode([9, 0.0, None, 0.0, [], []])
    no_text = msgspec.msgpack.encode([1, 0.0, None, 0.0, ["a"], []]).replace(b"\xa1a", b"\xa1\xff")
    out_of_range = msgspec.msgpack.encode([1, 0.0, None, 0.0, [], [[1, 0.0, 1.0, [7], []]]])
    for data in (
        b"",
        b"nothing",
        good[:-3],
        good + b"x",
        *(zlib.compress(each) for each in (b"x", wrong, no_text, out_of_range)),
    ):
        with pytest.raises(UnreadableStateError, match="state of flows"):
            Flows.load(data, TABLE)


def test_a_file_may_change_how_flows_are_cut() -> None:
    config = FlowConfig.from_request({"window_s": 60, "parents": 2.0, "eps": 1, "most_nodes": "9", "link_threshold": 7})
    assert config == FlowConfig(window_s=60.0, parents=2)
    assert FlowConfig.from_request({"most_clusters": True, "half_life_s": float("nan")}) == FlowConfig()
    with pytest.raises(ValueError, match="most_nodes is 1; it must be between 2 and"):
        FlowConfig(most_nodes=1)


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
