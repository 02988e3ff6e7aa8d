"""`feed`, `drain` and `create`: put records on a stream, print those of one, make one."""

from __future__ import annotations

import base64
import codecs
import enum
import itertools
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress

from app.cli.examples import ALERT_PIPELINES, ALERT_STREAM, INPUT_STREAM, OUTPUT_STREAM
from app.cli.feeding import feed_aggregates, feed_stream
from app.cli.terminal import counted, note
from app.domains.bike import RECORD
from app.domains.bike.synthetic import synthetic_records
from app.errors import EventError, LocationError
from app.storage.state import create_state_table
from app.stream.aggregation import MAGIC, SubRecords, split
from app.stream.aggregation_writer import AGGREGATE_BYTES
from app.stream.hints import OF_WHOLE_FILES, hint_of
from app.stream.putrecords import SignedPutRecords, check_stream
from app.stream.shards import StartingPosition, create_stream, read_stream

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_KEY = 256  # Kinesis's limit on a partition key, in characters


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
        help="The pipeline that will read them: alerts, or any other.",
        show_default="bike",
    ),
]
Input = Annotated[
    str | None,
    typer.Option(
        "--stream", envvar="KINESIS_STREAM_INPUT", help=f"The stream to feed; else {INPUT_STREAM}, or {ALERT_STREAM}."
    ),
]
Key = Annotated[
    str | None,
    typer.Option(help="Partition key of every record; else its pred_id, else its line; of an alert its tenant."),
]
KeyField = Annotated[
    str | None, typer.Option(help="Field of each record whose value is its partition key; for a sensor's state, say.")
]
Rate = Annotated[float | None, typer.Option(min=0.1, help="Records a second; as fast as may be without.")]
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
    """Put records on a stream: an example, a file's, or made-up bike records at a rate.

    With --pipeline alerts a file is alerts of any format, an AIT-ADS table too, gzip or not; without one alerts are
    made up.

    Examples: millrace feed;  millrace feed rows.jsonl;  millrace feed --rate 100 --count 5000;
    millrace feed rows.jsonl --aggregate;  millrace feed --pipeline alerts ait_ads_shaw.csv.gz --rate 500
    """
    alerts = pipeline.startswith(ALERT_PIPELINES)
    if key_field is not None and (alerts or key is not None):
        other = "--pipeline alerts, whose key is the tenant" if alerts else "--key"
        raise typer.BadParameter(f"goes without {other}", param_hint="--key-field")
    stream = stream or (ALERT_STREAM if alerts else INPUT_STREAM)
    total: int | None
    if alerts:
        from app.domains.alerts.cli.input import alert_records  # noqa: PLC0415 - no other command pays for its formats

        records, total = alert_records(lines, count, endless=rate is not None, key=key)
    else:
        records, total = _other_records(lines, count, key, key_field, at_a_rate=rate is not None)
    console = Console(stderr=True)
    check_stream(SignedPutRecords(1), stream)
    done = aggregates = 0
    try:
        with Progress(console=console, transient=True) as progress:
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


def _other_records(
    lines: Path | None, count: int | None, key: str | None, key_field: str | None, *, at_a_rate: bool
) -> tuple[Iterator[tuple[str, bytes]], int | None]:
    """Return records (partition key, data) for pipelines that read JSON, and how many if that is known."""
    if lines is None and not at_a_rate and count is None:
        payloads: list[bytes] | Iterator[bytes] = [msgspec.json.encode(RECORD)]
        key, total = key or (None if key_field else "1"), 1
    elif lines is None:
        total = count or sys.maxsize
        payloads = synthetic_records(total)
    else:
        found = _read_records(lines)
        total = count or len(found)
        payloads = itertools.islice(itertools.cycle(found), total)
        if key_field is not None:  # before the first record is put, so that none is put if one lacks it
            for number, payload in enumerate(found, 1):
                _field_of(payload, key_field, number)
    shown = None if total == sys.maxsize else total
    if key_field is not None:
        keyed = ((_field_of(payload, key_field, number), payload) for number, payload in enumerate(payloads, 1))
        return keyed, shown
    return ((key or _key_of(payload, number), payload) for number, payload in enumerate(payloads, 1)), shown


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
    try:
        for data in itertools.chain.from_iterable(map(_user_records, read)):
            text = _as_json_line(data)
            sys.stdout.write((msgspec.json.format(text, indent=2) if pretty else text) + "\n")
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
        sys.stdout.write(f"{stream}: {'created' if made else 'exists already'}\n")
    if state_table:
        made = create_state_table(state_table)
        sys.stdout.write(f"table {state_table}: {'created' if made else 'exists already'}\n")


