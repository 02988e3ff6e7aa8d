"""Measure every candidate on events: from raw bytes to response bytes, and to acknowledged PutRecords."""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.contract import CANDIDATES, FLOOR, MILLRACE, OUTPUT_STREAM, POWERTOOLS, SEQUENTIAL, Candidate
from benchmarks.events import event_of
from benchmarks.processes import BenchmarkError, Process, Worker, environment
from benchmarks.rounds import Effort, Sample, interleave, medians
from benchmarks.wire import predictions_in

if TYPE_CHECKING:
    from collections.abc import Callable

CPU, ACKNOWLEDGED = "cpu", "acknowledged"
FULL = "6 MB"
SIZES = {"100": 100, "1,000": 1000, FULL: None}
TOLERANCE = 1e-5  # relative, for float32, in which an ONNX graph adds up a hundred trees
NEAR_ZERO = 0.01  # bikes hired; absolute, where a relative tolerance is meaningless


@dataclass(frozen=True)
class Event:
    """An event in a file, which each process reads itself."""

    label: str
    path: Path
    records: int


@dataclass
class Figure:
    """One row of a table.

    Attributes:
        part: `cpu` or `acknowledged`.
        model: The kind of model.
        event: The event's label.
        records: Records in the event.
        candidate: The candidate's name.
        title: Its title.
        cpu_ms: Median CPU.
        wall_ms: Median wall clock.
        passes: Passes that the medians are taken over.
        measured_records: Records that were measured; if fewer than `records`, times are scaled up.
        times_floor: This row's time divided by the floor's.
        vs_powertools: (b)'s time divided by this row's.
        vs_sequential: (s)'s time divided by this row's.
    """

    part: str
    model: str
    event: str
    records: int
    candidate: str
    title: str
    cpu_ms: float
    wall_ms: float
    passes: int
    measured_records: int
    times_floor: float | None = None
    vs_powertools: float | None = None
    vs_sequential: float | None = None

    @property
    def ms(self) -> float:
        """The time that ratios use: CPU, or the wall clock if waiting is part of the measurement."""
        return self.cpu_ms if self.part == CPU else self.wall_ms


def write_events(folder: Path) -> list[Event]:
    """Write an event of each size."""
    events = []
    for label, records in SIZES.items():
        data, held = event_of(records)
        path = folder / f"event-{held}.json"
        path.write_bytes(data)
        events.append(Event(label, path, held))
    return events


