"""Checks of a deployed function: its configuration, its environment and its event source mappings.

Functions go by what GetFunctionConfiguration says of them
(https://docs.aws.amazon.com/lambda/latest/api/API_GetFunctionConfiguration.html).
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from app import aws
from app.doctor.finding import Finding, Severity
from app.doctor.mapping import Case, examine_mapping, stream_of
from app.doctor.settings import examine_settings
from app.doctor.streams import SHARD_RECORDS_PER_S, Streams, is_provisioned
from app.errors import SettingsError
from app.registry import read_all_settings, settings_of_domains
from app.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

KINESIS = ":kinesis:"
DEFAULT_TIMEOUT_S, DEFAULT_MEMORY_MB = 3, 128  # Lambda's own
LONGEST_TIMEOUT_S = 900
SHORTEST_TIMEOUT_S = 10  # one PutRecords call that hangs is given up after 5 s, and then tried again
LEAST_MEMORY_MB = 256  # a full event of 6 MB needs it; less is less processor too
ROOM_S = 60  # for a batch, past the window in which it gathered


@dataclass(frozen=True)
class Function:
    """A function's configuration, and the name that the user gave."""

    name: str
    configuration: Mapping[str, Any]

    @property
    def where(self) -> str:
        """Return the function's name in a finding."""
        return f"function {self.name}"

    @property
    def timeout_s(self) -> int:
        """Return the seconds that an invocation may take."""
        return int(self.configuration.get("Timeout", DEFAULT_TIMEOUT_S))

    @property
    def variables(self) -> dict[str, str]:
        """Return its environment variables."""
        return dict((self.configuration.get("Environment") or {}).get("Variables") or {})

    def update(self, change: str) -> str:
        """Return the command that changes its configuration."""
        return f"aws lambda update-function-configuration --function-name {self.name} {change}"

    def set_variables(self, **new: str) -> str:
        """Return a command that sets variables and keeps the others, which AWS's own would drop.

        It shows none of the others: they may be secrets.
        """
        merge = (
            'import json, sys; found = (json.load(sys.stdin) or {}).get("Variables", {}); '
            f'found.update({json.dumps(new)}); print(json.dumps({{"Variables": found}}))'
        )
        read = f"aws lambda get-function-configuration --function-name {self.name} --query Environment --output json"
        return self.update(f'--environment "$({read} | python3 -c {shlex.quote(merge)})"')


def examine_function(name: str, record_bytes: int) -> Iterator[str | Finding]:
    """Ask AWS for a function and its mappings, and check them and their streams.

    Args:
        name: The function's name or ARN, with an alias or version if the mapping has one.
        record_bytes: The size of a usual record's data.

    Raises:
        CloudError: Lambda cannot be asked, or has no such function.
        CredentialsError: AWS refuses the credentials.
    """
    with aws.explaining(f"function {name}"):
        function, mappings = _read(name)
    yield f"{function.where}: {len(mappings)} mapping(s) of Kinesis streams"
    yield from examine_configuration(function, mappings)
    settings = None
    try:
        settings = read_all_settings(function.variables)
    except SettingsError as error:
        variable = str(error).partition(" ")[0]  # `TEST_RUN is 'maybe': …`
        mend = function.set_variables(**{variable: _default_of(variable)})
        yield Finding(
            Severity.ERROR, function.where, str(error), "the function cannot start, and its shards wait", mend
        )
    streams = Streams()
    for mapping in mappings:
        source = stream_of(mapping)
        case = Case(mapping, settings, streams.describe(source), record_bytes)
        if settings:
            yield from examine_settings(settings, source, function.where, function.set_variables, deployed=True)
            yield from streams.examine(settings, source)
            output = streams.describe(settings.output_stream) if settings.output_stream else {}
            yield from examine_pair(function, case, settings, output)
        yield from examine_mapping(case)


