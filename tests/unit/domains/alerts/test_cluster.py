from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from app.domains.alerts.ait_ads import seed_alert
from app.domains.alerts.alert import Alert, EnrichedAlert, Techniques
from app.domains.alerts.clusters.affinity import Affinity, AlertType, learned_bytes, techniques_alike
from app.domains.alerts.clusters.clusters import ClusterConfig, Clusters
from app.domains.alerts.clusters.entities import EntityCounts
from app.domains.alerts.clusters.recurrence import PatternMemory, pattern_of
from app.errors import ModelError, UnprocessableError, UnreadableStateError
from app.inference.bundle import find_bundle

if TYPE_CHECKING:
    from app.domains.alerts.incidents import ClusterChange, ClusterSummary

SCAN, LOGIN, BEACON = "port scan", "login failed", "beacon to server"
AFFINITY = Affinity(
    [SCAN, LOGIN, BEACON],
    np.array([[1.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.0, 0.0, 1.0]]),
    [1_440.0, 1_440.0, 1_440.0],
)
PLAIN = ClusterConfig(delta_s=10, theta_s=20, own=1, patience=0, entity_s=0)
RECURRING: dict[str, Any] = {
    "delta_s": 10, "theta_s": 0, "own": 1, "patience": 0, "entity_s": 0, "recurrence_window_s": 4, "recurrence_least": 3
}  # fmt: skip
START = 1_700_000_000.0


def alert(
    after: float, name: str = SCAN, src: str = "a", dst: str = "b", *techniques: str, **others: object
) -> EnrichedAlert:
    found = Techniques(techniques, Techniques.ALERT if techniques else Techniques.UNKNOWN, 1.0)
    return EnrichedAlert(
        Alert(id=int(after), time=START + after, src=src, dst=dst, name=name, other_attributes=others), found
    )


def clusters_of(*alerts: EnrichedAlert, config: ClusterConfig = PLAIN) -> tuple[Clusters, list[ClusterChange]]:
    clusters = Clusters(AFFINITY, config)
    return clusters, clusters.add(alerts)


def test_alerts_of_one_type_within_the_gap_are_one_cluster_and_later_ones_another() -> None:
    _, changes = clusters_of(alert(0), alert(9), alert(18), alert(29))
    assert [change.cluster_id for change in changes] == [1, 1, 1, 2]
    assert [change.opened for change in changes] == [True, False, False, True]


def test_types_that_occur_together_link_and_others_do_not() -> None:
    _, changes = clusters_of(alert(0), alert(1, LOGIN), alert(1, BEACON))
    assert [change.cluster_id for change in changes] == [1, 1, 2]


def test_a_name_that_training_never_saw_links_to_one_that_reads_alike() -> None:
    _, changes = clusters_of(alert(0), alert(1, "port scans"), alert(1, "disk is full"), config=PLAIN)
    assert [change.cluster_id for change in changes] == [1, 1, 2]


def test_techniques_of_one_parent_link_types_of_which_nothing_is_known() -> None:
    _, changes = clusters_of(
        alert(0, "x1x", "a", "b", "T1110.001"),
        alert(1, "y2y", "a", "b", "T1110.003"),
        alert(1, "z3z", "a", "b", "T1046"),
    )
    assert [change.cluster_id for change in changes] == [1, 1, 2]


def test_how_alike_techniques_are() -> None:
    same, parent, tactic = (techniques_alike("T1110.001", each) for each in ("T1110.001", "T1110", "T1003"))
    assert 1 == same > parent > tactic > techniques_alike("T1110", "T1046") == 0
    assert techniques_alike("", "") == 0


def test_a_rare_entity_that_is_shared_makes_a_link_and_one_that_all_share_does_not() -> None:
    config = ClusterConfig(delta_s=10, theta_s=20, own=1, patience=0, entity_s=15)
    crowd = [alert(-1000 + 20 * n, f"{'qvxz'[n % 4] * 5}{n:x}", f"host{n}", "gateway") for n in range(40)]
    clusters = Clusters(AFFINITY, config)
    clusters.add(crowd)
    by_user = clusters.add([alert(0, SCAN, "a", "b", user="eve"), alert(1, BEACON, "c", "d", user="eve")])
    by_gateway = clusters.add([alert(100, SCAN, "e", "gateway"), alert(101, BEACON, "f", "gateway")])
    assert by_user[0].cluster_id == by_user[1].cluster_id
    assert by_gateway[0].cluster_id != by_gateway[1].cluster_id


