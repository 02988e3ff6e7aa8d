"""`run` and `explain`: the pipeline on a stream, and on one record."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import msgspec
import typer
from rich.text import Text

from app.cli.driving import CheckpointPath, drive, open_here, show_batch
from app.cli.terminal import Watched, is_watched, note, open_console, print_json
from app.domain import INPUT_STREAM
from app.errors import EventError, MillraceError
from app.registry import example_record, open_to_explain
from app.settings import SPLIT_NONE, read_settings
from app.storage.files import open_named, over_bytes
from app.stream.aggregation import MAGIC, SubRecords, split
from app.stream.hints import FILE_NAME, hint_of
from app.stream.mapping import REPORT_FAILURES, Mapping, MappingSettings
from app.stream.mapping.checkpoint import CheckpointFile
from app.stream.outcomes import Quarantine
from app.stream.payload import MAX_JSON_BYTES, decode_payload
from app.stream.record_rows import rows_of
from app.text import json_text, without_bom, without_credentials

if TYPE_CHECKING:
    from app.stream.processor import Processor

Stream = Annotated[str, typer.Option(envvar="KINESIS_STREAM_INPUT", help="The stream to read.")]
BatchSize = Annotated[int, typer.Option(help="Records an invocation, 1 to 10000.")]
Window = Annotated[float, typer.Option(help="Seconds to gather records for, 0 to 300.")]
Start = Annotated[str, typer.Option(help="TRIM_HORIZON, LATEST or AT_TIMESTAMP.")]
StartTime = Annotated[float | None, typer.Option(help="Seconds since 1970, for AT_TIMESTAMP.")]
Timeout = Annotated[float, typer.Option(min=1, max=900, help="Seconds an invocation may take.")]
Drain = Annotated[bool, typer.Option("--drain", help="Stop once all that is in the stream has been processed.")]
RecordText = Annotated[
    str | None, typer.Argument(help="JSON, a file (of JSON lines the first), or - for standard input.")
]


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.command()(run)
    cli.command()(explain)


def run(
    stream: Stream = INPUT_STREAM,
    batch_size: BatchSize = 100,
    window: Window = 0,
    starting_position: Start = "TRIM_HORIZON",
    starting_position_timestamp: StartTime = None,
    timeout: Timeout = 60,
    checkpoint: CheckpointPath = None,
    drain: Drain = False,
) -> None:
    """Read a stream and process it until Ctrl-C, as Lambda's event source mapping would.

    Without --checkpoint each run begins at the starting position.

    Environment variables set the rest: OUTPUT_STREAM, QUARANTINE_STREAM, PIPELINE, RUN_ID. At a terminal, standard
    error shows a line a batch; elsewhere its metrics as CloudWatch gets them.
    """
    settings = MappingSettings(
        stream_name=stream,
        batch_size=batch_size,
        maximum_batching_window_in_seconds=window,
        starting_position=starting_position,
        starting_position_timestamp=starting_position_timestamp,
        function_response_types=(REPORT_FAILURES,),
        timeout=timeout,
    )
    kept = CheckpointFile(checkpoint) if checkpoint else None
    runtime = open_here(settings)
    if is_watched():
        watched = Watched(runtime.handle)
        mapping = Mapping(settings, watched, lambda report: show_batch(report, watched), checkpoint=kept)
    else:
        mapping = Mapping(settings, runtime.handle, checkpoint=kept)
    streams = dict.fromkeys((runtime.settings.output_stream, *runtime.settings.output_streams.values()))
    names = ", ".join(filter(None, streams)) if not runtime.settings.test_run else ""
    note(f"{stream} → {names or 'nowhere (TEST_RUN)'}; Ctrl-C stops")
    drive(mapping, drain=drain)


def explain(record: RecordText = None) -> None:
    """Show each step of one record: bytes, decoded value, features, prediction, id. Nothing is published.

    A record that would be quarantined is explained too: the reason, and what is wrong. Of an aggregated record, and of
    one that RECORD_SPLIT splits, the first row in it is explained.

    Examples: millrace explain;  millrace explain record.json;  millrace drain --stream in | millrace explain -
    """
    settings = read_settings(os.environ)
    payload = example_record(settings.pipeline_for(INPUT_STREAM)) if record is None else _payload_of(record)
    processor = open_to_explain(settings).processor_for(INPUT_STREAM)
    steps: dict[str, Any] = {"pipeline": processor.pipeline.name}
    found = split(payload) if payload.startswith(MAGIC) else None
    if isinstance(found, SubRecords):
        steps["aggregated records"] = len(found.datas)
        payload = next(iter(found.datas), b"")
    fault = found if isinstance(found, Quarantine) else None
    if settings.record_split != SPLIT_NONE and fault is None:
        rows = rows_of(payload, settings.record_split)
        steps["rows"] = len(rows.payloads)
        payload, fault = next(iter(rows.payloads), b""), rows.faults.get(0)
    steps["bytes"] = len(payload)
    decoded = fault or decode_payload(payload, processor.decoder)
    if isinstance(decoded, Quarantine):
        if decoded.reason == "not_json" and record is not None and payload == os.fsencode(record):  # no file's bytes
            decoded = msgspec.structs.replace(decoded, message=f"{decoded.message}; {_neither(record)}")
        steps["quarantined"] = msgspec.to_builtins(decoded)
    else:
        steps.update(_explained(processor, decoded))
    if "quarantined" not in steps:
        steps["id"] = f"{INPUT_STREAM}/<shard>/<sequence number>/0/{processor.pipeline.name}/0[/<version>]"
    if sys.stdout.isatty():
        out = open_console(soft_wrap=True)
        for name, value in steps.items():
            shown = value if isinstance(value, str) else json_text(value)
            out.print(Text.assemble((f"{name:>16}", "bold"), "  ", shown))
    else:
        print_json(steps)


def _explained(processor: Processor, record: object) -> dict[str, object]:
    """Return a pipeline's steps for a record; one on which it raises would be quarantined."""
    try:
        return dict(processor.pipeline.explain(record))
    except MillraceError:
        raise
    except Exception as error:  # noqa: BLE001 - the code of a user's own pipeline may raise anything
        return {
            "quarantined": {
                "reason": "pipeline_error",
                "message": without_credentials(f"{type(error).__name__}: {error}"),
            }
        }