def examine_configuration(function: Function, mappings: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """Find faults in the function's own configuration."""
    if not mappings:
        yield Finding(
            Severity.ERROR,
            function.where,
            "no event source mapping of a Kinesis stream invokes it",
            "nothing is read",
            f"aws lambda create-event-source-mapping --function-name {function.name} --event-source-arn STREAM_ARN "
            "--starting-position TRIM_HORIZON --function-response-types ReportBatchItemFailures "
            "--bisect-batch-on-function-error",
        )
    found = function.configuration
    state, update = found.get("State", "Active"), found.get("LastUpdateStatus", "Successful")
    if state not in {"Active", "Inactive"} or update == "Failed":  # an inactive one wakes at the next invocation
        reason = found.get("StateReason") or found.get("LastUpdateStatusReason") or "no reason given"
        yield Finding(
            Severity.ERROR,
            function.where,
            f"is {state}, its last update {update}: {reason}",
            "it may not be invoked, and its shards wait",
            f"aws lambda wait function-active-v2 --function-name {function.name}",
        )
    memory = int(found.get("MemorySize", DEFAULT_MEMORY_MB))
    if memory < LEAST_MEMORY_MB:
        yield Finding(
            Severity.WARNING,
            function.where,
            f"has {memory} MB of memory",
            "a full event and a model may need more: a function that is ended for memory returns its batch whole",
            function.update(f"--memory-size {LEAST_MEMORY_MB}"),
        )
    if function.timeout_s < SHORTEST_TIMEOUT_S:
        yield Finding(
            Severity.WARNING,
            function.where,
            f"times out after {function.timeout_s} s",
            "a cold start and one slow PutRecords call take longer, and the batch comes again",
            function.update(f"--timeout {ROOM_S}"),
        )


def _default_of(variable: str) -> str:
    """Return a variable's default as text."""
    kinds: list[type[msgspec.Struct]] = [Settings, *settings_of_domains()]
    for kind in kinds:
        for each in msgspec.structs.fields(kind):
            if each.name.upper() == variable and each.default is not msgspec.NODEFAULT:
                return str(each.default)
    return ""


def examine_pair(function: Function, case: Case, settings: Settings, output: Mapping[str, Any]) -> Iterator[Finding]:
    """Find faults that only a function and its mapping together have: they disagree, or a batch takes too long.

    Args:
        function: The function.
        case: One of its mappings.
        settings: What the function's environment says.
        output: The summary of its output stream; empty if there is none.
    """
    if case.reports_failures and not settings.partial_responses:
        yield Finding(
            Severity.WARNING,
            function.where,
            "has no PARTIAL_RESPONSES=True, and its mapping has ReportBatchItemFailures",
            "it raises where it could name one record: the whole batch comes again, and its results once more",
            function.set_variables(PARTIAL_RESPONSES="True"),
        )
    seconds = function.timeout_s - settings.deadline_margin_ms / 1000
    if seconds <= 0:
        yield Finding(
            Severity.ERROR,
            function.where,
            f"times out after {function.timeout_s} s, and DEADLINE_MARGIN_MS is {settings.deadline_margin_ms}",
            "no time is left to process anything: every batch is handed back",
            function.set_variables(DEADLINE_MARGIN_MS="500"),
        )
        return
    window = int(case.mapping.get("MaximumBatchingWindowInSeconds", 0))
    if function.timeout_s < window:
        yield Finding(
            Severity.WARNING,
            function.where,
            f"times out after {function.timeout_s} s, and its batches gather for {window} s",
            "a batch may hold more than can be done in that time, although the function keeps up on average",
            function.update(f"--timeout {min(LONGEST_TIMEOUT_S, window + ROOM_S)}"),
        )
    batch, shards = int(case.mapping.get("BatchSize", 100)), int(output.get("OpenShardCount", 0))
    if shards and is_provisioned(output) and batch > seconds * shards * SHARD_RECORDS_PER_S:
        yield Finding(
            Severity.WARNING,
            function.where,
            f"puts up to {batch} results on {shards} shard(s) of {settings.output_stream} in {seconds:g} s",
            f"a shard takes {SHARD_RECORDS_PER_S} records a second: the rest of such a batch is handed back each time",
            f"aws kinesis update-shard-count --stream-name {settings.output_stream} --scaling-type UNIFORM_SCALING "
            f"--target-shard-count {-int(-batch // (seconds * SHARD_RECORDS_PER_S))}",
        )


def _read(name: str) -> tuple[Function, list[dict[str, Any]]]:
    """Read the function, and its mappings of Kinesis streams."""
    client = aws.client("lambda")
    function = Function(name, client.get_function_configuration(FunctionName=name))
    pages = client.get_paginator("list_event_source_mappings").paginate(FunctionName=name)
    mappings = [mapping for page in pages for mapping in page["EventSourceMappings"]]
    return function, [each for each in mappings if KINESIS in str(each.get("EventSourceArn", ""))]
