"""Starting: what importing costs, when a fresh process is ready, and what it holds then and after a full event."""

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

SAME_START = {"seed_pyfunc", "powertools_batch"}  # they import and open what (c) and (b) do
IMAGE = "MILLRACE_IMAGE"
RUNTIME_API = "AWS_LAMBDA_RUNTIME_API"  # says that this is Lambda: Millrace then makes everything ready at import


@dataclass(frozen=True)
class Start:
    """One row of the table; medians over processes.

    Attributes:
        model: Which model was loaded.
        candidate: The candidate's name.
        title: Its title.
        import_ms: Importing the modules that it holds when it is ready, in a process that does nothing else.
        init_ms: From starting the process to a handler that is ready, interpreter included: Lambda's INIT.
        init_cpu_ms: The CPU of it, which a busy machine lengthens less.
        ready_mb: Resident memory then, MB of 2^20 bytes.
        after_mb: Resident memory after a full event.
        peak_mb: The most that was resident until then.
        event_ms: The first full event.
        processes: How many processes were started; the first one alone got the event.
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
    model: str, folder: Path, url: str, event: Event, *, effort: Effort, tell: Callable[[str], None]
) -> list[Start]:
    """Starts processes in turn, and gives the first of each candidate a full event."""
    outside = environment(folder, url)
    inside = {**outside, RUNTIME_API: "127.0.0.1:9"}  # nobody is asked there: the handler is called, not the runtime
    candidates = [candidate for candidate in CANDIDATES if candidate.name not in SAME_START]
    found: dict[str, list[dict[str, float | None]]] = {candidate.name: [] for candidate in candidates}
    for number in range(effort.processes):
        tell(f"{model}: starts, process {number + 1} of {effort.processes}")
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
            with Worker(candidate.name, folder, outside, IMPORT_ONLY, say=ready["modules"]) as worker:
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
    """The median of a value over the rows that have it; None where none has."""
    values = [value for row in rows if (value := row.get(name)) is not None]
    return statistics.median(values) if values else None


@functools.cache
def image_size(image: str) -> tuple[float | None, str]:
    """The size of Millrace's image, MB of 10^6 bytes as Docker counts, or None and why there is none.

    Args:
        image: Its name; empty means what `MILLRACE_IMAGE` names.
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
