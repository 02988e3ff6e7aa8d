"""Make the commands of a candidate that clusters: passes over enriched alerts that are made outside the clock."""

from __future__ import annotations

import os
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from app.domains.alerts.alert import EnrichedAlert
from app.domains.alerts.techniques.resolver import TechniqueResolver
from app.settings import read_settings
from benchmarks.alerts_made import made

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.domains.alerts.incidents import ClusterChange


class Clusterer(Protocol):
    """Clusters alerts."""

    def add(self, alerts: Sequence[EnrichedAlert]) -> Sequence[ClusterChange]:
        """Return the change that each alert made."""


def commands_of(new: Callable[[], Clusterer]) -> dict[str, Callable[..., dict[str, Any]]]:
    """Return the commands of a candidate; `new` returns one without alerts."""
    alerts: list[EnrichedAlert] = []

    def begin(shape: str, data: str | None, count: int) -> dict[str, Any]:
        """Make the alerts and resolve their techniques."""
        taken = list(islice(made(shape, Path(data) if data else None), count))
        techniques = TechniqueResolver.open(read_settings(os.environ)).resolve(taken)
        alerts[:] = map(EnrichedAlert, taken, techniques)
        return {}

    def run(batch: int) -> dict[str, Any]:
        """Run a pass; return the CPU and the wall clock of all alerts."""
        clusters = new()
        cpu, wall = time.process_time(), time.perf_counter()
        for start in range(0, len(alerts), batch):
            clusters.add(alerts[start : start + batch])
        return {"cpu_ms": (time.process_time() - cpu) * 1000, "wall_ms": (time.perf_counter() - wall) * 1000}

    def clusters_of(batch: int) -> dict[str, Any]:
        """Return each alert's cluster at the end."""
        clusters = new()
        starts = range(0, len(alerts), batch)
        changes = [change for start in starts for change in clusters.add(alerts[start : start + batch])]
        into = {merged: change.cluster_id for change in changes for merged in change.merged}
        found = []
        for change in changes:
            cluster = change.cluster_id
            while cluster in into:
                cluster = into[cluster]
            found.append(cluster)
        return {"clusters": found}

    return {"begin": begin, "run": run, "clusters": clusters_of}
