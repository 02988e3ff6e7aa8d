"""Rounds in which every candidate takes its turn, so that a busy moment of the machine hits all alike.

A turn is as many passes as fit into a quarter of a second, and one at the least. Where there are several, the first
one finds the processor's caches full of another candidate's data, and does not count.
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
    """What one pass took, milliseconds."""

    cpu_ms: float
    wall_ms: float


@dataclass(frozen=True)
class Effort:
    """How long is measured.

    Attributes:
        rounds: Turns of each candidate.
        turn_s: How long a turn goes on; the pass that reaches it is the last.
        budget_s: A candidate that has used up so much sits out the rounds that are left.
        least: Turns of each candidate at the least.
        warm_up: Turns before those that count.
        most: Records at the most for candidates that take a record at a time; None for each candidate's own.
        processes: Processes that are started for each row of the table of starts.
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
    """Runs the candidates in turn, each round from another one on; gives the passes that count."""
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
    """The passes of one turn."""
    began_s = time.monotonic()
    passes = [run()]
    while time.monotonic() - began_s < turn_s:
        passes.append(run())
    return passes


def medians(samples: list[Sample]) -> Sample:
    """The median of each."""
    return Sample(statistics.median(s.cpu_ms for s in samples), statistics.median(s.wall_ms for s in samples))
