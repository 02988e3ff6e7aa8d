"""`mapping`: the local event source mapping in front of any function, with AWS's own settings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.text import Text
from typer.core import TyperCommand

from app.budgets import MOST_SETTINGS_BYTES
from app.cli.driving import CheckpointPath, drive, open_here, show_batch
from app.cli.terminal import Watched, configure_logs, is_watched, note, open_console
from app.domain import INPUT_STREAM
from app.errors import SettingsError
from app.storage.files import read_regular
from app.stream.mapping import Mapping, MappingSettings
from app.stream.mapping.checkpoint import CheckpointFile
from app.stream.mapping.emulator import EMULATOR_TIMEOUT_S, Emulator
from app.stream.mapping.intrinsics import parameters_of
from app.stream.mapping.settings import settings_of
from app.stream.mapping.template import load_mapping
from app.text import json_text, without_bom

if TYPE_CHECKING:
    from collections.abc import Mapping as ReadMapping
    from collections.abc import Sequence

    from app.stream.mapping.invoke import Handler, Target


class PlainHelp(TyperCommand):
    """Help without frames, which would cut AWS's long names off."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - handed on as they come
        """Make the command as Typer does, without rich's frames."""
        super().__init__(*args, **{**kwargs, "rich_markup_mode": None})


def _aws(text: str) -> Any:  # noqa: ANN401 - Typer's own type
    return typer.Option(help=text, show_default=False)


def _here(text: str, *names: str) -> Any:  # noqa: ANN401 - Typer's own type
    return typer.Option(*names, help=f"{text} Here only.", show_default=False)


StreamName = Annotated[str | None, _here("The stream, by its name. Also KINESIS_STREAM_INPUT.")]
SourceArn = Annotated[str | None, _aws("The stream, by its ARN.")]
Enabled = Annotated[bool | None, _aws("Whether to poll and invoke at all. [AWS: true]")]
BatchSize = Annotated[int | None, _aws("Records an invocation, 1 to 10000. [AWS: 100]")]
BatchingWindow = Annotated[float | None, _aws("Seconds to gather records for, 0 to 300. [AWS: 0]")]
Position = Annotated[str | None, _aws("TRIM_HORIZON, LATEST or AT_TIMESTAMP. [here: TRIM_HORIZON]")]
PositionTime = Annotated[str | None, _aws("Seconds since 1970, or ISO 8601; with AT_TIMESTAMP.")]
Parallel = Annotated[int | None, _aws("Batches of a shard at once, 1 to 10. [AWS: 1]")]
ResponseTypes = Annotated[list[str] | None, _aws("ReportBatchItemFailures, or none. [AWS: none]")]
Bisect = Annotated[bool | None, _aws("Halve a batch that failed. [AWS: false]")]
Retries = Annotated[int | None, _aws("Retries before a batch is discarded, -1 to 10000. [AWS: -1, infinite]")]
RecordAge = Annotated[int | None, _aws("Seconds until a record is discarded, -1 or 60 to 604800. [AWS: -1, infinite]")]
Tumbling = Annotated[int | None, _aws("Seconds of a tumbling window, 0 to 900. [AWS: 0, none]")]
OnFailure = Annotated[str | None, _aws('An ARN, or {"OnFailure": {"Destination": ARN}}, of a queue, topic or bucket.')]
Criteria = Annotated[str | None, _aws('{"Filters": [{"Pattern": …}]}, or file://PATH of it.')]
FunctionName = Annotated[str | None, _aws("The function's name or ARN, for failure records.")]

Urls = Annotated[
    list[str] | None,
    _here("Where an emulator takes invocations, http://host:port; again for each further one. "
          "Without: the pipeline in this process."),
]  # fmt: skip
File = Annotated[
    Path | None,
    _here("A CloudFormation or SAM template, or the output of `aws lambda get-event-source-mapping`.", "--from"),
]
LogicalId = Annotated[str, _here("Which mapping of the file: its logical id, or its UUID.")]
Parameters = Annotated[list[str] | None, _here("NAME=VALUE of a parameter of the template; repeatable.")]
TimeoutOption = Annotated[float | None, _here("Seconds an invocation may take. [60 in this process, 905 over HTTP]")]
Drain = Annotated[bool, _here("Stop once all that is in the stream has been processed.", "--drain")]


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command(cls=PlainHelp)(mapping)


