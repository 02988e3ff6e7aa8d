"""Measure clustering alone against the method that compares each alert with all earlier ones, on the same alerts."""

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

BATCHES = (1, 7, 500, 2000)  # alerts a call; the clusters must be the same with each


def measure_pairs(
    start: Callable[[str], Worker],
    effort: Effort,
    sizes: Sizes,
    data: Path | None,
    results: AlertResults,
    *,
    log: Callable[[str], None],
) -> None:
    """Measure clustering and the pairwise method, and add their rows to the results.

    Raises:
        BenchmarkError: The clusters depend on the size of the batches.
    """
    log(f"alerts: {sizes.pairs:,} alerts clustered, and each compared with all earlier ones")
    with contextlib.ExitStack() as stack:
        workers = {name: stack.enter_context(start(name)) for name in (CLUSTER, PAIRWISE)}
        clusters: dict[str, list[int]] = {}
        for name, worker in workers.items():
            begin(worker, MIX, data, count=sizes.pairs)
            batches = (1,) if name == PAIRWISE else BATCHES
            found = [worker.do("clusters", batch=batch)["clusters"] for batch in batches]
            if any(each != found[0] for each in found):
                raise BenchmarkError(f"{TITLES[name]}: the clusters depend on the size of the batches")
            clusters[name] = found[0]
            results.agreed += sum(map(len, found))
        samples = interleave({name: functools.partial(_run, worker) for name, worker in workers.items()}, effort)
        spent = {name: medians(samples[name]) for name in workers}
        for name in workers:
            results.pairs.append(
                PairFigure(
                    candidate=name,
                    title=TITLES[name],
                    alerts=sizes.pairs,
                    cpu_us=spent[name].cpu_ms / sizes.pairs * 1000,
                    passes=len(samples[name]),
                    clusters=len(set(clusters[name])),
                    agreement=float(adjusted_rand_score(clusters[PAIRWISE], clusters[name])),
                    times_pairwise=spent[PAIRWISE].cpu_ms / spent[name].cpu_ms,
                )
            )


def _run(worker: Worker) -> Sample:
    answer = worker.do("run", batch=BATCHES[-1])
    return Sample(answer["cpu_ms"], answer["wall_ms"])