def test_when_the_recurring_types_of_a_target_change_the_same_type_starts_a_new_cluster() -> None:
    config = ClusterConfig(
        delta_s=10, theta_s=0, own=1, patience=0, entity_s=0, recurrence_window_s=4, recurrence_least=3
    )
    first = [alert(second, name) for second in range(10) for name in (SCAN, LOGIN)]
    second = [alert(10 + more) for more in range(8)]
    _, changes = clusters_of(*first, *second, config=config)
    assert {change.cluster_id for change in changes[:20]} == {1}
    assert changes[-1].cluster_id == 2
    _, without = clusters_of(
        *first, *second, config=ClusterConfig(delta_s=10, theta_s=0, own=1, patience=0, recurrence_s=0)
    )
    assert {change.cluster_id for change in without} == {1}


def scan(start: int, end: int, *names: str) -> list[EnrichedAlert]:
    return [alert(second, name) for second in range(start, end) for name in names]


DISTURBED = [*scan(0, 12, SCAN, LOGIN), *scan(12, 24, SCAN, LOGIN, BEACON), *scan(24, 40, SCAN, LOGIN)]


@pytest.mark.parametrize(
    ("recalled", "last"),
    [
        ({"recall_least_s": 5}, 1),
        ({"recall_s": 0.0}, 3),
        ({"recall_least_s": 60}, 3),
        ({"recall_s": 2.0, "recall_least_s": 5}, 3),
    ],
)
def test_a_scan_goes_on_in_its_cluster_after_what_disturbed_it(recalled: dict[str, Any], last: int) -> None:
    config = ClusterConfig(**{**RECURRING, **recalled})
    _, changes = clusters_of(*DISTURBED, config=config)
    assert [changes[index].cluster_id for index in (0, 23, 59, -1)] == [1, 1, 2, last]
    assert [change.opened for change in changes].count(True) == max(2, last)


def test_a_scan_whose_cluster_became_part_of_another_goes_on_in_that() -> None:
    patterns = PatternMemory(recall_s=60, least=2, most=2)
    scan_at_b = pattern_of("b", (SCAN, LOGIN))
    patterns.note(scan_at_b, 7, None, 10)
    patterns.note(scan_at_b, 3, 3, 11)  # 7 has become part of 3
    assert patterns.recall(pattern_of("b", (LOGIN, SCAN)), 12) == 3
    patterns.note(scan_at_b, 4, 3, 12)  # and now it is another one: that has lasted a second
    assert patterns.recall(scan_at_b, 13) is None
    patterns.note(pattern_of("c", (SCAN,)), 5, None, 14)
    patterns.note(scan_at_b, 4, 4, 15)
    patterns.note(pattern_of("d", (SCAN,)), 5, None, 16)
    assert [target for target, _ in patterns.seen] == ["b", "d"]


def test_a_type_that_is_no_part_of_a_scan_needs_a_closer_link() -> None:
    alike = Affinity([SCAN, LOGIN, BEACON], np.array([[1, 0.9, 0.5], [0.9, 1, 0.5], [0.5, 0.5, 1]]), [1_440.0] * 3)
    for outsider, expected in ((1, 1), (3, 2)):
        config = ClusterConfig(delta_s=10, theta_s=16, own=1, entity_s=0, outsider=outsider)
        changes = Clusters(alike, config).add([*scan(0, 12, SCAN, LOGIN), alert(11, BEACON)])
        assert changes[-1].cluster_id == expected
        before = Clusters(alike, config).add([alert(0), alert(0, BEACON)])  # nothing recurs yet
        assert [change.cluster_id for change in before] == [1, 1]


