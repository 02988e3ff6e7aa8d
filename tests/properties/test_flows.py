"""What holds of attack flows, whatever the clusters are."""

from __future__ import annotations

from graphlib import TopologicalSorter
from typing import TYPE_CHECKING

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from app.domains.alerts.flows.causality import technique_order
from app.domains.alerts.flows.flows import FlowConfig, Flows, build_flows
from app.domains.alerts.flows.stix import bundle_of
from app.domains.alerts.flows.stix_check import check_bundle
from tests.flows_for_tests import LINKED, TABLE, clusters_of, histories_of, last_states

if TYPE_CHECKING:
    from app.domains.alerts.incidents import ClusterSummary, Flow

DAYS_S = 20 * 86_400


def updated(history: list[ClusterSummary], config: FlowConfig = LINKED) -> Flows:
    flows = Flows(TABLE, config)
    for each in history:
        flows.update(each)
    return flows


@given(clusters_of())
def test_a_flow_has_no_cycle_and_every_edge_leads_onwards_in_time(clusters: list[ClusterSummary]) -> None:
    for flow in build_flows(clusters, TABLE, LINKED):
        starts = {node.id: node.step.start_time for node in flow.nodes}
        assert len(starts) == len(flow.nodes)
        sorter = TopologicalSorter({each: [] for each in starts})
        for edge in flow.edges:
            assert starts[edge.source] <= starts[edge.target]
            assert 0 < edge.probability < 1
            assert edge.reason
            sorter.add(edge.target, edge.source)
        assert len(list(sorter.static_order())) == len(starts)


@given(clusters_of())
def test_a_step_is_in_one_flow_and_a_flow_has_the_number_of_its_first_linked_step(
    clusters: list[ClusterSummary],
) -> None:
    flows = build_flows(clusters, TABLE, LINKED)
    steps = {step.number for each in clusters for step in each.steps}
    seen = [node.step.number for flow in flows for node in flow.nodes]
    assert steps.issuperset(seen)
    assert len({flow.flow_id for flow in flows}) == len(flows)
    for flow in flows:
        numbers = [node.step.number for node in flow.nodes]
        assert len(numbers) == len(set(numbers))
        assert flow.flow_id in numbers
        assert 0 < flow.cluster_prob < 1
        assert 0 <= flow.severity <= 100
        assert flow.reasons
        assert flow.cluster_ids == tuple(dict.fromkeys(node.cluster_id for node in flow.nodes))
        assert list(flow.nodes) == sorted(flow.nodes, key=lambda node: node.step.start_time)


@given(clusters_of(), st.sampled_from(("", "acme", "bêta\n")))
def test_every_bundle_keeps_the_rules(clusters: list[ClusterSummary], tenant: str) -> None:
    ids: set[str] = set()
    for flow in build_flows(clusters, TABLE, LINKED):
        bundle = bundle_of(flow, TABLE, created=1_700_000_000.5, tenant=tenant)
        assert check_bundle(bundle) == []
        assert bundle == bundle_of(flow, TABLE, created=1_700_000_000.5, tenant=tenant)
        actions = {each["id"] for each in bundle["objects"] if each["type"] == "attack-action"}
        assert len(actions) == len(flow.nodes)
        assert not actions & ids
        ids |= actions


@given(histories_of(), st.data())
def test_a_state_that_was_dumped_and_loaded_goes_on_as_if_it_had_not_been(
    history: list[ClusterSummary], data: st.DataObject
) -> None:
    cuts = data.draw(st.sets(st.integers(0, len(history))))
    whole, cut = Flows(TABLE, LINKED), Flows(TABLE, LINKED)
    for index, each in enumerate(history):
        if index in cuts:
            cut = Flows.load(cut.dump(), TABLE, LINKED)
        assert cut.update(each) == whole.update(each)
    assert cut.flows() == whole.flows()
    assert cut.dump() == whole.dump()


@given(histories_of(latest_s=DAYS_S), st.data())
def test_so_it_does_while_clusters_are_forgotten(history: list[ClusterSummary], data: st.DataObject) -> None:
    cuts = data.draw(st.sets(st.integers(0, len(history))))
    config = FlowConfig(window_s=86_400, half_life_s=40_000, most_steps=9, most_flow_steps=4, common_places=2)
    whole, cut = Flows(TABLE, config), Flows(TABLE, config)
    for index, each in enumerate(history):
        if index in cuts:
            cut = Flows.load(cut.dump(), TABLE, config)
        assert cut.update(each) == whole.update(each)
        assert len(whole) <= config.most_steps
        assert all(flow.risk >= 0 for flow in whole.flows())
    assert cut.dump() == whole.dump()


CUTS = (LINKED, FlowConfig(), FlowConfig(common_places=1, most_flow_steps=3), FlowConfig(risk_threshold=0))


@given(histories_of(), st.sampled_from(CUTS), st.data())
def test_flows_follow_from_the_clusters_as_they_stand_and_not_from_their_history(
    history: list[ClusterSummary], config: FlowConfig, data: st.DataObject
) -> None:
    found = updated(history, config).flows()
    left = last_states(history)
    assert found == build_flows(left, TABLE, config)
    one, other = (updated(data.draw(st.permutations(left)), config) for _ in range(2))
    assert found == one.flows()
    assert one.dump() == other.dump()


@given(histories_of())
def test_an_update_that_says_what_is_known_changes_nothing(history: list[ClusterSummary]) -> None:
    flows = updated(history)
    before = flows.dump()
    for each in last_states(history):
        assert flows.update(each) == []
    assert flows.dump() == before


@given(histories_of())
def test_who_follows_the_changes_knows_every_flow(history: list[ClusterSummary]) -> None:
    flows = Flows(TABLE, LINKED)
    known: dict[int, Flow] = {}
    for each in history:
        for change in flows.update(each):
            assert (change.word == "opened") == (change.flow.flow_id not in known)
            for merged in change.merged:
                del known[merged]
            if change.word == "closed":
                del known[change.flow.flow_id]
                continue
            known[change.flow.flow_id] = change.flow
            assert flows.flow(change.flow.flow_id) == change.flow
    assert {flow.flow_id for flow in flows.flows()} == known.keys()
    for flow in flows.flows():
        assert len(flow.cluster_ids) <= 1.25 * len(known[flow.flow_id].cluster_ids)
        assert len(flow.nodes) <= 1.25 * len(known[flow.flow_id].nodes)
        assert len(techniques(flow)) <= 1.25 * len(techniques(known[flow.flow_id]))


def techniques(flow: Flow) -> set[str]:
    return {node.step.technique for node in flow.nodes}


@given(histories_of())
def test_a_merge_loses_no_cluster(history: list[ClusterSummary]) -> None:
    flows = Flows(TABLE, LINKED)
    for each in history:
        before = {flow.flow_id: set(flow.cluster_ids) for flow in flows.flows()}
        for change in flows.update(each):
            for merged in change.merged:
                assert before[merged] - set(each.merged) <= set(change.flow.cluster_ids)


@given(clusters_of(most=4, latest_s=1_200), st.data())
def test_steps_of_one_time_stand_in_the_usual_order_however_they_came(
    clusters: list[ClusterSummary], data: st.DataObject
) -> None:
    shuffled = [msgspec.structs.replace(each, steps=tuple(data.draw(st.permutations(each.steps)))) for each in clusters]
    order = technique_order()
    one, other = (
        [
            [(node.step.start_time, order.position(node.step.technique, TABLE)) for node in flow.nodes]
            for flow in updated(each).flows()
        ]
        for each in (clusters, shuffled)
    )
    assert one == other == [sorted(each) for each in one]
