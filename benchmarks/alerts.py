"""Measure the alerts: techniques against scikit-learn, clustering against all pairs, the pipeline, and its growth."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from app.domains.alerts.records import ALERT_ROLES
from benchmarks.alerts_contract import AlertOptions, AlertResults, stream_of
from benchmarks.alerts_fitting import fit
from benchmarks.alerts_pairs import measure_pairs
from benchmarks.alerts_streaming import measure_growth, measure_pipeline
from benchmarks.alerts_techniques import measure_texts
from benchmarks.alerts_texts import lookup_csv
from benchmarks.processes import Worker, environment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.rounds import Effort

LOOKUP = "lookup.csv"
_UNSET = {"MODEL_NAME", "RUN_ID", "MODEL_LOCATION", "OUTPUT_STREAM", "TECHNIQUE_RUN_ID", "CLUSTER_RUN_ID"}


def measure_alerts(
    folder: Path, effort: Effort, options: AlertOptions, *, quick: bool, log: Callable[[str], None]
) -> AlertResults:
    """Measure the techniques, the clustering, the pipeline and its growth.

    Args:
        folder: A folder for generated files.
        effort: How long to measure.
        options: How many alerts to measure, and which.
        quick: Whether to fit scikit-learn's candidate on a few rules only.
        log: Called with a line of progress.

    Raises:
        BenchmarkError: Two answers that must be equal differ, so speeds cannot be compared.
    """
    sizes, data = options.sizes, options.data
    results = AlertResults(source="invented" if data is None else "AIT-ADS")
    (folder / LOOKUP).write_bytes(lookup_csv())
    log("alerts: fitting scikit-learn's candidate")
    results.corpus = fit(folder, data, quick=quick)
    start = functools.partial(
        Worker, folder=folder, environment=_environment(folder), module="benchmarks.alerts_worker"
    )
    measure_texts(start, effort, sizes, results, log)
    measure_pairs(start, effort, sizes, data, results, log=log)
    measure_pipeline(start, sizes, data, results, log)
    results.growth = measure_growth(start, sizes.growth, data, log)
    return results


def _environment(folder: Path) -> dict[str, str]:
    """Return the environment of a deployed function: the repository's bundles, a lookup table, three streams."""
    outside = environment(folder, "http://127.0.0.1:9")  # no program listens there
    return {name: value for name, value in outside.items() if name not in _UNSET} | {
        "PIPELINE": "alerts",
        "OUTPUT_STREAMS": ",".join(f"{role}:{stream_of(role)}" for role in ALERT_ROLES),
        "QUARANTINE_STREAM": "bench-quarantine",
        "STATE_TABLE": "bench-state",
        "LOOKUP_TABLE": str(folder / LOOKUP),
    }
