"""Run mutants, one process each, and say which of them the checker caught."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, TypeVar

import msgspec

from devtools.mutants.generated import ROOT, Mutation
from devtools.mutants.trial import Caught, Trial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from devtools.mutants.named import Mutant

T = TypeVar("T")

GRACE_S = 120.0  # past a trial's own time: its last history, the controls and the tests


class Ran(msgspec.Struct):
    """A mutant and its result.

    Attributes:
        name: The mutant's.
        kind: `found`, `prone` or `generated`.
        within: In how many histories it was to be caught.
        caught: By what; nothing where `caught.by` is empty.
        equivalent: Why nothing can catch it, if that is known.
    """

    name: str
    kind: str
    within: int
    caught: Caught
    equivalent: str = ""

    @property
    def passes(self) -> bool:
        """Return whether it was caught, or cannot be."""
        return bool(self.caught.by or self.equivalent)


class Baseline(msgspec.Struct):
    """The result of the checker without a change.

    Attributes:
        lines: The first lines of the statements that it runs, by module.
        statements: How many each module has.
        failing: The seeds that fail.
    """

    lines: dict[str, list[int]]
    statements: dict[str, int]
    failing: list[int]


def baseline(histories: int) -> Baseline:
    """Run histories without a change, and note which lines they run."""
    return _child("devtools.mutants.baseline", str(histories), b"", Baseline, histories)


def run_named(mutants: Iterable[Mutant], kind: str, start: Baseline, seconds: float) -> Iterable[Ran]:
    """Yield each named mutant with its result."""
    for mutant in mutants:
        trial = Trial(
            mutant.module,
            mutant.source(),
            mutant.within,
            seconds,
            start.failing,
            tests=mutant.tests,
        )
        yield Ran(mutant.name, kind, mutant.within, _try(trial))


def run_generated(
    mutations: Iterable[Mutation], start: Baseline, histories: int, seconds: float, known: Callable[[Mutation], str]
) -> Iterable[Ran]:
    """Yield generated mutants, each with its result.

    Args:
        mutations: The changes.
        start: Without a change.
        histories: In how many each is to be caught.
        seconds: Time for each.
        known: Returns why a mutant is equivalent to the code, or an empty string.
    """
    for made in mutations:
        caught = _try(Trial(made.module, made.source, histories, seconds, start.failing))
        yield Ran(f"{made.name} (line {made.line})", "generated", histories, caught, "" if caught.by else known(made))


def _try(trial: Trial) -> Caught:
    try:
        return _child("devtools.mutants.trial", "", msgspec.json.encode(trial), Caught, trial.seconds + GRACE_S)
    except subprocess.TimeoutExpired:
        return Caught("does not end", "the process was ended")


def _child(module: str, argument: str, given: bytes, kind: type[T], timeout_s: float) -> T:
    command: Sequence[str] = [sys.executable, "-m", module, *([argument] if argument else [])]
    ran = subprocess.run(  # noqa: S603 - a fixed command
        command, cwd=ROOT, input=given, capture_output=True, timeout=timeout_s, check=False
    )
    if ran.returncode:
        raise SystemExit(ran.stderr.decode(errors="replace")[-2000:])
    return msgspec.json.decode(ran.stdout, type=kind)
