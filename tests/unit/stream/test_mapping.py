"""The local mapping's rules, each with AWS's sentence for it: batches, positions, concurrency, partial responses.

Quoted from the Lambda developer guide (https://docs.aws.amazon.com/lambda/latest/dg/), here GUIDE.
"""

from __future__ import annotations

import json
import os
from itertools import pairwise
from typing import Any

import pytest

from app.errors import CloudError, SettingsError
from app.stream.mapping import EVENT_BYTES, REPORT_FAILURES, MappingSettings, first_failure
from app.stream.mapping.checkpoint import CheckpointFile
from app.stream.mapping.invoke import Answer
from app.stream.mapping.settings import settings_of
from tests.mapping_for_tests import ARN, BEGIN_S, SHARD, Bench, FakeClock, by_key, failing, numbers, payloads

REPORTS: dict[str, Any] = {"function_response_types": (REPORT_FAILURES,)}


def counted(count: int, start: int = 0) -> list[Any]:
    return list(range(start, start + count))


# Batches. GUIDE/with-kinesis.html: "Before invoking the function, Lambda continues to read records from the event
# source until it has gathered a full batch, the batching window expires, or the batch reaches the payload limit of
# 6 MB."


def test_a_batch_has_at_most_the_batch_size() -> None:
    bench = Bench()
    bench.kinesis.put([{"n": n} for n in range(25)])
    assert bench.drain(batch_size=10).acknowledged == 25
    assert bench.sizes == [10, 10, 5]


def test_a_batch_of_ten_thousand_is_one_event() -> None:
    bench = Bench()
    bench.kinesis.put([b"1"] * 10_001)
    bench.drain(batch_size=10_000)
    assert bench.sizes == [10_000, 1]


def test_an_event_has_at_most_six_megabytes_envelope_and_base64_included() -> None:
    bench = Bench()
    sizes: list[int] = []

    def function(raw: bytes, _context: Any) -> dict[str, Any]:
        sizes.append(len(raw))
        return bench.function(raw, _context) or {}

    bench.kinesis.put([json.dumps("x" * 900_000).encode()] * 12)
    bench.drain(function=function, batch_size=100)
    assert bench.sizes == [5, 5, 2]
    assert max(sizes) <= EVENT_BYTES < max(sizes) * 6 / 5  # one more would not have fitted


