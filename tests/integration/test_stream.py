"""From stream to stream over HTTP: fed and read through localstack-client, driven by the local mapping."""

from __future__ import annotations

import base64
import json
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from app import aws
from app.errors import MissingStreamError
from app.registry import open_runtime
from app.settings import Settings
from app.stream.mapping import REPORT_FAILURES, Mapping, MappingSettings
from app.stream.runtime import Runtime
from app.stream.shards import StartingPosition, StreamReader, read_stream
from tests.pipelines_for_tests import CountingPipeline, EchoPipeline, orders

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.stream.deadline import LocalContext

pytestmark = pytest.mark.cloud
PIPELINES: Any = {"echo": lambda _settings: EchoPipeline(), "count": lambda _settings: CountingPipeline()}


def put(kinesis: Any, stream: str, payloads: Sequence[bytes], keys: Sequence[str] | None = None) -> None:
    entries = [
        {"Data": payload, "PartitionKey": keys[row] if keys else f"key-{row}"} for row, payload in enumerate(payloads)
    ]
    for start in range(0, len(entries), 500):
        answer = kinesis.put_records(StreamName=stream, Records=entries[start : start + 500])
        assert answer["FailedRecordCount"] == 0


def read(stream: str) -> list[dict[str, Any]]:
    return [json.loads(data) for data in read_stream(stream, StartingPosition())]


def runtime(output: str, **settings: Any) -> Runtime:
    values: dict[str, Any] = {"output_stream": output, "partial_responses": True, "pipeline": "echo", **settings}
    return Runtime(Settings(**values), PIPELINES)


def double_shards(kinesis: Any, stream: str) -> None:
    kinesis.update_shard_count(StreamName=stream, TargetShardCount=2, ScalingType="UNIFORM_SCALING")
    ends = time.monotonic() + 10
    while kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["StreamStatus"] != "ACTIVE":
        assert time.monotonic() < ends
        time.sleep(0.05)


def drained(stream: str, handler: Any, **settings: Any) -> int:
    values: dict[str, Any] = {"function_response_types": (REPORT_FAILURES,), **settings}
    return Mapping(MappingSettings(stream_name=stream, **values), handler).run(drain=True)


def test_bike_records_become_predictions_and_bad_ones_are_set_aside(
    kinesis: Any, new_stream: Callable[..., str]
) -> None:
    source, output, aside = new_stream("in", 2), new_stream("out", 2), new_stream("aside")
    good = [
        {"features": {"t1": t1, "t2": t1, "hum": 50, "weather_code": 2}, "pred_id": f"ride-{t1}"} for t1 in range(20)
    ]
    bad = {
        b"\xff{}": "not_utf8",
        b"hello": "not_json",
        b'{"features":{"t1":NaN,"t2":3,"hum":50,"weather_code":2},"pred_id":1}': "not_finite",
        b'{"features":{"t1":2,"t2":3,"hum":50},"pred_id":1}': "missing_field",
        b'{"features":{"t1":"2","t2":3,"hum":50,"weather_code":2},"pred_id":1}': "mistyped_field",
        b'{"features":{"t1":2,"t2":3,"hum":50,"weather_code":5},"pred_id":1}': "unknown_weather_code",
        b'{"features":{"t1":2,"t2":3,"hum":500,"weather_code":2},"pred_id":1}': "out_of_range",
    }
    put(kinesis, source, [*(json.dumps(each).encode() for each in good), *bad])
    bike = open_runtime(Settings(output_stream=output, quarantine_stream=aside, partial_responses=True))
    assert drained(source, bike.handle, batch_size=10) == 27
    results = read(output)
    assert {result["prediction"]["pred_id"] for result in results} == {each["pred_id"] for each in good}
    assert len({result["id"] for result in results}) == 20
    for result in results:
        assert isinstance(result["prediction"]["cnt"], int)
        assert result["prediction"]["cnt"] >= 0
        assert result["source"]["stream"] == source
    assert sorted(each["reason"] for each in read(aside)) == sorted(bad.values())


def test_a_record_that_waits_comes_again_and_nothing_before_it(kinesis: Any, new_stream: Callable[..., str]) -> None:
    source, output = new_stream("in"), new_stream("out")
    put(kinesis, source, orders(6, _3="retry"))
    target = runtime(output)
    batches: list[list[str]] = []

    def handler(event: bytes, context: LocalContext) -> Any:
        records = json.loads(event)["Records"]
        batches.append([record["kinesis"]["sequenceNumber"] for record in records])
        if len(batches) == 3:  # what made the record wait has passed
            return {"batchItemFailures": []}
        return target.handle(event, context)

    assert drained(source, handler) == 6
    assert [len(batch) for batch in batches] == [6, 3, 3]
    assert batches[1] == batches[0][3:]
    assert [each["n"] for each in read(output)] == [0, 1, 2]


