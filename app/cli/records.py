"""`feed`, `drain` and `create`: put records on a stream, print those of one, make one."""

from __future__ import annotations

import base64
import enum
import itertools
import os
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.progress import Progress

from app.cli.examples import OUTPUT_STREAM
from app.cli.feeding import feed_aggregates, feed_stream
from app.cli.inputs import records_for
from app.cli.terminal import counted, is_watched, note, open_console, print_json, print_json_line, print_line
from app.domain import INPUT_STREAM
from app.registry import PIPELINES
from app.settings import Settings
from app.storage.state_table import create_state_table
from app.stream.aggregation import user_records
from app.stream.aggregation_writer import AGGREGATE_BYTES
from app.stream.putrecords import SignedPutRecords, check_stream
from app.stream.shards import StartingPosition, create_stream, read_stream


class From(enum.StrEnum):
    """Where reading begins."""

    TRIM_HORIZON = "TRIM_HORIZON"
    LATEST = "LATEST"


Lines = Annotated[
    Path | None,
    typer.Argument(help="JSON lines or a JSON list of records, or - for standard input; without it an example record."),
]
PipelineName = Annotated[
    str,
    typer.Option(
        "--pipeline",
        envvar="PIPELINE",
        help="The pipeline that will read them.",
        show_default="bike",
    ),
]
Input = Annotated[
    str | None,
    typer.Option("--stream", envvar="KINESIS_STREAM_INPUT", help="The stream to feed; else the pipeline's usual one."),
]
Key = Annotated[
    str | None,
    typer.Option(help="Partition key of every record; else its pred_id, else its line; of an alert its tenant."),
]
KeyField = Annotated[
    str | None, typer.Option(help="Field of each record whose value is its partition key; for a sensor's state, say.")
]
Rate = Annotated[float | None, typer.Option(min=0.1, help="Records per second; without it, as fast as possible.")]
Aggregated = Annotated[
    bool, typer.Option("--aggregate", help="Pack records together, as the Kinesis Producer Library does.")
]
AggregateBytes = Annotated[
    int,
    typer.Option(min=64, max=1024 * 1024, help="Size that an aggregated record may grow to, in bytes."),
]
Count = Annotated[int | None, typer.Option(min=1, help="How many; a file is repeated or cut short to it.")]
OutputName = Annotated[str, typer.Option("--stream", envvar="OUTPUT_STREAM", help="The stream to read.")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Wait for more until Ctrl-C.")]
Pretty = Annotated[bool, typer.Option("--pretty", help="Indented JSON instead of a line a record.")]
Start = Annotated[From, typer.Option("--from", help="TRIM_HORIZON: all records; LATEST: only new ones.")]
Names = Annotated[list[str] | None, typer.Argument(help="Names of streams.", show_default=False)]
StateTable = Annotated[str, typer.Option(help="A DynamoDB table for STATE_TABLE too.", show_default=False)]
Shards = Annotated[int, typer.Option(min=1, help="Shards of each.")]


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.command()(feed)
    cli.command()(drain)
    cli.command()(create)


def feed(
    lines: Lines = None,
    pipeline: PipelineName = "",
    stream: Input = None,
    key: Key = None,
    key_field: KeyField = None,
    rate: Rate = None,
    count: Count = None,
    aggregate: Aggregated = False,
    aggregate_bytes: AggregateBytes = AGGREGATE_BYTES,
) -> None:
    """Put records on a stream: an example, a file's, or made-up ones at a rate.

    A file has JSON lines. With --pipeline alerts it has alerts of any format, an AIT-ADS table too, gzip or not.

    Examples: millrace feed;  millrace feed rows.jsonl;  millrace feed --rate 100 --count 5000;
    millrace feed rows.jsonl --aggregate;  millrace feed --pipeline alerts ait_ads_shaw.csv.gz --rate 500
    """
    pipeline = pipeline or Settings().pipeline
    spec = PIPELINES.get(pipeline)
    if key_field is not None and (key is not None or (spec is not None and spec.feed)):
        other = "--key" if key is not None else f"--pipeline {pipeline}, which has keys of its own"
        raise typer.BadParameter(f"goes without {other}", param_hint="--key-field")
    stream = stream or (spec.stream if spec else INPUT_STREAM)
    records, total = records_for(pipeline, lines, count, key=key, key_field=key_field, endless=rate is not None)
    check_stream(SignedPutRecords(1), stream)
    done = aggregates = 0
    try:
        with Progress(console=open_console(stderr=True), transient=True, disable=not is_watched()) as progress:
            task = progress.add_task(f"to {stream}", total=total)
            if aggregate:
                for fed, made in feed_aggregates(stream, records, rate, aggregate_bytes):
                    done, aggregates = done + fed, aggregates + made
                    progress.update(task, advance=fed)
            else:
                for fed in feed_stream(stream, records, rate):
                    done += fed
                    progress.update(task, advance=fed)
    finally:
        packed = f" as {counted(aggregates, 'aggregated record')}" if aggregate else ""
        note(f"{counted(done, 'record')} put on {stream}{packed}")


def drain(
    stream: OutputName = OUTPUT_STREAM,
    follow: Follow = False,
    pretty: Pretty = False,
    start: Start = From.TRIM_HORIZON,
) -> None:
    """Print the records of all shards of a stream; with --follow also those still to come.

    The records of an aggregated record are printed one by one.
    """
    read = read_stream(stream, StartingPosition(start.value), follow=follow)
    show = print_json if pretty else print_json_line
    try:
        for data in itertools.chain.from_iterable(map(user_records, read)):
            show(_as_json(data))
            if follow:
                sys.stdout.flush()
        sys.stdout.flush()
    except BrokenPipeError:  # `millrace drain | head`: its reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def create(streams: Names = None, shards: Shards = 1, state_table: StateTable = "") -> None:
    """Create streams, and a table for state, and wait until they are active; one that exists is left alone."""
    if not streams and not state_table:
        raise typer.BadParameter("name streams, or --state-table", param_hint="STREAMS")
    for stream in streams or ():
        made = create_stream(stream, shards)
        print_line(f"{stream}: {'created' if made else 'exists already'}")
    if state_table:
        made = create_state_table(state_table)
        print_line(f"table {state_table}: {'created' if made else 'exists already'}")


def _as_json(data: bytes) -> object:
    """Return a record's data as JSON; data that is not JSON in base64."""
    try:
        return msgspec.Raw(msgspec.json.format(data.decode(), indent=-1).encode())
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {"data_base64": base64.b64encode(data).decode()}
