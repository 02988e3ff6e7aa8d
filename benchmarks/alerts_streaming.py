"""Measure the whole pipeline: events of two sizes, the CPU of its stages, and its growth to a million alerts."""

from __future__ import annotations

import contextlib
import math
import statistics
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.alerts_contract import (
    LARGE,
    MIX,
    PIPELINE,
    SHAPES,
    SMALL,
    STAGES,
    AlertResults,
    Growth,
    PipelineFigure,
    Point,
    Stage,
)
from benchmarks.processes import BenchmarkError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence
    from pathlib import Path

    from benchmarks.alerts_contract import Sizes
    from benchmarks.processes import Worker

TURN_ALERTS = 10_000  # in one turn of a candidate: a second or so


def measure_pipeline(
    start: Callable[[str], Worker], sizes: Sizes, data: Path | None, results: AlertResults, log: Callable[[str], None]
) -> None:
    """Measure the whole pipeline with events of two sizes, in turns, and its stages.

    Raises:
        BenchmarkError: The outputs or the state differ between the two sizes.
    """
    with contextlib.ExitStack() as stack:
        workers = {per_event: stack.enter_context(start(PIPELINE)) for per_event in (SMALL, LARGE)}
        log("alerts: comparing outputs and state between events of two sizes")
        found = []
        for per_event, worker in workers.items():
            begin(worker, MIX, data)
            found.append(worker.do("digests", count=sizes.compared, per_event=per_event))
            begin(worker, MIX, data)
        if found[0] != found[1]:
            raise BenchmarkError("alerts: outputs or state differ between events of two sizes")
        results.agreed += found[0]["records"]
        log(f"alerts: {sizes.pipeline:,} alerts through the pipeline")
        with _progress() as progress:
            spent = _take_turns({each: (worker, each) for each, worker in workers.items()}, [sizes.pipeline], progress)
        for per_event, found in spent.items():
            last = found[-1]
            results.pipeline.append(
                PipelineFigure(
                    shape=MIX,
                    alerts=sizes.pipeline,
                    per_event=per_event,
                    cpu_us=last["cpu_s"] / sizes.pipeline * 1e6,
                    wall_us=last["wall_s"] / sizes.pipeline * 1e6,
                    outputs=last["outputs"],
                    state_bytes=last["state_bytes"],
                    peak_mb=last["peak_mb"],
                )
            )
        log("alerts: the pipeline's stages")
        stages = workers[LARGE].do("stages", count=sizes.staged, per_event=LARGE)
        whole = sum(stages.values())
        results.stages += [Stage(name, stages[name], stages[name] / whole) for name in STAGES]


def measure_growth(
    start: Callable[[str], Worker], points: Sequence[int], data: Path | None, log: Callable[[str], None]
) -> list[Growth]:
    """Measure one stream of each shape, each in its own process, at several numbers of alerts."""
    log(f"alerts: growing to {points[-1]:,}")
    with contextlib.ExitStack() as stack, _progress() as progress:
        workers = {shape: stack.enter_context(start(PIPELINE)) for shape in SHAPES}
        for shape, worker in workers.items():
            begin(worker, shape, data)
        spent = _take_turns({shape: (worker, LARGE) for shape, worker in workers.items()}, points, progress)
    growth = []
    for shape, rows in spent.items():
        reached = [
            Point(alerts, row["cpu_s"], row["wall_s"], row["rss_mb"], row["state_bytes"])
            for alerts, row in zip(points, rows, strict=True)
        ]
        cpu = slope([(point.alerts, point.cpu_s) for point in reached])
        state = slope([(point.alerts, point.state_bytes) for point in reached[-2:]])
        growth.append(Growth(shape, reached, cpu, state))
    return growth


def begin(worker: Worker, shape: str, data: Path | None, **options: object) -> None:
    """Start a new stream in a candidate, with empty state."""
    worker.do("begin", shape=shape, data=str(data) if data else None, **options)


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Return the exponent of the best power law: the least-squares slope through the logarithms."""
    logs = [(math.log(across), math.log(max(up, 1e-9))) for across, up in points]
    return statistics.linear_regression(*zip(*logs, strict=True)).slope


def _take_turns(
    candidates: Mapping[Hashable, tuple[Worker, int]], points: Sequence[int], progress: Progress
) -> dict[Any, list[dict[str, Any]]]:
    """Feed each candidate up to each point, a few thousand alerts at a time, so that a busy moment affects all alike.

    Args:
        candidates: Each candidate's process and the number of alerts in its events, by name.
        points: Numbers of alerts to record the totals at.
        progress: The progress bar to advance.

    Returns:
        Each candidate's totals at each point; times count from the beginning.
    """
    found: dict[Any, list[dict[str, Any]]] = {name: [] for name in candidates}
    spent = {name: {"cpu_s": 0.0, "wall_s": 0.0} for name in candidates}
    task = progress.add_task("alerts", total=points[-1] * len(candidates))
    for before, point in pairwise([0, *points]):
        for fed in range(before, point, TURN_ALERTS):
            count = min(TURN_ALERTS, point - fed)
            for name, (worker, per_event) in candidates.items():
                answer = worker.do("feed", count=count, per_event=per_event)
                for clock in spent[name]:
                    spent[name][clock] += answer[clock]
                if fed + count == point:
                    found[name].append({**answer, **spent[name]})
                progress.advance(task, count)
    return found


def _progress() -> Progress:
    columns = (TextColumn("[dim]{task.description}[/]"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)
