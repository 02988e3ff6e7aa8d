"""The outcome of a command over all alerts: shown to a person, written as files, and as a page."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from app.cli.terminal import counted
from app.domains.alerts.cli.show import cluster_table, print_flow, severe_table
from app.domains.alerts.report.incident import Incident, by_severity
from app.domains.alerts.report.page import incident_page, summary_lines
from app.domains.alerts.report.summary import summarize
from app.domains.alerts.report.tools import builder_files
from app.domains.alerts.results import flow_bundle
from app.errors import LocationError
from app.jobs.layout import tenant_slug
from app.text import one_line, printable_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rich.console import Console
    from rich.table import Table

    from app.domains.alerts.cli.session import Session
    from app.domains.alerts.cli.work import TenantWork, Work
    from app.domains.alerts.incidents import ClusterSummary, Flow
    from app.domains.alerts.report.kept import KeptAlerts

CLUSTERS_SHOWN = 20
FLOWS_SHOWN = 5


class Outcome:
    """The clusters and flows of all tenants in the end, and the numbers of all alerts.

    Attributes:
        tenants: Clusters of two alerts or more, and flows with the most severe first, of each tenant.
        summary: The outcome in numbers.
    """

    def __init__(self, work: Work, session: Session, kept: KeptAlerts) -> None:
        """Take the outcome of a command's work."""
        self.tenants = {name: (each.clusters(), by_severity(each.flows())) for name, each in work.tenants.items()}
        skipped = sum((each.skipped for each in work.tenants.values()), Counter[str]())
        self.summary = summarize(session.read, session.bad, self.tenants, kept.most_severe(), skipped)
        self._aliases = {
            name: {key: summary.aliases for key, summary in each.members.summaries.items() if summary.aliases}
            for name, each in work.tenants.items()
        }
        self._forgotten = sum(each.members.forgotten for each in work.tenants.values())

    @property
    def incidents(self) -> list[Incident]:
        """Return the flows of all tenants as incidents, the most severe first."""
        found = []
        for tenant, (_, flows) in self.tenants.items():
            of_cluster = self._aliases[tenant]
            for flow in flows:
                aliases = (alias for cluster in flow.cluster_ids for alias in of_cluster.get(cluster, ()))
                found.append((flow, tenant, {address: name for name, address in aliases}))
        order = {id(flow): place for place, flow in enumerate(by_severity(flow for flow, _, _ in found))}
        found.sort(key=lambda each: order[id(each[0])])
        return [Incident(number, *each) for number, each in enumerate(found, 1)]

    def show(self, console: Console) -> None:
        """Show clusters as a table and flows drawn, the most severe first, and the numbers of all alerts."""
        for name, (clusters, flows) in self.tenants.items():
            if clusters:
                console.print(self._cluster_table(name, clusters))
            for each in flows[:FLOWS_SHOWN]:
                console.print()
                print_flow(console, each)
            if len(flows) > FLOWS_SHOWN:
                console.print(f"… and {len(flows) - FLOWS_SHOWN} smaller flows; `millrace alerts flow` prints all")
            console.print()
        if self._forgotten:
            console.print(f"{self._forgotten} clusters that were closed first were too many to keep")
        self.show_summary(console)

    def show_summary(self, console: Console) -> None:
        """Show the most severe alerts, and the numbers of all."""
        summary = self.summary
        if summary.most_severe:
            console.print(severe_table(summary.most_severe))
        for line in summary_lines(summary):
            console.print(line)
        console.print(
            f"{counted(summary.alerts, 'alert')}, {summary.unread} that could not be read, "
            f"{counted(summary.clusters, 'cluster')}, {counted(summary.flows, 'flow')}"
        )

    def _cluster_table(self, tenant: str, clusters: Sequence[ClusterSummary]) -> Table:
        shown = sorted(clusters, key=_rank)[:CLUSTERS_SHOWN]
        of = f"{len(shown)} of {len(clusters)}" if len(shown) < len(clusters) else str(len(shown))
        title = f"{of} clusters of two alerts or more"
        return cluster_table(shown, title if len(self.tenants) == 1 else f"{title}, tenant {one_line(tenant)}")


def _rank(cluster: ClusterSummary) -> tuple[float, ...]:
    severity = -1 if cluster.severity is None else cluster.severity
    return (-severity, -len(cluster.tactics), -len(cluster.techniques), -cluster.alerts, cluster.start_time)


def write_page(path: Path, outcome: Outcome, kept: KeptAlerts, title: str) -> None:
    """Write the page of all incidents.

    Raises:
        LocationError: It cannot be written.
    """
    page = incident_page(title, outcome.summary, outcome.incidents, lambda each: kept.of(each.tenant, each.flow))
    try:
        path.write_bytes(page)
    except OSError as error:
        raise LocationError(f"{path}: cannot be written: {error.strerror}; give --html a file of your own") from None


def write_results(folder: Path, tenants: Mapping[str, TenantWork], default: str) -> list[Path]:
    """Write all results: those of the default tenant into the folder, of each other one into a folder in it.

    Raises:
        LocationError: A file cannot be written.
    """
    written = [_write(_folder(folder, name, default), each.files(name)) for name, each in tenants.items()]
    return [path for paths in written for path in paths]


def write_bundles(folder: Path, flows: Sequence[Flow], tenant: str, default: str) -> list[Path]:
    """Write a bundle for each flow, and beside it a file for Attack Flow Builder.

    Raises:
        LocationError: One cannot be written.
    """
    bundles = {f"flow-{flow.flow_id}.stix.json": printable_json(flow_bundle(flow, tenant)) for flow in flows}
    return _write(_folder(folder, tenant, default), bundles | builder_files(flows, tenant))


def _folder(folder: Path, tenant: str, default: str) -> Path:
    return folder if tenant == default else folder / tenant_slug(tenant)


def _write(folder: Path, files: Mapping[str, bytes]) -> list[Path]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
    except OSError as error:
        raise LocationError(f"{folder}: cannot be written: {error.strerror}; give --out a folder of your own") from None
    return [folder / name for name in files]
