"""What the commands keep of clusters: whole counts at the end, and the ids of all alerts where they are asked for."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from app.domains.alerts.cli import work as alerts_work
from app.domains.alerts.cli.outcome import write_bundles, write_results
from app.domains.alerts.cli.work import TenantWork, Work, enrich
from app.domains.alerts.clusters.config import ClusterConfig
from app.domains.alerts.formats import read_alert
from app.domains.alerts.synthetic import synthetic_alerts
from app.domains.alerts.tenant import TenantFactory
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
    return work, counts


def test_at_the_end_each_cluster_and_flow_has_its_whole_count() -> None:
    work, counts = worked(enriched())
    kept = work.tenants["default"]
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
    assert list(work.tenants) == ["a", "b"]
    for kept in work.tenants.values():
        assert kept.clusters() == alone.tenants["default"].clusters()


def test_what_a_document_says_of_clusters_counts() -> None:
    work = Work(Settings())
    work.configure({"delta_s": 0.0}, {})
    list(work.observe(enriched()))
    other, _ = worked(enriched())
    assert work.tenants["default"].clusters() != other.tenants["default"].clusters()


def tenant_work(*, with_ids: bool = False, expiry_s: float) -> TenantWork:
    tenants = TenantFactory.open(Settings())
    return TenantWork(replace(tenants, clusters=ClusterConfig(expiry_s=expiry_s)), with_ids=with_ids, live=False)


def test_the_counts_of_closed_clusters_are_whole() -> None:
    work, counts = tenant_work(expiry_s=60.0), Counter[int]()
    for each in enriched(600):
        change = work.observe(each).change
        counts[change.cluster_id] += 1 + sum(counts.pop(merged) for merged in change.merged)
    told = {each.cluster_id: each.alerts for each in work.clusters()}
    assert told == {cluster: count for cluster, count in counts.items() if count > 1}


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts_work, "MOST_KEPT", 2)
    work = tenant_work(expiry_s=60.0)
    for each in enriched(600):
        work.observe(each)
    assert len(work.members.summaries) == 2  # those that were closed last
    assert work.members.forgotten > 0
    assert not any(work.members.ids.values())


def test_files_of_results_have_each_alert_once_and_in_its_order() -> None:
    work, alerts = tenant_work(with_ids=True, expiry_s=60.0), enriched(600)
    for each in alerts:
        work.observe(each)
    rows = msgspec.json.decode(work.files("default")["cluster.json"])
    assert sorted(each for row in rows for each in row["ids"]) == [each.alert.id for each in alerts]
    assert all(row["ids"] == sorted(row["ids"]) and row["alerts"] == len(row["ids"]) for row in rows)


def test_results_as_files(tmp_path: Path) -> None:
    work, counts = worked(enriched(tenants=("", "acme")), with_ids=True)
    written = write_results(tmp_path, work.tenants, "default")
    assert {path.parent for path in written} == {tmp_path, tmp_path / "acme"}

    clusters = msgspec.json.decode((tmp_path / "cluster.json").read_bytes())
    assert {each["cluster_id"]: len(each["ids"]) for each in clusters} == {
        cluster: count for (tenant, cluster), count in counts.items() if tenant == "default"
    }
    flows = msgspec.json.decode((tmp_path / "flow.json").read_bytes())
    of = {each["cluster_id"]: each["ids"] for each in clusters}
    for flow in flows:
        assert sorted(flow["ids"]) == sorted(id_ for cluster in flow["cluster_ids"] for id_ in of[cluster])
        assert (tmp_path / f"flow-{flow['flow_id']}.stix.json").exists()
    for name, rows in (("cluster", [each for each in clusters if each["alerts"] > 1]), ("flow", flows)):
        lines = (tmp_path / f"{name}_ticket_output.json").read_bytes().splitlines()
        assert [msgspec.json.decode(line)["ticket_id"] for line in lines] == [
            f"{name}-{each[f'{name}_id']}" for each in rows
        ]
    assert msgspec.json.decode((tmp_path / "global_metrics.json").read_bytes())


def test_bundles_are_the_same_bytes_each_time(tmp_path: Path) -> None:
    work, _ = worked(enriched())
    flows = work.tenants["default"].flows()
    for folder in ("one", "two"):
        write_bundles(tmp_path / folder, flows, "default", "default")
    names = [path.name for path in sorted((tmp_path / "one").iterdir())]
    assert names == sorted(f"flow-{flow.flow_id}{ending}" for flow in flows for ending in (".stix.json", ".afb"))
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in names)
