"""Put alerts of an input through the code of the stream, and keep their results to show them at the end."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from app.domains.alerts.alert import EnrichedAlert
from app.domains.alerts.attack import attack_table
from app.domains.alerts.clusters.clusters import step_key
from app.domains.alerts.clusters.config import ClusterConfig
from app.domains.alerts.flows.config import FlowConfig
from app.domains.alerts.membership import Membership
from app.domains.alerts.results import ResultCluster, flow_bundle, flows_of, result_files
from app.domains.alerts.settings import AlertSettings
from app.domains.alerts.tenancy import CountedTenants
from app.domains.alerts.tenant import Observed, TenantFactory
from app.domains.alerts.tickets import TICKET_ALERTS, TICKET_EVENTS, event_row

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    import msgspec

    from app.domains.alerts.alert import Alert
    from app.domains.alerts.clusters.state import StepKey
    from app.domains.alerts.incidents import ClusterChange, ClusterSummary, Flow
    from app.domains.alerts.techniques.resolver import TechniqueResolver
    from app.settings import Settings

MOST_KEPT = 20_000  # clusters of a tenant that are shown at the end: some 100 MB at the very most


def enrich(alerts: Sequence[Alert], resolver: TechniqueResolver, latest: float = math.inf) -> list[EnrichedAlert]:
    """Return alerts with their techniques, and the latest time that they can have."""
    return [EnrichedAlert(alert, found, latest) for alert, found in zip(alerts, resolver.resolve(alerts), strict=True)]


class TenantWork:
    """A tenant's alerts at work.

    Attributes:
        tenant: Its clusters and flows.
        members: Its alerts by cluster, and each cluster's last summary.
        skipped: How many of its alerts are in no cluster, by the reason.
    """

    def __init__(self, tenants: TenantFactory, *, with_ids: bool, live: bool) -> None:
        """Start without an alert.

        Args:
            tenants: Opens tenants.
            with_ids: Whether to keep all ids, and the first alerts of each cluster. Otherwise the work is bounded, so
                that an input may be endless.
            live: Whether to follow flows alert by alert, as the stream publishes them; otherwise they are made once, at
                the end, which costs a third less.
        """
        self.tenant, self._config = tenants.tenant(), tenants.flows
        self.members = Membership(None if with_ids else MOST_KEPT)
        self.tenant.clusters.on_close(self.members.close)
        self.skipped: Counter[str] = Counter()
        self._with_ids, self._live = with_ids, live
        self._ids: list[int | str] = []
        self._steps: list[StepKey] = []
        self._events: dict[int, list[tuple[int, msgspec.Raw]]] = {}

    def observe(self, alert: EnrichedAlert) -> Observed:
        """Add one alert."""
        observed = self.tenant.observe(alert) if self._live else Observed(self.tenant.clusters.add((alert,))[0])
        if why := observed.change.skipped:
            self.skipped[why.partition(":")[0]] += 1  # without the product's own words, which may be any
        self.members.join(observed.change, len(self._ids))
        if self._with_ids:
            self._keep(alert, observed.change)
        return observed

    def clusters(self) -> list[ClusterSummary]:
        """Return the clusters with two alerts or more, by their start."""
        self.members.take_summaries(self.tenant.clusters)
        notable = [each for each in self.members.summaries.values() if each.alerts >= TICKET_ALERTS]
        return sorted(notable, key=lambda each: (each.start_time, each.cluster_id))

    def flows(self, config: FlowConfig | None = None) -> list[Flow]:
        """Return the flows, by their id; with other settings than the tenant's if given."""
        self.members.take_summaries(self.tenant.clusters)
        return flows_of(self.members.summaries.values(), config or self._config)

    def files(self, tenant: str) -> dict[str, bytes]:
        """Return the files of results by their names; all ids must have been kept."""
        self.members.take_summaries(self.tenant.clusters)
        merges = self.members.merges()
        clusters = [
            ResultCluster(
                self.members.summaries[cluster],
                [self._ids[number] for number in sorted(numbers)],
                merges.get(cluster, ()),
                [event for _, event in self._events[cluster]],
                [self._steps[number] for number in sorted(numbers)],
            )
            for cluster, numbers in sorted(self.members.ids.items())
        ]
        return result_files(clusters, self.flows(), (), lambda flow: flow_bundle(flow, tenant), tenant)

    def _keep(self, alert: EnrichedAlert, change: ClusterChange) -> None:
        self._ids.append(alert.alert.id)
        self._steps.append(step_key(alert.alert.name, alert.alert.src, alert.alert.dst))
        if change.skipped:
            return
        found = self._events.setdefault(change.cluster_id, [])
        for merged in change.merged:
            found += self._events.pop(merged, ())
        if change.merged:
            found[:] = sorted(found, key=lambda each: each[0])[:TICKET_EVENTS]
        if len(found) < TICKET_EVENTS:
            found.append((len(self._ids) - 1, event_row(alert, attack_table())))


class Work:
    """All tenants of an input.

    Attributes:
        tenants: By name.
    """

    def __init__(self, settings: Settings, *, with_ids: bool = False, live: bool = False) -> None:
        """Load the bundle of affinities.

        Args:
            settings: Which bundle.
            with_ids: As of `TenantWork`.
            live: As of `TenantWork`.

        Raises:
            ModelError: There is no such bundle, or it cannot be used.
        """
        self._tenants, self._with_ids, self._live = TenantFactory.open(settings), with_ids, live
        own = settings.read(AlertSettings)
        self._default, self._counted = own.alerts_tenant, CountedTenants(own.alerts_most_tenants)
        self.tenants: dict[str, TenantWork] = {}

    @property
    def flow_config(self) -> FlowConfig:
        """Return the settings of flows."""
        return self._tenants.flows

    def configure(self, clusters: Mapping[str, Any], flows: Mapping[str, Any]) -> None:
        """Take a document's settings of clusters and flows, for tenants that have no alert yet."""
        if clusters or flows:
            self._tenants = TenantFactory(
                self._tenants.affinity,
                self._tenants.table,
                ClusterConfig.from_request(clusters) if clusters else self._tenants.clusters,
                FlowConfig.from_request(flows, self._tenants.flows) if flows else self._tenants.flows,
            )

    def observe(self, alerts: Sequence[EnrichedAlert]) -> Iterator[tuple[EnrichedAlert, str, Observed]]:
        """Add alerts in their order; yield each with its tenant and the changes that it made.

        Raises:
            BudgetError: They have more tenants than one input may.
        """
        for alert in alerts:
            name = alert.alert.tenant or self._default
            work = self.tenants.get(name)
            if work is None:
                self._counted.add(name)
                work = self.tenants[name] = TenantWork(self._tenants, with_ids=self._with_ids, live=self._live)
            yield alert, name, work.observe(alert)