def test_without_partial_responses_the_whole_batch_comes_again(kinesis: Any, new_stream: Callable[..., str]) -> None:
    source, output = new_stream("in"), new_stream("out")
    put(kinesis, source, orders(3, _1="retry"))
    target = runtime(output, partial_responses=False)
    sizes: list[int] = []

    def handler(event: bytes, context: LocalContext) -> Any:
        sizes.append(len(json.loads(event)["Records"]))
        return {} if len(sizes) == 3 else target.handle(event, context)

    assert drained(source, handler, function_response_types=()) == 3
    assert sizes == [3, 3, 3]
    assert [each["n"] for each in read(output)] == [0, 0]
    assert len({each["id"] for each in read(output)}) == 1


def test_a_window_gathers_what_comes_in_time(kinesis: Any, new_stream: Callable[..., str]) -> None:
    source = new_stream("in")
    sizes: list[int] = []

    def handler(event: bytes, _context: LocalContext) -> dict[str, Any]:
        sizes.append(len(json.loads(event)["Records"]))
        return {}

    settings = MappingSettings(stream_name=source, batch_size=100, maximum_batching_window_in_seconds=2)
    mapping = Mapping(settings, handler)
    thread = threading.Thread(target=mapping.run)
    thread.start()
    try:
        for _ in range(3):
            put(kinesis, source, orders(2))
            time.sleep(0.3)
        ends = time.monotonic() + 15
        while mapping.acknowledged < 6 and time.monotonic() < ends:
            time.sleep(0.05)
    finally:
        mapping.stop()
        thread.join()
    assert sizes == [6]


def test_latest_leaves_out_what_was_there_before(kinesis: Any, new_stream: Callable[..., str]) -> None:
    source = new_stream("in")
    put(kinesis, source, orders(5))
    assert drained(source, lambda _event, _context: {}, starting_position="LATEST") == 0
    assert drained(source, lambda _event, _context: {}, starting_position="TRIM_HORIZON") == 5


def test_latest_means_when_reading_began_however_late_a_shard_is_read(
    kinesis: Any, new_stream: Callable[..., str]
) -> None:
    source = new_stream("in")
    put(kinesis, source, orders(5))
    reader = StreamReader(source, StartingPosition("LATEST"))
    put(kinesis, source, orders(3))
    assert len(_all(reader)) == 3

    time.sleep(1.1)  # botocore sends a timestamp in whole seconds
    expired = StreamReader(source, StartingPosition("LATEST"))
    time.sleep(1.1)
    put(kinesis, source, orders(2))
    expired.shards[0]._iterator = None  # as when it has expired before the first record
    assert len(_all(expired)) == 2


def test_a_reshard_after_the_start_is_followed(kinesis: Any, new_stream: Callable[..., str]) -> None:
    source = new_stream("in", 1)
    reader = StreamReader(source, StartingPosition("LATEST"))
    put(kinesis, source, orders(4), ["key"] * 4)
    double_shards(kinesis, source)
    put(kinesis, source, orders(6), ["key"] * 6)
    assert len(_all(reader)) == 10


def _all(reader: StreamReader) -> list[Any]:
    """Everything up to the tip."""
    found: list[Any] = []
    while not reader.at_tip():
        reader.read()
        for shard in reader.shards:
            found += shard.buffer
            shard.buffer.clear()
        time.sleep(0.05)
    return found


def test_a_timestamp_starts_between(kinesis: Any, new_stream: Callable[..., str]) -> None:
    source = new_stream("in")
    put(kinesis, source, orders(5))
    time.sleep(1.1)
    between = time.time()
    put(kinesis, source, orders(2))
    position: dict[str, Any] = {"starting_position": "AT_TIMESTAMP", "starting_position_timestamp": between}
    assert drained(source, lambda _event, _context: {}, **position) == 2


def test_a_resharded_stream_is_read_parents_first(kinesis: Any, new_stream: Callable[..., str]) -> None:
    source = new_stream("in", 1)
    put(kinesis, source, orders(10), ["key"] * 10)
    double_shards(kinesis, source)
    later = [json.dumps({"n": number}).encode() for number in range(10, 20)]
    put(kinesis, source, later, ["key"] * 10)
    seen: list[int] = []

    def handler(event: bytes, _context: LocalContext) -> dict[str, Any]:
        seen.extend(json.loads(base64.b64decode(r["kinesis"]["data"]))["n"] for r in json.loads(event)["Records"])
        return {}

    assert drained(source, handler, batch_size=4) == 20
    assert seen == list(range(20))


def test_state_in_dynamodb_counts_each_record_once(kinesis: Any, new_stream: Callable[..., str]) -> None:
    source, output = new_stream("in"), new_stream("out")
    aws.client("dynamodb").create_table(
        TableName=source,
        KeySchema=[{"AttributeName": "state_key", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "state_key", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    put(kinesis, source, orders(9), ["a", "b", "c"] * 3)
    for _ in range(2):  # the second mapping knows nothing of the first, and delivers all again
        target = runtime(output, pipeline="count", state_table=source)
        assert drained(source, target.handle, batch_size=4) == 9
    assert sorted(each["count"] for each in read(output)) == [1, 1, 1, 2, 2, 2, 3, 3, 3]


@pytest.mark.usefixtures("cloud")
def test_a_missing_input_stream_is_one_clear_error() -> None:
    with pytest.raises(MissingStreamError, match="stream nowhere: not found"):
        Mapping(MappingSettings(stream_name="nowhere"), lambda _event, _context: {})