class Throughput:
    """Measures one model's candidates, each in its own process."""

    def __init__(self, model: str, folder: Path, url: str, floor: Path | None, log: Callable[[str], None]) -> None:
        """Start a process for each candidate.

        Args:
            model: The model's kind, for the tables.
            folder: The folder with the model's formats.
            url: The URL of the server with latency.
            floor: The floor's program; None if it could not be built or does not support the model.
            log: Called with a line of progress.
        """
        self._model, self._folder, self._floor, self._log = model, folder, floor, log
        self._stack = contextlib.ExitStack()
        self._workers: dict[str, Worker] = {}
        with contextlib.ExitStack() as stack:
            for candidate in CANDIDATES:
                log(f"{model}: starting {candidate.title}")
                worker = Worker(candidate.name, folder, environment(folder, url))
                stack.enter_context(worker)
                self._workers[candidate.name] = worker
            self._stack = stack.pop_all()

    def close(self) -> None:
        """End the processes."""
        self._stack.close()

    def check_agreement(self, events: list[Event], effort: Effort) -> int:
        """Compare the predictions of every candidate with (s)'s, and the floor's records with Millrace's.

        Returns:
            How many predictions were compared.

        Raises:
            BenchmarkError: Two candidates disagree, so speeds cannot be compared.
        """
        compared = 0
        for event in events:
            self._log(f"{self._model}: comparing predictions for {event.label} records")
            expected = self._predictions(SEQUENTIAL, event.path)
            for candidate in CANDIDATES:
                records = measured_with(candidate, "stub", event, effort)
                found = self._predictions(candidate.name, cut(event, records))
                compared += len(found)
                if len(found) != records or not all(
                    math.isclose(found[key], expected.get(key, math.nan), rel_tol=TOLERANCE, abs_tol=NEAR_ZERO)
                    for key in found
                ):
                    raise BenchmarkError(f"{candidate.title}: predictions differ from those of {SEQUENTIAL}")
            if self._floor and _entries(self._sent(MILLRACE, event.path)) != _entries(self._floor_bodies(event)):
                raise BenchmarkError("the floor puts other records than Millrace")
        return compared

    def _sent(self, name: str, path: Path) -> list[bytes]:
        answer = self._workers[name].do("sent", event=str(path))
        return Path(answer["bodies"]).read_bytes().splitlines()

    def _predictions(self, name: str, path: Path) -> dict[str, float]:
        return predictions_in(self._sent(name, path))

    def _start_floor(self, event: Event, *more: str) -> Process:
        words = [str(self._floor), str(event.path), str(self._folder / "floor.txt"), OUTPUT_STREAM, *more]
        return Process(words, {})

    def _floor_bodies(self, event: Event) -> list[bytes]:
        path = event.path.with_suffix(".floor")
        with self._start_floor(event, str(path)) as process:
            process.ask("")
        return path.read_bytes().splitlines()

    def measure(self, part: str, events: list[Event], effort: Effort) -> list[Figure]:
        """Measure every candidate with every event, in interleaved rounds."""
        figures: list[Figure] = []
        network = "stub" if part == CPU else "server"
        for event in events:
            self._log(f"{self._model}: {event.label} records, {part}")
            runs: dict[str, Callable[[], Sample]] = {}
            measured: dict[str, int] = {}
            for candidate in CANDIDATES:
                records = measured[candidate.name] = measured_with(candidate, network, event, effort)
                run = functools.partial(self._run, candidate.name, cut(event, records), stubbed=part == CPU)
                runs[candidate.name] = run
            with contextlib.ExitStack() as stack:
                if self._floor and part == CPU:
                    process = stack.enter_context(self._start_floor(event))
                    runs[FLOOR] = functools.partial(_run_floor, process)
                    measured[FLOOR] = event.records
                samples = interleave(runs, effort)
            figures += _with_ratios([self._figure(part, event, name, samples[name], measured[name]) for name in runs])
        return figures

    def _run(self, name: str, path: Path, *, stubbed: bool) -> Sample:
        answer = self._workers[name].do("run", event=str(path), stubbed=stubbed)
        return Sample(answer["cpu_ms"], answer["wall_ms"])

    def _figure(self, part: str, event: Event, name: str, samples: list[Sample], measured: int) -> Figure:
        titles = {candidate.name: candidate.title for candidate in CANDIDATES}
        title = titles.get(name, "the floor, C++")
        found, scale = medians(samples), event.records / measured
        cpu_ms, wall_ms = found.cpu_ms * scale, found.wall_ms * scale
        return Figure(
            part, self._model, event.label, event.records, name, title, cpu_ms, wall_ms, len(samples), measured
        )


def _with_ratios(figures: list[Figure]) -> list[Figure]:
    """Add the ratios to the rows of one event, and return the rows."""
    ms = {figure.candidate: figure.ms for figure in figures}
    for figure in figures:
        figure.times_floor = figure.ms / ms[FLOOR] if FLOOR in ms else None
        figure.vs_powertools = ms[POWERTOOLS] / figure.ms
        figure.vs_sequential = ms[SEQUENTIAL] / figure.ms
    return figures


def _run_floor(process: Process) -> Sample:
    whole = float(process.ask("").split()[0])
    return Sample(whole, whole)  # the floor has one thread and never waits


def measured_with(candidate: Candidate, network: str, event: Event, effort: Effort) -> int:
    """Return the number of an event's records that a candidate is measured with."""
    most = candidate.most.get(network)
    if most is None:
        return event.records
    return min(event.records, most, effort.most or most)


def cut(event: Event, records: int) -> Path:
    """Return the event's file, or a smaller event's if it has fewer records."""
    if records == event.records:
        return event.path
    path = event.path.with_name(f"event-{records}.json")
    if not path.exists():
        path.write_bytes(event_of(records)[0])
    return path


def _entries(bodies: list[bytes]) -> list[tuple[str, bytes]]:
    """Return the records in requests as sorted pairs of key and data."""
    entries: list[Any] = [entry for body in bodies for entry in json.loads(body)["Records"]]
    return sorted((entry["PartitionKey"], base64.b64decode(entry["Data"])) for entry in entries)
