"""The doctor as a person calls it: this environment, a function in Lambda, a mapping in a template.

Lambda and Kinesis are moto's own here where a mapping is needed: the Lambda of the local cloud is moto too, and takes
no mapping of a stream that lives in the Kinesis emulator.
"""

from __future__ import annotations

import io
import itertools
import json
import re
import shlex
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from moto.server import ThreadedMotoServer

from app import aws
from app.storage.items import to_attributes
from app.storage.objects import FolderObjects
from app.storage.spilling import SpillingState
from app.storage.state import Stored
from app.storage.state_table import DynamoDbState, create_state_table
from tests.commands_for_tests import run_command

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator, Mapping, Sequence

pytestmark = pytest.mark.cloud
ROOT = Path(__file__).parents[2]
_numbers = itertools.count()

SOUND = {
    "BatchSize": 500,
    "StartingPosition": "TRIM_HORIZON",
    "MaximumRetryAttempts": 100,
    "MaximumRecordAgeInSeconds": 43_200,
    "BisectBatchOnFunctionError": True,
    "FunctionResponseTypes": ["ReportBatchItemFailures"],
    "DestinationConfig": {"OnFailure": {"Destination": "arn:aws:s3:::failed"}},
}


def doctor(*arguments: str, expect: int, **variables: str) -> dict[str, Any]:
    """Runs `millrace doctor --json`."""
    done = _run([*arguments, "--json"], variables)
    assert done.returncode == expect, done.stdout + done.stderr
    return dict(json.loads(done.stdout))


