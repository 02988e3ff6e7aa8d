"""Checks of a deployed function: its configuration, its environment and its event source mappings.

Functions go by what GetFunctionConfiguration says of them
(https://docs.aws.amazon.com/lambda/latest/api/API_GetFunctionConfiguration.html).
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from app import aws
from app.doctor.case import Case, in_file, stream_of
from app.doctor.finding import Finding, Severity, aws_command
from app.doctor.locations import examine_location
from app.doctor.mapping import examine_mapping
from app.doctor.settings import examine_settings, examine_shared_state, mend_variable
from app.doctor.setup import Setup
from app.doctor.state import examine_state
from app.doctor.streams import SHARD_RECORDS_PER_S, Streams, is_provisioned, more_shards
from app.errors import SettingsError
from app.registry import read_all_settings
from app.stream.mapping.settings import REPORT_FAILURES

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from app.settings import Settings

KINESIS = ":kinesis:"
DEFAULT_TIMEOUT_S, DEFAULT_MEMORY_MB = 3, 128  # Lambda's own
LONGEST_TIMEOUT_S = 900
SHORTEST_TIMEOUT_S = 10  # one PutRecords call that hangs is given up after 5 s, and then tried again
LEAST_MEMORY_MB = 256  # a full event of 6 MB needs it; less is less processor too
ROOM_S = 60  # for a batch, past the window in which it gathered
STREAM_HANDLERS = ("app.lambda_function.lambda_handler", "lambda_function.lambda_handler")
"""The handlers that run the pipeline of `PIPELINE`; the image's own command is the first."""


@dataclass(frozen=True)
class Function:
    """A function that is deployed, or that a template has.

    Attributes:
        name: The name that the user gave, or its logical id.
        configuration: Its properties under the names of Lambda's API, which CloudFormation uses too.
        file: The template; empty for one that AWS was asked for.
    """

    name: str
    configuration: Mapping[str, Any]
    file: str = ""

    @property
    def where(self) -> str:
        """Return the function's name in a finding."""
        return f"function {self.name}" + (f" ({self.file})" if self.file else "")

    @property
    def handler(self) -> str:
        """Return its handler, where it names one; in an image that is the first word of its command."""
        found = self.configuration
        image = found.get("ImageConfig") or (found.get("ImageConfigResponse") or {}).get("ImageConfig") or {}
        return str(next(iter(image.get("Command") or ()), "") or found.get("Handler") or STREAM_HANDLERS[0])

    @property
    def timeout_s(self) -> int:
        """Return the seconds that an invocation may take."""
        return int(self.configuration.get("Timeout", DEFAULT_TIMEOUT_S))

    @property
    def variables(self) -> dict[str, str]:
        """Return its environment variables."""
        return dict((self.configuration.get("Environment") or {}).get("Variables") or {})

    def with_variables(self, more: Mapping[str, str]) -> Function:
        """Return the function with more variables."""
        environment = {"Variables": {**self.variables, **more}}
        return replace(self, configuration={**self.configuration, "Environment": environment})

    def update(self, **values: object) -> str:
        """Return the command that changes its configuration, or the lines of the template that do."""
        if self.file:
            return in_file(self.file, values)
        return aws_command("lambda", "UpdateFunctionConfiguration", FunctionName=self.name, **values)

    def set_variables(self, **new: str) -> str:
        """Return a command that sets variables and keeps the others, which AWS's own would drop.

        It shows none of the others: they may be secrets.
        """
        if self.file:
            return in_file(f"{self.file}, Environment, Variables", new)
        merge = (
            'import json, sys; found = (json.load(sys.stdin) or {}).get("Variables", {}); '
            f'found.update({json.dumps(new)}); print(json.dumps({{"Variables": found}}))'
        )
        read = aws_command("lambda", "GetFunctionConfiguration", FunctionName=self.name)
        read += " --query Environment --output json"
        return f'{self.update()} --environment "$({read} | python3 -c {shlex.quote(merge)})"'


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
    sources = list(dict.fromkeys(map(stream_of, mappings)))
    setup = yield from set_up(function, sources)
    streams = Streams()
    if setup:
        yield from examine_settings(setup)
        yield from streams.examine(setup.settings, sources)
        if setup.settings.quarantine_location:
            why = "no record can be set aside, and its shard waits"
            yield from examine_location(setup, "QUARANTINE_LOCATION", why)
        if setup.stateful:
            yield from examine_state(setup)
            yield from _sharing(setup, function)
    settings = setup.settings if setup else None
    for mapping in mappings:
        source = stream_of(mapping)
        keeps_state = setup.keeps_state(source) if setup else False
        case = Case(mapping, settings, streams.describe(source), record_bytes, keeps_state=keeps_state)
        if settings:
            output = streams.describe(settings.output_stream) if settings.output_stream else {}
            yield from examine_pair(function, case, settings, output)
        yield from examine_mapping(case)


