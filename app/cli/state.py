"""`state list`, `state resume` and `state clean`: a table's keys, parked keys, and unused objects."""

from __future__ import annotations

import itertools
import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from app.cli.terminal import configure_logs, counted, note, print_json_line, print_line, print_table
from app.errors import MillraceError, SettingsError
from app.registry import open_runtime
from app.settings import read_settings
from app.storage.collecting import clean_objects
from app.storage.objects import open_objects
from app.storage.spilling import object_of, open_state, size_of
from app.storage.state_table import DynamoDbState
from app.stream.deadline import SYSTEM_CLOCK
from app.stream.replay import QuarantinedRecords
from app.stream.resuming import Resumption

if TYPE_CHECKING:
    from app.settings import Settings
    from app.storage.state import Stored

Key = Annotated[str, typer.Argument(help="A key as `state list` shows it: alerts/acme, say.", show_default=False)]
Every = Annotated[bool, typer.Option("--all", help="All parked keys, one after the other.")]
Anew = Annotated[bool, typer.Option("--anew", help="Forget the key's state, and process what waits without it.")]
WithoutMissing = Annotated[
    bool, typer.Option("--without-missing", help="Go on although some waiting records are no longer in the quarantine.")
]
OnlyParked = Annotated[bool, typer.Option("--parked", help="Only keys that are parked.")]
Days = Annotated[
    float, typer.Option(min=1, help="Days that an unused object stays; 36 are all that DynamoDB can restore.")
]
Also = Annotated[
    list[str] | None,
    typer.Option(help="Another table whose items name objects of this one, as it was restored from it; repeatable."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be removed; change nothing.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON lines, as when the output is not a terminal.")]

KEPT_DAYS = 7.0  # a restore is decided on within days, and a busy key may leave a megabyte with each batch


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        no_args_is_help=True, help="State in STATE_TABLE: its keys, parked ones, and the objects of STATE_LOCATION."
    )
    group.command("list")(show_all)
    group.command("resume")(resume)
    group.command("clean")(clean)
    cli.add_typer(group, name="state")


def show_all(parked: OnlyParked = False, as_json: AsJson = False) -> None:
    """List the keys of STATE_TABLE: parked ones first, then the largest.

    Every item of the table is read, and DynamoDB charges for its size.
    """
    rows = [_row(key, stored) for key, stored in DynamoDbState(_table(read_settings(os.environ))).all()]
    rows = [row for row in rows if row["parked"] or not parked]
    rows.sort(key=lambda row: (row["parked"] is None, -row["bytes"], row["key"]))
    if as_json or not sys.stdout.isatty():
        for row in rows:
            print_json_line(row)
        return
    table = Table("key", "bytes", "waiting", "since", title=counted(len(rows), "state key"))
    table.add_column("fault", overflow="fold")
    for row in rows:
        mark = row["parked"] or {"records": "", "since": "", "fault": ""}
        where = " in STATE_LOCATION" if row["object"] else ""
        fault = mark["fault"] or row["fault"] or ""
        table.add_row(row["key"], f"{row['bytes']}{where}", str(mark["records"]), mark["since"], fault)
    print_table(table)


def resume(key: Key = "", every: Every = False, anew: Anew = False, without_missing: WithoutMissing = False) -> None:
    """Process the records that wait for a parked key, in their order, and unpark it.

    Mend its fault first; it is in the log and in `millrace state list`. Set the variables as the function has them
    (STATE_TABLE, STATE_LOCATION, PIPELINE or PIPELINES, OUTPUT_STREAM, OUTPUT_STREAMS, QUARANTINE_STREAM,
    QUARANTINE_LOCATION). The function may go on meanwhile; a command that was stopped can be given again.
    """
    configure_logs()
    settings = read_settings(os.environ)
    table = DynamoDbState(_table(settings))
    if settings.test_run:
        raise SettingsError("TEST_RUN publishes nothing, so nothing can be resumed: unset it")
    if bool(key) == every:
        raise SettingsError("give a key, or --all")
    found = table.all() if every else table.load([key]).items()
    parked = {name: stored for name, stored in found if stored.parked is not None}
    if not parked:
        note("no key is parked" if every else f"{key} is not parked")
        return
    runtime = open_runtime(settings)
    store = open_state(settings.state_table, settings.state_location)
    failure: MillraceError | None = None
    for name, stored in parked.items():
        try:
            if anew:
                table.begin_anew(name, stored)
            resumption = Resumption(store, runtime.processor_for, partial(QuarantinedRecords, settings, name))
            count = resumption.resume(name, without_missing=without_missing)
            note(f"{name}: {counted(count, 'record')} processed; no longer parked")
        except MillraceError as error:
            if not every:
                raise
            failure = error
            note(f"{name}: still parked: {error.line}")
    if failure is not None:
        raise failure


def clean(days: Days = KEPT_DAYS, also: Also = None, dry_run: DryRun = False) -> None:
    """Remove objects of STATE_LOCATION that no item of STATE_TABLE names any more; run it every day.

    A commit of a large state writes an object and leaves the former one, which a table restored to an earlier point in
    time names again. One is removed when two runs, --days apart, found it without a name. The function may go on
    meanwhile. Every item of the table is read, and DynamoDB charges for its size.
    """
    settings = read_settings(os.environ)
    if not settings.state_location:
        raise SettingsError("STATE_LOCATION is not set: name the location of large states")
    table = _table(settings)
    done = clean_objects(
        open_objects(settings.state_location),
        table,
        itertools.chain.from_iterable(DynamoDbState(name).all() for name in (table, *(also or ()))),
        now_s=SYSTEM_CLOCK.time(),
        days=days,
        dry_run=dry_run,
    )
    if dry_run:
        for name in done.removed:
            print_line(name)
    removed = f"{counted(len(done.removed), 'object')} {'would be ' if dry_run else ''}removed"
    note(f"{removed}; {done.named} in use, {len(done.kept)} kept until {days:g} days after they were found unused")


def _table(settings: Settings) -> str:
    if not settings.state_table:
        raise SettingsError("STATE_TABLE is not set: name the table of state")
    return settings.state_table


def _row(key: str, stored: Stored) -> dict[str, Any]:
    """Return what is shown of a key."""
    mark, name, fault, size = stored.parked, None, stored.fault, 0
    try:
        name, size = object_of(key, stored.value), size_of(key, stored.value or b"")
    except MillraceError as error:
        fault = fault or error  # type: ignore[assignment]  # only its text is shown
    return {
        "key": key,
        "bytes": size,
        "object": name,
        "fault": None if fault is None else str(fault),
        "parked": None if mark is None else {"fault": mark.fault, "since": mark.since, "records": mark.records},
    }
