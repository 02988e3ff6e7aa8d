"""The local mapping on the local cloud: `millrace mapping` as a person starts it, and real on-failure destinations.

The rules themselves are in tests/unit/stream/test_mapping*.py, on a stream in memory.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from app import aws
from app.errors import CloudError
from app.stream.deadline import SystemClock
from app.stream.mapping import REPORT_FAILURES, Mapping, MappingSettings
from app.stream.mapping.checkpoint import CheckpointFile
from app.stream.mapping.settings import settings_of
from app.stream.shards import StartingPosition, read_stream
from tests.mapping_for_tests import failing, numbers, payloads

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.emulator_for_tests import Rie

pytestmark = pytest.mark.cloud
ROOT = Path(__file__).parents[2]


def _seen(rie: Rie) -> list[Any]:
    return [payload for event in rie.events for payload in payloads(event)]


def command(*arguments: str, name: str = "mapping", **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "app.cli", name, *arguments],
        cwd=ROOT,
        env={**os.environ, **variables},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads start here
    )


def finished(process: subprocess.Popen[str], expect: int = 0) -> str:
    """What a command said, once it has ended."""
    try:
        _, said = process.communicate(timeout=90)
    finally:
        process.kill()
    assert process.returncode == expect, said
    assert "Traceback" not in said
    return said


def put(kinesis: Any, stream: str, count: int, start: int = 0) -> None:
    entries = [{"Data": str(n).encode(), "PartitionKey": f"key-{n}"} for n in range(start, start + count)]
    assert kinesis.put_records(StreamName=stream, Records=entries)["FailedRecordCount"] == 0


def test_a_function_over_http_with_a_template_and_options_over_it(
    kinesis: Any, new_stream: Callable[..., str], rie: Rie, tmp_path: Path
) -> None:
    stream = new_stream("in", 2)
    put(kinesis, stream, 40)
    template = tmp_path / "template.yaml"
    template.write_text(f"""
Resources:
  Events: {{Type: AWS::Kinesis::Stream, Properties: {{Name: {stream}}}}}
  Mapping:
    Type: AWS::Lambda::EventSourceMapping
    Properties:
      EventSourceArn: !GetAtt Events.Arn
      FunctionName: predict
      StartingPosition: TRIM_HORIZON
      BatchSize: 7
      FunctionResponseTypes: [ReportBatchItemFailures]
      MaximumRetryAttempts: 5
""")
    partly = iter([True])

    def answer(event: dict[str, Any]) -> tuple[int, bytes]:
        if len(event["Records"]) > 2 and next(partly, False):
            return 200, json.dumps(failing(event, 2)).encode()
        return 200, b'{"batchItemFailures": []}'

    rie.reply = answer
    said = finished(command("--from", str(template), "--function-url", rie.url, "--batch-size", "9", "--drain"))
    assert sorted(set(_seen(rie))) == list(range(40))
    assert max(len(event["Records"]) for event in rie.events) == 9
    assert len(_seen(rie)) > 40  # what came after the record that was named came again
    assert re.search(r"BatchSize 9\b", said)
    assert re.search(r"MaximumRetryAttempts 5\b", said)
    assert "shardId-000000000000: 9 records" in said
    assert "2 done" in said
    assert said.strip().endswith("40 records acknowledged")


def test_the_pipeline_in_this_process(kinesis: Any, new_stream: Callable[..., str]) -> None:
    stream, output = new_stream("in"), new_stream("out")
    ride = {"features": {"t1": 2, "t2": 3, "hum": 50, "weather_code": 2}, "pred_id": 5}
    kinesis.put_record(StreamName=stream, Data=json.dumps(ride).encode(), PartitionKey="5")
    arn = aws.client("kinesis").describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["StreamARN"]
    finished(
        command(
            "--event-source-arn", arn, "--function-response-types", REPORT_FAILURES, "--drain", OUTPUT_STREAM=output
        )
    )
    [result] = [json.loads(data) for data in read_stream(output, StartingPosition())]
    assert result["prediction"]["pred_id"] == 5


def test_a_function_that_comes_up_late_and_a_place_that_is_kept(
    kinesis: Any, new_stream: Callable[..., str], rie: Rie, tmp_path: Path
) -> None:
    stream, place = new_stream("in"), tmp_path / "place.json"
    put(kinesis, stream, 10)
    options = ("--stream-name", stream, "--function-url", rie.url, "--checkpoint", str(place))
    process = command(*options, "--starting-position", "TRIM_HORIZON", "--maximum-retry-attempts", "0")
    _until(lambda: len(_seen(rie)) == 10)
    process.send_signal(signal.SIGINT)
    assert "10 records acknowledged" in finished(process)
    put(kinesis, stream, 5, start=10)
    finished(command(*options, "--drain"))
    assert _seen(rie) == list(range(15))  # and none of the first ten again


class WrongClock(SystemClock):
    """This machine's clock, which is wrong by some seconds."""

    def __init__(self, ahead_s: float) -> None:
        self.ahead_s = ahead_s

    def time(self) -> float:
        return super().time() + self.ahead_s


