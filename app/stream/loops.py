"""Find loops: streams that a process reads and whose own results, or quarantined records, come back to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from app.errors import SettingsError
from app.settings import DEFAULT_ROLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from app.settings import Settings

QUARANTINED = "quarantined records"
"""Stands for a role in a step that goes to `QUARANTINE_STREAM`."""


class Step(NamedTuple):
    """One pipeline's way from a stream that it reads to a stream that it writes."""

    source: str
    pipeline: str
    role: str
    target: str


def find_loop(settings: Settings, roles: Mapping[str, Sequence[str]], streams: Iterable[str] = ()) -> list[Step]:
    """Return the steps of a shortest loop, or an empty list.

    A chain is none: one pipeline may write what another of the same process reads, as long as nothing comes back. Each
    stream counts with the roles of its own pipeline. A quarantine stream that is read always is a loop, since whatever
    reads it may set records aside too.

    Args:
        settings: The pipeline of each stream, and the stream of each role.
        roles: The roles of each pipeline; one that is missing here is known to set records aside, and no more.
        streams: Streams that are read besides those that `PIPELINES` names.
    """
    if settings.test_run:  # nothing is written
        return []
    read = sorted({*settings.pipelines, *streams})
    loops = [loop for stream in read if (loop := _way_back(stream, settings, roles, read))]
    return min(loops, key=len, default=[])


def check_loops(settings: Settings, roles: Mapping[str, Sequence[str]], streams: Iterable[str] = ()) -> None:
    """Refuse to process streams whose results come back as records; see `find_loop`.

    Raises:
        SettingsError: There is a loop; the line says which, and how to end it.
    """
    if loop := find_loop(settings, roles, streams):
        raise SettingsError(f"{describe(loop)}, without end: {mend_of(loop)}")


def describe(loop: Sequence[Step]) -> str:
    """Return a loop as text."""
    steps = [
        f"pipeline {each.pipeline} reads {each.source} and its {each.role} go to {each.target}"
        if each.role == QUARANTINED
        else f"pipeline {each.pipeline} reads {each.source} and writes {_output(each.role)} to {each.target}"
        for each in loop
    ]
    return f"a loop: {', '.join(steps)}"


def mend_of(loop: Sequence[Step]) -> str:
    """Return what ends a loop."""
    last = loop[-1]
    if any(each.role == QUARANTINED for each in loop):
        return "set QUARANTINE_STREAM to a stream that this process does not read"
    variable = "OUTPUT_STREAM" if last.role == DEFAULT_ROLE else f"{last.role} in OUTPUT_STREAMS"
    return (
        f"set {variable} to a stream that this process does not read, or run {last.pipeline} as a process of its own "
        "with other output streams"
    )


def _output(role: str) -> str:
    return "its results" if role == DEFAULT_ROLE else role


def _way_back(
    start: str, settings: Settings, roles: Mapping[str, Sequence[str]], read: Sequence[str]
) -> list[Step] | None:
    """Return the shortest way from a stream back to it over streams that are read."""
    ways: list[list[Step]] = [[step] for step in _steps(start, settings, roles)]
    seen: set[str] = set()
    for way in ways:  # grows while it is read: breadth first
        target = way[-1].target
        if target == start:
            return way
        if target in read and target not in seen:
            seen.add(target)
            ways += [[*way, step] for step in _steps(target, settings, roles)]
    return None


def _steps(stream: str, settings: Settings, roles: Mapping[str, Sequence[str]]) -> Iterator[Step]:
    pipeline = settings.pipeline_for(stream)
    targets = [(role, settings.stream_for(role)) for role in roles.get(pipeline, ())]
    for role, target in (*targets, (QUARANTINED, settings.quarantine_stream)):
        if target:
            yield Step(stream, pipeline, role, target)