def test_recurring_types_are_part_of_the_state() -> None:
    config = ClusterConfig(
        delta_s=10, theta_s=0, own=1, patience=0, entity_s=0, recurrence_window_s=4, recurrence_least=3
    )
    first = [alert(second, name) for second in range(10) for name in (SCAN, LOGIN)]
    alerts = [*first, *(alert(10 + more) for more in range(8)), *DISTURBED]
    whole, expected = clusters_of(*alerts, config=config)
    cut, found = Clusters(AFFINITY, config), []
    for each in alerts:
        found += cut.add([each])
        cut = Clusters.load(cut.dump(), AFFINITY, config)
    assert found == expected
    assert cut.dump() == whole.dump()


def test_rare_types_wait_longer_for_each_other() -> None:
    rare = Affinity([SCAN], np.ones((1, 1)), [1.0])
    for patience, expected in ((0.0, [1, 2]), (0.5, [1, 1])):
        config = ClusterConfig(delta_s=10, theta_s=20, own=1, patience=patience, entity_s=0)
        changes = Clusters(rare, config).add([alert(0), alert(300)])
        assert [change.cluster_id for change in changes] == expected


def test_an_alert_with_the_signature_and_second_of_another_is_a_duplicate_and_is_counted() -> None:
    clusters, changes = clusters_of(alert(0), alert(0.4), alert(0.9), alert(1), alert(1, src="c"))
    assert [change.duplicate for change in changes] == [False, True, True, False, False]
    summary = clusters.summary(1)
    assert summary is not None
    assert (summary.alerts, len(summary.steps), summary.steps[0].alerts) == (5, 2, 4)


def test_a_cluster_is_notable_with_its_second_alert_news_and_doublings() -> None:
    _, changes = clusters_of(
        *(alert(second) for second in range(9)), alert(9, src="c"), alert(10, SCAN, "a", "b", "T1046")
    )
    assert [number for number, change in enumerate(changes, 1) if change.notable] == [2, 4, 8, 10, 11]


def test_a_sure_link_to_two_clusters_merges_them_and_the_smallest_id_stays() -> None:
    config = ClusterConfig(delta_s=10, theta_s=20, own=1, patience=0, entity_s=0, merge=0.9)
    clusters, changes = clusters_of(alert(0), alert(11, src="c"), alert(5.5, src="d"), config=config)
    assert [change.cluster_id for change in changes] == [1, 2, 1]
    assert changes[2].merged == (2,)
    assert changes[2].notable
    assert (clusters.current(1), clusters.current(2), clusters.summary(2)) == (1, 1, None)
    summary = clusters.summary(1)
    assert summary is not None
    assert (summary.alerts, summary.merged, summary.start_time, summary.end_time) == (3, (2,), START, START + 11)
    assert clusters.add([alert(40)])[0].cluster_id == 3


def test_a_weak_link_to_two_clusters_joins_the_better_and_merges_nothing() -> None:
    _, changes = clusters_of(alert(0), alert(11, src="c"), alert(6, src="d"))
    assert [change.cluster_id for change in changes] == [1, 2, 2]
    assert changes[2].merged == ()


def test_a_summary_lists_what_came_in_order() -> None:
    clusters, _ = clusters_of(alert(0, SCAN, "a", "b", "T1046"), alert(1, LOGIN, "c", "b", "T1110", host="h", user="u"))
    summary = clusters.summary(1)
    assert summary is not None
    assert summary.srcs == ("a", "c")
    assert summary.dsts == ("b",)
    assert summary.entities == ("a", "b", "c", "h", "u")
    assert summary.techniques == ("T1046", "T1110")
    assert summary.tactics == ("discovery", "credential-access")
    assert [(step.technique, step.name, step.src, step.first_id) for step in summary.steps] == [
        ("T1046", SCAN, "a", 0),
        ("T1110", LOGIN, "c", 1),
    ]


def test_clusters_expire_by_the_clock_of_the_alerts() -> None:
    clusters, _ = clusters_of(alert(0), alert(5 * 3_600, BEACON))
    assert clusters.summary(1) is None
    assert clusters.current(1) is None
    assert clusters.summary(2) is not None