@pytest.mark.parametrize("ahead_s", [-60, 60])
@pytest.mark.parametrize("before", [0, 3])
def test_latest_and_a_checkpoint_lose_nothing_where_the_clock_is_wrong(
    kinesis: Any, new_stream: Callable[..., str], tmp_path: Path, before: int, ahead_s: float
) -> None:
    stream, seen, clock = new_stream("in"), list[int](), WrongClock(ahead_s)
    if before:
        put(kinesis, stream, before)

    def begin() -> Mapping:
        settings = MappingSettings(stream_name=stream, starting_position="LATEST")
        kept = CheckpointFile(tmp_path / "place.json")
        return Mapping(settings, lambda raw, _: seen.extend(payloads(json.loads(raw))), checkpoint=kept, clock=clock)

    begin().run(drain=True)  # ends before a record has come
    put(kinesis, stream, 5, start=10)
    begin().run(drain=True)
    assert seen == [10, 11, 12, 13, 14]


def test_run_goes_on_from_its_checkpoint_after_kill_9(
    kinesis: Any, new_stream: Callable[..., str], tmp_path: Path
) -> None:
    stream, output = new_stream("in", 2), new_stream("out")
    options = ("--stream", stream, "--batch-size", "5", "--checkpoint", str(tmp_path / "shards.json"))

    def put_rides(start: int, stop: int) -> None:
        rides = [
            {"features": {"t1": 2, "t2": 3, "hum": 50, "weather_code": 2}, "pred_id": n} for n in range(start, stop)
        ]
        entries = [{"Data": json.dumps(ride).encode(), "PartitionKey": str(ride["pred_id"])} for ride in rides]
        assert kinesis.put_records(StreamName=stream, Records=entries)["FailedRecordCount"] == 0

    def done() -> list[int]:
        found = read_stream(output, StartingPosition())
        return sorted(json.loads(data)["prediction"]["pred_id"] for data in found)

    put_rides(0, 100)
    process = command(*options, name="run", OUTPUT_STREAM=output)
    _until(lambda: len(set(done())) == 100)
    time.sleep(1)  # until the checkpoint is written
    put_rides(100, 300)
    _until(lambda: len(set(done())) > 100)
    process.kill()
    process.communicate()
    before = done()
    assert "acknowledged" in finished(command(*options, "--drain", name="run", OUTPUT_STREAM=output))
    assert set(done()) == set(range(300))
    assert before[:100] == done()[:100]  # and none of the first hundred again


def _until(reached: Callable[[], bool]) -> None:
    ends = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < ends
        time.sleep(0.05)


@pytest.mark.usefixtures("cloud")
@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--stream-name", "nowhere"], 31, "stream nowhere: not found"),
        (["--batch-size", "0"], 10, "BatchSize is 0: 1 to 10000"),
        (["--filter-criteria", '{"Filters": [{"Pattern": "{"}]}'], 10, "filter 1: the pattern is not JSON"),
        (["--filter-criteria", "{"], 10, "--filter-criteria: not JSON"),
        (["--from", "nothing.yaml"], 10, "nothing.yaml: cannot be read"),
        (["--function-url", "localhost"], 10, "--function-url 'localhost'"),
        (["--destination-config", "queue"], 10, "not the ARN of an SQS queue"),
    ],
)
def test_what_a_user_can_mend_is_one_line(options: list[str], code: int, said: str) -> None:
    told = finished(command("--function-url", "http://127.0.0.1:9", *options), expect=code)
    assert told.startswith("millrace: ")
    assert said in told
    assert len(told.splitlines()) == 1