def test_the_limit_is_met_to_the_byte() -> None:
    bench = Bench()
    bench.kinesis.put([b"1"] * 2, ["k", "k"])
    bench.drain()
    envelope = len(json.dumps(bench.events[0], separators=(",", ":"))) // 2 - 4  # two records of four base64 letters
    fits = 3 * ((EVENT_BYTES - 2 * envelope - 40) // 8) - 3
    for extra, batches in ((0, [2]), (1200, [1, 1])):
        again = Bench()
        again.kinesis.put([b"7" * (fits + extra)] * 2, ["k", "k"])
        again.drain()
        assert again.sizes == batches, extra


def test_without_a_window_a_function_is_invoked_as_soon_as_there_are_records() -> None:
    """GUIDE/with-kinesis.html: "If the batch that Lambda reads from the event source has only one record in it,
    Lambda sends only one record to the function."
    """
    bench = Bench()
    for second in (1, 2, 3):
        bench.clock.at(second, lambda: bench.kinesis.put([b"1"]))
    bench.run_for(5)
    assert bench.sizes == [1, 1, 1]


def test_a_window_gathers_what_comes_in_time() -> None:
    bench = Bench()
    for second in (1, 100, 299, 500):
        bench.clock.at(second, lambda: bench.kinesis.put([b"1"]))
    bench.run_for(900, maximum_batching_window_in_seconds=300)
    assert bench.sizes == [3, 1]


def test_a_window_ends_when_the_batch_is_full() -> None:
    bench = Bench()
    bench.kinesis.put([b"1"] * 3)
    mapping = bench.mapping(maximum_batching_window_in_seconds=300, batch_size=3)
    bench.clock.at(1, mapping.stop)
    mapping.run()
    assert bench.sizes == [3]


def test_each_batch_contains_records_from_a_single_shard() -> None:
    """GUIDE/with-kinesis.html: "Each batch contains records from a single shard/data stream." """
    bench = Bench(shards=3)
    bench.kinesis.put([b"1"] * 60)
    bench.drain(batch_size=100)
    shards = [{record["eventID"].split(":")[0] for record in event["Records"]} for event in bench.events]
    assert all(len(each) == 1 for each in shards)
    assert len(shards) == 3


def test_an_event_has_the_documented_form() -> None:
    """GUIDE/with-kinesis.html, "Example Kinesis record event"."""
    bench = Bench()
    [number] = bench.kinesis.put([b"Hello, this is a test."], ["1"])
    bench.drain()
    assert bench.events == [
        {
            "Records": [
                {
                    "kinesis": {
                        "kinesisSchemaVersion": "1.0",
                        "partitionKey": "1",
                        "sequenceNumber": number,
                        "data": "SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==",
                        "approximateArrivalTimestamp": BEGIN_S,
                    },
                    "eventSource": "aws:kinesis",
                    "eventVersion": "1.0",
                    "eventID": f"{SHARD}:{number}",
                    "eventName": "aws:kinesis:record",
                    "invokeIdentityArn": "arn:aws:iam::123456789012:role/millrace",
                    "awsRegion": "us-east-1",
                    "eventSourceARN": ARN,
                }
            ]
        }
    ]


# Positions. GUIDE/with-kinesis.html: "Process new records that are added to the stream", "Process all records
# in the stream" and "Process records starting from a specific time."


def test_latest_leaves_out_what_was_there_before() -> None:
    bench = Bench()
    bench.kinesis.put([b"1"])
    mapping = bench.mapping(starting_position="LATEST")
    bench.clock.at(0.5, lambda: bench.kinesis.put([b"2"]))
    bench.clock.at(2, mapping.stop)
    mapping.run()
    assert bench.batches == [[2]]


def test_a_timestamp_starts_between() -> None:
    bench = Bench()
    bench.kinesis.put([b"1"])
    bench.clock.sleep(10)
    bench.kinesis.put([b"2"])
    bench.drain(starting_position="AT_TIMESTAMP", starting_position_timestamp=BEGIN_S + 5)
    assert bench.batches == [[2]]


def test_enabled_false_polls_nothing() -> None:
    """GUIDE/with-kinesis.html: "Set to false to stop processing records." """
    bench = Bench()
    bench.kinesis.put([b"1"])
    assert bench.drain(enabled=False).acknowledged == 0
    assert not bench.events


# Resharding.


def test_children_wait_for_their_parents() -> None:
    """A key's records are in order through a reshard: what a closed shard still holds comes before its children's."""
    bench = Bench()
    bench.kinesis.put(counted_bytes(10), ["key"] * 10)
    bench.kinesis.split()
    bench.kinesis.put(counted_bytes(10, 10), ["key"] * 10)
    refusals = iter([True] * 3)

    def stumble(event: dict[str, Any]) -> dict[str, Any]:
        if 9 in payloads(event) and next(refusals, False):
            raise RuntimeError
        return {}

    bench.answer = stumble
    assert bench.drain(batch_size=4).acknowledged == 20
    seen: list[int] = []
    for batch in bench.batches:
        seen += [n for n in batch if n not in seen]
    assert seen == counted(20)


def counted_bytes(count: int, start: int = 0) -> list[bytes]:
    return [str(n).encode() for n in range(start, start + count)]


def test_a_merge_waits_for_both_parents() -> None:
    bench = Bench(shards=2)
    bench.kinesis.put(counted_bytes(30))
    bench.kinesis.merge()
    bench.kinesis.put(counted_bytes(5, 30))
    bench.drain(batch_size=7)
    flat = [n for batch in bench.batches for n in batch]
    assert set(flat[-5:]) == set(range(30, 35))
    assert sorted(flat) == counted(35)


# Parallelization factor.


class Slots:
    """Invocations that are answered only when asked, the last one first."""

    def __init__(self, bench: Bench, slots: int) -> None:
        self.bench, self.slots = bench, slots
        self.under_way: list[tuple[Any, bytes]] = []
        self.most = 0

    @property
    def free(self) -> bool:
        return len(self.under_way) < self.slots

    @property
    def busy(self) -> bool:
        return bool(self.under_way)

    def start(self, invocation: Any, event: bytes) -> None:
        self.under_way.append((invocation, event))
        keys = [
            r["kinesis"]["partitionKey"]
            for _, raw in self.under_way
            for r in {record["kinesis"]["partitionKey"]: record for record in json.loads(raw)["Records"]}.values()
        ]
        assert len(keys) == len(set(keys)), "two batches at once hold records of one key"
        self.most = max(self.most, len(self.under_way))

    def answers(self, wait_s: float) -> list[tuple[Any, Answer]]:
        if not wait_s or not self.under_way:
            return []
        invocation, event = self.under_way.pop()
        try:
            return [(invocation, Answer(self.bench.function(event, None)))]
        except RuntimeError:
            return [(invocation, Answer(fault="RuntimeError"))]


@pytest.mark.parametrize(("factor", "most"), [(1, 1), (2, 2), (10, 10)])
def test_so_many_batches_of_a_shard_run_at_once_and_each_key_stays_in_order(factor: int, most: int) -> None:
    """GUIDE/with-kinesis.html: "Lambda can process up to 10 batches in each shard simultaneously." and "Lambda still
    ensures in-order processing at the partition-key level."
    """
    bench = Bench()
    keys = [f"key-{n % 40}" for n in range(400)]
    bench.kinesis.put(counted_bytes(400), keys)
    pool = Slots(bench, 20)
    assert bench.drain(parallelization_factor=factor, batch_size=7, pool=pool).acknowledged == 400
    assert pool.most == most
    for key, seen in by_key(bench.events).items():
        assert seen == [n for n, each in enumerate(keys) if each == key]


def test_a_failing_key_holds_up_its_own_lane_alone_and_the_checkpoint(tmp_path: Any) -> None:
    bench = Bench()
    keys = ["bad" if n == 3 else f"key-{n}" for n in range(50)]
    bench.kinesis.put(counted_bytes(50), keys)
    first = int(numbers_of(bench)[0])

    def refuse(event: dict[str, Any]) -> dict[str, Any]:
        if 3 in payloads(event):
            raise RuntimeError
        return {}

    bench.answer = refuse
    kept = CheckpointFile(tmp_path / "place.json")
    pool = Slots(bench, 10)
    mapping = bench.run_for(60, parallelization_factor=10, batch_size=1, pool=pool, checkpoint=kept)
    assert mapping.acknowledged > 35  # the other lanes went on
    [place] = json.loads((tmp_path / "place.json").read_text())["shards"].values()
    assert int(place["sequence_number"]) - first <= 2  # and nothing passed record 3


def numbers_of(bench: Bench) -> list[str]:
    return [record["SequenceNumber"] for shard in bench.kinesis.shards for record in shard.records]


# Partial responses. GUIDE/services-kinesis-batchfailurereporting.html.


def test_the_lowest_sequence_number_is_the_checkpoint() -> None:
    """ "If the batchItemFailures array contains multiple items, Lambda uses the record with the lowest sequence number
    as the checkpoint. Lambda then retries all records starting from that checkpoint."
    """
    bench = Bench()
    bench.kinesis.put(counted_bytes(6))
    bench.answer = lambda event: failing(event, 4, 2, 5) if len(bench.events) == 1 else {}
    bench.drain(**REPORTS)
    assert bench.batches == [counted(6), [2, 3, 4, 5]]


@pytest.mark.parametrize("answer", [None, {}, "", [], {"batchItemFailures": []}, {"batchItemFailures": None}], ids=repr)
def test_complete_success(answer: object) -> None:
    """ "Lambda treats a batch as a complete success if you return any of the following: An empty batchItemFailure
    list. A null batchItemFailure list. An empty EventResponse. A null EventResponse."
    """
    assert first_failure(answer, ["1", "2", "3"]) == 3


@pytest.mark.parametrize(
    "answer",
    [
        {"batchItemFailures": [{"itemIdentifier": ""}]},
        {"batchItemFailures": [{"itemIdentifier": None}]},
        {"batchItemFailures": [{"wrong": "2"}]},
        {"batchItemFailures": [{"itemIdentifier": "9"}]},
        {"batchItemFailures": [{"itemIdentifier": "2"}, {"itemIdentifier": None}]},
        {"batchItemFailures": 5},
        "done",
    ],
    ids=repr,
)
def test_complete_failure(answer: object) -> None:
    """ "Lambda treats a batch as a complete failure if you return any of the following: An empty string
    itemIdentifier. A null itemIdentifier. An itemIdentifier with a bad key name."
    """
    assert first_failure(answer, ["1", "2", "3"]) == 0


def test_without_the_response_type_a_list_of_failures_is_ignored_aloud(caplog: pytest.LogCaptureFixture) -> None:
    """ "To turn on ReportBatchItemFailures, include the enum value ReportBatchItemFailures in the
    FunctionResponseTypes list." Without it AWS passes over what the list names, which loses records.
    """
    bench = Bench()
    bench.kinesis.put(counted_bytes(3))
    bench.answer = lambda event: failing(event, 1)
    assert bench.drain().acknowledged == 3
    assert bench.sizes == [3]
    assert "they are lost" in caplog.text


def test_an_error_returns_the_whole_batch() -> None:
    """ "Lambda treats all other results as a complete failure and retries processing the batch up to the retry
    limit."
    """
    bench = Bench()
    bench.kinesis.put(counted_bytes(3))

    def raise_twice(_event: dict[str, Any]) -> None:
        if len(bench.events) < 3:
            raise RuntimeError

    bench.answer = raise_twice
    assert bench.drain().acknowledged == 3
    assert bench.sizes == [3, 3, 3]


# Resuming.


def test_a_later_run_goes_on_where_the_earlier_one_stopped(tmp_path: Any) -> None:
    kept = CheckpointFile(tmp_path / "place.json")
    bench = Bench()
    bench.kinesis.put(counted_bytes(10))
    bench.answer = lambda event: failing(event, 4) if len(bench.events) == 1 else mapping.stop()
    mapping = bench.mapping(checkpoint=kept, batch_size=6, **REPORTS)
    mapping.run()
    bench.kinesis.split()
    bench.kinesis.put(counted_bytes(4, 10))
    done = [n for batch in bench.batches[1:] for n in batch]
    bench.answer = lambda _event: {}
    del bench.events[:]
    bench.drain(checkpoint=kept, starting_position="LATEST")
    assert sorted([0, 1, 2, 3, *done, *(n for batch in bench.batches for n in batch)]) == counted(14)
    del bench.events[:]
    bench.drain(checkpoint=kept)
    assert not bench.events  # closed shards too are known to be done


def test_latest_is_kept_as_the_moment_it_was(tmp_path: Any) -> None:
    kept = CheckpointFile(tmp_path / "place.json")
    bench = Bench()
    bench.kinesis.put([b"1"])
    bench.clock.sleep(1)
    bench.run_for(1, checkpoint=kept, starting_position="LATEST")
    bench.kinesis.put([b"2"])
    bench.drain(checkpoint=kept, starting_position="LATEST")
    assert bench.batches == [[2]]


@pytest.mark.parametrize("ahead_s", [-3600, -6, 0, 6, 3600])
@pytest.mark.parametrize("idle_s", [0, 7, 1000])
@pytest.mark.parametrize("before", [0, 3])
def test_latest_is_kept_as_a_position_whatever_this_machines_clock_says(
    tmp_path: Any, before: int, idle_s: float, ahead_s: float
) -> None:
    """A run is killed before its first record is done, and resumed: what came meanwhile comes, and nothing older."""
    kept = CheckpointFile(tmp_path / "place.json")
    bench = Bench(shards=2)
    bench.clock.sleep(100.3)
    bench.clock.ahead_s = ahead_s
    bench.kinesis.put([b'"before"'] * before)
    bench.run_for(idle_s, checkpoint=kept, starting_position="LATEST")
    bench.kinesis.put(counted_bytes(4))
    bench.kinesis.split()
    bench.kinesis.put(counted_bytes(4, 4))
    bench.clock.sleep(1)
    bench.clock.ahead_s = -ahead_s
    bench.drain(checkpoint=kept, starting_position="LATEST")
    assert sorted(n for batch in bench.batches for n in batch) == counted(8)


def test_latest_holds_for_a_shard_that_is_not_read_for_longer_than_an_iterator_lives() -> None:
    bench = Bench()
    bench.clock.ahead_s = 10
    bench.kinesis.put([b'"before"'])
    mapping = bench.mapping(starting_position="LATEST")
    bench.kinesis.put([b"1"])
    bench.clock.sleep(400)
    mapping.run(drain=True)
    assert bench.batches == [[1]]


def test_latest_is_found_in_a_shard_whose_tip_is_never_reached() -> None:
    bench = Bench()
    get_records = bench.kinesis.get_records

    def never_at_the_tip(**arguments: Any) -> Any:
        answer = get_records(**arguments)
        bench.kinesis.put([b'"before"'])
        return {**answer, "MillisBehindLatest": 40}

    bench.kinesis.get_records = never_at_the_tip  # type: ignore[method-assign] # a busy shard
    mapping = bench.mapping(starting_position="LATEST")
    bench.kinesis.get_records = get_records  # type: ignore[method-assign] # at rest
    bench.kinesis.put([b"1"])
    assert mapping.run(drain=True) <= 2
    assert bench.batches[-1][-1] == 1


def test_latest_needs_the_time_of_the_service() -> None:
    bench = Bench()
    bench.kinesis._dated = dict  # type: ignore[method-assign] # a proxy that takes the header away
    with pytest.raises(CloudError, match="stream events: answers without a Date"):
        bench.mapping(starting_position="LATEST")


def test_a_checkpoint_is_not_written_for_each_of_many_batches(tmp_path: Any) -> None:
    """A write takes the disk longer than many a batch; a crash repeats what was done since."""
    saved: list[float] = []

    class Counting(CheckpointFile):
        def save(self, stream_arn: str, created: str, shards: Any) -> None:
            saved.append(bench.clock.now_s)
            super().save(stream_arn, created, shards)

    bench = Bench()
    bench.kinesis.put(counted_bytes(1000))
    bench.answer = lambda _event: bench.clock.sleep(0.01)
    kept = Counting(tmp_path / "place.json")
    assert bench.drain(checkpoint=kept, batch_size=1).acknowledged == 1000
    assert 40 < len(saved) < 60
    assert max(later - earlier for earlier, later in pairwise(saved)) < 0.25
    del bench.events[:]
    bench.drain(checkpoint=kept)
    assert not bench.events  # the last one is written at the end
    bench.kinesis.put(counted_bytes(3))
    bench.answer = lambda _event: bench.clock.sleep(1)
    before = len(saved)
    bench.drain(checkpoint=kept, batch_size=1)
    assert len(saved) == before + 4  # at the beginning, and after each slow batch


def test_a_checkpoint_of_another_stream_is_left_aside(tmp_path: Any) -> None:
    path = tmp_path / "place.json"
    bench = Bench()
    bench.kinesis.put([b"1"])
    bench.drain(checkpoint=CheckpointFile(path))
    path.write_bytes(path.read_bytes().replace(b"events", b"others"))
    bench.drain(checkpoint=CheckpointFile(path))
    assert bench.batches == [[1], [1]]
    path.write_bytes(b"{}")
    with pytest.raises(SettingsError, match="not a checkpoint"):
        bench.mapping(checkpoint=CheckpointFile(path))


# Reading.


def test_passing_faults_of_the_source_lose_nothing() -> None:
    bench = Bench()
    codes = iter(["ProvisionedThroughputExceededException", None, "ExpiredIteratorException", "InternalFailure"] * 3)
    bench.kinesis.put(counted_bytes(5))
    mapping = bench.mapping()
    bench.kinesis.fault = lambda operation: next(codes, None) if operation == "GetRecords" else None
    assert mapping.run(drain=True) == 5


def test_a_lasting_fault_of_the_source_is_one_line() -> None:
    bench = Bench()
    mapping = bench.mapping()
    bench.kinesis.fault = lambda _operation: "AccessDeniedException"
    with pytest.raises(CloudError, match="stream events"):
        mapping.run()


# Settings. https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"BatchSize": 0}, "BatchSize is 0: 1 to 10000"),
        ({"BatchSize": 10_001}, "BatchSize"),
        ({"BatchSize": "many"}, "BatchSize"),
        ({"MaximumBatchingWindowInSeconds": 301}, "0 to 300"),
        ({"ParallelizationFactor": 11}, "1 to 10"),
        ({"MaximumRetryAttempts": 10_001}, "-1 to 10000"),
        ({"MaximumRetryAttempts": -2}, "MaximumRetryAttempts"),
        ({"MaximumRecordAgeInSeconds": 59}, "60 to 604800"),
        ({"MaximumRecordAgeInSeconds": 604_801}, "60 to 604800"),
        ({"TumblingWindowInSeconds": 901}, "0 to 900"),
        ({"TumblingWindowInSeconds": 60, "ParallelizationFactor": 2}, "ParallelizationFactor"),
        ({"StartingPosition": "EARLIEST"}, "TRIM_HORIZON, LATEST or AT_TIMESTAMP"),
        ({"StartingPosition": "AT_TIMESTAMP"}, "StartingPositionTimestamp"),
        ({"StartingPositionTimestamp": 5}, "StartingPositionTimestamp"),
        ({"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": "noon"}, "noon"),
        ({"FunctionResponseTypes": ["Everything"]}, "Everything"),
        ({"FilterCriteria": {"Filters": [{"Pattern": "{}"}] * 11}}, "at most 10"),
        ({"StreamName": ""}, "no stream"),
    ],
)
def test_settings_are_held_to_what_aws_allows(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        settings_of({"StreamName": "s", **wrong})


def test_defaults_are_aws_own() -> None:
    """GUIDE/services-kinesis-parameters.html: "-1 means infinite: failed records are retried until the record
    expires".
    """
    settings = settings_of({"EventSourceArn": f"{ARN}/consumer/c:1", "BatchSize": "100"})
    assert settings == MappingSettings(event_source_arn=f"{ARN}/consumer/c:1")
    assert settings.stream == "events"
    assert (settings.batch_size, settings.maximum_batching_window_in_seconds) == (100, 0)
    assert (settings.maximum_retry_attempts, settings.maximum_record_age_in_seconds) == (-1, -1)
    assert (settings.parallelization_factor, settings.tumbling_window_in_seconds) == (1, 0)
    assert not settings.bisect_batch_on_function_error
    assert not settings.reports_failures


def test_a_report_tells_what_came_of_each_batch() -> None:
    bench = Bench()
    reports: list[Any] = []
    bench.kinesis.put(counted_bytes(3))
    bench.answer = lambda event: failing(event, 1) if len(bench.events) == 1 else {}
    bench.drain(progress=reports.append, **REPORTS)
    assert [(each.shard_id, each.records, each.done) for each in reports] == [(SHARD, 3, 1), (SHARD, 2, 2)]
    assert numbers(bench.events[1]) == numbers(bench.events[0])[1:]


def test_a_checkpoint_does_not_take_the_place_of_a_device(tmp_path: Any) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(SettingsError, match="is not a file"):
        CheckpointFile(pipe)


class FewTargets:
    """A pool of few, each of which takes a second of the bench's clock; it notes whom it served."""

    def __init__(self, clock: FakeClock, targets: int) -> None:
        self.served: set[tuple[str, int]] = set()
        self._targets, self._clock, self._under_way = targets, clock, list[tuple[float, Any]]()

    @property
    def free(self) -> bool:
        return len(self._under_way) < self._targets

    @property
    def busy(self) -> bool:
        return bool(self._under_way)

    def start(self, invocation: Any, _event: bytes) -> None:
        self.served.add((invocation.run.shard.shard_id, invocation.run.lanes.index(invocation.lane)))
        self._under_way.append((self._clock.time() + 1, invocation))

    def answers(self, wait_s: float) -> list[tuple[Any, Answer]]:
        if wait_s and all(ends_s > self._clock.time() for ends_s, _ in self._under_way):
            self._clock.sleep(wait_s)
        ended = [each for each in self._under_way if each[0] <= self._clock.time()]
        self._under_way = [each for each in self._under_way if each not in ended]
        return [(invocation, Answer({})) for _, invocation in ended]


@pytest.mark.parametrize(("shards", "factor", "targets"), [(1, 10, 2), (2, 2, 1), (2, 4, 1), (3, 3, 2)])
def test_with_fewer_targets_than_lanes_each_lane_has_its_turn(shards: int, factor: int, targets: int) -> None:
    bench = Bench(shards)
    pool = FewTargets(bench.clock, targets)

    def feed() -> None:
        bench.kinesis.put([{}] * 60, [f"key-{number}" for number in range(60)])

    for second in range(1, 30):
        bench.clock.at(second, feed)
    bench.run_for(30, function=[None] * targets, pool=pool, parallelization_factor=factor)
    assert len(pool.served) == shards * factor