def _payload_of(record: str) -> bytes:
    """Return a record's bytes: the given text itself, or what is in the file that it names; of JSON lines the first.

    Raises:
        EventError: The file cannot be read, or there is none of this name.
        BudgetError: The record is larger than any record of a stream.
    """
    if record == "-":
        return _first_record(sys.stdin.buffer, "standard input")
    name = record.removeprefix("@")  # curl's sign for a file
    if record.startswith("@") or os.path.lexists(name):
        try:
            with open_named(Path(name)) as file:
                return _first_record(file, name)
        except OSError as error:
            raise EventError(f"{name}: cannot be read: {error.strerror}; name a file") from None
    payload = os.fsencode(record)
    if hint_of(payload) == FILE_NAME:
        raise EventError(_neither(record))
    return payload


def _neither(record: str) -> str:
    return f"{record[:100]!r}: neither JSON nor an existing file"


def _first_record(file: BinaryIO, name: str) -> bytes:
    """Return the first line where each line of a file is a record, else all of it."""
    data = file.read(MAX_JSON_BYTES + 1)
    first = next((line for line in without_bom(data).splitlines() if line.strip()), b"")
    try:
        msgspec.json.decode(first, type=msgspec.Raw)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        first = data
    if len(first) > MAX_JSON_BYTES:
        raise over_bytes(name, MAX_JSON_BYTES, "no stream takes such a record")
    return first
