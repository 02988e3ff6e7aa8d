"""Alerts that are kept for a report: the first ones of each cluster, and the most severe of all."""

from __future__ import annotations

import dataclasses
import heapq
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.domains.alerts.alert import EnrichedAlert
    from app.domains.alerts.incidents import ClusterChange

MOST_SEVERE = 10
ALERTS_A_CLUSTER = 20  # nobody reads more of one burst; the product has them all
MOST_KEPT = 100_000  # alerts of all clusters, some 200 MB with their raw text
LONGEST_RAW_BYTES = 4_000  # of an alert as it came; a Windows event has some 2,000


@dataclasses.dataclass(slots=True, order=True)
class KeptAlert:
    """An alert that is kept; those that are more severe sort last, and of equals the earlier.

    Attributes:
        severity: Its severity, 0 to 100; -1 if it states none.
        number: Its number among all alerts, counted down from 0.
        tenant: Its tenant.
        cluster: Its cluster, also after a merge.
        alert: The alert.
        raw: The alert as it came, cut; empty if it was no line of its own.
    """

    severity: int
    number: int
    tenant: str = dataclasses.field(compare=False)
    cluster: int = dataclasses.field(compare=False)
    alert: EnrichedAlert = dataclasses.field(compare=False)
    raw: bytes = dataclasses.field(compare=False)


class KeptAlerts:
    """Keeps the most severe alerts of an endless input and, if wanted, the first ones of each cluster."""

    def __init__(self, *, of_clusters: bool) -> None:
        """Keep nothing yet.

        Args:
            of_clusters: Whether to keep the first alerts of each cluster.
        """
        self._of_clusters = of_clusters
        self._severe: list[KeptAlert] = []
        self._clusters: dict[tuple[str, int], list[KeptAlert]] = {}
        self._seen = self._kept = 0

    def add(self, alert: EnrichedAlert, tenant: str, change: ClusterChange, raw: bytes | None = None) -> None:
        """Take an alert with the change that it made to the clusters."""
        if change.merged:
            self._merge(tenant, change)
        severity = -1 if alert.alert.severity is None else alert.alert.severity
        self._seen += 1
        kept = KeptAlert(severity, -self._seen, tenant, change.cluster_id, alert, (raw or b"")[:LONGEST_RAW_BYTES])
        if severity >= 0 and len(self._severe) < MOST_SEVERE:
            heapq.heappush(self._severe, kept)
        elif severity >= 0 and kept > self._severe[0]:
            heapq.heapreplace(self._severe, kept)
        if self._of_clusters and self._kept < MOST_KEPT:
            of_cluster = self._clusters.setdefault((tenant, change.cluster_id), [])
            if len(of_cluster) < ALERTS_A_CLUSTER:
                of_cluster.append(kept)
                self._kept += 1

    def most_severe(self) -> list[KeptAlert]:
        """Return the most severe alerts, the most severe first."""
        return sorted(self._severe, reverse=True)

    def of(self, tenant: str, clusters: Iterable[int]) -> list[KeptAlert]:
        """Return the alerts that are kept of a tenant's clusters, by their time."""
        found = [each for cluster in clusters for each in self._clusters.get((tenant, cluster), ())]
        return sorted(found, key=lambda each: (each.alert.alert.time, -each.number))

    def _merge(self, tenant: str, change: ClusterChange) -> None:
        into = self._clusters.setdefault((tenant, change.cluster_id), []) if self._of_clusters else []
        for merged in change.merged:
            into += self._clusters.pop((tenant, merged), ())
        for each in (*into, *self._severe):
            if each.tenant == tenant and each.cluster in change.merged:
                each.cluster = change.cluster_id
