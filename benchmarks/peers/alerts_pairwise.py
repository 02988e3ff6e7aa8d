"""Run (n): compare each alert with every earlier signature, with Millrace's clusters but without their limits.

The rule, the affinities and the other settings are the same, so that only the work differs. Nothing is forgotten, and
the number of candidates is not limited.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import msgspec

from app.domains.alerts.clusters.clusters import ClusterConfig, Clusters
from app.domains.alerts.clusters.links import Links, PacedType
from app.domains.alerts.clusters.recurrence import RecurringTypes, similarity
from app.domains.alerts.tenant import TenantFactory
from app.settings import read_settings
from benchmarks.peers.alerts_clustering import commands_of

if TYPE_CHECKING:
    from pathlib import Path

    from app.domains.alerts.clusters.state import AlertSignature, OpenCluster, SignatureKey


class AllPairs(Links):
    """Computes the cost of every link by the rule in the package's docstring; tests compare with it too."""

    def find(
        self, paced: PacedType, key: SignatureKey, own: AlertSignature | None, time: float, recurring: RecurringTypes
    ) -> list[OpenCluster]:
        """Return the clusters that an alert links to: all certain ones, or the cheapest."""
        state, config, affinity = self._state, self._config, self._affinity
        outside = config.outsider if recurring and key[0] not in recurring else 1.0
        costs: list[tuple[float, OpenCluster]] = []
        for other in [*([own] if own else []), *reversed(state.signatures.values())][: config.candidates]:
            gap = abs(time - other.last_time)
            here = other.dst == key[3]
            cost = gap * max(other.pace, paced.pace) * (config.own if here and other.type.text == key[0] else 1.0)
            cost += config.theta_s * outside * (1.0 - affinity.between(paced.type, other.type))
            if here:
                cost += config.recurrence_s * (1.0 - similarity(recurring, other.recurring, affinity.weight))
            shared = state.entities.rarest(key[4], other.entities)
            cost -= config.entity_s * (shared[0][0] if shared else 0.0)
            if gap < config.reach_s and cost < config.delta_s:
                costs.append((cost, other.cluster))
        sure = {cluster.id: cluster for cost, cluster in costs if cost < config.delta_s * config.merge}
        return list(sure.values()) or [cluster for _, cluster in sorted(costs, key=lambda each: each[0])[:1]]


def open_peer(_folder: Path) -> dict[str, Any]:
    """Return the commands of the clusters without limits."""
    tenants = TenantFactory.open(read_settings(os.environ))
    config = ClusterConfig()
    msgspec.structs.force_setattr(config, "candidates", sys.maxsize)  # the settings' own bounds refuse this value

    def new() -> Clusters:
        clusters = Clusters(tenants.affinity, config)
        clusters._links = AllPairs(tenants.affinity, config, clusters._state)  # noqa: SLF001 - for the benchmark alone
        vars(clusters._state)["enforce_limits"] = lambda _config: None  # noqa: SLF001 - for the benchmark alone
        return clusters

    return commands_of(new)
