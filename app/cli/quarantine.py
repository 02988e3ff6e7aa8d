"""`quarantine list`, `quarantine show` and `replay`: examine quarantined records, and put them back on their stream."""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.table import Table

from app.cli.feeding import feed_stream
from app.cli.terminal import print_json, print_json_lines, print_table
from app.errors import QuarantineError
from app.settings import read_settings
from app.stream.replay import find_quarantined, read_quarantined

if TYPE_CHECKING:
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
    found = _chosen(reason, None)
    if as_json:
        print_json_lines(found)
        return
    table = Table("time", "reason", "bytes", title=f"{len(found)} quarantined")
    table.add_column("id", overflow="fold")
    for record in found:
        table.add_row(record.time, record.reason, str(len(record.data or b"")), record.id)
    print_table(table)


def show_one(record_id: RecordId) -> None:
    """Show one quarantined record whole; raw bytes that are text are shown as text."""
    record = find_quarantined(read_settings(os.environ), record_id)
    shown = msgspec.to_builtins(record)
    try:
        shown["text"] = (record.data or b"").decode()
    except UnicodeDecodeError:
        shown["text"] = None
    print_json(shown)


def replay(reason: Reason = None, only: Only = None, to: To = None, dry_run: DryRun = False) -> None:
    """Put quarantined records back on the streams they came from, raw bytes and partition key as they were.

    They stay in quarantine too: nothing is deleted. Each gets a new sequence number, so replaying a record twice
    gives two results; choose with --reason and --id, and look first with --dry-run.
    """
    chosen = _chosen(reason, only)
    waiting: dict[str, list[tuple[str, bytes]]] = defaultdict(list)
    for record in chosen:
        waiting[to or record.source.stream].append((record.source.partition_key, _raw(record)))
    put = 0
    for stream, records in waiting.items():
        if not dry_run:
            put += sum(feed_stream(stream, records))
        sys.stdout.write(f"{stream}: {len(records)} records {'would be ' if dry_run else ''}put back\n")
    sys.stdout.write(f"{put} of {len(chosen)} records put back\n")


def _chosen(reason: str | None, only: str | None) -> list[QuarantinedRecord]:
    settings = read_settings(os.environ)
    found = [find_quarantined(settings, only)] if only else read_quarantined(settings)
    return [record for record in found if reason in {None, record.reason}]


def _raw(record: QuarantinedRecord) -> bytes:
    if record.data is None:
        raise QuarantineError(f"{record.id}: its raw bytes are not here but at {record.location}")
    return record.data
