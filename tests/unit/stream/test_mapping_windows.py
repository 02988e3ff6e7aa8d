"""The local mapping's rules for tumbling windows.

Quoted from https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-windows.html.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.stream.mapping import REPORT_FAILURES
from app.stream.mapping.checkpoint import CheckpointFile
from tests.mapping_for_tests import ARN, SHARD, Bench, failing, payloads

MINUTE: dict[str, Any] = {"tumbling_window_in_seconds": 60}


def summing(event: dict[str, Any]) -> dict[str, Any]:
    """The page's example handler, in short: the state holds a sum."""
    total = sum(payloads(event)) + event["state"].get("sum", 0)
    return {"state": {"sum": total}}


def finals(bench: Bench) -> list[tuple[str, Any]]:
    return [
        (event["window"]["start"][11:19], event["state"].get("sum"))
        for event in bench.events
        if event["isFinalInvokeForWindow"]
    ]


def trickle(bench: Bench, *seconds: float) -> None:
    """Puts a record with the value 1 at each of these seconds after the beginning, which is a whole minute."""
    for second in seconds:
        bench.clock.at(second, lambda: bench.kinesis.put([b"1"]))


def test_the_state_goes_from_batch_to_batch_and_ends_with_its_window() -> None:
    """ "Each invocation receives a state." and "At the end of the window, the flag isFinalInvokeForWindow is set to
    true".
    """
    bench = Bench()
    bench.answer = summing
    trickle(bench, 1, 2, 59, 61, 118)
    bench.run_for(200, **MINUTE)
    assert finals(bench) == [("22:14:00", 3), ("22:15:00", 2)]
    assert [event["state"] for event in bench.events][:3] == [{}, {"sum": 1}, {"sum": 2}]
    assert all(not event["Records"] for event in bench.events if event["isFinalInvokeForWindow"])


def test_the_event_has_the_documented_form() -> None:
    """The page's "Example KinesisTimeWindowEvent"."""
    bench = Bench()
    bench.answer = summing
    bench.kinesis.put([b"1"])
    bench.run_for(10, **MINUTE)
    [event] = bench.events
    assert {name: value for name, value in event.items() if name != "Records"} == {
        "window": {"start": "2023-11-14T22:14:00Z", "end": "2023-11-14T22:15:00Z"},
        "state": {},
        "shardId": SHARD,
        "eventSourceARN": ARN,
        "isFinalInvokeForWindow": False,
        "isWindowTerminatedEarly": False,
    }


def test_boundaries_are_those_of_the_records_arrival() -> None:
    """ "Lambda determines tumbling window boundaries based on the time when records were inserted into the stream." """
    bench = Bench()
    bench.answer = summing
    for _ in range(4):
        bench.kinesis.put([b"1", b"1"])
        bench.clock.sleep(25)
    bench.clock.sleep(300)  # all of it is read long after
    bench.drain(**MINUTE)
    assert finals(bench) == [("22:14:00", 6), ("22:15:00", 2)]
    assert bench.sizes == [6, 0, 2, 0]


def test_an_answer_without_a_state_has_failed() -> None:
    """ "If the response does not contain a state property, Lambda considers this a failed invocation." """
    bench = Bench()
    bench.kinesis.put([b"1"])
    bench.answer = lambda event: {} if len(bench.events) < 3 else summing(event)
    bench.run_for(30, **MINUTE)
    assert bench.sizes == [1, 1, 1]
    assert [event["state"] for event in bench.events] == [{}] * 3


def test_a_final_invocation_that_fails_suspends_the_shard() -> None:
    """ "If invocation is unsuccessful, your Lambda function suspends further processing until a successful
    invocation."
    """
    bench = Bench()
    trickle(bench, 1, 61)

    def refuse_finals(event: dict[str, Any]) -> dict[str, Any]:
        if event["isFinalInvokeForWindow"] and bench.clock.now_s % 1000 < 500:
            raise RuntimeError
        return summing(event)

    bench.answer = refuse_finals
    bench.run_for(100, **MINUTE)
    assert len(bench.events) > 10
    assert all(event["isFinalInvokeForWindow"] for event in bench.events[1:])


