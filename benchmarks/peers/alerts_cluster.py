"""Run (d2): Millrace's clusters alone, with the affinities of the shipped bundle."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from app.domains.alerts.clusters.clusters import Clusters
from app.domains.alerts.tenant import TenantFactory
from app.settings import read_settings
from benchmarks.peers.alerts_clustering import commands_of

if TYPE_CHECKING:
    from pathlib import Path


def open_peer(_folder: Path) -> dict[str, Any]:
    """Return the commands of Millrace's clusters."""
    tenants = TenantFactory.open(read_settings(os.environ))
    return commands_of(lambda: Clusters(tenants.affinity, tenants.clusters))
