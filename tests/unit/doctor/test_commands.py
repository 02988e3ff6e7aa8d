"""Every command and option that our texts name exists: AWS's in botocore's model, ours in the tree of commands."""

from __future__ import annotations

import ast
import re
import shlex
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer
from botocore import xform_name
from botocore.session import get_session
from botocore.waiter import WaiterModel

from app.cli import lambda_request
from app.cli.tree import command_tree
from app.doctor import function, mapping, settings, state, streams
from app.doctor.case import Case
from app.doctor.finding import Finding, Severity, aws_command
from app.doctor.setup import Setup
from app.settings import Settings
from app.storage.state import Parked

if TYPE_CHECKING:
    from collections.abc import Iterator

APP = Path(settings.__file__).parents[1]
GLOBAL = {"--query", "--output"}
"""Options of every command of AWS's command line."""
OWN: dict[str, set[str]] = {"aws configure": set(), "aws s3 mb": set(), "aws logs tail": {"--since"}}
"""Commands of AWS's command line that are no operations of an API, with the options that are used of them."""
FOREIGN = {"--no-deps", "--require-hashes"}
"""Options of pip."""
WRAPPERS = {
    "change": ("lambda", "UpdateEventSourceMapping"),
    "finding": ("lambda", "UpdateEventSourceMapping"),
    "update": ("lambda", "UpdateFunctionConfiguration"),
}
"""Methods whose keywords become parameters of an operation."""


@cache
def members(service: str, operation: str) -> dict[str, Any]:
    """Return an operation's parameters."""
    shape = get_session().get_service_model(service).operation_model(operation).input_shape
    return dict(shape.members) if shape else {}


def check(command: str) -> None:
    """Check one command of AWS's command line, with those that it takes its values from."""
    for inner in re.findall(r"\$\(([^|]*)\|", command):
        check(inner)
    words = shlex.split(re.sub(r'"\$\(.*\)"', "VALUE", command), comments=True)
    assert words[0] == "aws"
    options = {re.sub("^--no-", "--", word) for word in words if word.startswith("--")} - GLOBAL
    own = next((name for name in OWN if command.startswith(name)), None)
    if own:
        assert options <= OWN[own], command
        return
    service, name = words[1:3]
    model = get_session().get_service_model(service)
    operation = next((each for each in model.operation_names if xform_name(each, "-") == name), "")
    if name == "wait":
        waiters = WaiterModel(get_session().get_component("data_loader").load_service_model(service, "waiters-2"))
        waiter = next(each for each in waiters.waiter_names if xform_name(each, "-") == words[3])
        operation = waiters.get_waiter(waiter).operation
    assert operation, command
    assert options <= {f"--{xform_name(each, '-')}" for each in members(service, operation)}, command


def check_mend(finding: Finding) -> None:
    """Check all commands of AWS in what mends a finding, and that it says something."""
    assert all((finding.where, finding.what, finding.why, finding.mend))
    for part in finding.mend.split(" && "):
        _, found, command = part.rpartition(": aws ")
        if found or part.startswith("aws "):
            check(f"aws {command.removeprefix('aws ')}")


def trees(folder: Path = APP) -> Iterator[tuple[Path, ast.AST]]:
    for path in sorted(folder.rglob("*.py")):
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def test_every_call_of_an_api_has_names_that_the_api_has() -> None:
    calls = 0
    for path, tree in trees(APP / "doctor"):
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            keywords = {each.arg for each in node.keywords if each.arg}
            if isinstance(node.func, ast.Name) and node.func.id == "aws_command":
                service, operation = (ast.literal_eval(each) for each in node.args)
                assert keywords <= members(service, operation).keys(), f"{path}, line {node.lineno}"
                calls += 1
            if isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) in {"case", "function"}:
                service, operation = WRAPPERS.get(node.func.attr, ("", ""))
                if service:
                    assert keywords <= members(service, operation).keys(), f"{path}, line {node.lineno}"
                    calls += 1
    assert calls > 20


def test_what_is_written_out_is_no_operation_but_a_command_of_its_own() -> None:
    """Commands of an API are made by `aws_command`, which the test above checks."""
    for path, tree in trees(APP / "doctor"):
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                for command in re.findall(r"\baws [a-z0-9]+ [a-z0-9-]+ ", node.value):
                    allowed = (*(f"{name} " for name in OWN), "aws kinesis wait ", "aws lambda wait ")
                    assert command.startswith(allowed), f"{path}, line {node.lineno}: {command}"


