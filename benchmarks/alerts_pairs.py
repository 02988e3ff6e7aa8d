"""Clustering alone, in turns with the way that compares each alert with all before it, on the same alerts."""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING

from sklearn.metrics import adjusted_rand_score

from benchmarks.alerts_contract import CLUSTER, MIX, PAIRWISE, TITLES, AlertResults, PairFigure
from benchmarks.alerts_streaming import begin
from benchmarks.processes import BenchmarkError
from benchmarks.rounds import Effort, Sample, interleave, medians

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.alerts_contract import Sizes
    from benchmarks.processes import Worker

BATCHES = (1, 7, 500, 2000)  # the cuts of which the clusters are compared


def measure_pairs(
    start: Callable[[str], Worker],
    effort: Effort,
    sizes: Sizes,
    data: Path | None,
    results: AlertResults,
    *,
    tell: Callable[[str], None],
) -> None:
    """The table of clustering.

    Raises:
        BenchmarkError: Clusters depend on how the alerts are cut.
    """
    tell(f"alerts: {sizes.pairs:,} alerts clustered, and each compared with all before it")
    with contextlib.ExitStack() as stack:
        workers = {name: stack.enter_context(start(name)) for name in (CLUSTER, PAIRWISE)}
        clusters: dict[str, list[int]] = {}
        for name, worker in workers.items():
            begin(worker, MIX, data, count=sizes.pairs)
            told = [worker.do("told", batch=batch)["clusters"] for batch in ((1,) if name == PAIRWISE else BATCHES)]
            if any(each != told[0] for each in told):
                raise BenchmarkError(f"{TITLES[name]}: clusters depend on how the alerts are cut")
            clusters[name] = told[0]
            results.agreed += sum(map(len, told))
        samples = interleave({name: functools.partial(_run, worker) for name, worker in workers.items()}, effort)
        found = {name: medians(samples[name]) for name in workers}
        for name in workers:
            results.pairs.append(
                PairFigure(
                    candidate=name,
                    title=TITLES[name],
                    alerts=sizes.pairs,
                    cpu_us=found[name].cpu_ms / sizes.pairs * 1000,
                    passes=len(samples[name]),
                    clusters=len(set(clusters[name])),
                    agreement=float(adjusted_rand_score(clusters[PAIRWISE], clusters[name])),
                    times_pairwise=found[PAIRWISE].cpu_ms / found[name].cpu_ms,
                )
            )


def _run(worker: Worker) -> Sample:
    answer = worker.do("run", batch=BATCHES[-1])
    return Sample(answer["cpu_ms"], answer["wall_ms"])