def _key_of(payload: bytes, number: int) -> str:
    """Return a record's partition key: its `pred_id`, or its number where it has none."""
    try:
        value = msgspec.json.decode(payload).get("pred_id")
    except (msgspec.MsgspecError, ValueError, AttributeError):
        value = None
    return str(value)[:LONGEST_KEY] if isinstance(value, (int, str)) and value != "" else str(number)


def _field_of(payload: bytes, field: str, number: int) -> str:
    """Return the value of a record's field as its partition key.

    Raises:
        EventError: The record has no such field, or its value is no text or whole number that can be a key.
    """
    try:
        record = msgspec.json.decode(payload)
    except (msgspec.MsgspecError, ValueError):
        record = None
    if not isinstance(record, dict) or field not in record:
        raise EventError(f"record {number}: has no field {field!r}, whose value would be its partition key")
    value = record[field]
    if isinstance(value, bool) or not isinstance(value, (int, str)) or not 0 < len(str(value)) <= LONGEST_KEY:
        raise EventError(
            f"record {number}: field {field!r} is no partition key: it must be a whole number, or text of 1 to "
            f"{LONGEST_KEY} characters"
        )
    return str(value)


def _read_records(path: Path) -> list[bytes]:
    """Read a file of JSON lines, or of one JSON document over several lines: an object, or a list of records.

    Raises:
        LocationError: The file cannot be read.
        EventError: It holds no records, or is something else than text in UTF-8.
    """
    try:
        if str(path) == "-":
            if sys.stdin.isatty():
                note("reading records from standard input, one a line, until Ctrl-D")
            data = sys.stdin.buffer.read()
        else:
            data = path.read_bytes()
    except OSError as error:
        raise LocationError(f"{path}: cannot be read: {error.strerror}; name a file, or - for standard input") from None
    if (hint := hint_of(data)) in OF_WHOLE_FILES:
        raise EventError(f"{path}: {hint}")
    data = data.removeprefix(codecs.BOM_UTF8).strip()
    lines = [line for line in data.splitlines() if line.strip()]
    if not lines:
        raise EventError(f"{path}: has no lines; write one JSON record a line")
    unreadable = [number for number, line in enumerate(lines) if not _is_json(line)]
    if unreadable and _is_json(data):  # one document over several lines
        return list(map(bytes, msgspec.json.decode(data, type=list[msgspec.Raw]))) if data[0] == ord("[") else [data]
    if unreadable:
        hint = hint_of(lines[unreadable[0]])
        note(
            f"{len(unreadable)} of {counted(len(lines), 'line')} are not JSON, the first is line {unreadable[0] + 1}"
            f"{f': {hint}' if hint else ''}; a pipeline that reads JSON will set them aside"
        )
    return lines


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
    return True


def _user_records(data: bytes) -> list[bytes]:
    """Return the records in an aggregated record; any other data as the only one."""
    found = split(data) if data.startswith(MAGIC) else None
    return found.datas if isinstance(found, SubRecords) else [data]


def _as_json_line(data: bytes) -> str:
    """Return a record's data as one line of JSON; data that is not JSON in base64."""
    try:
        return msgspec.json.format(data, indent=-1).decode()
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return msgspec.json.encode({"data_base64": base64.b64encode(data).decode()}).decode()
