"""(n) Each alert compared with all that was said before it: Millrace's clusters with their bounds taken off.

The rule, the affinities and the settings are the same, so that what is left to compare is the work. Nothing is
forgotten, and no number of candidates is enough.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import msgspec

from app.domains.alerts.clusters.clusters import ClusterConfig, Clusters
from app.domains.alerts.clusters.links import Kind, Links
from app.domains.alerts.clusters.regimes import Regime, likeness
from app.domains.alerts.tenant import Incidents
from app.settings import read_settings
from benchmarks.peers.alerts_clustering import commands_of

if TYPE_CHECKING:
    from pathlib import Path

    from app.domains.alerts.clusters.record import OpenCluster, Saying, SayingKey


class AllPairs(Links):
    """Looks through all that may be compared, by the rule as `ClusterConfig` tells it; tests compare with it too."""

    def find(self, kind: Kind, key: SayingKey, own: Saying | None, time: float, regime: Regime) -> list[OpenCluster]:
        """The clusters that an alert joins: all that it surely belongs to, or the nearest."""
        state, config, affinity = self._state, self._config, self._affinity
        outside = config.outsider if regime and key[0] not in regime else 1.0
        costs: list[tuple[float, OpenCluster]] = []
        for saying in [*([own] if own else []), *reversed(state.sayings.values())][: config.candidates]:
            gap = abs(time - saying.last)
            here = saying.dst == key[3]
            cost = gap * max(saying.pace, kind.pace) * (config.own if here and saying.type.text == key[0] else 1.0)
            cost += config.theta_s * outside * (1.0 - affinity.between(kind.type, saying.type))
            if here:
                cost += config.regime_s * (1.0 - likeness(regime, saying.regime, affinity.weight))
            shared = state.entities.rarest(key[4], saying.entities)
            cost -= config.entity_s * (shared[0][0] if shared else 0.0)
            if gap < config.reach_s and cost < config.delta_s:
                costs.append((cost, saying.cluster))
        sure = {cluster.id: cluster for cost, cluster in costs if cost < config.delta_s * config.merge}
        return list(sure.values()) or [cluster for _, cluster in sorted(costs, key=lambda each: each[0])[:1]]


def open_peer(_folder: Path) -> dict[str, Any]:
    """What tenants are opened with, without bounds."""
    incidents = Incidents.open(read_settings(os.environ))
    config = ClusterConfig()
    msgspec.structs.force_setattr(config, "candidates", sys.maxsize)  # the settings themselves allow no such number

    def fresh() -> Clusters:
        clusters = Clusters(incidents.affinity, config)
        clusters._links = AllPairs(incidents.affinity, config, clusters._state)  # noqa: SLF001 - for the benchmark alone
        vars(clusters._state)["bound"] = lambda _config: None  # noqa: SLF001 - nobody else may forget to forget
        return clusters

    return commands_of(fresh)
