"""All that is remembered of one tenant: its clusters and the flows between them, advanced an alert at a time.

The stream, the files and the command line all go through `Tenant.observe`, so that they cannot differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from app.domains.alerts.attack import AttackTable, attack_table
from app.domains.alerts.clusters.affinity import Affinity
from app.domains.alerts.clusters.clusters import ClusterConfig, Clusters
from app.domains.alerts.flows.flows import FlowChange, FlowConfig, Flows
from app.domains.alerts.settings import AlertSettings
from app.errors import CloudError
from app.inference.bundle import find_bundle

if TYPE_CHECKING:
    from typing import Self

    from app.domains.alerts.alert import EnrichedAlert
    from app.domains.alerts.incidents import ClusterChange, ClusterSummary
    from app.settings import Settings

VERSION = 1  # of the form of a state; one of another version is refused, never guessed at


class _Dump(msgspec.Struct, array_like=True):
    version: int
    clusters: bytes
    flows: bytes


@dataclass(frozen=True, slots=True)
class Observed:
    """What one alert changed.

    Attributes:
        change: In the clusters.
        summary: The alert's cluster, where the change is notable.
        flows: In the flows.
    """

    change: ClusterChange
    summary: ClusterSummary | None = None
    flows: tuple[FlowChange, ...] = ()


@dataclass(frozen=True)
class Incidents:
    """What tenants are opened with: what was learned, and how clusters and flows are cut.

    Attributes:
        affinity: How alike alert types are.
        table: ATT&CK.
        clusters: How clusters are cut.
        flows: How flows are cut.
    """

    affinity: Affinity
    table: AttackTable
    clusters: ClusterConfig
    flows: FlowConfig

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Loads the bundle `cluster` that the settings name.

        Raises:
            ModelError: There is none such, or it is not what its manifest says.
        """
        bundle = find_bundle("cluster", settings.read(AlertSettings).cluster_run_id, settings.model_location)
        return cls(Affinity.load(bundle), attack_table(), ClusterConfig(), FlowConfig())

    def tenant(self, state: bytes | None = None) -> Tenant:
        """A tenant as it was dumped, or a new one.

        Raises:
            CloudError: The state is not one that this version wrote.
        """
        if state is None:
            return Tenant(Clusters(self.affinity, self.clusters), Flows(self.table, self.flows))
        try:
            dump = msgspec.msgpack.decode(state, type=_Dump)
        except msgspec.MsgspecError as error:
            raise CloudError(f"state of alerts: is not what was written ({error}); restore or delete it") from None
        if dump.version != VERSION:
            raise CloudError(
                f"state of alerts: has version {dump.version}, not {VERSION}; run the release that wrote it"
            )
        return Tenant(
            Clusters.load(dump.clusters, self.affinity, self.clusters),
            Flows.load(dump.flows, self.table, self.flows),
        )


class Tenant:
    """One tenant's clusters and flows."""

    def __init__(self, clusters: Clusters, flows: Flows) -> None:
        """Takes both as they stand."""
        self.clusters, self.flows = clusters, flows

    def observe(self, alert: EnrichedAlert) -> Observed:
        """Adds one alert; only a notable change is looked at further, as most alerts repeat what is known."""
        [change] = self.clusters.add((alert,))
        if not change.notable:
            return Observed(change)
        summary = self.clusters.summary(change.cluster_id)
        if summary is None:  # a cluster that was bounded away at once
            return Observed(change)
        return Observed(change, summary, tuple(self.flows.update(summary)))

    def dump(self) -> bytes:
        """The state as bytes: the same for the same alerts, however they were cut."""
        return msgspec.msgpack.encode(_Dump(VERSION, self.clusters.dump(), self.flows.dump()))
