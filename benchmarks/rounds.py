"""Run the candidates in turns, round by round, so that a busy moment of the machine affects all alike.

A turn is as many passes as fit into a quarter of a second, and at least one. If there are several, the first one does
not count, since the processor's caches are full of another candidate's data.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True)
class Sample:
    """The CPU and the wall clock of one pass, milliseconds."""

    cpu_ms: float
    wall_ms: float


@dataclass(frozen=True)
class Effort:
    """The length of a measurement.

    Attributes:
        rounds: Turns of each candidate.
        turn_s: The length of a turn; it ends with the pass that reaches it.
        budget_s: The time for each candidate; one that has used more skips the remaining rounds.
        least: The fewest turns of each candidate.
        warm_up: Turns before the ones that count.
        most: The most records for candidates that process one record at a time; None for each candidate's own limit.
        processes: Processes to start for each row of the table of starts.
    """

    rounds: int = 9
    turn_s: float = 0.25
    budget_s: float = 12
    least: int = 3
    warm_up: int = 1
    most: int | None = None
    processes: int = 5


QUICK = Effort(rounds=1, turn_s=0, budget_s=0, least=1, warm_up=0, most=20, processes=1)


def interleave(runs: Mapping[str, Callable[[], Sample]], effort: Effort) -> dict[str, list[Sample]]:
    """Run the candidates in turn, starting each round with another one, and return the passes that count."""
    samples: dict[str, list[Sample]] = {name: [] for name in runs}
    spent_s, turns = dict.fromkeys(runs, 0.0), dict.fromkeys(runs, 0)
    names = list(runs)
    for number in range(-effort.warm_up, effort.rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            if turns[name] >= effort.least and spent_s[name] > effort.budget_s:
                continue
            passes = _turn(runs[name], effort.turn_s)
            spent_s[name] += sum(each.wall_ms for each in passes) / 1000
            if number >= 0:
                turns[name] += 1
                samples[name] += passes[1:] or passes
    return samples


def _turn(run: Callable[[], Sample], turn_s: float) -> list[Sample]:
    """Run the passes of one turn."""
    began_s = time.monotonic()
    passes = [run()]
    while time.monotonic() - began_s < turn_s:
        passes.append(run())
    return passes


def medians(samples: list[Sample]) -> Sample:
    """Return the medians of CPU and wall clock."""
    return Sample(statistics.median(s.cpu_ms for s in samples), statistics.median(s.wall_ms for s in samples))