def set_up(function: Function, sources: Sequence[str]) -> Generator[str | Finding, None, Setup | None]:
    """Read a function's settings; yield a finding and return None where it has none that can be checked."""
    if function.handler not in STREAM_HANDLERS:
        yield Finding(
            Severity.INFO,
            function.where,
            f"runs {function.handler}, and not the handler of pipelines",
            "what it does with records, and its variables, are not checked",
            f"nothing, if that is meant; else set its handler to {STREAM_HANDLERS[0]}",
        )
        return None
    try:
        settings = read_all_settings(function.variables)
    except SettingsError as error:
        mend = mend_variable(error, function.set_variables)
        why = "the function cannot start, and its shards wait"
        yield Finding(Severity.ERROR, function.where, str(error), why, mend)
        return None
    return Setup(settings, sources, function.where, function.set_variables, in_lambda=True)


def _sharing(setup: Setup, function: Function) -> Iterator[Finding]:
    """Find other functions of the account that write the state of this one."""
    client = aws.client("lambda")
    others = [setup]
    try:
        for page in client.get_paginator("list_functions").paginate():
            for each in page["Functions"]:
                variables = (each.get("Environment") or {}).get("Variables") or {}
                own = function.configuration.get("FunctionName") == each["FunctionName"]  # the ARN may have a version
                if own or variables.get("STATE_TABLE") != setup.settings.state_table:
                    continue
                other, mappings = _read(each["FunctionName"])
                sources = list(dict.fromkeys(map(stream_of, mappings)))
                try:
                    settings = read_all_settings(other.variables)
                except SettingsError:  # a function that does not start writes nothing
                    continue
                others.append(Setup(settings, sources, other.where, other.set_variables, in_lambda=True))
    except (BotoCoreError, ClientError) as error:
        yield Finding(
            Severity.INFO,
            setup.where,
            str(aws.explained(error, "the account's functions")),
            f"whether another function writes its state in {setup.settings.state_table} was not checked",
            "allow lambda:ListFunctions, for whoever runs the doctor",
        )
    yield from examine_shared_state(others)


def examine_configuration(function: Function, mappings: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """Find faults in the function's own configuration."""
    if not mappings:
        yield Finding(
            Severity.ERROR,
            function.where,
            "no event source mapping of a Kinesis stream invokes it",
            "nothing is read",
            aws_command(
                "lambda",
                "CreateEventSourceMapping",
                FunctionName=function.name,
                EventSourceArn="STREAM_ARN",
                StartingPosition="TRIM_HORIZON",
                FunctionResponseTypes=[REPORT_FAILURES],
                BisectBatchOnFunctionError=True,
            ),
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
            function.update(MemorySize=LEAST_MEMORY_MB),
        )
    if function.timeout_s < SHORTEST_TIMEOUT_S:
        yield Finding(
            Severity.WARNING,
            function.where,
            f"times out after {function.timeout_s} s",
            "a cold start and one slow PutRecords call take longer, and the batch comes again",
            function.update(Timeout=ROOM_S),
        )


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
            function.update(Timeout=min(LONGEST_TIMEOUT_S, window + ROOM_S)),
        )
    batch, shards = int(case.mapping.get("BatchSize", 100)), int(output.get("OpenShardCount", 0))
    if shards and is_provisioned(output) and batch > seconds * shards * SHARD_RECORDS_PER_S:
        yield Finding(
            Severity.WARNING,
            function.where,
            f"puts up to {batch} results on {shards} shard(s) of {settings.output_stream} in {seconds:g} s",
            f"a shard takes {SHARD_RECORDS_PER_S} records a second: the rest of such a batch is handed back each time",
            more_shards(settings.output_stream, shards, -int(-batch // (seconds * SHARD_RECORDS_PER_S))),
        )


def _read(name: str) -> tuple[Function, list[dict[str, Any]]]:
    """Read the function, and its mappings of Kinesis streams."""
    client = aws.client("lambda")
    function = Function(name, client.get_function_configuration(FunctionName=name))
    pages = client.get_paginator("list_event_source_mappings").paginate(FunctionName=name)
    mappings = [mapping for page in pages for mapping in page["EventSourceMappings"]]
    return function, [each for each in mappings if KINESIS in str(each.get("EventSourceArn", ""))]
