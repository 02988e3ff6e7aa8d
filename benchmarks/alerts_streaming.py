"""Alerts through the whole pipeline: in events of two sizes, what its stages take, and how it grows to a million."""

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

TURN_ALERTS = 10_000  # that a candidate takes before it is the next one's turn: a second or so


def measure_pipeline(
    start: Callable[[str], Worker], sizes: Sizes, data: Path | None, results: AlertResults, tell: Callable[[str], None]
) -> None:
    """The whole pipeline in events of two sizes, by turns, and its stages.

    Raises:
        BenchmarkError: Outputs or state differ between the two.
    """
    with contextlib.ExitStack() as stack:
        workers = {per_event: stack.enter_context(start(PIPELINE)) for per_event in (SMALL, LARGE)}
        tell("alerts: are outputs and state the same, however the stream is cut?")
        found = []
        for per_event, worker in workers.items():
            begin(worker, MIX, data)
            found.append(worker.do("told", count=sizes.compared, per_event=per_event))
            begin(worker, MIX, data)
        if found[0] != found[1]:
            raise BenchmarkError("alerts: outputs or state differ between events of two sizes")
        results.agreed += found[0]["records"]
        tell(f"alerts: {sizes.pipeline:,} alerts through the pipeline")
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
        tell("alerts: the pipeline's stages")
        stages = workers[LARGE].do("stages", count=sizes.staged, per_event=LARGE)
        whole = sum(stages.values())
        results.stages += [Stage(name, stages[name], stages[name] / whole) for name in STAGES]


def measure_growth(
    start: Callable[[str], Worker], points: Sequence[int], data: Path | None, tell: Callable[[str], None]
) -> list[Growth]:
    """One stream a shape, each in a process of its own, looked at on its way."""
    tell(f"alerts: growing to {points[-1]:,}")
    with contextlib.ExitStack() as stack, _progress() as progress:
        workers = {shape: stack.enter_context(start(PIPELINE)) for shape in SHAPES}
        for shape, worker in workers.items():
            begin(worker, shape, data)
        spent = _take_turns({shape: (worker, LARGE) for shape, worker in workers.items()}, points, progress)
    growth = []
    for shape, rows in spent.items():
        seen = [
            Point(alerts, row["cpu_s"], row["wall_s"], row["rss_mb"], row["state_bytes"])
            for alerts, row in zip(points, rows, strict=True)
        ]
        cpu = slope([(point.alerts, point.cpu_s) for point in seen])
        state = slope([(point.alerts, point.state_bytes) for point in seen[-2:]])
        growth.append(Growth(shape, seen, cpu, state))
    return growth


def begin(worker: Worker, shape: str, data: Path | None, **options: object) -> None:
    """Starts a candidate's stream anew."""
    worker.do("begin", shape=shape, data=str(data) if data else None, **options)


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The exponent of the power law that fits best: the slope of least squares through the logarithms."""
    logs = [(math.log(across), math.log(max(up, 1e-9))) for across, up in points]
    return statistics.linear_regression(*zip(*logs, strict=True)).slope


def _take_turns(
    candidates: Mapping[Hashable, tuple[Worker, int]], points: Sequence[int], progress: Progress
) -> dict[Any, list[dict[str, Any]]]:
    """Feeds each candidate up to each point, some thousand alerts at a time, so that a busy moment hits all alike.

    Args:
        candidates: By name its process, and how many alerts its events have.
        points: Where to look at it.
        progress: Shows how far it is.

    Returns:
        What was seen of each at each point; times are those since the beginning.
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
