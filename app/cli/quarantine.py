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
        left_out: list[str] = []
        for record, data in _to_replay(records, reason, only):
            if data is not None:
                waiting[to or record.source.stream] += 1
            elif len(left_out) < MOST_FAULTS_KEPT:
                left_out.append(record.id)
        put = 0
        if not dry_run:
            chosen = (each for each in _to_replay(records, reason, only) if each[1] is not None)
            for stream, pairs in groupby(chosen, lambda each: to or each[0].source.stream):
                put += sum(feed_stream(stream, ((each.source.partition_key, data or b"") for each, data in pairs)))
    for stream, count in waiting.items():
        print_line(f"{stream}: {count} records {'would be ' if dry_run else ''}put back")
    print_line(f"{put} of {waiting.total()} records put back")
    if left_out:
        more = "at least " if len(left_out) == MOST_FAULTS_KEPT else ""
        raise QuarantineError(
            f"{more}{len(left_out)} records are left out, the first is {left_out[0]}: the raw bytes of it, or of one "
            "before it with its partition key, are not here; `millrace quarantine show ID` says where they should be"
        )


def _chosen(records: QuarantinedRecords, reason: str | None, only: str | None) -> Iterator[QuarantinedRecord]:
    """Yield the records with a reason code, or the one with an id; None stands for any."""
    found = [records.find(only)] if only else records
    return (record for record in found if reason in {None, record.reason})


def _to_replay(
    records: QuarantinedRecords, reason: str | None, only: str | None
) -> Iterator[tuple[QuarantinedRecord, bytes | None]]:
    """Yield the chosen records with their raw bytes, but not those of a parked key, which would be applied twice.

    A record has None whose bytes are not here, and so have later ones of its partition key, which would overtake it: a
    pointer that leads nowhere holds back no other key.
    """
    held: set[tuple[str, str]] = set()
    for record in _chosen(records, reason, only):
        if record.parked_key and reason is None and only is None:
            continue
        key = record.source.stream, record.source.partition_key
        if record.data is None:
            held.add(key)
        yield record, None if key in held else record.data