def test_one_alert_from_the_future_closes_nothing_and_two_do() -> None:
    clusters, _ = clusters_of(alert(0), alert(10 * 365 * 86_400, BEACON), alert(1))
    summary = clusters.summary(1)
    assert summary is not None
    assert summary.alerts == 2
    clusters.add([alert(30 * 86_400, BEACON), alert(30 * 86_400 + 60, BEACON)])
    assert clusters.summary(1) is None


def test_a_late_alert_links_to_what_was_around_it() -> None:
    _, changes = clusters_of(alert(0), alert(1000, BEACON), alert(4))
    assert changes[2].cluster_id == 1


def test_an_old_alert_of_the_same_signature_hides_no_later_one_of_another() -> None:
    _, changes = clusters_of(alert(0), alert(99, LOGIN, "c"), alert(100))
    assert [change.cluster_id for change in changes] == [1, 2, 2]


def test_what_came_ahead_of_the_clock_is_found_behind_what_came_in_time() -> None:
    config = ClusterConfig(delta_s=10, theta_s=20, own=1, patience=0, entity_s=0, jump_s=50)
    _, changes = clusters_of(alert(0), alert(1_000), alert(30, BEACON), alert(1_001, LOGIN), config=config)
    assert [change.cluster_id for change in changes] == [1, 2, 3, 2]


def test_the_state_stays_small_however_many_there_are() -> None:
    config = ClusterConfig(
        most_signatures=50,
        most_clusters=20,
        most_entities=30,
        most_targets=10,
        most_steps=5,
        most_listed=6,
        most_merged=7,
    )
    clusters = Clusters(AFFINITY, config)
    sizes = []
    for start in range(0, 3_000, 500):
        clusters.add([alert(n / 10, SCAN, "scanner", f"10.0.{n >> 8}.{n & 255}") for n in range(start, start + 500)])
        clusters.add([alert(start / 10 + n, f"{n * 7919:x}" * 4, f"s{n}", f"d{n}") for n in range(100)])
        sizes.append(len(clusters.dump()))
    assert max(sizes) < 12_000
    assert sizes[-1] < 1.3 * sizes[1]
    summary = clusters.summary(clusters.add([alert(300, SCAN, "scanner", "10.9.9.9")])[0].cluster_id)
    assert summary is not None
    assert len(summary.steps) <= 5
    assert len(summary.entities) <= 6


@pytest.mark.parametrize("data", [b"", b"x" * 20, b"\x78\x9c\x03\x00\x00\x00\x00\x01"])
def test_a_state_that_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(UnreadableStateError, match="state of clusters"):
        Clusters.load(data, AFFINITY)


@pytest.mark.parametrize("cut", [1, 9])
def test_a_state_cut_short_is_refused(cut: int) -> None:
    clusters, _ = clusters_of(alert(0), alert(1, LOGIN))
    with pytest.raises(UnreadableStateError, match="state of clusters"):
        Clusters.load(clusters.dump()[:-cut], AFFINITY)


def test_a_state_whose_text_is_damaged_is_refused() -> None:
    clusters, _ = clusters_of(alert(0, src="here"))
    damaged = zlib.decompress(clusters.dump()).replace(b"here", b"h\xffre")
    with pytest.raises(UnreadableStateError, match="state of clusters: is not what was written"):
        Clusters.load(zlib.compress(damaged), AFFINITY)


def test_a_request_overrides_what_is_known_and_leaves_the_rest() -> None:
    config = ClusterConfig.from_request({"delta_s": 7, "candidates": 5.0, "eps_ds": 45})
    assert config == ClusterConfig(delta_s=7.0, candidates=5)
    assert ClusterConfig.from_request({"most_sayings": 9, "regime_s": 3}) == ClusterConfig(
        most_signatures=9, recurrence_s=3.0
    )
    with pytest.raises(ValueError, match="most_clusters"):
        ClusterConfig(most_clusters=0)


@pytest.mark.parametrize(
    ("key", "value"),
    [("theta_s", "x"), ("own", True), ("most_clusters", 10**9), ("delta_s", float("nan")), ("candidates", 2.5)],
)
def test_a_value_outside_its_limits_is_refused_by_name(key: str, value: object) -> None:
    with pytest.raises(UnprocessableError, match=f"^cluster_config: {key} is .*; it must be a .*number between"):
        ClusterConfig.from_request({key: value})


