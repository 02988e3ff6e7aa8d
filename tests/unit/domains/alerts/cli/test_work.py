"""What the commands keep of clusters: whole counts at the end, and the ids of all alerts where they are asked for."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from app.domains.alerts.cli import work as alerts_work
from app.domains.alerts.cli.results import write_bundles, write_results
from app.domains.alerts.cli.work import Kept, Work, enrich
from app.domains.alerts.formats import read_alert
from app.domains.alerts.incidents import ClusterChange, ClusterSummary
from app.domains.alerts.synthetic import synthetic_alerts
from app.domains.alerts.tenant import Observed
from app.settings import Settings
from tests.alerts_for_tests import resolver

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from app.domains.alerts.alert import EnrichedAlert


def enriched(count: int = 300, tenants: tuple[str, ...] = ("",)) -> list[EnrichedAlert]:
    alerts = [read_alert(each, tenants[each["id"] % len(tenants)]) for each in synthetic_alerts(count)]
    return enrich(alerts, resolver())


def worked(alerts: list[EnrichedAlert], *, with_ids: bool = False) -> tuple[Work, Counter[tuple[str, int]]]:
    """All alerts at work, and how many are in each cluster by what was told alert by alert."""
    work, counts = Work(Settings(), with_ids=with_ids), Counter[tuple[str, int]]()
    for _, tenant, observed in work.observe(alerts):
        counts[tenant, observed.change.cluster_id] += 1
        for merged in observed.change.merged:
            counts[tenant, observed.change.cluster_id] += counts.pop((tenant, merged), 0)
    work.settle()
    return work, counts


def test_at_the_end_each_cluster_and_flow_has_its_whole_count() -> None:
    work, counts = worked(enriched())
    kept = work.kept["default"]
    told = {("default", each.cluster_id): each.alerts for each in kept.clusters()}
    assert told == {cluster: count for cluster, count in counts.items() if count > 1}
    steps = Counter[int]()
    for flow in kept.flows():
        for node in flow.nodes:
            steps[node.cluster_id] += node.step.alerts
    assert all(told["default", cluster] == count for cluster, count in steps.items())


def test_tenants_have_clusters_of_their_own() -> None:
    alone, _ = worked(enriched())
    work, _ = worked([*enriched(tenants=("a",)), *enriched(tenants=("b",))])
    assert list(work.kept) == ["a", "b"]
    for kept in work.kept.values():
        assert kept.clusters() == alone.kept["default"].clusters()


def test_what_a_document_says_of_clusters_counts() -> None:
    work = Work(Settings())
    work.configure({"delta_s": 0.0}, {})
    list(work.observe(enriched()))
    work.settle()
    other, _ = worked(enriched())
    assert work.kept["default"].clusters() != other.kept["default"].clusters()


class _Told:
    """Clusters and flows that say what they are told to."""

    def __init__(self, *changes: Observed) -> None:
        self.changes = iter(changes)
        self.clusters = self.flows = self

    def observe(self, _alert: object) -> Observed:
        return next(self.changes)

    def summary(self, _cluster: int) -> None:
        return None  # it has expired

    def update(self, cluster: ClusterSummary) -> None:
        self.updated = cluster


def told(cluster: int, alerts: int, end: float = 0) -> Observed:
    summary = ClusterSummary(cluster, alerts, 0, end, (), (), (), (), (), ())
    return Observed(ClusterChange(cluster, notable=True), summary)


def quiet(cluster: int, *merged: int) -> Observed:
    return Observed(ClusterChange(cluster, merged=merged))


def test_a_merge_takes_the_ids_along_and_the_old_cluster_away() -> None:
    merge = Observed(ClusterChange(1, merged=(2,), notable=True), told(1, 5).summary)
    kept = Kept(_Told(quiet(1), quiet(2), told(2, 2), told(1, 2), quiet(2), merge), with_ids=True)  # type: ignore[arg-type]
    for each in enriched(6):
        kept.observe(each)
    assert [each.cluster_id for each in kept.clusters()] == [1]
    assert kept.ids == {1: [1, 4, 2, 3, 5, 6]}
    assert len(kept.first[1]) == 6


def test_the_count_of_an_expired_cluster_goes_on_from_what_was_told() -> None:
    kept = Kept(_Told(told(1, 2), quiet(1), quiet(1)), with_ids=False)  # type: ignore[arg-type]
    alerts = enriched(3)
    for each in alerts:
        kept.observe(each)
    kept.settle()
    [cluster] = kept.clusters()
    assert (cluster.alerts, cluster.end_time) == (4, alerts[-1].alert.time)


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts_work, "MOST_KEPT", 2)
    kept = Kept(_Told(told(1, 2), told(2, 2), told(1, 4), told(3, 2), quiet(2)), with_ids=False)  # type: ignore[arg-type]
    for each in enriched(5):
        kept.observe(each)
    assert sorted(kept.summaries) == [1, 3]  # the one that was told of longest ago is gone
    assert (kept.forgotten, kept.since) == (1, {})


def test_results_as_files(tmp_path: Path) -> None:
    work, counts = worked(enriched(tenants=("", "acme")), with_ids=True)
    written = write_results(tmp_path, work.kept, "default")
    assert {path.parent for path in written} == {tmp_path, tmp_path / "acme"}

    clusters = msgspec.json.decode((tmp_path / "cluster.json").read_bytes())
    assert {each["cluster_id"]: len(each["ids"]) for each in clusters} == {
        cluster: count for (tenant, cluster), count in counts.items() if tenant == "default" and count > 1
    }
    flows = msgspec.json.decode((tmp_path / "flow.json").read_bytes())
    of = {each["cluster_id"]: each["ids"] for each in clusters}
    for flow in flows:
        assert sorted(flow["ids"]) == sorted(id_ for cluster in flow["cluster_ids"] for id_ in of[cluster])
        assert (tmp_path / f"flow-{flow['flow_id']}.stix.json").exists()
    for name, rows in (("cluster", clusters), ("flow", flows)):
        lines = (tmp_path / f"{name}_ticket_output.json").read_bytes().splitlines()
        assert [msgspec.json.decode(line)["ticket_id"] for line in lines] == [
            f"{name}-{each[f'{name}_id']}" for each in rows
        ]
    assert msgspec.json.decode((tmp_path / "global_metrics.json").read_bytes())


def test_bundles_are_the_same_bytes_each_time(tmp_path: Path) -> None:
    work, _ = worked(enriched())
    flows = work.kept["default"].flows()
    for folder in ("one", "two"):
        write_bundles(tmp_path / folder, flows, "default", "default")
    names = [path.name for path in sorted((tmp_path / "one").iterdir())]
    assert names == sorted(f"flow-{flow.flow_id}.stix.json" for flow in flows)
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in names)
