"""The local mapping's rules for what fails: attempts, age, halving, and the on-failure record.

Quoted from https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html unless said otherwise.
"""

from __future__ import annotations

import itertools
import json
import re
from itertools import pairwise
from typing import Any

import pytest

from app.errors import CloudError, SettingsError
from app.stream.mapping import EVENT_BYTES, REPORT_FAILURES
from app.stream.mapping.destinations import open_destination
from app.stream.mapping.invoke import Answer
from tests.mapping_for_tests import ARN, BEGIN_S, SHARD, Bench, failing, payloads

REPORTS: dict[str, Any] = {"function_response_types": (REPORT_FAILURES,)}
BISECT: dict[str, Any] = {"bisect_batch_on_function_error": True}


def poisoned(bench: Bench, count: int = 8, poison: int = 5) -> None:
    """Puts records of which one makes the function raise."""
    bench.kinesis.put([str(n).encode() for n in range(count)])

    def refuse(event: dict[str, Any]) -> dict[str, Any]:
        if poison in payloads(event):
            raise RuntimeError
        return {}

    bench.answer = refuse


def test_retries_end_after_the_maximum_and_the_shard_goes_on() -> None:
    """ "If the error handling measures fail, Lambda discards the records and continues processing batches from the
    stream."
    """
    bench = Bench()
    poisoned(bench, count=8, poison=1)
    mapping = bench.drain(batch_size=4, maximum_retry_attempts=2, on_failure=True)
    assert bench.batches == [[0, 1, 2, 3]] * 3 + [[4, 5, 6, 7]]
    assert (mapping.acknowledged, mapping.discarded) == (4, 4)
    [record] = bench.kept.records
    assert record["requestContext"]["approximateInvokeCount"] == 3


def test_no_retries_at_all() -> None:
    bench = Bench()
    poisoned(bench, count=4, poison=1)
    bench.drain(maximum_retry_attempts=0, on_failure=True)
    assert bench.sizes == [4]
    assert len(bench.kept.records) == 1


def test_retries_are_infinite_by_default() -> None:
    """ "With the default settings, this means that a bad record can block processing on the affected shard for up to
    one week."
    """
    bench = Bench()
    poisoned(bench, count=4, poison=1)
    mapping = bench.run_for(600, on_failure=True)
    assert len(bench.events) > 500
    assert not mapping.discarded


