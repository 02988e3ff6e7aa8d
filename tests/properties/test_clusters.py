"""Clusters, however the alerts are cut, ordered and bounded."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domains.alerts.alert import Alert, EnrichedAlert, Techniques
from app.domains.alerts.clusters.affinity import Affinity
from app.domains.alerts.clusters.clusters import ClusterConfig, Clusters
from benchmarks.peers.alerts_pairwise import AllPairs

if TYPE_CHECKING:
    from app.domains.alerts.incidents import ClusterChange

NAMES = ["port scan", "login failed", "beacon to server", "port scan 10.0.0.1", "new"]
AFFINITY = Affinity(NAMES[:3], np.array([[1.0, 0.9, 0.1], [0.9, 1.0, 0.0], [0.1, 0.0, 1.0]]), [2_000.0, 30.0, 0.5])

enriched = st.builds(
    lambda number, time, src, dst, name, user, technique: EnrichedAlert(
        Alert(id=number, time=time, src=src, dst=dst, name=name, other_attributes={"user": user} if user else {}),
        Techniques((technique,), Techniques.MODEL, 0.9) if technique else Techniques((), Techniques.UNKNOWN, 0.0),
    ),
    number=st.integers(0, 99) | st.text(max_size=3),
    time=st.one_of(st.integers(0, 60).map(float), st.floats(0, 300), st.floats(-1e9, 1e12)),
    src=st.sampled_from("abc"),
    dst=st.sampled_from("abde"),
    name=st.sampled_from(NAMES),
    user=st.sampled_from(["", "", "u", "v"]),
    technique=st.sampled_from(["", "", "T1046", "T1110", "T1110.001"]),
)
alerts = st.lists(enriched, max_size=60)
configs = st.builds(
    ClusterConfig,
    delta_s=st.sampled_from([0.0, 3.0, 20.0]),
    theta_s=st.sampled_from([0.0, 15.0]),
    entity_s=st.sampled_from([0.0, 8.0]),
    merge=st.sampled_from([0.0, 0.1, 1.0]),
    patience=st.sampled_from([0.0, 0.5]),
    outsider=st.sampled_from([1.0, 3.0]),
    recurrence_least=st.sampled_from([1, 2, 4]),
    recall_s=st.sampled_from([0.0, 300.0]),
    recall_least_s=st.sampled_from([1, 3]),
    expiry_s=st.sampled_from([30.0, 14_400.0]),
    reach_s=st.sampled_from([10.0, 3_600.0]),
    jump_s=st.sampled_from([50.0, 86_400.0]),
    candidates=st.sampled_from([1, 3, 128]),
    most_signatures=st.sampled_from([1, 4, 2_000]),
    most_clusters=st.sampled_from([1, 3, 1_000]),
    most_entities=st.sampled_from([1, 2_000]),
    most_targets=st.sampled_from([1, 500]),
    most_steps=st.sampled_from([1, 64]),
    most_listed=st.sampled_from([1, 64]),
    most_merged=st.sampled_from([1, 2_000]),
)


@given(alerts, configs, st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=8))
@settings(max_examples=150, deadline=None)
def test_any_cut_gives_the_same_changes_and_the_same_bytes(
    given_alerts: list[EnrichedAlert], config: ClusterConfig, cuts: list[tuple[int, bool]]
) -> None:
    whole = Clusters(AFFINITY, config)
    expected = whole.add(given_alerts)

    cut = Clusters(AFFINITY, config)
    found: list[ClusterChange] = []
    for index, dumped in sorted(cuts):
        found += cut.add(given_alerts[len(found) : max(index, len(found))])
        if dumped:
            cut = Clusters.load(cut.dump(), AFFINITY, config)
        for cluster in range(1, 5):  # reading changes nothing
            cut.summary(cluster)
            cut.current(cluster)
    found += cut.add(given_alerts[len(found) :])

    assert found == expected
    assert cut.dump() == whole.dump()


@given(alerts, configs)
@settings(max_examples=300, deadline=None)
def test_the_search_ends_early_and_misses_nothing(given_alerts: list[EnrichedAlert], config: ClusterConfig) -> None:
    clusters, expected = Clusters(AFFINITY, config), Clusters(AFFINITY, config)
    expected._links = AllPairs(AFFINITY, config, expected._state)
    assert clusters.add(given_alerts) == expected.add(given_alerts)
    assert clusters.dump() == expected.dump()


@given(alerts, configs)
@settings(max_examples=150, deadline=None)
def test_bounds_hold_and_every_open_cluster_can_be_shown(
    given_alerts: list[EnrichedAlert], config: ClusterConfig
) -> None:
    clusters = Clusters(AFFINITY, config)
    seen: set[int] = set()
    for each in given_alerts:
        [change] = clusters.add([each])
        if change.skipped:
            continue
        assert change.opened == (change.cluster_id not in seen)
        assert change.opened <= (change.cluster_id > max(seen, default=0))
        assert not (change.duplicate and (change.opened or change.merged))
        assert all(merged in seen and clusters.summary(merged) is None for merged in change.merged)
        seen.add(change.cluster_id)
        open_now = [summary for each in seen if (summary := clusters.summary(each))]
        assert len(open_now) <= config.most_clusters
        for summary in open_now:
            assert summary.start_time <= summary.end_time
            assert len(summary.steps) <= config.most_steps
            assert max(map(len, (summary.entities, summary.srcs, summary.dsts))) <= config.most_listed
            assert sum(step.alerts for step in summary.steps) <= summary.alerts
            assert list(summary.steps) == sorted(summary.steps, key=lambda step: step.start_time)


@given(alerts)
@settings(max_examples=150, deadline=None)
def test_no_alert_is_lost_by_merges_and_ids_are_never_used_again(given_alerts: list[EnrichedAlert]) -> None:
    config = ClusterConfig(delta_s=20, theta_s=5, merge=1, expiry_s=30 * 86_400, jump_s=3_650 * 86_400)
    near = [each for each in given_alerts if 0 <= each.alert.time <= 300]
    clusters = Clusters(AFFINITY, config)
    changes = [change for change in clusters.add(near) if not change.skipped]
    now = Counter(clusters.current(change.cluster_id) for change in changes)
    for cluster, count in now.items():
        assert cluster is not None
        summary = clusters.summary(cluster)
        assert summary is not None
        assert summary.alerts == count == sum(step.alerts for step in summary.steps)
    gone: set[int] = set()
    for change in changes:
        assert change.cluster_id not in gone
        assert change.cluster_id < min(change.merged, default=10**9)
        gone |= set(change.merged)
