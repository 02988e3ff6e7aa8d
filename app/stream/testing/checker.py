"""Check histories: run them, hold their facts against the invariants, make those that fail smaller."""

from __future__ import annotations

import dataclasses
import gc
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from app import telemetry
from app.stream.testing.faults import KINDS
from app.stream.testing.history import History, make_history
from app.stream.testing.invariants import Violation, violations
from app.stream.testing.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from app.stream.testing.evidence import Evidence

T = TypeVar("T")

HISTORIES_A_FAULT = 1000  # each fault at each step is met at least once in so many; the rarest some five times
SHRINKING_RUNS = 400  # a history has some tens of parts, and each is tried once or twice


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of one history.

    Attributes:
        history: What was run.
        violations: The broken invariants.
        evidence: The facts.
        fired: How often each fault was met, by step and kind.
        trace: Each step, if it was asked for.
        digest: Of the trace.
    """

    history: History
    violations: Sequence[Violation]
    evidence: Evidence
    fired: Counter[tuple[str, str]]
    trace: Sequence[str] = ()
    digest: str = ""


@dataclass(slots=True)
class Report:
    """The result of many histories.

    Attributes:
        histories: How many were run.
        invocations: How often the function was invoked in them.
        records: How many records were put.
        fired: How often each fault was met, by step and kind.
        failures: The seeds of the histories that broke an invariant, with what they broke.
    """

    histories: int = 0
    invocations: int = 0
    records: int = 0
    fired: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures: dict[int, Sequence[Violation]] = field(default_factory=dict)

    @property
    def quota(self) -> int:
        """Return how often each fault is to be met."""
        return self.histories // HISTORIES_A_FAULT

    def too_rare(self) -> list[tuple[str, str]]:
        """Return the faults, by step and kind, that were met less often than the quota."""
        return [(step, kind) for step, kinds in KINDS.items() for kind in kinds if self.fired[step, kind] < self.quota]

    def add(self, checked: Checked) -> None:
        """Add one history."""
        self.histories += 1
        self.invocations += checked.evidence.invocations
        self.records += len(checked.evidence.sent)
        self.fired += checked.fired
        if checked.violations:
            self.failures[checked.history.seed] = checked.violations


def check(history: History, *, traced: bool = False) -> Checked:
    """Run a history and check it.

    Args:
        history: The history; `make_history` makes one from a seed.
        traced: Whether to keep a trace, and its digest.
    """
    with _quiet():
        world = World(history, traced=traced)
        evidence = world.run()
    return Checked(
        history, violations(evidence), evidence, world.plan.fired, world.trace, world.digest() if traced else ""
    )


def check_all(seeds: Iterable[int], on_each: Callable[[Checked], object] = lambda _checked: None) -> Report:
    """Check the history of each seed.

    Args:
        seeds: The seeds.
        on_each: Called after each history; what it raises ends the run.
    """
    report = Report()
    gc.freeze()  # what is loaded stays; else the collector goes through it again with each of thousands of runs
    for seed in seeds:
        checked = check(make_history(seed))
        report.add(checked)
        on_each(checked)
    return report


def shrink(history: History, runs: int = SHRINKING_RUNS) -> History:
    """Return a smaller history that breaks an invariant that this one breaks too."""
    broken = {each.invariant for each in check(history).violations}

    def still_fails(candidate: History) -> bool:
        nonlocal runs
        runs -= 1
        return runs >= 0 and any(each.invariant in broken for each in check(candidate).violations)

    faults = _fewest(history.faults, lambda few: still_fails(dataclasses.replace(history, faults=few)))
    history = dataclasses.replace(history, faults=faults)
    reshards = _fewest(history.reshards, lambda few: still_fails(dataclasses.replace(history, reshards=few)))
    history = dataclasses.replace(history, reshards=reshards)
    records = _fewest(history.records, lambda few: still_fails(dataclasses.replace(history, records=few)))
    return dataclasses.replace(history, records=records)


def _fewest(parts: Sequence[T], suffices: Callable[[Sequence[T]], bool]) -> Sequence[T]:
    """Leave out parts, many at once and then one by one, as long as the rest suffices."""
    size = (len(parts) + 1) // 2
    while size and parts:
        at = 0
        while at < len(parts):
            fewer = [*parts[:at], *parts[at + size :]]
            if suffices(fewer):
                parts = fewer
            else:
                at += size
        size //= 2
    return parts


@contextmanager
def _quiet() -> Iterator[None]:
    """Log nothing: faults are simulated by the thousand."""
    before = telemetry.logger.disabled
    telemetry.logger.disabled = True
    try:
        yield
    finally:
        telemetry.logger.disabled = before