def test_without_a_destination_a_discarded_batch_is_only_told(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    poisoned(bench, count=4, poison=1)
    assert bench.drain(maximum_retry_attempts=0).discarded == 4
    assert "4 records discarded (RetryAttemptsExhausted): no on-failure destination" in caplog.text


def test_halving_isolates_the_bad_record_and_uses_no_attempts() -> None:
    """ "BisectBatchOnFunctionError, which splits a failed batch into two smaller batches" and "Splitting batches
    doesn't consume the retry quota."
    """
    bench = Bench()
    poisoned(bench, count=8, poison=5)
    mapping = bench.drain(maximum_retry_attempts=1, on_failure=True, **BISECT)
    assert bench.batches == [[0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3], [4, 5, 6, 7], [4, 5], [4], [5], [5], [6, 7]]
    assert (mapping.acknowledged, mapping.discarded) == (7, 1)
    [event] = bench.kept.events
    assert payloads(event) == [5]


def test_a_batch_that_failed_is_halved_whatever_the_response_types() -> None:
    """services-kinesis-batchfailurereporting.html: "If your invocation fails and BisectBatchOnFunctionError is turned
    on, the batch is bisected regardless of your ReportBatchItemFailures setting."
    """
    bench = Bench()
    poisoned(bench, count=4, poison=3)
    bench.drain(maximum_retry_attempts=0, **BISECT, **REPORTS)
    assert bench.sizes == [4, 2, 2, 1, 1]


def test_a_partial_response_cuts_at_the_number_and_uses_no_attempts_with_bisect_on() -> None:
    """services-kinesis-batchfailurereporting.html: "the batch is bisected at the returned sequence number and Lambda
    retries only the remaining records."
    """
    bench = Bench()
    bench.kinesis.put([str(n).encode() for n in range(6)])
    bench.answer = lambda event: failing(event, 1) if len(event["Records"]) > 1 else {}
    mapping = bench.drain(maximum_retry_attempts=0, **BISECT, **REPORTS)
    assert bench.batches == [list(range(start, 6)) for start in range(6)]
    assert (mapping.acknowledged, mapping.discarded) == (6, 0)


def test_with_bisect_a_record_that_is_named_again_and_again_is_halved_out_and_given_up_alone() -> None:
    bench = Bench()
    bench.kinesis.put([str(n).encode() for n in range(8)])

    def name_five(event: dict[str, Any]) -> dict[str, Any]:
        held = payloads(event)
        return failing(event, held.index(5)) if 5 in held else {}

    bench.answer = name_five
    mapping = bench.drain(maximum_retry_attempts=2, on_failure=True, **BISECT, **REPORTS)
    assert (mapping.acknowledged, mapping.discarded) == (7, 1)
    assert bench.batches == [[*range(8)], [5, 6, 7], [5], [5], [5], [6, 7]]


def test_without_bisect_each_partial_response_is_an_attempt() -> None:
    """services-kinesis-batchfailurereporting.html: "Lambda retries failures based on your retry strategy." """
    bench = Bench()
    bench.kinesis.put([str(n).encode() for n in range(6)])
    bench.answer = lambda event: failing(event, 1)
    mapping = bench.drain(maximum_retry_attempts=2, on_failure=True, batch_size=6, **REPORTS)
    assert bench.batches == [[*range(6)], [*range(1, 6)], [*range(2, 6)]]
    assert (mapping.acknowledged, mapping.discarded) == (3, 3)
    [record] = bench.kept.records
    assert record["KinesisBatchInfo"]["batchSize"] == 3
    # It did return. That AWS writes null was recorded from it by LocalStack's test_kinesis_report_batch_item_failures.
    assert record["responseContext"] == {"statusCode": 200, "executedVersion": "$LATEST", "functionError": None}


def test_records_too_old_are_discarded_and_younger_ones_of_the_batch_are_not() -> None:
    """with-kinesis.html: "The maximum age of a record that Lambda sends to your function." """
    bench = Bench()
    bench.kinesis.put([b"0", b"1"])
    bench.clock.sleep(61)
    bench.kinesis.put([b"2"])
    mapping = bench.drain(maximum_record_age_in_seconds=60, on_failure=True)
    assert bench.batches == [[2]]
    assert (mapping.acknowledged, mapping.discarded) == (1, 2)
    [record] = bench.kept.records
    assert record["requestContext"]["condition"] == "RecordAgeExceeded"
    assert record["requestContext"]["approximateInvokeCount"] == 0
    assert "responseContext" not in record  # there was none


def test_a_return_that_json_cannot_hold_is_a_failure() -> None:
    """ "Lambda treats all other results as a complete failure": here of a handler that nobody awaits."""
    bench = Bench()
    bench.kinesis.put([b"0"])
    begun = []

    async def handler(_event: bytes, _context: Any) -> None:
        raise AssertionError

    def call(event: bytes, context: Any) -> Any:
        begun.append(handler(event, context))
        return begun[-1]

    mapping = bench.drain(function=call, maximum_retry_attempts=1, on_failure=True)
    assert (mapping.acknowledged, mapping.discarded, len(begun)) == (0, 1, 2)
    for coroutine in begun:
        coroutine.close()


def test_retries_end_when_the_records_become_too_old() -> None:
    """ "Lambda retries until the records expire, exceed the maximum age (MaximumRecordAgeInSeconds), or reach the
    configured retry quota".
    """
    bench = Bench()
    poisoned(bench, count=2, poison=1)
    mapping = bench.run_for(200, maximum_record_age_in_seconds=120, on_failure=True)
    assert mapping.discarded == 2
    assert bench.clock.now_s > BEGIN_S + 120
    assert bench.kept.records[0]["requestContext"]["condition"] == "RecordAgeExceeded"
    assert bench.kept.records[0]["responseContext"]["functionError"] == "Unhandled"


class Unreachable:
    def __init__(self, bench: Bench, times: int) -> None:
        self.bench, self.times = bench, times

    def invoke(self, event: bytes) -> Answer:
        self.times -= 1
        return Answer(fault="down", invoked=False) if self.times >= 0 else Answer(self.bench.function(event, None))


def test_a_function_that_is_not_reached_uses_no_attempts() -> None:
    """with-kinesis.html: "This doesn't apply to service errors or throttles where the batch didn't reach the
    function."
    """
    bench = Bench()
    bench.kinesis.put([b"0"])
    mapping = bench.drain(function=[Unreachable(bench, 50)], maximum_retry_attempts=0, **BISECT)
    assert (mapping.acknowledged, mapping.discarded) == (1, 0)


def test_a_record_that_fits_no_event_is_never_sent_and_fails_like_any_other() -> None:
    """with-kinesis.html: "as long as the total size of the events doesn't exceed the payload limit for synchronous
    invocation (6 MB)". What AWS does with a record that is larger alone it does not say; here it fails.
    """
    bench = Bench()
    bench.kinesis.put([b"0", b"1" * EVENT_BYTES, b"2"])
    mapping = bench.drain(maximum_retry_attempts=3, on_failure=True)
    assert bench.batches == [[0], [2]]
    assert (mapping.acknowledged, mapping.discarded) == (2, 1)
    assert bench.kept.records[0]["responseContext"]["statusCode"] == 413


def test_the_pauses_between_retries_grow_to_a_few_seconds() -> None:
    bench = Bench()
    poisoned(bench, count=1, poison=0)
    began: list[float] = []
    refuse = bench.answer

    def note(event: dict[str, Any]) -> Any:
        began.append(bench.clock.now_s)
        return refuse(event)

    bench.answer = note
    mapping = bench.mapping(chance=lambda _low, high: high)
    bench.clock.at(60, mapping.stop)
    mapping.run()
    pauses = [later - earlier for earlier, later in pairwise(began)]
    assert pauses[0] < 1
    assert 4.9 < max(pauses) < 5.2


# The on-failure record.


def test_the_on_failure_record_has_the_documented_form() -> None:
    """The page's "example invocation record"; "Each record sent to the destination is a JSON document with metadata
    about the failed invocation."
    """
    bench = Bench()
    bench.clock.sleep(0.25)
    first, last = bench.kinesis.put([b"0", b"1"])
    bench.answer = lambda _event: 1 / 0
    bench.drain(maximum_retry_attempts=0, on_failure=True, function_name="myfunction")
    [record] = bench.kept.records
    assert re.fullmatch("[0-9a-f-]{36}", record["requestContext"].pop("requestId"))
    assert record == {
        "requestContext": {
            "functionArn": "arn:aws:lambda:us-east-1:123456789012:function:myfunction",
            "condition": "RetryAttemptsExhausted",
            "approximateInvokeCount": 1,
        },
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "version": "1.0",
        "timestamp": "2023-11-14T22:14:00.350Z",
        "KinesisBatchInfo": {
            "shardId": SHARD,
            "startSequenceNumber": first,
            "endSequenceNumber": last,
            "approximateArrivalOfFirstRecord": "2023-11-14T22:14:00.250Z",
            "approximateArrivalOfLastRecord": "2023-11-14T22:14:00.250Z",
            "batchSize": 2,
            "streamArn": ARN,
        },
    }
    assert payloads(bench.kept.events[0]) == [0, 1]  # for S3: the whole event


def test_a_run_with_given_time_and_chance_can_be_repeated() -> None:
    def run() -> list[dict[str, Any]]:
        bench, numbers = Bench(), itertools.count()
        bench.kinesis.put([b"0", b"1" * EVENT_BYTES, b"2"])
        bench.clock.sleep(61)
        bench.kinesis.put([b"3" * EVENT_BYTES])
        options: dict[str, Any] = {"maximum_record_age_in_seconds": 60, "maximum_retry_attempts": 0}
        bench.drain(on_failure=True, unique=lambda: f"id-{next(numbers)}", **options)
        return bench.kept.records

    records = run()
    assert len(records) > 1
    assert run() == records


def test_a_destination_that_refuses_holds_the_shard_and_loses_nothing() -> None:
    """AWS counts DestinationDeliveryFailures and goes on; this mapping waits, since a person can still mend it."""
    bench = Bench()
    poisoned(bench, count=2, poison=0)
    refusals = iter(range(5))
    send = bench.kept.send

    def refuse(*delivery: Any) -> None:
        if next(refusals, None) is not None:
            raise CloudError("on-failure destination: down")
        send(*delivery)

    bench.kept.send = refuse  # type: ignore[assignment, method-assign] # a fault
    mapping = bench.drain(maximum_retry_attempts=0, on_failure=True, batch_size=1)
    assert [json.dumps(payloads(event)) for event in bench.kept.events] == ["[0]"]
    assert (mapping.acknowledged, mapping.discarded) == (1, 1)
    assert bench.batches == [[0], [1]]  # and is not invoked again meanwhile


@pytest.mark.parametrize("arn", ["queue", "arn:aws:lambda:us-east-1:123456789012:function:f", "kafka://topic"])
def test_other_destinations_are_refused(arn: str) -> None:
    """ "You can configure any Amazon SNS topic, Amazon SQS queue, Amazon S3 bucket, or Kafka": Kafka is not here."""
    with pytest.raises(SettingsError, match="SQS queue, an SNS topic or an S3 bucket"):
        open_destination(arn, "local", str)


@pytest.mark.parametrize("ahead_s", [-3600, 61, 3600])
def test_the_age_of_a_record_is_by_the_time_of_the_service(ahead_s: float) -> None:
    bench = Bench()
    bench.clock.ahead_s = ahead_s
    bench.kinesis.put([b"0"])
    assert bench.drain(maximum_record_age_in_seconds=60).acknowledged == 1
    bench.kinesis.put([b"1"])
    bench.clock.sleep(62)
    assert bench.drain(maximum_record_age_in_seconds=60, on_failure=True).discarded == 2