def _run(arguments: Sequence[str], variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    done = run_command("millrace", ["doctor", *arguments], environ=variables, folder=ROOT)
    assert "Traceback" not in done.stderr
    return done


def said(report: Mapping[str, Any], severity: str) -> list[str]:
    """What the findings of a severity say."""
    return [finding["what"] for finding in report["findings"] if finding["severity"] == severity]


@pytest.fixture
def whole_moto(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """moto with its own Kinesis beside its Lambda."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    aws.forget()
    aws.client("s3").create_bucket(Bucket="aside")
    yield
    server.stop()


def new_name() -> str:
    return f"predict-{next(_numbers)}"


def new_function(name: str, **variables: str) -> str:
    """A function without a mapping, in whatever the environment points to."""
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    role = aws.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as packed:
        packed.writestr("lambda_function.py", "")
    aws.client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.13",
        Role=role,
        Handler="lambda_function.lambda_handler",
        Code={"ZipFile": code.getvalue()},
        MemorySize=256,
        Timeout=60,
        Environment={"Variables": variables},
    )
    return name


def new_mapping(function: str, **settings: Any) -> str:
    """Streams of the function's own and a mapping between them; gives its UUID."""
    kinesis = aws.client("kinesis")
    for stream in (function, f"{function}-out", f"{function}-aside"):
        kinesis.create_stream(StreamName=stream, ShardCount=1)
    arn = kinesis.describe_stream_summary(StreamName=function)["StreamDescriptionSummary"]["StreamARN"]
    made = aws.client("lambda").create_event_source_mapping(FunctionName=function, EventSourceArn=arn, **settings)
    return str(made["UUID"])


def deployed(**settings: Any) -> tuple[str, str]:
    """A function that is well but for its mapping."""
    name = new_name()
    variables = {
        "OUTPUT_STREAM": f"{name}-out",
        "QUARANTINE_STREAM": f"{name}-aside",
        "QUARANTINE_LOCATION": "s3://aside",
        "PARTIAL_RESPONSES": "True",
    }
    return new_function(name, **variables), new_mapping(name, **settings)


def test_an_environment_that_is_well(new_stream: Callable[..., str]) -> None:
    source, output, aside = new_stream("in"), new_stream("out"), new_stream("aside")
    variables = {"KINESIS_STREAM_INPUT": source, "OUTPUT_STREAM": output, "QUARANTINE_STREAM": aside}
    report = doctor(expect=0, **variables)
    assert said(report, "error") == said(report, "warning") == []
    checked = "\n".join(report["checked"])
    for words in ("Python 3.", "AWS: account", f"stream {source}: ACTIVE", "digests are right", '"pred_id":123'):
        assert words in checked


def test_an_environment_that_is_not(new_stream: Callable[..., str]) -> None:
    source = new_stream("in", 2)
    narrow = new_stream("out")
    report = doctor(expect=60, KINESIS_STREAM_INPUT=source, OUTPUT_STREAM=narrow, STATE_TABLE="nowhere")
    assert any("state table nowhere" in what for what in said(report, "error"))
    assert any("has 1 shard(s)" in what for what in said(report, "warning"))
    report = doctor(expect=60, KINESIS_STREAM_INPUT=source, OUTPUT_STREAM="nowhere")
    assert said(report, "error") == ["does not exist in this account and region"]


def set_up_in(page: str) -> tuple[dict[str, str], list[str]]:
    """Return the variables that a page of the documentation sets to process a stream, and what it creates."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    [block] = [each for each in blocks if "OUTPUT_STREAM" in each and "millrace create" in each]
    created = re.search(r"millrace create (.*)", block)
    assert created is not None
    return dict(re.findall(r"\b([A-Z_]+)=([^\s\\]+)", block)), shlex.split(created[1])


STAGES = {"STATE_TABLE": "two-stage-state", "QUARANTINE_STREAM": "two-stage-aside"}
STAGES_CREATED = [
    "two-stage",
    "two-stage-known",
    "two-stage-out",
    "two-stage-aside",
    "--state-table",
    "two-stage-state",
]
SECOND_ROLES = "enriched:two-stage-out,incidents:two-stage-out,tickets:two-stage-out"
SET_UPS: dict[str, tuple[dict[str, str], list[str]]] = {
    **{page: set_up_in(f"docs/{page}.md") for page in ("alerts", "commands", "own-pipeline", "local-mapping")},
    "alerts-technique, before alerts": (
        {**STAGES, "PIPELINE": "alerts-technique", "OUTPUT_STREAMS": "enriched:two-stage-known"},
        [*STAGES_CREATED, "alerts"],
    ),
    "alerts, after alerts-technique": (
        {**STAGES, "PIPELINE": "alerts", "KINESIS_STREAM_INPUT": "two-stage-known", "OUTPUT_STREAMS": SECOND_ROLES},
        STAGES_CREATED,
    ),
    "two streams, a pipeline each": (
        {
            **STAGES,
            "PIPELINE": "alerts",
            "PIPELINES": "two-stage:alerts,two-stage-known:bike",
            "OUTPUT_STREAM": "two-stage-out",
            "OUTPUT_STREAMS": SECOND_ROLES,
        },
        STAGES_CREATED,
    ),
}


@pytest.mark.slow  # every set-up of the documents, command by command
@pytest.mark.usefixtures("cloud")
@pytest.mark.parametrize("name", SET_UPS)
def test_a_set_up_that_works_has_no_error(name: str) -> None:
    variables, created = SET_UPS[name]
    assert run_command("millrace", ["create", *created], folder=ROOT).returncode == 0
    variables = {"KINESIS_STREAM_INPUT": "readings", **variables} if name == "own-pipeline" else variables
    report = doctor(expect=0, **variables)
    assert said(report, "error") == []
    table = variables.get("STATE_TABLE")
    assert (
        not table or any(f"state table {table}: ACTIVE" in line for line in report["checked"]) or "sensors" not in table
    )


@pytest.mark.usefixtures("cloud")
def test_a_loop_is_found_here_and_refused_by_run(new_stream: Callable[..., str]) -> None:
    alerts, known = new_stream("alerts"), new_stream("known")
    variables = {
        "PIPELINE": "alerts",
        "PIPELINES": f"{alerts}:alerts-technique,{known}:alerts",
        "OUTPUT_STREAMS": f"enriched:{known},incidents:{known}-i,tickets:{known}-t",
        "STATE_TABLE": "any",
        "QUARANTINE_STREAM": "aside",
    }
    [loop, *_] = said(doctor(expect=60, **variables), "error")
    assert loop == f"a loop: pipeline alerts reads {known} and writes enriched to {known}"
    ran = run_command("millrace", ["run", "--stream", alerts, "--drain"], environ=variables, folder=ROOT)
    assert (ran.returncode, ran.stderr.count("\n")) == (10, 1)
    assert ran.stderr.startswith(f"millrace: {loop}, without end: ")
    unnamed = {"OUTPUT_STREAM": known, "QUARANTINE_STREAM": alerts}
    ran = run_command("millrace", ["run", "--stream", known, "--drain"], environ=unnamed, folder=ROOT)
    assert ran.returncode == 10
    assert f"writes its results to {known}" in ran.stderr


def test_states_are_examined_one_by_one(cloud: object, tmp_path: Path, new_stream: Callable[..., str]) -> None:
    del cloud
    table, location = f"states-{new_name()}", tmp_path / "states"
    create_state_table(table)
    source = new_stream("alerts")
    former = {"sequence_number": "4" * 56, "sub_sequence_number": 0}
    current = {"applied": {}, "revision": 1}
    mark = {"fault": "its item is damaged", "since": "2026-11-30T12:00:00Z", "records": 7, "shards": {}}
    objects = FolderObjects(location)
    SpillingState(DynamoDbState(table), objects, largest_inline_bytes=10).commit("spilled", Stored(b"x" * 20), None)
    for item in (
        {"state_key": "small", "value": b"x", **former},
        {"state_key": "large", "value": b"x" * 370_000, **current},
        {"state_key": "aside", "value": b"", "parked": mark, **current},
        {"state_key": "foreign", "name": "no state"},
    ):
        aws.client("dynamodb").put_item(TableName=table, Item=to_attributes(item))
    variables = {
        "PIPELINE": "alerts",
        "KINESIS_STREAM_INPUT": source,
        "OUTPUT_STREAMS": f"enriched:{source}-e,incidents:{source}-i,tickets:{source}-t",
        "QUARANTINE_LOCATION": str(tmp_path),
        "STATE_TABLE": table,
    }
    created = [f"{source}-{role}" for role in "eit"]
    assert run_command("millrace", ["create", *created], folder=ROOT).returncode == 0

    without = doctor(expect=60, **variables)
    [unreadable] = said(without, "error")
    assert unreadable.startswith("2 state(s) cannot be read: ")
    assert "'foreign'" in unreadable
    assert "'spilled'" in unreadable
    warnings = {finding["what"]: finding["why"] for finding in without["findings"] if finding["severity"] == "warning"}
    assert warnings["1 key(s) are parked: 'aside': its item is damaged"].startswith("7 record(s) wait")
    assert any(what.startswith("1 state(s) are close to the limit") and "'large'" in what for what in warnings)
    assert any(what.startswith("has states in two forms: ") for what in warnings)
    [growth] = [why for what, why in warnings.items() if what.startswith("STATE_LOCATION is not set")]
    assert "the largest now, of 'large', has 370000" in growth
    assert any(f"state table {table}: ACTIVE, 5 item(s)" in line for line in without["checked"])

    located = doctor(expect=60, STATE_LOCATION=str(location), **variables)
    assert [what.split(":")[0] for what in said(located, "error")] == ["1 state(s) cannot be read"]
    assert not any("STATE_LOCATION" in what or "close to" in what for what in said(located, "warning"))
    next(path for path in location.rglob("*") if path.is_file()).unlink()
    [lost] = said(doctor(expect=60, STATE_LOCATION=str(location), **variables), "error")
    assert lost.startswith("2 state(s) cannot be read: ")

    blocked = tmp_path / "file"
    blocked.write_text("", encoding="utf-8")
    refused = doctor(expect=60, STATE_LOCATION=str(blocked), **variables)
    assert any("is no folder" in what for what in said(refused, "error"))


@pytest.mark.usefixtures("cloud")
def test_a_person_reads_a_table_and_can_copy_what_mends_it() -> None:
    shown = _run([], {"OUTPUT_STREAM": "nowhere", "COLUMNS": "80"})
    assert shown.returncode == 60
    assert shown.stderr == ""
    assert "finding, and why it matters" in shown.stdout
    assert ". millrace create nowhere\n" in shown.stdout


def test_nothing_at_the_endpoint_is_a_finding_and_the_rest_is_examined() -> None:
    report = doctor(expect=60, OUTPUT_STREAM="x", AWS_ENDPOINT_URL="http://127.0.0.1:9")
    assert any("does not answer" in what for what in said(report, "error"))
    assert any("digests are right" in line for line in report["checked"])


@pytest.mark.parametrize("variables", [{"TEST_RUN": "maybe"}, {"AWS_DEFAULT_REGION": ""}, {"AWS_PROFILE": "nope"}])
def test_settings_that_cannot_be_are_findings(variables: dict[str, str], tmp_path: Path) -> None:
    report = doctor(expect=60, OUTPUT_STREAM="x", AWS_CONFIG_FILE=str(tmp_path / "none"), **variables)
    assert said(report, "error")


@pytest.mark.usefixtures("cloud")
def test_a_function_of_the_local_cloud_that_nothing_invokes() -> None:
    name = new_function(new_name(), OUTPUT_STREAM="x")
    report = doctor("--function", name, expect=60)
    assert said(report, "error") == [
        "no event source mapping of a Kinesis stream invokes it",
        "does not exist in this account and region",
    ]
    missing = _run(["--function", "nowhere"], {})
    assert missing.returncode == 31
    assert missing.stderr.startswith("millrace: function nowhere: not found")


@pytest.mark.usefixtures("whole_moto")
def test_a_deployed_function_that_is_well() -> None:
    name, _ = deployed(**SOUND)
    report = doctor("--function", name, expect=0)
    assert said(report, "warning") == []


@pytest.mark.usefixtures("whole_moto")
def test_a_mapping_with_awss_defaults_is_well_once_every_command_was_run() -> None:
    name, uuid = deployed(StartingPosition="TRIM_HORIZON")
    before = doctor("--function", name, expect=60)
    assert any("PARTIAL_RESPONSES=True" in what for what in said(before, "error"))
    assert len(said(before, "warning")) == 4
    commands = [each["mend"] for each in before["findings"] if each["severity"] != "info"]
    for command in commands:
        run_update(command.partition("&& ")[2] or command, uuid)
    after = doctor("--function", name, expect=0)
    assert said(after, "warning") == []


@pytest.mark.usefixtures("whole_moto")
def test_a_function_whose_variables_lose_results() -> None:
    name = new_function(new_name(), TEST_RUN="True", PARTIAL_RESPONSES="True")
    new_mapping(name, **SOUND)
    assert said(doctor("--function", name, expect=60), "error") == ["TEST_RUN is True"]
    name = new_function(new_name(), PARTIAL_RESPONSES="maybe")
    new_mapping(name, **SOUND)
    [what] = said(doctor("--function", name, expect=60), "error")
    assert what.startswith("PARTIAL_RESPONSES is 'maybe'")


@pytest.mark.usefixtures("whole_moto")
def test_functions_of_one_state_and_the_state_itself() -> None:
    """Two functions with the pipeline of alerts write one table, and the first reads what it writes."""
    create_state_table("states")
    aws.client("s3").create_bucket(Bucket="states")
    shared = {
        "PIPELINE": "alerts",
        "STATE_TABLE": "states",
        "PARTIAL_RESPONSES": "True",
        "QUARANTINE_LOCATION": "s3://aside",
    }
    first, second = new_name(), new_name()
    for name, tickets in ((first, first), (second, f"{second}-out")):
        roles = f"enriched:{name}-out,incidents:{name}-out,tickets:{tickets}"
        new_function(name, **shared, OUTPUT_STREAMS=roles, STATE_LOCATION="s3://states/alerts")
        new_mapping(name, **SOUND)
    report = doctor("--function", first, expect=60)
    assert said(report, "error") == [f"a loop: pipeline alerts reads {first} and writes tickets to {first}"]
    [several] = said(report, "warning")
    readers = f"function {first} reads {first}; function {second} reads {second}"
    assert several == f"pipeline alerts keeps one state in states for several streams or processes: {readers}"
    checked = "\n".join(report["checked"])
    assert "state table states: ACTIVE, 0 item(s)" in checked
    assert "STATE_LOCATION s3://states/alerts: the bucket is there" in checked
    assert said(doctor("--function", second, expect=0), "error") == []
    client = aws.client("lambda")
    client.delete_function(FunctionName=first)
    version = client.publish_version(FunctionName=second)["FunctionArn"]
    alone = doctor("--function", version, expect=60)  # nothing invokes that version
    assert not any("one state" in what for what in said(alone, "warning"))


def run_update(command: str, uuid: str) -> None:
    """What `aws` would do with an `update-event-source-mapping`, with the options' types from AWS's own model."""
    words = shlex.split(command)
    assert words[:5] == ["aws", "lambda", "update-event-source-mapping", "--uuid", uuid]
    client = aws.client("lambda")
    members = client.meta.service_model.operation_model("UpdateEventSourceMapping").input_shape.members
    options = {"--" + "".join(f"-{c.lower()}" if c.isupper() else c for c in name)[1:]: name for name in members}
    arguments: dict[str, Any] = {"UUID": uuid}
    rest = words[5:]
    while rest:
        name = options[rest.pop(0)]
        kind = members[name].type_name
        if kind == "boolean":
            arguments[name] = True
        elif kind == "list":
            arguments[name] = [rest.pop(0)]
        elif kind == "structure":
            arguments[name] = json.loads(rest.pop(0))
        else:
            arguments[name] = int(rest.pop(0))
    client.update_event_source_mapping(**arguments)


def test_a_template_is_examined_without_aws_region_and_credentials(tmp_path: Path) -> None:
    template = tmp_path / "template.json"
    arn = "arn:aws:kinesis:us-east-1:123456789012:stream/rides"
    properties = {**SOUND, "EventSourceArn": arn, "FunctionName": "predict", "FunctionResponseTypes": []}
    resource = {"Type": "AWS::Lambda::EventSourceMapping", "Properties": properties}
    template.write_text(json.dumps({"Resources": {"Rides": resource}}), encoding="utf-8")
    nothing = {"AWS_DEFAULT_REGION": "", "AWS_REGION": "", "AWS_PROFILE": "nobody", "AWS_ACCESS_KEY_ID": ""}
    report = doctor("--mapping", str(template), expect=0, **nothing, AWS_ENDPOINT_URL="http://127.0.0.1:9")
    [finding] = report["findings"]
    assert finding["mend"] == f'in {template}: FunctionResponseTypes: ["ReportBatchItemFailures"]'
    shipped = doctor("--mapping", "examples/template.yaml", expect=0, **nothing)
    assert shipped["findings"] == []
    for arguments, words in (
        (["--mapping", str(tmp_path / "none")], "cannot be read"),
        (["--mapping", str(template), "--parameter", "Stage=live"], "the template's parameters are none"),
        (["--mapping", str(template), "--parameter", "Stage"], "write NAME=VALUE"),
        (["--parameter", "Stage=live"], "go with --mapping"),
    ):
        refused = _run(arguments, {})
        assert refused.returncode == 10
        assert words in refused.stderr
