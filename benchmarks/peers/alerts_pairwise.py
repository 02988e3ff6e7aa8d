"""(n) Each alert compared with all that was said before it: Millrace's clusters with their bounds taken off.

The rule, the affinities and the settings are the same, so that what is left to compare is the work. Nothing is
forgotten, and no number of candidates is enough.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import msgspec

from app.pipelines.alerts.cluster import ClusterConfig, Clusters
from app.pipelines.alerts.tenant import Incidents
from app.settings import read_settings
from benchmarks.peers.alerts_clustering import commands_of

if TYPE_CHECKING:
    from pathlib import Path


def open_peer(_folder: Path) -> dict[str, Any]:
    """What tenants are opened with, without bounds."""
    incidents = Incidents.open(read_settings(os.environ))
    config = ClusterConfig()
    msgspec.structs.force_setattr(config, "candidates", sys.maxsize)  # the settings themselves allow no such number

    def fresh() -> Clusters:
        clusters = Clusters(incidents.affinity, config)
        vars(clusters._state)["bound"] = lambda _config: None  # noqa: SLF001 - nobody else may forget to forget
        return clusters

    return commands_of(fresh)
