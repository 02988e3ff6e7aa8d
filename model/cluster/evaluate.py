"""Measure how well clusters match the attacks of AIT-ADS, with the engine that production runs.

The runs are those of `data.read_runs`: several attacks at once within days of noise. The area is taken over a grid of
settings, so it shows what the method can reach with the right settings; the defaults are measured as well.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from app.domains.alerts.clusters.affinity import Affinity
from app.domains.alerts.clusters.clusters import ClusterConfig, Clusters
from app.inference.bundle import find_bundle
from model.cluster.data import alerts_of, read_runs, units_of
from model.cluster.measures import (
    Agreement,
    Rates,
    agreement,
    area,
    instance_rates,
    mean_rates,
    published_area,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from app.domains.alerts.alert import EnrichedAlert
    from model.cluster.data import Columns, Units
    from model.cluster.measures import Ints

GAPS_S = (0.5, 1.5, 2.5, 3.5, 5.5, 8.5, 10.5, 12.5, 15.5, 20.5, 30.5, 50.5, 100.5, 300.5)
"""The grid of the plain time gap, the simplest baseline."""
_AS_TRIED: dict[str, Any] = {"outsider": 1.0, "recall_s": 0.0}  # these two are measured at the defaults
GRID = tuple(
    ClusterConfig(delta_s=delta, theta_s=round(ratio * delta, 3), patience=patience, entity_s=0.0, **_AS_TRIED)
    for delta in (1.2, 2.0, 5.5, 15.0, 70.0)
    for ratio in (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 6.0)
    for patience in (0.0, 0.5)
)
"""Settings over which the area is taken; chosen mainly on the training scenarios (see `README.md`)."""
_TOLD_EVERY = 5  # settings: half a minute or so
_TIMED = 200_000  # alerts whose clustering is timed


@dataclass(frozen=True, slots=True)
class Areas:
    """Areas under the Pareto front of (TNR, TPR), by our measure and by the published one (`measures.py`).

    Attributes:
        attacks: Ours, with noise left out.
        noise: Ours, with noise.
        published: The published one, with noise left out.
        published_noise: The published one, with noise.
    """

    attacks: float
    noise: float
    published: float
    published_noise: float


@dataclass(frozen=True, slots=True)
class Report:
    """The results of an evaluation.

    Attributes:
        part: The runs' part of the layout, `val` or `train`.
        scenarios: The scenarios' names.
        alerts: The number of alerts.
        gap: Areas of clustering by a plain time gap.
        areas: Areas of the clusters over a grid of settings.
        settings: The size of that grid.
        config: The defaults.
        rates: Rates at the defaults.
        by_label: Rates at the defaults for each label.
        agreement: The agreement of the defaults' clusters with the attacks.
        reduction: One minus clusters divided by alerts, at the defaults.
        alerts_per_s: Alerts a second of processor time at the defaults, duplicates included.
        state_bytes: The size of the largest state at the end of a run.
    """

    part: str
    scenarios: tuple[str, ...]
    alerts: int
    gap: Areas
    areas: Areas
    settings: int
    config: ClusterConfig
    rates: Rates
    by_label: dict[str, Rates]
    agreement: Agreement
    reduction: float
    alerts_per_s: float
    state_bytes: int

    def metrics(self) -> dict[str, float]:
        """Return the figures by their names in a manifest."""
        return {
            **self._areas("", self.areas),
            **self._areas("gap_", self.gap),
            f"{self.part}_tpr": round(self.rates.tpr, 4),
            f"{self.part}_tnr": round(self.rates.tnr, 4),
            f"{self.part}_tnr_noise": round(self.rates.tnr_noise, 4),
            f"{self.part}_ari": round(self.agreement.ari, 4),
            f"{self.part}_pair_f1": round(self.agreement.pair_f1, 4),
            f"{self.part}_v_measure": round(self.agreement.v_measure, 4),
            f"{self.part}_reduction": round(self.reduction, 5),
        }

    def _areas(self, method: str, areas: Areas) -> dict[str, float]:
        return {
            f"{self.part}_{method}area": round(areas.attacks, 4),
            f"{self.part}_{method}area_noise": round(areas.noise, 4),
            f"{self.part}_{method}published_area": round(areas.published, 4),
            f"{self.part}_{method}published_area_noise": round(areas.published_noise, 4),
        }


def evaluate(
    folder: Path,
    affinity: Affinity | None = None,
    part: str = "val",
    grid: Sequence[ClusterConfig] = GRID,
    log: Callable[[str], None] | None = None,
) -> Report:
    """Measure an affinity on the combined-attack runs; this takes some minutes.

    Args:
        folder: Of the layout and the scenarios' files.
        affinity: The affinity to measure; by default the shipped one.
        part: The part of the layout, `val` or `train`; the shipped affinity was learned from `train`.
        grid: The settings to take the area over.
        log: Called with a line of progress; by default it goes to standard error.

    Raises:
        OSError: A file cannot be read.
    """
    if affinity is None:
        affinity = Affinity.load(find_bundle("cluster"))
    if log is None:
        log = _on_stderr
    log(f"{part}: reading the runs")
    named = list(read_runs(folder, part))
    runs = [units_of(run) for _, run in named]
    log(f"{part}: {sum(len(run) for _, run in named):,} alerts, {sum(map(len, runs)):,} without duplicates")
    alerts_of_runs = [list(alerts_of(run)) for run in runs]
    gap = _areas(runs, [[gap_clusters(run, gap) for run in runs] for gap in GAPS_S])
    found = []
    began = time.monotonic()
    for number, config in enumerate(grid, 1):
        found.append([clusters_at_end(alerts, affinity, config)[0] for alerts in alerts_of_runs])
        if number % _TOLD_EVERY == 0:
            left_s = (time.monotonic() - began) / number * (len(grid) - number)
            log(f"{number} of {len(grid)} settings, about {left_s / 60:.0f} min left")
    config = ClusterConfig()
    ends = [clusters_at_end(alerts, affinity, config) for alerts in alerts_of_runs]
    chosen = [clusters for clusters, _ in ends]
    rates, by_label = mean_rates(
        each for run, got in zip(runs, chosen, strict=True) for each in instance_rates(run, got)
    )
    alerts = sum(len(run) for _, run in named)
    return Report(
        part=part,
        scenarios=tuple(name for name, _ in named),
        alerts=alerts,
        gap=gap,
        areas=_areas(runs, found),
        settings=len(grid),
        config=config,
        rates=rates,
        by_label=by_label,
        agreement=agreement(runs, chosen),
        reduction=1 - sum(len(np.unique(clusters)) for clusters in chosen) / alerts,
        alerts_per_s=speed(named[-1][1], affinity, config),
        state_bytes=max(size for _, size in ends),
    )


def engine_clusters(run: Units | Columns, affinity: Affinity, config: ClusterConfig) -> tuple[Ints, int]:
    """Return each row's cluster at the end, after all merges, and the state's size in bytes.

    Units give the same clusters as all their alerts: a duplicate changes nothing that the engine compares.
    """
    return clusters_at_end(list(alerts_of(run)), affinity, config)


def clusters_at_end(alerts: Sequence[EnrichedAlert], affinity: Affinity, config: ClusterConfig) -> tuple[Ints, int]:
    """Return each alert's cluster at the end, after all merges, and the state's size in bytes."""
    clusters = Clusters(affinity, config)
    changes = clusters.add(alerts)
    into = {merged: change.cluster_id for change in changes for merged in change.merged}

    def now(cluster: int) -> int:
        while cluster in into:
            cluster = into[cluster]
        return cluster

    return np.array([now(change.cluster_id) for change in changes], np.int64), len(clusters.dump())


def _on_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def gap_clusters(run: Units, gap_s: float) -> Ints:
    """Return the clusters by a plain time gap."""
    return np.concatenate([[0], np.cumsum(np.diff(run.time) > gap_s)])


def speed(run: Columns, affinity: Affinity, config: ClusterConfig) -> float:
    """Return the alerts a second of processor time; they are made before the clock starts."""
    alerts = []
    for alert in alerts_of(run):
        alerts.append(alert)
        if len(alerts) == _TIMED:
            break
    clusters = Clusters(affinity, config)
    began = time.process_time()
    clusters.add(alerts)
    return len(alerts) / (time.process_time() - began)


def print_report(report: Report) -> None:
    """Print the results."""
    print(f"{report.part}: {', '.join(report.scenarios)}; {report.alerts:,} alerts")
    print(f"  {'area under (TNR, TPR)':38}{'without noise':>14}{'with noise':>12}")
    for name, areas in (("a plain time gap", report.gap), (f"clusters, over {report.settings} settings", report.areas)):
        print(f"  {name + ', ours':38}{areas.attacks:14.3f}{areas.noise:12.3f}")
        print(f"  {name + ', published':38}{areas.published:14.3f}{areas.published_noise:12.3f}")
    rates, found = report.rates, report.agreement
    print(f"  at the defaults: TPR {rates.tpr:.3f}, TNR {rates.tnr:.3f} without and {rates.tnr_noise:.3f} with noise")
    print(f"    ARI {found.ari:.3f}, pair-F1 {found.pair_f1:.3f}, V-measure {found.v_measure:.3f}")
    print(f"    {report.reduction:.2%} fewer groups than alerts")
    print(f"    {report.alerts_per_s:,.0f} alerts a second on one core; state {report.state_bytes:,} bytes")
    print(f"    {'label':26}{'TPR':>7}{'TNR':>7}{'with noise':>12}")
    for label, each in sorted(report.by_label.items()):
        print(f"    {label:26}{each.tpr:7.2f}{each.tnr:7.2f}{each.tnr_noise:12.2f}")


def _areas(runs: Sequence[Units], settings: Sequence[Sequence[Ints]]) -> Areas:
    points = []
    for clusters in settings:
        pairs = zip(runs, clusters, strict=True)
        points.append(mean_rates(each for run, found in pairs for each in instance_rates(run, found))[0])
    return Areas(
        area((each.tnr, each.tpr) for each in points),
        area((each.tnr_noise, each.tpr) for each in points),
        published_area((each.tnr, each.tpr_self) for each in points),
        published_area((each.tnr_noise, each.tpr_self) for each in points),
    )