def test_disabled_is_said(new_stream: Callable[..., str], rie: Rie) -> None:
    options = ("--stream-name", new_stream("in"), "--function-url", rie.url, "--no-enabled")
    assert "Enabled is false" in finished(command(*options))


# On-failure destinations. https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html


def give_up(kinesis: Any, stream: str, destination: str) -> dict[str, Any]:
    """Lets a batch of three fail for good; gives the event that the function got."""
    put(kinesis, stream, 3)
    events: list[dict[str, Any]] = []

    def function(raw: bytes, _context: Any) -> None:
        events.append(json.loads(raw))
        raise RuntimeError

    chosen = {"StreamName": stream, "MaximumRetryAttempts": 1, "UUID": "2b733gdc"}
    settings = settings_of({**chosen, "DestinationConfig": {"OnFailure": {"Destination": destination}}})
    mapping = Mapping(settings, function)
    mapping.run(drain=True)
    assert (mapping.acknowledged, mapping.discarded) == (0, 3)
    assert len(events) == 2
    return events[0]


def check(record: dict[str, Any], event: dict[str, Any]) -> None:
    named = numbers(event)
    assert record["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert record["requestContext"]["approximateInvokeCount"] == 2
    assert record["KinesisBatchInfo"]["batchSize"] == 3
    assert record["KinesisBatchInfo"]["startSequenceNumber"] == named[0]
    assert record["KinesisBatchInfo"]["endSequenceNumber"] == named[-1]
    assert record["KinesisBatchInfo"]["streamArn"] == event["Records"][0]["eventSourceARN"]


def test_a_queue_gets_metadata_only(kinesis: Any, new_stream: Callable[..., str]) -> None:
    """ "You can configure any Amazon SNS topic or Amazon SQS queue as a destination." """
    stream, sqs = new_stream("in"), aws.client("sqs")
    url = sqs.create_queue(QueueName=stream)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    event = give_up(kinesis, stream, arn)
    [message] = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    record = json.loads(message["Body"])
    check(record, event)
    assert "payload" not in record


def test_a_topic_gets_metadata_only(kinesis: Any, new_stream: Callable[..., str]) -> None:
    stream, sqs, sns = new_stream("in"), aws.client("sqs"), aws.client("sns")
    url = sqs.create_queue(QueueName=f"{stream}-topic")["QueueUrl"]
    queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    topic = sns.create_topic(Name=stream)["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue, Attributes={"RawMessageDelivery": "true"})
    event = give_up(kinesis, stream, topic)
    [message] = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=5)["Messages"]
    check(json.loads(message["Body"]), event)


def test_a_bucket_gets_the_whole_invocation_record_under_the_documented_key(
    kinesis: Any, new_stream: Callable[..., str]
) -> None:
    """ "For Amazon S3 destinations, Lambda also sends the entire invocation record along with the metadata." and "The
    S3 object containing the invocation record uses the following naming convention:
    aws/lambda/<ESM-UUID>/<shardID>/YYYY/MM/DD/YYYY-MM-DDTHH.MM.SS-<Random UUID>".
    """
    stream, s3 = new_stream("in"), aws.client("s3")
    s3.create_bucket(Bucket=stream)
    event = give_up(kinesis, stream, f"arn:aws:s3:::{stream}")
    [found] = s3.list_objects_v2(Bucket=stream)["Contents"]
    date = r"\d{4}/\d\d/\d\d/\d{4}-\d\d-\d\dT\d\d\.\d\d\.\d\d-[0-9a-f-]{36}"
    assert re.fullmatch(rf"aws/lambda/2b733gdc/shardId-000000000000/{date}", found["Key"])
    record = json.loads(s3.get_object(Bucket=stream, Key=found["Key"])["Body"].read())
    check(record, event)
    assert json.loads(record["payload"]) == event


@pytest.mark.parametrize("kind", ["sqs:us-east-1:123456789012:", "sns:us-east-1:123456789012:", "s3:::"])
def test_a_destination_that_is_not_there_is_said_at_the_start(new_stream: Callable[..., str], kind: str) -> None:
    config = {"OnFailure": {"Destination": f"arn:aws:{kind}nowhere-at-all"}}
    settings: MappingSettings = settings_of({"StreamName": new_stream("in"), "DestinationConfig": config})
    with pytest.raises(CloudError, match="on-failure"):
        Mapping(settings, lambda _event, _context: None)
