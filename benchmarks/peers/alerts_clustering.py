"""What each candidate that clusters answers to: passes over enriched alerts that are made outside the clock."""

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


class Adds(Protocol):
    """What clusters alerts."""

    def add(self, alerts: Sequence[EnrichedAlert]) -> Sequence[ClusterChange]:
        """What each alert did."""


def commands_of(fresh: Callable[[], Adds]) -> dict[str, Callable[..., dict[str, Any]]]:
    """The commands of a candidate; `fresh` gives one that has seen nothing."""
    alerts: list[EnrichedAlert] = []

    def begin(shape: str, data: str | None, count: int) -> dict[str, Any]:
        """Makes the alerts, and tells their techniques."""
        taken = list(islice(made(shape, Path(data) if data else None), count))
        told = TechniqueResolver.open(read_settings(os.environ)).resolve(taken)
        alerts[:] = map(EnrichedAlert, taken, told)
        return {}

    def run(batch: int) -> dict[str, Any]:
        """A pass: CPU and wall clock of all the alerts."""
        clusters = fresh()
        cpu, wall = time.process_time(), time.perf_counter()
        for start in range(0, len(alerts), batch):
            clusters.add(alerts[start : start + batch])
        return {"cpu_ms": (time.process_time() - cpu) * 1000, "wall_ms": (time.perf_counter() - wall) * 1000}

    def told(batch: int) -> dict[str, Any]:
        """The cluster that each alert is in at the end."""
        clusters = fresh()
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

    return {"begin": begin, "run": run, "told": told}
