"""The jobs that the settings ask for; a model is imported and loaded when the first chunk needs it.

So a function that does one of the steps pays at its start for that one alone.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from app.domains.alerts.attack import attack_table
from app.domains.alerts.files.cluster_job import ClustersJob, Opened
from app.domains.alerts.files.jobs import FlowsJob, ResolverJob
from app.domains.alerts.files.seam import Jobs
from app.domains.alerts.settings import AlertSettings
from app.errors import UnprocessableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from app.domains.alerts.alert import Alert, Techniques
    from app.domains.alerts.clusters.affinity import Affinity
    from app.domains.alerts.incidents import ClusterSummary, Flow
    from app.domains.alerts.techniques.resolver import TechniqueResolver
    from app.settings import Settings


class Opening:
    """The models of the settings, each opened once, when it is first asked."""

    def __init__(self, settings: Settings) -> None:
        """Takes the settings; loads nothing."""
        self._settings = settings

    @property
    def jobs(self) -> Jobs:
        """The three jobs in this process."""
        return Jobs(ResolverJob(_Asked(self)), ClustersJob(self.clusters, attack_table()), FlowsJob(flows))

    @cached_property
    def known(self) -> TechniqueResolver:
        """What is known without a model: alerts' own techniques, analysts' corrections, the catalogue of rules.

        Raises:
            SettingsError: `LOOKUP_TABLE` names no table.
        """
        from app.domains.alerts.lookups.table import open_lookup  # noqa: PLC0415
        from app.domains.alerts.techniques.catalogue import shipped_catalogue  # noqa: PLC0415 - see above
        from app.domains.alerts.techniques.resolver import TechniqueResolver  # noqa: PLC0415

        return TechniqueResolver(
            open_lookup(self._settings.read(AlertSettings).lookup_table), shipped_catalogue(), None
        )

    @cached_property
    def resolver(self) -> TechniqueResolver:
        """The same, and the model.

        Raises:
            ModelError: There is no such model.
        """
        from app.domains.alerts.techniques.resolver import TechniqueResolver  # noqa: PLC0415 - see above

        return TechniqueResolver.open(self._settings)

    def clusters(self, dump: bytes | None, config: Mapping[str, Any]) -> Opened:
        """A tenant's clusters, cut as a file asks for.

        Raises:
            ModelError: There is nothing learned of the name.
            UnreadableStateError: The dump is not one that this version gave.
        """
        from app.domains.alerts.clusters.clusters import ClusterConfig, Clusters  # noqa: PLC0415 - see above

        cut = ClusterConfig.from_request(config)
        clusters = Clusters(self._affinity, cut) if dump is None else Clusters.load(dump, self._affinity, cut)
        return Opened(clusters, cut.expiry_s, cut.most_clusters)

    @cached_property
    def _affinity(self) -> Affinity:
        from app.domains.alerts.clusters.affinity import Affinity  # noqa: PLC0415
        from app.inference.bundle import find_bundle  # noqa: PLC0415 - see above

        run_id = self._settings.read(AlertSettings).cluster_run_id
        return Affinity.load(find_bundle("cluster", run_id, self._settings.model_location))


class _Asked:
    """The resolver with its model, once it is asked."""

    def __init__(self, opening: Opening) -> None:
        self._opening = opening

    def resolve(self, alerts: Sequence[Alert]) -> Sequence[Techniques]:
        return self._opening.resolver.resolve(alerts)


def bundle(flow: Flow, tenant: str) -> bytes:
    """A tenant's flow as an Attack Flow bundle, the same bytes for the same flow.

    Raises:
        UnprocessableError: It breaks a rule of the format.
    """
    from app.domains.alerts.flows.stix import bundle_of  # noqa: PLC0415 - see above
    from app.domains.alerts.flows.stix_check import check_bundle  # noqa: PLC0415

    made = bundle_of(flow, attack_table(), tenant=tenant)
    if faults := check_bundle(made):
        raise UnprocessableError(f"flow {flow.flow_id}: its bundle breaks a rule of Attack Flow: {faults[0]}")
    return msgspec.json.encode(made, order="deterministic")


def flows(summaries: Sequence[ClusterSummary], config: Mapping[str, Any]) -> Iterable[Flow]:
    """The flows of clusters, cut as a file asks for."""
    from app.domains.alerts.flows.flows import FlowConfig, build_flows  # noqa: PLC0415 - see above

    return build_flows(summaries, attack_table(), FlowConfig.from_request(dict(config)))
