"""Measure techniques alone: Millrace and scikit-learn's candidate predict them for equal kinds of texts, in turns."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from benchmarks.alerts_contract import (
    FOLDED,
    KNOWN,
    LARGE,
    MODEL,
    MOSTLY_KNOWN,
    NEW,
    ONE,
    SKLEARN,
    SMALL,
    STRANGE,
    TECHNIQUE,
    TITLES,
    AlertResults,
    TextFigure,
    TextHolder,
)
from benchmarks.processes import BenchmarkError
from benchmarks.rounds import Effort, Sample, interleave, medians

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.alerts_contract import Sizes
    from benchmarks.processes import Worker

ROWS = (
    (NEW, TECHNIQUE, LARGE), (NEW, TECHNIQUE, SMALL), (NEW, TECHNIQUE, ONE),
    (NEW, MODEL, LARGE), (NEW, MODEL, ONE),
    (NEW, SKLEARN, LARGE), (NEW, SKLEARN, SMALL), (NEW, SKLEARN, ONE),
    (STRANGE, TECHNIQUE, LARGE), (STRANGE, MODEL, LARGE), (STRANGE, SKLEARN, LARGE),
    (MOSTLY_KNOWN, TECHNIQUE, LARGE), (MOSTLY_KNOWN, TECHNIQUE, SMALL),
    (KNOWN, TECHNIQUE, LARGE), (KNOWN, TECHNIQUE, SMALL),
    (FOLDED, TECHNIQUE, LARGE), (FOLDED, TECHNIQUE, SMALL),
)  # fmt: skip
BASE = (NEW, SKLEARN, LARGE)
"""The row that ratios refer to: scikit-learn at its fastest."""
_ONE_BY_ONE = 200  # texts of a pass one by one: scikit-learn takes two milliseconds each
_NEW, _KNOWN = 4000, 20_000  # texts of a pass: a tenth of a second or so
_LEAST = 20  # texts of a pass, also with --quick
_ODD = 7  # texts of a batch of an unusual size


def measure_texts(
    start: Callable[[str], Worker], effort: Effort, sizes: Sizes, results: AlertResults, log: Callable[[str], None]
) -> None:
    """Measure techniques, and add their rows and each candidate's size and memory to the results.

    Raises:
        BenchmarkError: A candidate's answers depend on the size of the batches.
    """
    with contextlib.ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for name in (TECHNIQUE, MODEL, SKLEARN):
            log(f"alerts: starting {TITLES[name]}")
            workers[name] = stack.enter_context(start(name))
        log("alerts: comparing techniques one by one and in batches")
        results.agreed += _compare(workers, _count(NEW, ONE, sizes))
        log("alerts: techniques")
        passes = {row: _Passes(workers[row[1]], row, sizes) for row in ROWS}
        samples = interleave({str(row): each for row, each in passes.items()}, effort)
        for row in ROWS:
            workload, name, batch = row
            found, count = medians(samples[str(row)]), passes[row].count
            us = 1000 / count
            passed = len(samples[str(row)])
            results.texts.append(
                TextFigure(workload, name, TITLES[name], batch, found.cpu_ms * us, found.wall_ms * us, passed, count)
            )
        [base] = [each.cpu_us for each in results.texts if (each.workload, each.candidate, each.batch) == BASE]
        for figure in results.texts:
            figure.vs_sklearn = base / figure.cpu_us
        results.holders = [_holder(name, workers) for name in workers]


class _Passes:
    """Runs passes over texts; each pass has other texts, so that new ones stay new."""

    def __init__(self, worker: Worker, row: tuple[str, str, int], sizes: Sizes) -> None:
        self._worker, self._row = worker, row
        workload, _, batch = row
        self.count = _count(workload, batch, sizes)
        self._seed = 1 + ROWS.index(row)

    def __call__(self) -> Sample:
        self._seed += len(ROWS)  # rows of one process do not share texts either
        workload, _, batch = self._row
        answer = self._worker.do("run", workload=workload, count=self.count, batch=batch, seed=self._seed)
        return Sample(answer["cpu_ms"], answer["wall_ms"])


def _count(workload: str, batch: int, sizes: Sizes) -> int:
    """Return the number of texts in a pass."""
    whole = _ONE_BY_ONE if batch == ONE else _NEW if workload in {NEW, STRANGE} else _KNOWN
    return max(_LEAST, int(whole * sizes.texts))


def _compare(workers: dict[str, Worker], count: int) -> int:
    """Compare each candidate's answers in batches with those one by one, and the model's with the resolver's."""
    compared = 0
    found: dict[tuple[str, str], Any] = {}
    for name, worker in workers.items():
        for workload in (NEW, KNOWN, FOLDED) if name == TECHNIQUE else (NEW,):
            first, *others = (
                worker.do("answers", workload=workload, count=count, batch=batch, seed=0)["labels"]
                for batch in (ONE, _ODD, LARGE)
            )
            if any(each != first for each in others):
                raise BenchmarkError(f"{TITLES[name]}: predicts other techniques in batches than one by one")
            if workload != NEW and not all(first):
                raise BenchmarkError(f"{TITLES[name]}: does not know texts that are {workload}")
            found[name, workload] = first
            compared += (1 + len(others)) * len(first)
    if found[TECHNIQUE, NEW] != found[MODEL, NEW]:
        raise BenchmarkError(f"{TITLES[TECHNIQUE]}: predicts other techniques of new texts than its model")
    return compared


def _holder(name: str, workers: dict[str, Worker]) -> TextHolder:
    ready, after = workers[name].ready, workers[name].do("memory")
    held = workers[MODEL if name == TECHNIQUE else name].do("held")  # the resolver's model is the same
    return TextHolder(
        candidate=name,
        title=TITLES[name],
        labels=held["labels"],
        features=held["features"],
        modules=ready["modules"],
        ready_ms=ready["cpu_ms"],
        ready_mb=ready["rss_mb"],
        peak_mb=after["peak_mb"],
    )
