"""`quarantine list`, `quarantine show` and `replay`: examine quarantined records, and put them back on their stream."""

from __future__ import annotations

import os
from collections import Counter
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.table import Table

from app.budgets import MOST_FAULTS_KEPT
from app.cli.feeding import feed_stream
from app.cli.terminal import print_json, print_json_line, print_line, print_table
from app.errors import QuarantineError
from app.settings import read_settings
from app.stream.replay import QuarantinedRecords

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.stream.quarantine import QuarantinedRecord

Reason = Annotated[str | None, typer.Option(help="Only records with this reason code.")]
Only = Annotated[
    str | None, typer.Option("--id", help="Only the record with this id, its beginning, or sequence number.")
]
To = Annotated[str | None, typer.Option(help="The stream to put them on, instead of the one each came from.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="List the records that would be put back; put none.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON lines, raw bytes in base64.")]
RecordId = Annotated[str, typer.Argument(help="An id or its beginning, or the record's sequence number.")]


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Records that can never succeed: list and show them.")
    group.command("list")(show_all)
    group.command("show")(show_one)
    cli.add_typer(group, name="quarantine")
    cli.command()(replay)


def show_all(reason: Reason = None, as_json: AsJson = False) -> None:
    """List quarantined records (from QUARANTINE_STREAM and QUARANTINE_LOCATION)."""
    with QuarantinedRecords(read_settings(os.environ)) as records:
        if as_json:
            for record in _chosen(records, reason, None):
                print_json_line(record)
            return
        table = Table("time", "reason", "bytes")
        table.add_column("id", overflow="fold")
        count = 0
        for count, record in enumerate(_chosen(records, reason, None), 1):
            if count <= MOST_FAULTS_KEPT:
                table.add_row(record.time, record.reason, str(len(record.data or b"")), record.id)
    shown = f", the first {MOST_FAULTS_KEPT} of them here: --json prints all" if count > MOST_FAULTS_KEPT else ""
    table.title = f"{count} quarantined{shown}"
    print_table(table)


def show_one(record_id: RecordId) -> None:
    """Show one quarantined record whole; raw bytes that are text are shown as text."""
    with QuarantinedRecords(read_settings(os.environ)) as records:
        record = records.find(record_id)
    shown = msgspec.to_builtins(record)
    try:
        shown["text"] = (record.data or b"").decode()
    except UnicodeDecodeError:
        shown["text"] = None
    print_json(shown)


def replay(reason: Reason = None, only: Only = None, to: To = None, dry_run: DryRun = False) -> None:
    """Put quarantined records back on the streams they came from, raw bytes and partition key as they were.

    Those of a partition key go back in the order in which they came. They stay in quarantine too: nothing is deleted.
    Records that wait for a parked state key are left out, unless --reason or --id asks for them: put back, they would
    lose their place, and `millrace state resume` processes them in it.
    Each gets a new sequence number, so replaying a record twice gives two results; choose with --reason and --id, and
    look first with --dry-run.
    """
    with QuarantinedRecords(read_settings(os.environ)) as records:
        waiting: Counter[str] = Counter()
        for record in _to_replay(records, reason, only):  # before any is put: each must be there
            _raw(record)
            waiting[to or record.source.stream] += 1
        put = 0
        if not dry_run:
            for stream, chosen in groupby(_to_replay(records, reason, only), lambda each: to or each.source.stream):
                put += sum(feed_stream(stream, ((each.source.partition_key, _raw(each)) for each in chosen)))
    for stream, count in waiting.items():
        print_line(f"{stream}: {count} records {'would be ' if dry_run else ''}put back")
    print_line(f"{put} of {waiting.total()} records put back")


def _chosen(records: QuarantinedRecords, reason: str | None, only: str | None) -> Iterator[QuarantinedRecord]:
    """Yield the records with a reason code, or the one with an id; None stands for any."""
    found = [records.find(only)] if only else records
    return (record for record in found if reason in {None, record.reason})


def _to_replay(records: QuarantinedRecords, reason: str | None, only: str | None) -> Iterator[QuarantinedRecord]:
    """Yield the chosen records, without those that wait for a parked key: put back, they would be applied twice."""
    chosen = _chosen(records, reason, only)
    return (record for record in chosen if not record.parked_key or reason is not None or only is not None)


def _raw(record: QuarantinedRecord) -> bytes:
    if record.data is None:
        raise QuarantineError(f"{record.id}: its raw bytes are not here but at {record.location}")
    return record.data