def findings() -> Iterator[Finding]:
    """Yield a finding of most rules, with what mends it."""
    setup = Setup(Settings(pipeline="alerts", state_table="t"), ["in"], "environment", lambda **new: f"set {new}")
    deployed = function.Function("f", {"State": "Failed", "MemorySize": 128, "Timeout": 1})
    arn = "arn:aws:kinesis:eu-west-2:123456789012:stream/rides"
    bad = {
        "UUID": "u",
        "EventSourceArn": arn,
        "State": "Disabled",
        "LastProcessingResult": "PROBLEM",
        "StartingPosition": "LATEST",
    }
    values = {"BatchSize": 10_000, "ParallelizationFactor": 2, "TumblingWindowInSeconds": 1}
    large = {"MaxRecordSizeInKiB": 10_240, "RetentionPeriodHours": 24}
    filters = {"FilterCriteria": {"Filters": [{"Pattern": "{}"}]}}
    queue = {"DestinationConfig": {"OnFailure": {"Destination": "arn:aws:sqs:eu-west-2:123456789012:q"}}}
    aged = {"MaximumRecordAgeInSeconds": 604_800, **queue}
    stateful = Settings(state_table="t", partial_responses=True)
    for more in ({}, {**values, **filters}, aged):
        for where in ("", "file.json"):
            yield from mapping.examine_mapping(Case({**bad, **more}, stateful, large, file=where, keeps_state=True))
    yield from function.examine_configuration(deployed, [])
    slow = Case({"BatchSize": 10_000, "MaximumBatchingWindowInSeconds": 300})
    for options in ({"deadline_margin_ms": 5000}, {"deadline_margin_ms": 500, "output_stream": "o"}):
        yield from function.examine_pair(deployed, slow, Settings(**options), {"OpenShardCount": 1})
    yield Finding(Severity.INFO, "function f", "a variable", "is set", deployed.set_variables(TEST_RUN="it's False"))
    for stream in ({}, {"StreamStatus": "DELETING"}, {"StreamStatus": "UPDATING", "RetentionPeriodHours": 24}):
        found = streams.examine_stream("rides", stream, is_read=True)
        yield from (each for each in found if isinstance(each, Finding))
    yield from streams.examine_flow("in", {"OpenShardCount": 9}, Settings(output_stream="o"), {"OpenShardCount": 1})
    yield from settings.examine_settings(setup)
    yield from state.examine_growth(setup)
    odd = state.Items(
        unreadable={"a key": "is damaged"},
        parked={"a tenant": Parked("is damaged", "now")},
        near=["n"],
        forms={"one": 1, "other": 2},
    )
    yield from state.examine_items(odd, "state table t", has_location=False)


def test_whatever_is_found_says_what_mends_it_in_commands_that_there_are() -> None:
    found = list(findings())
    for finding in found:
        check_mend(finding)
    assert sum("aws " in finding.mend for finding in found) > 30


@pytest.mark.parametrize(
    "command",
    [
        "aws kinesis update-shard-count --stream-name x --target-shards 2",
        "aws lambda update-event-source-mapping --uuid u --starting-position LATEST",
        "aws kinesis wait stream-exists --stream x",
        "aws logs tail /aws/lambda/f --until 1h",
        'aws lambda update-function-configuration --environment "$(aws lambda get-function --name f | python3)"',
    ],
)
def test_the_check_itself_refuses_an_option_that_there_is_not(command: str) -> None:
    with pytest.raises(AssertionError):
        check(command)


@pytest.mark.parametrize(
    ("command", "made"),
    [
        (aws_command("lambda", "UpdateEventSourceMapping", UUID="u", Enabled=True, BisectBatchOnFunctionError=False),
         "aws lambda update-event-source-mapping --uuid u --enabled --no-bisect-batch-on-function-error"),
        (aws_command("kinesis", "UpdateMaxRecordSize", StreamARN="arn:x", MaxRecordSizeInKiB=9),
         "aws kinesis update-max-record-size --stream-arn arn:x --max-record-size-in-ki-b 9"),
        (aws_command("dynamodb", "DeleteItem", TableName="t", Key={"state_key": {"S": "it's"}}),
         "aws dynamodb delete-item --table-name t --key '{\"state_key\":{\"S\":\"it'\"'\"'s\"}}'"),
    ],
)  # fmt: skip
def test_a_command_is_made_as_awss_command_line_takes_it(command: str, made: str) -> None:
    assert command == made
    check(command)


def own_options() -> tuple[dict[str, set[str]], set[str]]:
    """Return the options of each of our commands by its words, and all together."""
    found: dict[str, set[str]] = {}

    def walk(command: Any, words: str) -> None:
        names = [name for each in command.params for name in (*each.opts, *each.secondary_opts)]
        found[words] = {name for name in names if name.startswith("--")} | {"--help"}
        for name, each in getattr(command, "commands", {}).items():
            walk(each, f"{words} {name}")

    walk(typer.main.get_command(command_tree()), "millrace")
    parser = Path(lambda_request.__file__).read_text(encoding="utf-8")
    found["handle-lambda-request"] = set(re.findall(r"--[a-z-]+", parser))
    return found, set().union(*found.values())


def test_options_in_all_our_texts_exist() -> None:
    """Of a text with a command, that command has them; in any other, some command of ours or AWS's."""
    by_command, every = own_options()
    aws = {f"--{xform_name(name, '-')}" for pair in set(WRAPPERS.values()) for name in members(*pair)}
    aws |= {"--starting-position", "--stream-name", "--since"} | GLOBAL
    wrong: list[str] = []
    for path, tree in trees():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
                continue
            named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*[a-z0-9](?!-)", node.value))
            wrong += [f"{path}, line {node.lineno}: {option}" for option in named - every - aws - FOREIGN]
            for text in re.findall(r"\bmillrace [a-z][^`\n;&|]*", node.value):
                command = max((name for name in by_command if f"{text} ".startswith(f"{name} ")), key=len, default="")
                missing = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z]", text)) - by_command.get(command, set())
                if missing:
                    wrong.append(f"{path}, line {node.lineno}: {text}: {', '.join(missing)}")
    assert wrong == []


def test_commands_of_ours_in_the_doctors_texts_exist() -> None:
    by_command, _ = own_options()
    for path, tree in trees(APP / "doctor"):
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                for words in re.findall(r"\bmillrace(?: [a-z]+)+", node.value):
                    first = " ".join(words.split()[:2])
                    assert first in by_command, f"{path}, line {node.lineno}: {words}"
