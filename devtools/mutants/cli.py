"""The command: run mutants, print each with what caught it, keep them for `devtools.reliability`."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import msgspec

from devtools.mutants.equivalent import reason
from devtools.mutants.generated import choose
from devtools.mutants.named import FOUND, PRONE
from devtools.mutants.running import Ran, baseline, run_generated, run_named

HISTORIES = 500
SECONDS = 60.0  # a trial that catches nothing: its histories take some ten
LEAST_CAUGHT = 0.9  # of those made by rule


class Outcome(msgspec.Struct):
    """The result of a run, for `devtools.reliability`.

    Attributes:
        seed: Of those made by rule.
        lines: Of each module, how many statements the checker's histories run, and how many it has.
        ran: The mutants.
    """

    seed: int
    lines: dict[str, tuple[int, int]]
    ran: list[Ran]


def main() -> None:
    """Run; exit with 1 where a named mutant, or more than one of ten made by rule, was not caught."""
    parser = argparse.ArgumentParser(prog="python -m devtools.mutants", description=__doc__)
    parser.add_argument("--named", default="", help="only the named ones whose name begins so")
    parser.add_argument("--generated", type=int, default=50, help="how many made by rule")
    parser.add_argument("--seed", type=int, default=1, help="chooses those")
    parser.add_argument("--histories", type=int, default=HISTORIES, help="for each made by rule")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for each")
    parser.add_argument(
        "--minutes", type=float, default=0.0, help="for all: then those made by rule that are left are not run"
    )
    parser.add_argument("--out", type=Path, help="a JSON file for the results")
    options = parser.parse_args()
    ends_s = time.monotonic() + (options.minutes * 60 or float("inf"))
    start = baseline(options.histories)
    if start.failing:
        print(f"seeds that fail without a change, which are left out: {start.failing}")  # noqa: T201
    lines = {module: (len(run), start.statements[module]) for module, run in start.lines.items()}
    outcome = Outcome(options.seed, lines, [])

    def keep(each: Ran) -> None:
        """Show a mutant, and write what has come of all so far: a run may be ended before its time."""
        _show(each)
        outcome.ran.append(each)
        if options.out:
            options.out.write_bytes(msgspec.json.format(msgspec.json.encode(outcome)))

    for kind, mutants in (("found", FOUND), ("prone", PRONE)):
        chosen = [each for each in mutants if each.name.startswith(options.named)]
        for each in run_named(chosen, kind, start, options.seconds):
            keep(each)
    mutations = choose(0 if options.named else options.generated, options.seed, start.lines)
    for each in run_generated(mutations, start, options.histories, options.seconds, reason):
        keep(each)
        if time.monotonic() > ends_s:
            break
    sys.exit(not passes(outcome.ran))


def passes(ran: list[Ran]) -> bool:
    """Return whether every named mutant was caught, and nine of ten of those made by rule."""
    made = [each for each in ran if each.kind == "generated" and not each.equivalent]
    named = [each for each in ran if each.kind != "generated"]
    return all(each.passes for each in named) and sum(each.passes for each in made) >= LEAST_CAUGHT * len(made)


def _show(each: Ran) -> None:
    found = f"{each.caught.by}, history {each.caught.histories}" if each.caught.by else ""
    outcome = found or (f"equivalent: {each.equivalent}" if each.equivalent else "NOT CAUGHT")
    print(f"{each.kind:<9} {each.name}\n          {outcome}", flush=True)  # noqa: T201