def test_an_affinity_of_other_types_than_its_matrix_is_refused() -> None:
    with pytest.raises(ModelError, match="train the model again"):
        Affinity([SCAN], np.ones((2, 2)), [1.0])
    with pytest.raises(ModelError, match="restore the bundle"):
        Affinity.read({**learned_bytes([SCAN], np.ones((1, 1)), np.ones(1)), "types.json": b"[]"})


def test_the_shipped_bundle_knows_what_scans_raise_together() -> None:
    affinity = Affinity.load(find_bundle("cluster"))
    many, one = (
        AlertType("wazuh: multiple web server <number> error codes from same source ip."),
        AlertType("wazuh: web server <number> error code."),
    )
    assert affinity.between(one, many) > 0.5 > affinity.between(one, AlertType("wazuh: clamav database update"))
    assert affinity.between(one, one) == 1.0


def test_entities_are_rare_until_all_have_them_and_are_forgotten() -> None:
    entities = EntityCounts(half_life_s=100, most=3)
    for _ in range(8):
        entities.add(("gateway", "rare"), 0)
        entities.add(("gateway",), 0)
    names = ("gateway", "never", "rare")
    (first, never), (second, rare), (third, gateway) = entities.rarest(names, names)
    assert (never, rare, gateway) == ("never", "rare", "gateway")
    assert 1 == first > second > third == 0
    assert [each for _, each in entities.rarest(names, {"gateway", "rare"})] == ["rare", "gateway"]
    entities.add(("x", "y"), 10_000)
    entities.add(("z",), 10_000)
    assert set(entities.counts) == {"x", "y", "z"}


def test_a_row_of_ait_ads_is_an_alert_with_its_host_as_target() -> None:
    row = {"time": "5", "name": "n", "ip": "1.2.3.4", "host": "mail", "short": "N", "event_label": "-"}
    assert seed_alert(row, 7) == {
        "id": 7,
        "time": 5.0,
        "src": "1.2.3.4",
        "dst": "mail",
        "name": "n",
        "tech": [],
        "other_attributes_dict": {"host": "mail", "short": "N"},
    }
    assert seed_alert({**row, "event_label": "dirb"}, 7)["label"] == "dirb"


def test_the_last_summary_of_a_closed_cluster_is_handed_over() -> None:
    clusters = Clusters(AFFINITY, msgspec.structs.replace(PLAIN, expiry_s=60.0))
    closed: list[ClusterSummary] = []
    clusters.on_close(closed.append)
    [first, _, last] = clusters.add((alert(0), alert(1), alert(3600)))
    assert [(each.cluster_id, each.alerts, each.end_time) for each in closed] == [(first.cluster_id, 2, START + 1)]
    assert clusters.summary(last.cluster_id) is not None


def test_an_alert_that_is_closed_is_in_no_cluster() -> None:
    closed = msgspec.structs.replace(alert(0).alert, closed="OCSF status Resolved")
    clusters, [change] = clusters_of(EnrichedAlert(closed, Techniques((), Techniques.UNKNOWN, 0.0)))
    assert change.skipped == "closed: OCSF status Resolved"
    assert clusters.summary(1) is None


def test_an_alert_that_is_sent_again_with_news_is_one_alert() -> None:
    found = [msgspec.structs.replace(alert(after).alert, id="finding-1") for after in (0, 3_600)]
    unknown = Techniques((), Techniques.UNKNOWN, 0.0)
    clusters, [first, again] = clusters_of(*(EnrichedAlert(each, unknown) for each in found))
    assert (first.cluster_id, first.skipped) == (1, "")
    assert again.skipped == "an update of an alert that is known by its id"
    loaded = Clusters.load(clusters.dump(), AFFINITY)
    [later] = loaded.add([EnrichedAlert(found[1], unknown)])
    assert later.skipped == again.skipped
    [other] = loaded.add(
        [EnrichedAlert(msgspec.structs.replace(found[1], dst="elsewhere"), Techniques((), Techniques.UNKNOWN, 0.0))]
    )
    assert other.skipped == ""
