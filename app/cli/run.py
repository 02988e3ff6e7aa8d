"""`run` and `explain`: the pipeline on a stream, and on one record."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console

from app.cli.driving import drive, open_here
from app.cli.examples import INPUT_STREAM
from app.domains.bike import RECORD
from app.errors import EventError
from app.registry import open_runtime
from app.settings import read_settings
from app.stream.aggregation import MAGIC, SubRecords, split
from app.stream.batch import Quarantine
from app.stream.mapping import REPORT_FAILURES, Mapping, MappingSettings
from app.stream.payload import decode_payload
from app.telemetry import emit_metrics

if TYPE_CHECKING:
    from collections.abc import Mapping as ReadMapping

    Dimensions = ReadMapping[str, str]
    Numbers = ReadMapping[str, float]

Stream = Annotated[str, typer.Option(envvar="KINESIS_STREAM_INPUT", help="The stream to read.")]
BatchSize = Annotated[int, typer.Option(help="Records an invocation, 1 to 10000.")]
Window = Annotated[float, typer.Option(help="Seconds to gather records for, 0 to 300.")]
Start = Annotated[str, typer.Option(help="TRIM_HORIZON, LATEST or AT_TIMESTAMP.")]
StartTime = Annotated[float | None, typer.Option(help="Seconds since 1970, for AT_TIMESTAMP.")]
Timeout = Annotated[float, typer.Option(min=1, max=900, help="Seconds an invocation may take.")]
Drain = Annotated[bool, typer.Option("--drain", help="Stop once all that is in the stream has been processed.")]
RecordText = Annotated[str | None, typer.Argument(help="JSON, @FILE, or - for standard input.")]


def register(cli: typer.Typer) -> None:
    """Adds the commands."""
    cli.command()(run)
    cli.command()(explain)


def run(
    stream: Stream = INPUT_STREAM,
    batch_size: BatchSize = 100,
    window: Window = 0,
    starting_position: Start = "TRIM_HORIZON",
    starting_position_timestamp: StartTime = None,
    timeout: Timeout = 60,
    drain: Drain = False,
) -> None:
    """Read a stream and process it until Ctrl-C, as Lambda's event source mapping would.

    The environment says the rest: OUTPUT_STREAM, QUARANTINE_STREAM, PIPELINE, RUN_ID (README). Standard error shows a
    line a batch: for a person on a terminal, elsewhere as CloudWatch would get it.
    """
    console = Console(stderr=True)
    settings = MappingSettings(
        stream_name=stream,
        batch_size=batch_size,
        maximum_batching_window_in_seconds=window,
        starting_position=starting_position,
        starting_position_timestamp=starting_position_timestamp,
        function_response_types=(REPORT_FAILURES,),
        timeout=timeout,
    )
    measure = partial(_show_batch, console) if console.is_terminal else emit_metrics
    runtime = open_here(settings, measure)
    mapping = Mapping(settings, runtime.handle)
    streams = dict.fromkeys((runtime.settings.output_stream, *runtime.settings.output_streams.values()))
    names = ", ".join(filter(None, streams)) if not runtime.settings.test_run else ""
    console.print(f"{stream} → {names or 'nowhere (TEST_RUN)'}; Ctrl-C stops", highlight=False)
    drive(mapping, console, drain=drain)


def _show_batch(
    console: Console, _namespace: str, _dimensions: Dimensions, counts: Numbers, milliseconds: Numbers
) -> None:
    """One line a batch for a person."""
    told = ", ".join(f"{value:g} {name.replace('_', ' ')}" for name, value in counts.items() if value)
    spent = ", ".join(f"{name} {milliseconds[name]:.0f} ms" for name in ("decode", "predict", "emit"))
    console.print(f"{told} [dim]({spent})[/]", highlight=False)


def explain(record: RecordText = None) -> None:
    """Show one record's way: bytes, decoded value, features, prediction, id. Nothing is published.

    A record that would be quarantined is explained too: with which reason, and what is wrong. Of an aggregated record
    the first one in it is explained.
    """
    payload = msgspec.json.encode(RECORD)
    if record is not None:
        payload = _read(record.removeprefix("@")) if record == "-" or record.startswith("@") else os.fsencode(record)
    # A pipeline that keeps state wants to know where, also when nothing is processed.
    settings = msgspec.structs.replace(read_settings(os.environ), test_run=True, state_table="never-read")
    processor = open_runtime(settings).processor_for(INPUT_STREAM)
    steps: dict[str, Any] = {"pipeline": processor.pipeline.name}
    found = split(payload) if payload.startswith(MAGIC) else None
    if isinstance(found, SubRecords):
        steps["aggregated records"] = len(found.datas)
        payload = next(iter(found.datas), b"")
    steps["bytes"] = len(payload)
    decoded = found if isinstance(found, Quarantine) else decode_payload(payload, processor.decoder)
    if isinstance(decoded, Quarantine):
        steps["quarantined"] = msgspec.to_builtins(decoded)
    else:
        steps.update(processor.pipeline.explain(decoded))
    if "quarantined" not in steps:
        steps["id"] = f"{INPUT_STREAM}/<shard>/<sequence number>/0/{processor.pipeline.name}/0"
    if sys.stdout.isatty():
        console = Console()
        for name, value in steps.items():
            shown = value if isinstance(value, (str, int, float)) else msgspec.json.encode(value, enc_hook=str).decode()
            console.print(f"[bold]{name:>16}[/bold]  {shown}", highlight=True)
    else:
        _print_json(steps)


def _read(source: str) -> bytes:
    """A file's bytes, or standard input's."""
    if source == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise EventError(f"{source}: cannot be read: {error.strerror}") from None


def _print_json(value: object) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2).decode() + "\n")