def mapping(
    stream_name: StreamName = None,
    event_source_arn: SourceArn = None,
    function_url: Urls = None,
    from_file: File = None,
    logical_id: LogicalId = "",
    parameter: Parameters = None,
    enabled: Enabled = None,
    batch_size: BatchSize = None,
    maximum_batching_window_in_seconds: BatchingWindow = None,
    starting_position: Position = None,
    starting_position_timestamp: PositionTime = None,
    parallelization_factor: Parallel = None,
    function_response_types: ResponseTypes = None,
    bisect_batch_on_function_error: Bisect = None,
    maximum_retry_attempts: Retries = None,
    maximum_record_age_in_seconds: RecordAge = None,
    tumbling_window_in_seconds: Tumbling = None,
    destination_config: OnFailure = None,
    filter_criteria: Criteria = None,
    function_name: FunctionName = None,
    timeout: TimeoutOption = None,
    checkpoint: CheckpointPath = None,
    drain: Drain = False,
) -> None:
    """Drive a function from a stream until Ctrl-C, as Lambda's event source mapping would.

    Settings have the names, bounds and defaults of AWS's API, and may come from a file; options override the file.
    Standard error lists the settings in force, and shows a line a batch.
    """
    configure_logs()
    options: dict[str, Any] = {
        "StreamName": stream_name,
        "EventSourceArn": event_source_arn,
        "Enabled": enabled,
        "BatchSize": batch_size,
        "MaximumBatchingWindowInSeconds": maximum_batching_window_in_seconds,
        "StartingPosition": starting_position,
        "StartingPositionTimestamp": starting_position_timestamp,
        "ParallelizationFactor": parallelization_factor,
        "FunctionResponseTypes": [each for each in function_response_types if each]
        if function_response_types
        else None,
        "BisectBatchOnFunctionError": bisect_batch_on_function_error,
        "MaximumRetryAttempts": maximum_retry_attempts,
        "MaximumRecordAgeInSeconds": maximum_record_age_in_seconds,
        "TumblingWindowInSeconds": tumbling_window_in_seconds,
        "DestinationConfig": _destination(destination_config),
        "FilterCriteria": _json("--filter-criteria", filter_criteria),
        "FunctionName": function_name,
        "Timeout": timeout,
    }
    given = {name: value for name, value in options.items() if value is not None}
    loaded: dict[str, Any] = {}
    if not from_file and (logical_id or parameter):
        raise SettingsError("--logical-id and --parameter go with --from")
    if from_file:
        loaded = load_mapping(from_file, name=logical_id, parameters=parameters_of(parameter or []), overridden=given)
    values = loaded | given
    if not {"StreamName", "EventSourceArn"} & set(values):
        values["StreamName"] = os.environ.get("KINESIS_STREAM_INPUT") or INPUT_STREAM
    settings = settings_of(values)
    kept = CheckpointFile(checkpoint) if checkpoint else None
    function: Handler | list[Target]
    watched = None
    if function_url:
        function = [Emulator(url, timeout or EMULATOR_TIMEOUT_S) for url in function_url]
    else:
        function = open_here(settings).handle
        if is_watched():
            function = watched = Watched(function)
    driven = Mapping(settings, function, lambda report: show_batch(report, watched), checkpoint=kept)
    _show_settings(settings, function_url or [])
    if not settings.enabled:
        note("Enabled is false: nothing is polled; --enabled goes over it")
        return
    drive(driven, drain=drain)


def _destination(text: str | None) -> Any:  # noqa: ANN401 - checked with the other settings
    if text is None or text.lstrip().startswith(("{", "file://")):
        return _json("--destination-config", text)
    return {"OnFailure": {"Destination": text}}


def _json(option: str, text: str | None) -> Any:  # noqa: ANN401 - checked with the other settings
    """Read an option's JSON, or that of the file it names."""
    if text is None:
        return None
    try:
        path = text.removeprefix("file://")
        raw = read_regular(Path(path), MOST_SETTINGS_BYTES) if path != text else os.fsencode(text)
    except OSError as error:
        raise SettingsError(f"{option}: {text}: cannot be read: {error.strerror}") from None
    try:
        return msgspec.json.decode(without_bom(raw))
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise SettingsError(f"{option}: not JSON") from None


def _show_settings(settings: MappingSettings, urls: Sequence[str]) -> None:
    """Tell the person every setting with its value, under AWS's names."""
    values: ReadMapping[str, Any] = msgspec.to_builtins(settings)
    note(f"{settings.stream} → {', '.join(urls) or 'the pipeline in this process'}; Ctrl-C stops")
    left_out = {"StreamName", "EventSourceArn", "UUID"} | ({"Timeout"} if urls else set())  # over HTTP it has no effect
    out = open_console(stderr=True, soft_wrap=True)
    for name, value in values.items():
        if name not in left_out and value is not None:
            text = value if isinstance(value, (str, int, float)) else json_text(value)
            out.print(Text.assemble("  ", (name, "dim"), f" {text}"))
