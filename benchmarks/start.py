"""Measure the start of a process: imports, the time until it is ready, and memory then and after a full event."""

from __future__ import annotations

import functools
import os
import shutil
import statistics
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.contract import CANDIDATES
from benchmarks.processes import Worker, environment
from benchmarks.throughput import Event, cut, measured_with
from benchmarks.worker import IMPORT_ONLY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.rounds import Effort

SAME_START = {"seed_pyfunc", "powertools_batch"}  # they import and load the same as (c) and (b)
IMAGE = "MILLRACE_IMAGE"
RUNTIME_API = "AWS_LAMBDA_RUNTIME_API"  # tells Millrace that it runs in Lambda, so that it loads everything at import


@dataclass(frozen=True)
class Start:
    """A row of the table; medians over processes.

    Attributes:
        model: The kind of model that was loaded.
        candidate: The candidate's name.
        title: Its title.
        import_ms: The time to import the modules that it has loaded when ready, in a process that does nothing else.
        init_ms: The time from starting the process to a handler that is ready, with the interpreter: Lambda's INIT.
        init_cpu_ms: The CPU of INIT, which depends less on other load.
        ready_mb: Resident memory then, MB of 2^20 bytes.
        after_mb: Resident memory after a full event.
        peak_mb: Peak resident memory until then.
        event_ms: The time of the first full event.
        processes: Processes that were started; only the first one got the event.
    """

    model: str
    candidate: str
    title: str
    import_ms: float
    init_ms: float
    init_cpu_ms: float
    ready_mb: float | None
    after_mb: float | None
    peak_mb: float | None
    event_ms: float
    processes: int


def measure_starts(
    model: str, folder: Path, url: str, event: Event, *, effort: Effort, log: Callable[[str], None]
) -> list[Start]:
    """Start processes in turn, and send a full event to the first one of each candidate."""
    outside = environment(folder, url)
    inside = {**outside, RUNTIME_API: "127.0.0.1:9"}  # no program listens there: no runtime is needed
    candidates = [candidate for candidate in CANDIDATES if candidate.name not in SAME_START]
    found: dict[str, list[dict[str, float | None]]] = {candidate.name: [] for candidate in candidates}
    for number in range(effort.processes):
        log(f"{model}: starts, process {number + 1} of {effort.processes}")
        for candidate in candidates:
            began_s = time.monotonic()  # the same clock in every process
            with Worker(candidate.name, folder, inside) as worker:
                ready = worker.ready
                row = {
                    "init_ms": (ready["ready_s"] - began_s) * 1000,
                    "init_cpu_ms": ready["cpu_ms"],
                    "ready_mb": ready["rss_mb"],
                }
                if not number:  # once is enough: memory hardly differs, and (a) takes half a minute
                    records = measured_with(candidate, "stub", event, effort) if effort.most else event.records
                    spent = worker.do("run", event=str(cut(event, records)), stubbed=True)
                    after = worker.do("memory")
                    row |= {"event_ms": spent["wall_ms"] * event.records / records}
                    row |= {"after_mb": after["rss_mb"], "peak_mb": after["peak_mb"]}
            with Worker(candidate.name, folder, outside, IMPORT_ONLY, request=ready["modules"]) as worker:
                row["import_ms"] = worker.ready["import_ms"]
            found[candidate.name].append(row)
    return [
        Start(
            model=model,
            candidate=candidate.name,
            title=candidate.title,
            import_ms=median_of("import_ms", found[candidate.name]) or 0,
            init_ms=median_of("init_ms", found[candidate.name]) or 0,
            init_cpu_ms=median_of("init_cpu_ms", found[candidate.name]) or 0,
            ready_mb=median_of("ready_mb", found[candidate.name]),
            after_mb=median_of("after_mb", found[candidate.name]),
            peak_mb=median_of("peak_mb", found[candidate.name]),
            event_ms=median_of("event_ms", found[candidate.name]) or 0,
            processes=effort.processes,
        )
        for candidate in candidates
    ]


def median_of(name: str, rows: list[dict[str, Any]]) -> float | None:
    """Return the median of a value over the rows that have it; None if no row has it."""
    values = [value for row in rows if (value := row.get(name)) is not None]
    return statistics.median(values) if values else None


@functools.cache
def image_size(image: str) -> tuple[float | None, str]:
    """Return the size of Millrace's image, MB of 10^6 bytes as Docker counts, and its name; or None and the reason.

    Args:
        image: The image's name; if empty, that in `MILLRACE_IMAGE`.
    """
    image = image or os.environ.get(IMAGE, "")
    docker = shutil.which("docker")
    if not image or docker is None:
        return None, f"not built here (--image NAME or {IMAGE} names one)"
    shown = subprocess.run(  # noqa: S603 - the name goes to docker as one word
        [docker, "image", "inspect", "--format", "{{.Size}}", image], capture_output=True, text=True, check=False
    )
    if shown.returncode:
        return None, f"{image}: not built here"
    return int(shown.stdout) / 1e6, image
