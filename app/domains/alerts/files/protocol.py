"""The types that travel between the steps, and the work that a step hands to a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import msgspec

from app.domains.alerts.incidents import ClusterSummary  # noqa: TC001 - msgspec reads the fields' types
from app.jobs.context import StepContext

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from app.domains.alerts.alert import Alert, EnrichedAlert, Techniques
    from app.domains.alerts.incidents import ClusterChange, Flow
    from app.storage.objects import Objects


class ChunkCluster(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A cluster in the answer about a chunk.

    Attributes:
        cluster_id: Its id.
        ids: The internal ids of the chunk's alerts in it; none of a cluster that the chunk did not touch.
        merged: Clusters that became part of it.
        summary: The cluster as it stands; None where a job elsewhere leaves it out.
    """

    cluster_id: int
    ids: list[int] = []
    merged: list[int] = []
    summary: ClusterSummary | None = None


class RunCluster(msgspec.Struct, frozen=True):
    """A cluster of a run.

    Attributes:
        summary: As it stood at the run's end.
        ids: The internal ids of the run's alerts in it.
        merged: Clusters that became part of it while the run went on.
    """

    summary: ClusterSummary
    ids: list[int]
    merged: list[int]


class RunClusters(msgspec.Struct, frozen=True):
    """The clusters of a run, and the tenant's other ones that its flows may be made of."""

    clusters: list[RunCluster]
    others: list[ClusterSummary]

    def summaries(self) -> list[ClusterSummary]:
        """Return all of them, the newest first."""
        found = [*(each.summary for each in self.clusters), *self.others]
        return sorted(found, key=lambda each: -each.cluster_id)


@dataclass(frozen=True, slots=True)
class ClusterCall:
    """The clustering of one chunk.

    Attributes:
        unique_id: The chunk.
        request: The name of its request object.
        state: The name of the state to start from; None at a tenant's first chunk.
        next_state: The name under which the state after the chunk is put, before the response.
        response: The name of the object that is to have the answer.
        wanted: Clusters that are to be in the answer also where the chunk does not touch them.
        last: Whether it is the run's last chunk: the answer then has every cluster that a flow may take in.
    """

    unique_id: str
    request: str
    state: str | None
    next_state: str
    response: str
    wanted: tuple[int, ...] = ()
    last: bool = False


class TenantClusters(Protocol):
    """A tenant's clusters: `Clusters`."""

    def add(self, alerts: Sequence[EnrichedAlert]) -> Sequence[ClusterChange]:
        """Add alerts in their order; return the change that each made."""

    def summary(self, cluster_id: int) -> ClusterSummary | None:
        """Return a cluster as it stands; None where it is no more."""

    def current(self, cluster_id: int) -> int | None:
        """Return the cluster that one is or has become part of; None where it is no more."""

    def on_close(self, callback: Callable[[ClusterSummary], object]) -> None:
        """Call `callback` with the last summary of each cluster that is closed from here on."""

    def dump(self) -> bytes:
        """Return the clusters as bytes."""


class LocalJobs(Protocol):
    """The models in this process."""

    def techniques(self, alerts: Sequence[Alert]) -> Sequence[Techniques]:
        """Return the techniques of each alert."""

    def known(self, alerts: Sequence[Alert]) -> Sequence[Techniques]:
        """Return the techniques of each alert as far as no model is needed."""

    def clusters(self, dump: bytes | None, config: Mapping[str, Any]) -> TenantClusters:
        """Return a tenant's clusters from a dump, None for a new tenant, with a file's `cluster_config`."""

    def flows(self, summaries: Sequence[ClusterSummary], config: Mapping[str, Any]) -> Sequence[Flow]:
        """Return the flows of clusters, with a file's `config`."""

    def bundle(self, flow: Flow, tenant: str) -> bytes:
        """Return a tenant's flow as an Attack Flow bundle."""


class TechniqueJob(Protocol):
    """A job elsewhere that predicts the techniques of texts."""

    def submit(self, objects: Objects, request: str, response: str) -> None:
        """Answer the lines of one object in another, now or later; submitted again, it answers the same.

        Args:
            objects: Both objects are here.
            request: The name of an object of `TechniqueRequest` lines.
            response: The name of the object that is to have a `TechniqueAnswer` line for each, in their order.
        """


class ClusterJob(Protocol):
    """A job elsewhere that joins a chunk's alerts to a tenant's clusters."""

    def submit(self, objects: Objects, call: ClusterCall) -> None:
        """Write the next state and then the response, now or later; the same call gives the same bytes."""


class FlowJob(Protocol):
    """A job elsewhere that orders clusters into attack flows."""

    def submit(self, objects: Objects, request: str, response: str) -> None:
        """Answer a `FlowRequest` with `[{"output": {"flow_output": […]}}]`, now or later."""


@dataclass(frozen=True)
class ExternalJobs:
    """The jobs elsewhere; where there is none, the process does the work itself."""

    technique: TechniqueJob | None = None
    cluster: ClusterJob | None = None
    flow: FlowJob | None = None


@dataclass(frozen=True)
class AlertJobs:
    """The work that steps hand on: to functions of this process, or to jobs elsewhere."""

    local: LocalJobs
    external: ExternalJobs = ExternalJobs()


Context: TypeAlias = StepContext[AlertJobs]
