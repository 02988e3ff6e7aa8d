"""Measure the API and Powertools' resolver: calls with equal requests, model and answers, and cold starts."""

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
        workload: The label of the request.
        stubbed: Whether a formula replaced the model, which leaves routing, validation and encoding.
        candidate: The candidate's name.
        title: Its title.
        cpu_us: Median CPU of a call, microseconds.
        wall_us: Median wall clock.
        status: The HTTP status of the answer.
        passes: Passes that the medians are taken over.
        vs_powertools: The CPU of Powertools with its validation, divided by this row's, in the same rounds.
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
        modules: Modules that it imports.
        open_ms: The time to import them and load the model, once the interpreter runs.
        init_ms: The time from starting the process to a handler that is ready, with the interpreter: Lambda's INIT.
        init_cpu_ms: The CPU of INIT.
        first_ms: The time of the first answer, in which some candidates fill caches; None without an API.
        ready_mb: Resident memory before the first answer, MB of 2^20 bytes.
        after_mb: Resident memory after a request of 100 records.
        processes: Processes that were started.
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
    """The API's results of a run.

    Attributes:
        figures: The table of calls.
        starts: The table of starts.
        agreed: Predictions that were compared before timing; all were equal.
    """

    figures: list[ApiFigure] = field(default_factory=list)
    starts: list[ApiStart] = field(default_factory=list)
    agreed: int = 0


def measure_api(folder: Path, effort: Effort, *, quick: bool, log: Callable[[str], None]) -> ApiResults:
    """Measure calls and starts of every candidate."""
    results = ApiResults()
    workloads = write_requests(folder, quick=quick)
    outside = _environment(folder)
    with contextlib.ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for candidate in API_CANDIDATES:
            log(f"api: starting {candidate.title}")
            workers[candidate.name] = stack.enter_context(Worker(candidate.name, folder, outside, module=WORKER))
        statuses: dict[tuple[str, str], int] = {}
        for stubbed in (False, True):
            for workload in workloads:
                results.agreed += _check_agreement(workers, workload, statuses, stubbed=stubbed)
        for workload in workloads:
            for stubbed in (False, True):
                log(f"api: {workload.label}, {'without' if stubbed else 'with'} the model")
                results.figures += _calls(workers, workload, statuses, effort, stubbed=stubbed)
    results.starts = _starts(folder, outside, workloads, effort, log)
    return results


def _environment(folder: Path) -> dict[str, str]:
    """Return the environment of a deployed function: the repository's bike model, and no stream."""
    shared = environment(folder, "http://127.0.0.1:9")  # no program listens there
    streams = {"PIPELINE", "MODEL_NAME", "RUN_ID", "MODEL_LOCATION", "OUTPUT_STREAM", "QUARANTINE_STREAM"}
    return {name: value for name, value in shared.items() if name not in streams and not name.startswith("API_")}


def _check_agreement(
    workers: dict[str, Worker], workload: Workload, statuses: dict[tuple[str, str], int], *, stubbed: bool
) -> int:
    """Compare the answers of all candidates; return how many predictions were compared.

    Raises:
        BenchmarkError: Two candidates disagree, so speeds cannot be compared.
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
    """Measure one workload with every candidate; return its rows."""
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
    folder: Path, outside: dict[str, str], workloads: list[Workload], effort: Effort, log: Callable[[str], None]
) -> list[ApiStart]:
    """Start processes in turn, and send each its first requests."""
    candidates = [Candidate(API_MODEL, "the model alone, no API"), *API_CANDIDATES]
    inside = {**outside, RUNTIME_API: "127.0.0.1:9"}  # no program listens there: no runtime is needed
    first, many = workloads[0], next(each for each in workloads if each.label == MANY)
    found: dict[str, list[dict[str, Any]]] = {candidate.name: [] for candidate in candidates}
    for number in range(effort.processes):
        log(f"api: starts, process {number + 1} of {effort.processes}")
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
