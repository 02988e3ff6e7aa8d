"""What the commands of alerts do with alerts, by the stream's own code, and what they keep to show it.

Of each tenant the newest summary of each cluster is kept, bounded, so that a result can be shown at the end; the ids of
a cluster's alerts only where a file of results is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from app.domains.alerts.alert import EnrichedAlert
from app.domains.alerts.attack import attack_table
from app.domains.alerts.clusters.config import ClusterConfig
from app.domains.alerts.flows.config import FlowConfig
from app.domains.alerts.lookups.table import open_lookup
from app.domains.alerts.settings import AlertSettings
from app.domains.alerts.techniques.catalogue import shipped_catalogue
from app.domains.alerts.techniques.resolver import TechniqueResolver
from app.domains.alerts.tenant import Incidents
from app.domains.alerts.tickets import TICKET_EVENTS, event_row

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from app.domains.alerts.alert import Alert
    from app.domains.alerts.incidents import ClusterSummary, Flow
    from app.domains.alerts.tenant import Observed, Tenant
    from app.settings import Settings

MOST_KEPT = 20_000  # clusters of a tenant that are shown at the end: some 100 MB at the very most


def open_resolver(settings: Settings, *, model: bool = True) -> TechniqueResolver:
    """What tells techniques: with the model, or from alerts, corrections and the catalogue alone.

    Raises:
        ModelError: There is no such model, or it cannot be used.
        SettingsError: `LOOKUP_TABLE` names no table.
    """
    if model:
        return TechniqueResolver.open(settings)
    return TechniqueResolver(open_lookup(settings.read(AlertSettings).lookup_table), shipped_catalogue(), None)


def enrich(alerts: Sequence[Alert], resolver: TechniqueResolver) -> list[EnrichedAlert]:
    """Alerts with their techniques."""
    return [EnrichedAlert(alert, told) for alert, told in zip(alerts, resolver.resolve(alerts), strict=True)]


@dataclass
class Kept:
    """What is kept of a tenant, beside what its clusters and flows remember.

    Attributes:
        tenant: Its clusters and flows.
        with_ids: Whether the ids of all alerts are kept, and the first alerts of each cluster.
        summaries: Of clusters with two alerts or more, as they were told last; the one told last at the end.
        since: Alerts that came since then, and when the last of them was.
        ids: Of each cluster's alerts.
        first: The first alerts of each cluster, as a ticket shows them.
        forgotten: How many clusters were too many to keep.
    """

    tenant: Tenant
    with_ids: bool
    summaries: dict[int, ClusterSummary] = field(default_factory=dict)
    since: dict[int, tuple[int, float]] = field(default_factory=dict)
    ids: dict[int, list[int | str]] = field(default_factory=dict)
    first: dict[int, list[msgspec.Raw]] = field(default_factory=dict)
    forgotten: int = 0

    def observe(self, alert: EnrichedAlert) -> Observed:
        """Adds one alert."""
        observed = self.tenant.observe(alert)
        change = observed.change
        for merged in change.merged:
            self.summaries.pop(merged, None)
            self.since.pop(merged, None)
            if self.with_ids:
                self.ids.setdefault(change.cluster_id, []).extend(self.ids.pop(merged, ()))
                self.first.setdefault(change.cluster_id, []).extend(self.first.pop(merged, ()))
        if self.with_ids:
            self.ids.setdefault(change.cluster_id, []).append(alert.alert.id)
            first = self.first.setdefault(change.cluster_id, [])
            if len(first) < TICKET_EVENTS:
                first.append(event_row(alert, attack_table()))
        if observed.summary is not None:
            self.summaries.pop(change.cluster_id, None)
            self.summaries[change.cluster_id] = observed.summary
            self.since.pop(change.cluster_id, None)
            if len(self.summaries) > MOST_KEPT and not self.with_ids:
                oldest = next(iter(self.summaries))
                del self.summaries[oldest]
                self.since.pop(oldest, None)
                self.forgotten += 1
        elif change.cluster_id in self.summaries:
            count, end = self.since.get(change.cluster_id, (0, alert.alert.time))
            self.since[change.cluster_id] = (count + 1, max(end, alert.alert.time))
        return observed

    def settle(self) -> None:
        """Tells the flows of what came to a cluster since it was last notable: at the end, counts are to be whole."""
        for cluster in list(self.since):
            summary = self.tenant.clusters.summary(cluster)
            if summary is None:  # it has expired: nothing but its count and its end has changed since
                told, (count, end) = self.summaries[cluster], self.since[cluster]
                summary = msgspec.structs.replace(told, alerts=told.alerts + count, end_time=max(told.end_time, end))
            self.summaries[cluster] = summary
            self.tenant.flows.update(summary)
        self.since.clear()

    def clusters(self) -> list[ClusterSummary]:
        """Clusters with two alerts or more, by their start."""
        return sorted(self.summaries.values(), key=lambda each: (each.start_time, each.cluster_id))

    def flows(self) -> list[Flow]:
        """Flows, by their id."""
        return self.tenant.flows.flows()


class Work:
    """All tenants of an input.

    Attributes:
        kept: By tenant.
    """

    def __init__(self, settings: Settings, *, with_ids: bool = False) -> None:
        """Loads what clustering has learned.

        Raises:
            ModelError: There is no such bundle, or it cannot be used.
        """
        self._incidents, self._with_ids = Incidents.open(settings), with_ids
        self._default = settings.read(AlertSettings).alerts_tenant
        self.kept: dict[str, Kept] = {}

    def configure(self, clusters: Mapping[str, Any], flows: Mapping[str, Any]) -> None:
        """Takes what a document says of clusters and flows, for tenants that have no alert yet."""
        if clusters or flows:
            self._incidents = Incidents(
                self._incidents.affinity,
                self._incidents.table,
                ClusterConfig.from_request(clusters) if clusters else self._incidents.clusters,
                FlowConfig.from_request(flows) if flows else self._incidents.flows,
            )

    def observe(self, alerts: Sequence[EnrichedAlert]) -> Iterator[tuple[EnrichedAlert, str, Observed]]:
        """Adds alerts in their order; gives whose each is and what it changed."""
        for alert in alerts:
            name = alert.alert.tenant or self._default
            kept = self.kept.get(name)
            if kept is None:
                kept = self.kept[name] = Kept(self._incidents.tenant(), self._with_ids)
            yield alert, name, kept.observe(alert)

    def settle(self) -> None:
        """Makes all counts whole, at the end of the input."""
        for kept in self.kept.values():
            kept.settle()
