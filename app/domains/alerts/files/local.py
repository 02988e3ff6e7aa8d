"""The models in this process, as the settings name them; each is imported and loaded when a chunk first needs it.

So a function that does one of the steps pays at its start for that one alone.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.domains.alerts.alert import Alert, Techniques
    from app.domains.alerts.clusters.affinity import Affinity
    from app.domains.alerts.clusters.clusters import Clusters
    from app.domains.alerts.incidents import ClusterSummary, Flow
    from app.domains.alerts.techniques.resolver import TechniqueResolver
    from app.settings import Settings


class LocalModels:
    """The models of the settings, each loaded once, when it is first used."""

    def __init__(self, settings: Settings) -> None:
        """Take the settings; nothing is loaded."""
        self._settings = settings

    def techniques(self, alerts: Sequence[Alert]) -> Sequence[Techniques]:
        """Return the techniques of each alert.

        Raises:
            ModelError: There is no such model.
        """
        return self._resolver.resolve(alerts)

    def known(self, alerts: Sequence[Alert]) -> Sequence[Techniques]:
        """Return the techniques of each alert from itself, analysts' corrections and the catalogue of rules.

        Raises:
            SettingsError: `LOOKUP_TABLE` names no table.
        """
        return self._without_model.resolve(alerts)

    def clusters(self, dump: bytes | None, config: Mapping[str, Any]) -> Clusters:
        """Return a tenant's clusters, with a file's `cluster_config`.

        Raises:
            ModelError: There is no such bundle.
            UnreadableStateError: The dump is not one that this version gave.
        """
        from app.domains.alerts.clusters.clusters import ClusterConfig, Clusters  # noqa: PLC0415 - see above

        cut = ClusterConfig.from_request(config)
        return Clusters(self._affinity, cut) if dump is None else Clusters.load(dump, self._affinity, cut)

    def flows(self, summaries: Sequence[ClusterSummary], config: Mapping[str, Any]) -> Sequence[Flow]:
        """Return the flows of clusters, with a file's `config`."""
        from app.domains.alerts.flows.config import FlowConfig  # noqa: PLC0415 - see above
        from app.domains.alerts.results import flows_of  # noqa: PLC0415
        from app.domains.alerts.settings import AlertSettings  # noqa: PLC0415

        base = FlowConfig.from_settings(self._settings.read(AlertSettings))
        return flows_of(summaries, FlowConfig.from_request(dict(config), base))

    def bundle(self, flow: Flow, tenant: str) -> bytes:
        """Return a tenant's flow as an Attack Flow bundle."""
        from app.domains.alerts.results import flow_bundle  # noqa: PLC0415 - see above

        return flow_bundle(flow, tenant)

    @cached_property
    def _resolver(self) -> TechniqueResolver:
        from app.domains.alerts.techniques.resolver import TechniqueResolver  # noqa: PLC0415 - see above

        return TechniqueResolver.open(self._settings)

    @cached_property
    def _without_model(self) -> TechniqueResolver:
        from app.domains.alerts.techniques.resolver import TechniqueResolver  # noqa: PLC0415 - see above

        return TechniqueResolver.without_model(self._settings)

    @cached_property
    def _affinity(self) -> Affinity:
        from app.domains.alerts.tenant import TenantFactory  # noqa: PLC0415 - see above

        return TenantFactory.open(self._settings).affinity
