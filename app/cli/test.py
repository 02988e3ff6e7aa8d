"""`test run` and `test replay`: check the delivery by simulated histories, and show a history step by step."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from app.cli.terminal import is_watched, note, open_console, print_line, print_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.stream.testing.checker import Checked, Report

SECONDS_AN_HOUR = 3600
SHOWN_FAILURES = 20  # one line each; `replay` shows more

Histories = Annotated[int, typer.Option(min=1, help="How many histories to run.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the first history; the others have the numbers after it.")]
Hours = Annotated[float | None, typer.Option(min=0, help="Run for this many hours instead of a number of histories.")]
OneSeed = Annotated[int, typer.Argument(min=0, help="The history's seed.")]
Whole = Annotated[bool, typer.Option("--whole", help="Show a failing history without reducing it first.")]


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        no_args_is_help=True, help="Check the delivery on simulated streams with faults and crashes; no AWS is needed."
    )
    group.command("run")(run)
    group.command("replay")(replay)
    cli.add_typer(group, name="test")


def run(histories: Histories = 5000, seed: Seed = 0, hours: Hours = None) -> None:
    """Run histories, each derived from its seed; report broken invariants and how often each fault occurred.

    Exit code 1 if an invariant is broken, or if a fault occurred less than once in a thousand histories.
    """
    from app.stream.testing.checker import check_all  # noqa: PLC0415 - no other command needs the simulation

    seeds = range(seed, seed + histories) if hours is None else _seeds_until(seed, time.monotonic() + _seconds(hours))
    began_s = time.process_time()
    with Progress(
        TextColumn("{task.completed} histories", markup=False),
        BarColumn(),
        TextColumn("{task.fields[failed]} failed", markup=False),
        TimeElapsedColumn(),
        console=open_console(stderr=True),
        disable=not is_watched(),
    ) as progress:
        task = progress.add_task("", total=histories if hours is None else None, failed=0)

        def show(checked: Checked) -> None:
            if checked.violations:
                note(f"seed {checked.history.seed}: {checked.violations[0].invariant}")
            progress.update(task, advance=1, failed=progress.tasks[0].fields["failed"] + bool(checked.violations))

        report = check_all(seeds, show)
    _print(report, (time.process_time() - began_s) / 60)
    if report.failures or report.too_rare():
        raise typer.Exit(1)


def replay(seed: OneSeed, whole: Whole = False) -> None:
    """Show a history step by step; a failing one is first reduced to the fewest records and faults that still fail."""
    from app.stream.testing.checker import check, shrink  # noqa: PLC0415 - as above
    from app.stream.testing.history import make_history  # noqa: PLC0415

    history = make_history(seed)
    checked = check(history, traced=True)
    if checked.violations and not whole:
        history = shrink(history)
        checked = check(history, traced=True)
    lines = [f"settings  {history.settings()}", *(f"fault     {fault}" for fault in history.faults)]
    lines += [f"reshard   {each}" for each in history.reshards]
    lines += [f"record    {each}" for each in history.records]
    lines += checked.trace
    lines += [f"BROKEN    {each.invariant}: {each.details}" for each in checked.violations]
    for line in (*lines, f"digest    {checked.digest}"):
        print_line(line)
    if checked.violations:
        raise typer.Exit(1)


def _seconds(hours: float) -> float:
    return hours * SECONDS_AN_HOUR


def _seeds_until(first: int, end_s: float) -> Iterator[int]:
    """Yield seeds until a moment of the monotonic clock."""
    for seed in itertools.count(first):
        if time.monotonic() >= end_s:
            return
        yield seed


def _print(report: Report, minutes: float) -> None:
    """Print what was run, the faults by step and kind, and the seeds that failed."""
    table = Table("step", "fault", "count", title=f"faults (each is to occur {report.quota} times at least)")
    for (step, kind), count in sorted(report.fired.items()):
        table.add_row(step, kind, str(count))
    for step, kind in report.too_rare():
        table.add_row(step, kind, f"{report.fired[step, kind]}: too rare")
    print_table(table)
    print_line(
        f"{report.histories} histories, {report.records} records, {report.invocations} invocations; "
        f"{report.histories / max(minutes, 1e-9):.0f} histories per minute of CPU time"
    )
    for seed, broken in itertools.islice(report.failures.items(), SHOWN_FAILURES):
        print_line(f"FAILED {seed}: {broken[0].invariant}: {broken[0].details} (millrace test replay {seed})")
    print_line(f"{len(report.failures)} failed")
