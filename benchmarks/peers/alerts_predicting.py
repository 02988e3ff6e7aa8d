"""Make the commands of a candidate that predicts techniques: passes over texts that are made outside the clock."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from benchmarks.alerts_texts import texts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def commands_of(
    make: Callable[[Sequence[str]], Sequence[Any]],
    predict: Callable[[Sequence[Any]], Sequence[Any]],
    labels: Callable[[Any], list[str]],
    sizes: Callable[[], tuple[int, int]],
) -> dict[str, Callable[..., dict[str, Any]]]:
    """Return the commands of a candidate.

    Args:
        make: Converts texts to the candidate's input, outside the clock.
        predict: Returns the answers for a batch.
        labels: Returns the ids in one answer.
        sizes: Returns how many techniques it can predict, and how many features it knows.
    """

    def run(workload: str, count: int, batch: int, seed: int) -> dict[str, Any]:
        """Run a pass; return the CPU and the wall clock of all texts."""
        taken = make(texts(workload, count, seed))
        batches = [taken[start : start + batch] for start in range(0, count, batch)]
        cpu, wall = time.process_time(), time.perf_counter()
        for each in batches:
            predict(each)
        return {"cpu_ms": (time.process_time() - cpu) * 1000, "wall_ms": (time.perf_counter() - wall) * 1000}

    def answers(workload: str, count: int, batch: int, seed: int) -> dict[str, Any]:
        """Return the techniques of each text."""
        taken = make(texts(workload, count, seed))
        found = [each for start in range(0, count, batch) for each in predict(taken[start : start + batch])]
        return {"labels": [labels(each) for each in found]}

    def held() -> dict[str, Any]:
        """Return the numbers of its techniques and features."""
        count, features = sizes()
        return {"labels": count, "features": features}

    return {"run": run, "answers": answers, "held": held}