def test_the_retry_policies_hold_for_windows_too() -> None:
    """ "Tumbling windows fully support the existing retry policies maxRetryAttempts and maxRecordAge." """
    bench = Bench()
    bench.kinesis.put([b"1", b"1"])

    def refuse_finals(event: dict[str, Any]) -> dict[str, Any]:
        if event["isFinalInvokeForWindow"]:
            raise RuntimeError
        return summing(event)

    bench.answer = refuse_finals
    bench.drain(maximum_retry_attempts=1, on_failure=True, **MINUTE)
    assert bench.sizes == [2, 0, 0]
    [record] = bench.kept.records
    assert record["KinesisBatchInfo"]["batchSize"] == 2
    assert bench.kept.events[0]["state"] == {"sum": 2}


def test_a_state_of_more_than_a_megabyte_terminates_the_window_early() -> None:
    """ "Your state can be a maximum of 1 MB per shard. If it exceeds that size, Lambda terminates the window
    early."
    """
    bench = Bench()
    trickle(bench, 1, 2, 3)

    def grow(event: dict[str, Any]) -> dict[str, Any]:
        return {"state": {"text": event["state"].get("text", "") + "x" * 600_000 * len(event["Records"])}}

    bench.answer = grow
    bench.run_for(30, **MINUTE)
    told = [
        (e["isFinalInvokeForWindow"], e["isWindowTerminatedEarly"], len(json.dumps(e["state"]))) for e in bench.events
    ]
    assert told == [(False, False, 2), (False, False, 600_012), (True, True, 1_200_012), (False, False, 2)]
    assert {e["window"]["start"] for e in bench.events} == {"2023-11-14T22:14:00Z"}


def test_a_shard_that_ends_closes_its_window_and_its_children_start_afresh() -> None:
    """ "When the shard ends, Lambda considers the window closed, and the child shards start their own window in a
    fresh state."
    """
    bench = Bench()
    bench.answer = summing
    bench.kinesis.put([b"1"] * 3, ["key"] * 3)
    bench.kinesis.split()
    bench.kinesis.put([b"1"] * 2, ["key"] * 2)
    bench.run_for(20, **MINUTE)
    assert [(e["shardId"], len(e["Records"]), e["state"].get("sum")) for e in bench.events] == [
        (SHARD, 3, None),
        (SHARD, 0, 3),
        (bench.events[-1]["shardId"], 2, None),
    ]
    assert bench.events[-1]["shardId"] != SHARD


@pytest.mark.parametrize("bisect", [True, False])
def test_a_partial_response_keeps_the_state_of_what_is_done(bisect: bool) -> None:
    """The page's TimeWindowEventResponse has both `state` and `batchItemFailures`."""
    bench = Bench()
    bench.kinesis.put([b"1", b"2", b"4", b"8"])

    def stop_at_four(event: dict[str, Any]) -> dict[str, Any]:
        held = payloads(event)
        if 4 in held and len(bench.events) == 1:
            return {"state": {"sum": 3}, **failing(event, held.index(4))}
        return summing(event)

    bench.answer = stop_at_four
    bench.drain(function_response_types=(REPORT_FAILURES,), bisect_batch_on_function_error=bisect, **MINUTE)
    assert finals(bench) == [("22:14:00", 15)]


def test_a_later_run_begins_before_the_window_whose_state_it_has_not(tmp_path: Any) -> None:
    kept = CheckpointFile(tmp_path / "place.json")
    bench = Bench()
    bench.answer = summing
    trickle(bench, 1, 61, 62)
    bench.run_for(70, checkpoint=kept, **MINUTE)
    del bench.events[:]
    bench.drain(checkpoint=kept, **MINUTE)
    assert finals(bench) == [("22:15:00", 2)]


@pytest.mark.parametrize("ahead_s", [-3600, 6, 3600])
def test_a_window_ends_by_the_time_of_the_service(ahead_s: float) -> None:
    bench = Bench()
    bench.clock.ahead_s = ahead_s
    bench.answer = summing
    trickle(bench, 1, 30, 57, 59.9)
    bench.run_for(70, **MINUTE)
    assert finals(bench) == [("22:14:00", 4)]
