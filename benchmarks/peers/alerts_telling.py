"""What each candidate that tells techniques answers to: passes over texts that are made outside the clock."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from benchmarks.alerts_texts import texts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def commands_of(
    make: Callable[[Sequence[str]], Sequence[Any]],
    tell: Callable[[Sequence[Any]], Sequence[Any]],
    labels: Callable[[Any], list[str]],
    sizes: Callable[[], tuple[int, int]],
) -> dict[str, Callable[..., dict[str, Any]]]:
    """The commands of a candidate.

    Args:
        make: What the candidate takes of texts; outside the clock.
        tell: Its techniques of a batch.
        labels: The ids in one of its answers.
        sizes: How many techniques it can tell, and how many features it knows.
    """

    def run(workload: str, count: int, batch: int, seed: int) -> dict[str, Any]:
        """A pass: CPU and wall clock of all the texts."""
        taken = make(texts(workload, count, seed))
        batches = [taken[start : start + batch] for start in range(0, count, batch)]
        cpu, wall = time.process_time(), time.perf_counter()
        for each in batches:
            tell(each)
        return {"cpu_ms": (time.process_time() - cpu) * 1000, "wall_ms": (time.perf_counter() - wall) * 1000}

    def answers(workload: str, count: int, batch: int, seed: int) -> dict[str, Any]:
        """What it says of texts."""
        taken = make(texts(workload, count, seed))
        told = [each for start in range(0, count, batch) for each in tell(taken[start : start + batch])]
        return {"labels": [labels(each) for each in told]}

    def held() -> dict[str, Any]:
        """How large it is."""
        count, features = sizes()
        return {"labels": count, "features": features}

    return {"run": run, "answers": answers, "held": held}
