"""The API beside Powertools' resolver: the same requests, the same model, the same answers; and their cold starts."""

from __future__ import annotations

import contextlib
import functools
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmarks.api_requests import BAD, MANY, REFUSED, Workload, write_requests
from benchmarks.contract import API_CANDIDATES, API_MODEL, API_POWERTOOLS, Candidate
from benchmarks.processes import BenchmarkError, Worker, environment
from benchmarks.rounds import Effort, Sample, interleave, medians
from benchmarks.start import RUNTIME_API, median_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WORKER = "benchmarks.api_worker"
OK = 200


@dataclass
class ApiFigure:
    """One row of the table of calls.

    Attributes:
        workload: What was asked.
        stubbed: Whether a formula stood for the model: routing, validation and encoding alone.
        candidate: The candidate's name.
        title: Its title.
        cpu_us: Median CPU of a call, microseconds.
        wall_us: Median wall clock.
        status: What was answered.
        passes: How many passes the medians are of.
        vs_powertools: Powertools' CPU with its validation by this one's, in the same rounds.
    """

    workload: str
    stubbed: bool
    candidate: str
    title: str
    cpu_us: float
    wall_us: float
    status: int
    passes: int
    vs_powertools: float | None = None


@dataclass(frozen=True)
class ApiStart:
    """One row of the table of starts; medians over processes.

    Attributes:
        candidate: The candidate's name.
        title: Its title.
        modules: How many modules it imports.
        open_ms: Importing them and loading the model, once the interpreter runs.
        init_ms: From starting the process to a handler that is ready, interpreter included: Lambda's INIT.
        init_cpu_ms: The CPU of it.
        first_ms: The first answer, in which some of them make what later calls find made; None where none is given.
        ready_mb: Resident memory before it, MB of 2^20 bytes.
        after_mb: Resident memory after a request of 100 records.
        processes: How many processes were started.
    """

    candidate: str
    title: str
    modules: int
    open_ms: float
    init_ms: float
    init_cpu_ms: float
    first_ms: float | None
    ready_mb: float | None
    after_mb: float | None
    processes: int


@dataclass
class ApiResults:
    """What a run found of the API.

    Attributes:
        figures: The table of calls.
        starts: The table of starts.
        agreed: How many predictions were compared before anything was timed; all agreed.
    """

    figures: list[ApiFigure] = field(default_factory=list)
    starts: list[ApiStart] = field(default_factory=list)
    agreed: int = 0


def measure_api(folder: Path, effort: Effort, *, quick: bool, tell: Callable[[str], None]) -> ApiResults:
    """Measures calls and starts of every candidate."""
    results = ApiResults()
    workloads = write_requests(folder, quick=quick)
    outside = _environment(folder)
    with contextlib.ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for candidate in API_CANDIDATES:
            tell(f"api: starting {candidate.title}")
            workers[candidate.name] = stack.enter_context(Worker(candidate.name, folder, outside, module=WORKER))
        statuses: dict[tuple[str, str], int] = {}
        for stubbed in (False, True):
            for workload in workloads:
                results.agreed += _check_agreement(workers, workload, statuses, stubbed=stubbed)
        for workload in workloads:
            for stubbed in (False, True):
                tell(f"api: {workload.label}, {'without' if stubbed else 'with'} the model")
                results.figures += _calls(workers, workload, statuses, effort, stubbed=stubbed)
    results.starts = _starts(folder, outside, workloads, effort, tell)
    return results


def _environment(folder: Path) -> dict[str, str]:
    """What a deployed function would see: the repository's bike model, and no stream."""
    shared = environment(folder, "http://127.0.0.1:9")  # nobody is asked there
    streams = {"PIPELINE", "MODEL_NAME", "RUN_ID", "MODEL_LOCATION", "OUTPUT_STREAM", "QUARANTINE_STREAM"}
    return {name: value for name, value in shared.items() if name not in streams and not name.startswith("API_")}


