"""The state of one tenant: its clusters and the flows between them, advanced one alert at a time.

The stream uses `Tenant.observe`; files and commands use its clusters, and make flows of the final ones (`results.py`).
A test compares the three.
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
from app.domains.alerts.state_bytes import decode_state
from app.errors import UnreadableStateError
from app.inference.bundle import find_bundle
from app.text import quoted

if TYPE_CHECKING:
    from typing import Self

    from app.domains.alerts.alert import EnrichedAlert
    from app.domains.alerts.incidents import ClusterChange, ClusterSummary
    from app.settings import Settings

VERSION = 1  # of the stored format; any other is refused, since its fields may mean something else


class _Dump(msgspec.Struct, array_like=True):
    version: int
    clusters: bytes
    flows: bytes
    key: str = ""  # of the tenant; empty where an earlier release wrote it


@dataclass(frozen=True, slots=True)
class Observed:
    """The changes by one alert.

    Attributes:
        change: The change of the clusters.
        summary: The alert's cluster, if the change is notable.
        flows: The changes of flows.
    """

    change: ClusterChange
    summary: ClusterSummary | None = None
    flows: tuple[FlowChange, ...] = ()


@dataclass(frozen=True)
class TenantFactory:
    """Opens tenants with the model and settings that they share.

    Attributes:
        affinity: Learned affinities of alert types.
        table: ATT&CK.
        clusters: Settings of clusters.
        flows: Settings of flows.
    """

    affinity: Affinity
    table: AttackTable
    clusters: ClusterConfig
    flows: FlowConfig

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Load the bundle `cluster` that the settings name.

        Raises:
            ModelError: The bundle is missing or damaged.
        """
        own = settings.read(AlertSettings)
        bundle = find_bundle("cluster", own.cluster_run_id, settings.model_location, settings.model_keys)
        return cls(bundle.load(Affinity.load), attack_table(), ClusterConfig(), FlowConfig.from_settings(own))

    def tenant(self, state: bytes | None = None, key: str = "") -> Tenant:
        """Return a tenant from its dumped state, or a new one.

        Args:
            state: The dump.
            key: The tenant's state key, which becomes part of its dumps.

        Raises:
            UnreadableStateError: The state was not written by this version, or is another tenant's.
        """
        if state is None:
            return Tenant(Clusters(self.affinity, self.clusters), Flows(self.table, self.flows), key)
        dump = decode_state(state, _Dump, VERSION, "state of alerts")
        if dump.key and dump.key != key:
            raise UnreadableStateError(f"state of alerts: it is the state of {quoted(dump.key)}: restore its own")
        return Tenant(
            Clusters.load(dump.clusters, self.affinity, self.clusters),
            Flows.load(dump.flows, self.table, self.flows),
            key,
        )

    def key_in(self, state: bytes) -> str | None:
        """Return the key that a dumped state has in it; None where it cannot be read."""
        try:
            return decode_state(state, _Dump, VERSION, "state of alerts").key
        except UnreadableStateError:
            return None


class Tenant:
    """One tenant's clusters and flows."""

    def __init__(self, clusters: Clusters, flows: Flows, key: str = "") -> None:
        """Use both as they stand, and a state key that dumps have in them."""
        self.clusters, self.flows, self._key = clusters, flows, key

    def observe(self, alert: EnrichedAlert) -> Observed:
        """Add one alert; most alerts repeat known activity, so only new clusters and notable changes update flows."""
        [change] = self.clusters.add((alert,))
        if not change.notable and not change.opened:
            return Observed(change)
        summary = self.clusters.summary(change.cluster_id)
        if summary is None:  # the cluster was removed at once by a limit
            return Observed(change)
        flows = tuple(self.flows.update(summary, self.clusters.clock))
        return Observed(change, summary if change.notable else None, flows)

    def dump(self) -> bytes:
        """Return the state as bytes: equal for the same alerts, however they were cut into batches."""
        return msgspec.msgpack.encode(_Dump(VERSION, self.clusters.dump(), self.flows.dump(), self._key))
