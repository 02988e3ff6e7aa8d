"""`feed`, `drain` and `create`: records onto a stream, off a stream, and the stream itself."""

from __future__ import annotations

import base64
import enum
import itertools
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress

from app.cli.examples import INPUT_STREAM, OUTPUT_STREAM, RECORD
from app.errors import CloudError, EventError
from app.pipelines.bike.synthetic import synthetic_rows
from app.stream.deadline import Deadline
from app.stream.emit import CALL_RECORDS, CONCURRENT_CALLS, Writer
from app.stream.putrecords import SignedPutRecords, check_stream
from app.stream.shards import StartingPosition, create_stream, read_stream
from app.stream.tracker import Tracker

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FEED_WITHIN_S = 60  # for one call's worth of records; a stream that takes longer needs more shards
TICKS_PER_S = 10  # how often a rate is kept: smooth enough to watch


class From(enum.StrEnum):
    """Where reading begins."""

    TRIM_HORIZON = "TRIM_HORIZON"
    LATEST = "LATEST"


Lines = Annotated[
    Path | None,
    typer.Argument(help="JSON lines, a record each, or - for standard input; without it the seed's record."),
]
Input = Annotated[str, typer.Option("--stream", envvar="KINESIS_STREAM_INPUT", help="The stream to feed.")]
Key = Annotated[str | None, typer.Option(help="Partition key of every record; else its pred_id, else its line.")]
Rate = Annotated[float | None, typer.Option(min=0.1, help="Records a second; as fast as may be without.")]
Count = Annotated[int | None, typer.Option(min=1, help="How many; a file is repeated or cut short to it.")]
OutputName = Annotated[str, typer.Option("--stream", envvar="OUTPUT_STREAM", help="The stream to read.")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Wait for more until Ctrl-C.")]
Pretty = Annotated[bool, typer.Option("--pretty", help="Indented JSON instead of a line a record.")]
Start = Annotated[From, typer.Option("--from", help="All there is, or only what comes.")]
Names = Annotated[list[str], typer.Argument(help="Names of streams.")]
Shards = Annotated[int, typer.Option(min=1, help="Shards of each.")]


def register(cli: typer.Typer) -> None:
    """Adds the commands."""
    cli.command()(feed)
    cli.command()(drain)
    cli.command()(create)


def feed(
    lines: Lines = None, stream: Input = INPUT_STREAM, key: Key = None, rate: Rate = None, count: Count = None
) -> None:
    """Put records on a stream: the seed's one, a file of JSON lines, or made-up bike rows at a rate.

    Examples: millrace feed;  millrace feed rows.jsonl;  millrace feed --rate 100 --count 5000
    """
    if lines is None and rate is None and count is None:
        payloads: list[bytes] | Iterator[bytes] = [msgspec.json.encode(RECORD)]
        key, total = key or "1", 1
    elif lines is None:
        total = count or sys.maxsize
        payloads = made_up(total)
    else:
        found = _read_lines(lines)
        total = count or len(found)
        payloads = itertools.islice(itertools.cycle(found), total)
    console = Console(stderr=True)
    shown = None if total == sys.maxsize else total
    records = ((key or _key_of(payload, number), payload) for number, payload in enumerate(payloads, 1))
    check_stream(SignedPutRecords(1), stream)
    done = 0
    try:
        with Progress(console=console, transient=True) as progress:
            task = progress.add_task(f"to {stream}", total=shown)
            for fed in feed_stream(stream, records, rate):
                done += fed
                progress.update(task, advance=fed)
    finally:
        console.print(f"{done} record{'s' * (done != 1)} put on {stream}", highlight=False)


def drain(
    stream: OutputName = OUTPUT_STREAM,
    follow: Follow = False,
    pretty: Pretty = False,
    start: Start = From.TRIM_HORIZON,
) -> None:
    """Print the records of all shards of a stream: what is there, or with --follow what comes too."""
    try:
        for data in read_stream(stream, StartingPosition(start.value), follow=follow):
            text = _legible(data)
            sys.stdout.write((msgspec.json.format(text, indent=2) if pretty else text) + "\n")
            if follow:
                sys.stdout.flush()
        sys.stdout.flush()
    except BrokenPipeError:  # `millrace drain | head`: its reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def create(streams: Names, shards: Shards = 1) -> None:
    """Create streams and wait until they are active; those that exist already are left alone."""
    for stream in streams:
        made = create_stream(stream, shards)
        sys.stdout.write(f"{stream}: {'created' if made else 'exists already'}\n")


def feed_stream(stream: str, records: Iterable[tuple[str, bytes]], rate: float | None = None) -> Iterator[int]:
    """Puts records (partition key, data) on a stream, in order per key; yields how many each step put.

    Raises:
        CloudError: Some were never accepted.
    """
    writer = Writer(SignedPutRecords(CONCURRENT_CALLS))
    step = CALL_RECORDS * 4 if rate is None else max(1, round(rate / TICKS_PER_S))
    waiting = iter(records)
    began, fed = time.monotonic(), 0
    while chunk := list(itertools.islice(waiting, step)):
        deadline, tracker = Deadline(FEED_WITHIN_S), Tracker(len(chunk))
        emission = writer.begin(tracker, deadline)
        rows = range(len(chunk))
        tracker.expect(rows)
        emission.add(stream, rows, [key for key, _ in chunk], [data for _, data in chunk])
        tracker.settle(rows)
        emission.finish()
        accepted = emission.accepted[stream]
        fed += accepted
        yield accepted
        if emission.failure:
            raise emission.failure
        if tracker.prefix < len(chunk):
            raise CloudError(
                f"stream {stream}: {len(chunk) - accepted} of {len(chunk)} records not accepted within "
                f"{FEED_WITHIN_S} s ({emission.passing}): is the endpoint up, and are there enough shards?"
            )
        if rate:
            time.sleep(max(0.0, began + fed / rate - time.monotonic()))
    writer.close()


def made_up(count: int, seed: int = 0) -> Iterator[bytes]:
    """Bike records of our own making, as payloads."""
    for number, row in enumerate(synthetic_rows(count, seed), 1):
        yield msgspec.json.encode(bike_record(row, number))


def bike_record(row: dict[str, Any], pred_id: int) -> dict[str, Any]:
    """A table's row as a record of the input stream."""
    return {"features": {name: value for name, value in row.items() if name != "cnt"}, "pred_id": pred_id}


def _key_of(payload: bytes, number: int) -> str:
    """A record's partition key: its `pred_id`, or its place where it has none."""
    try:
        value = msgspec.json.decode(payload).get("pred_id")
    except (msgspec.MsgspecError, ValueError, AttributeError):
        value = None
    return str(value)[:256] if isinstance(value, (int, str)) and value != "" else str(number)


def _read_lines(path: Path) -> list[bytes]:
    try:
        text = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
        found = [line for line in text.splitlines() if line.strip()]
    except OSError as error:
        raise EventError(f"{path}: cannot be read: {error.strerror}") from None
    if not found:
        raise EventError(f"{path}: has no lines; write one JSON record a line")
    return found


def _legible(data: bytes) -> str:
    """A record's data as one line of JSON; what is not JSON comes as base64."""
    try:
        return msgspec.json.format(data, indent=-1).decode()
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return msgspec.json.encode({"data_base64": base64.b64encode(data).decode()}).decode()