def _check_agreement(
    workers: dict[str, Worker], workload: Workload, statuses: dict[tuple[str, str], int], *, stubbed: bool
) -> int:
    """Holds the answers of all candidates against each other's; gives how many predictions were compared.

    Raises:
        BenchmarkError: Two do not agree: there is nothing to compare then.
    """
    answers: dict[str, Any] = {}
    for candidate in API_CANDIDATES:
        answer = workers[candidate.name].do("answer", event=str(workload.path), stubbed=stubbed)
        status = statuses[workload.label, candidate.name] = answer["status"]
        if workload.label == BAD:
            if status not in REFUSED:
                raise BenchmarkError(f"{candidate.title}: answers {status} to {workload.label}")
            continue
        if status != OK:
            raise BenchmarkError(f"{candidate.title}: answers {status} to {workload.label}: {answer['body'][:200]}")
        answers[candidate.name] = json.loads(answer["body"])
    for candidate in API_CANDIDATES:
        if answers and answers[candidate.name] != answers[API_POWERTOOLS]:
            raise BenchmarkError(f"{candidate.title}: answers differ from those of {API_POWERTOOLS}")
    return sum(len(answer["predictions"]) for answer in answers.values())


def _calls(
    workers: dict[str, Worker],
    workload: Workload,
    statuses: dict[tuple[str, str], int],
    effort: Effort,
    *,
    stubbed: bool,
) -> list[ApiFigure]:
    """The rows of one workload."""
    runs = {name: functools.partial(_run, worker, workload, stubbed=stubbed) for name, worker in workers.items()}
    samples = interleave(runs, effort)
    figures = []
    for candidate in API_CANDIDATES:
        found = medians(samples[candidate.name])
        figures.append(
            ApiFigure(
                workload.label,
                stubbed,
                candidate.name,
                candidate.title,
                found.cpu_ms * 1000,
                found.wall_ms * 1000,
                statuses[workload.label, candidate.name],
                len(samples[candidate.name]),
            )
        )
    [powertools] = [figure.cpu_us for figure in figures if figure.candidate == API_POWERTOOLS]
    for figure in figures:
        figure.vs_powertools = powertools / figure.cpu_us
    return figures


def _run(worker: Worker, workload: Workload, *, stubbed: bool) -> Sample:
    answer = worker.do("run", event=str(workload.path), stubbed=stubbed, times=workload.times)
    return Sample(answer["cpu_ms"], answer["wall_ms"])


def _starts(
    folder: Path, outside: dict[str, str], workloads: list[Workload], effort: Effort, tell: Callable[[str], None]
) -> list[ApiStart]:
    """Starts processes in turn, and gives each its first requests."""
    candidates = [Candidate(API_MODEL, "the model alone, no API"), *API_CANDIDATES]
    inside = {**outside, RUNTIME_API: "127.0.0.1:9"}  # nobody is asked there: the handler is called, not the runtime
    first, many = workloads[0], next(each for each in workloads if each.label == MANY)
    found: dict[str, list[dict[str, Any]]] = {candidate.name: [] for candidate in candidates}
    for number in range(effort.processes):
        tell(f"api: starts, process {number + 1} of {effort.processes}")
        for candidate in candidates:
            began_s = time.monotonic()  # the same clock in every process
            with Worker(candidate.name, folder, inside, module=WORKER) as worker:
                row = {**worker.ready, "init_ms": (worker.ready["ready_s"] - began_s) * 1000}
                if candidate.name != API_MODEL:
                    row["first_ms"] = worker.do("run", event=str(first.path), stubbed=False)["wall_ms"]
                    worker.do("run", event=str(many.path), stubbed=False)
                    row["after_mb"] = worker.do("memory")["rss_mb"]
            found[candidate.name].append(row)
    return [
        ApiStart(
            candidate=candidate.name,
            title=candidate.title,
            modules=found[candidate.name][0]["modules"],
            open_ms=median_of("open_ms", found[candidate.name]) or 0,
            init_ms=median_of("init_ms", found[candidate.name]) or 0,
            init_cpu_ms=median_of("cpu_ms", found[candidate.name]) or 0,
            first_ms=median_of("first_ms", found[candidate.name]),
            ready_mb=median_of("rss_mb", found[candidate.name]),
            after_mb=median_of("after_mb", found[candidate.name]),
            processes=effort.processes,
        )
        for candidate in candidates
    ]
