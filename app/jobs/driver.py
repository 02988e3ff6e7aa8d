"""All steps of a file in one process, in the order in which a bucket's events would start them."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from app.errors import StateConflictError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from app.jobs.layout import Layout
    from app.storage.objects import Objects

STATE_TRIES = 20  # of one step, while other files of the tenant are worked on at the same time


def drive(
    objects: Objects, layout: Layout, started: Iterable[str], do_step: Callable[[str, str], list[str]]
) -> list[str]:
    """Do the steps that objects start, and the steps that their objects start, until none is left.

    Args:
        objects: The files of the run.
        layout: Which step an object starts.
        started: The names of the first objects; one that is not there, as a job elsewhere has not answered, is left
            out.
        do_step: Does a step: takes its name and the object's, and returns the names of the objects that it wrote.

    Returns:
        The names of written objects that start no step, each once: the results.
    """
    waiting, results = deque(started), dict[str, None]()
    while waiting:
        name = waiting.popleft()
        found = layout.arrival(name)
        if found is None:
            results[name] = None
        elif objects.exists(name):
            waiting.extend(retried(do_step, found.step, name))
    return list(results)


def retried(do_step: Callable[[str, str], list[str]], step: str, name: str) -> list[str]:
    """Do a step, again where another file of the tenant was first."""
    for _ in range(STATE_TRIES):
        try:
            return do_step(step, name)
        except StateConflictError:
            continue
    return do_step(step, name)
