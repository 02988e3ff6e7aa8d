"""Records that hold several: lines, lists and log events become rows of their own, as `RECORD_SPLIT` says."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.stream.aggregation_rows import BATCH_BYTES, ROW_NUMBERS, Splitter
from app.stream.event import read_event
from app.stream.outcomes import Retry
from app.stream.record_rows import MAX_ROW_BYTES, MAX_ROWS, rows_of
from app.stream.testing import MemorySpine, event_of, sequence_number
from tests.pipelines_for_tests import CountingPipeline, EchoPipeline, orders
from tests.unit.stream.test_aggregation import peak_bytes
from tests.unit.stream.test_aggregation_rows import packed

if TYPE_CHECKING:
    from collections.abc import Sequence

WAYS = ["none", "lines", "list", "log-events", "log-messages"]


def lines_of(count: int, **special: str) -> bytes:
    return b"\n".join(orders(count, **special)) + b"\n"


def subscription(messages: Sequence[str], message_type: str = "DATA_MESSAGE") -> bytes:
    """A record as CloudWatch Logs puts it on a stream."""
    document = {
        "messageType": message_type,
        "owner": "111122223333",
        "logGroup": "/depot/parcels",
        "logStream": "2026/01/01/[$LATEST]0",
        "subscriptionFilters": ["to-stream"],
        "logEvents": [
            {"id": f"{row:056d}", "timestamp": 1767225600000 + row, "message": message}
            for row, message in enumerate(messages)
        ],
    }
    return gzip.compress(json.dumps(document).encode())


CONTROL = subscription(["CWL CONTROL MESSAGE: Checking health of destination Kinesis stream."], "CONTROL_MESSAGE")


def numbers(spine: MemorySpine) -> list[int]:
    return sorted(each["n"] for each in spine.outputs())


def split(event: bytes, how: str) -> Any:
    return Splitter(how=how).split(*read_event(event))


@pytest.mark.parametrize("how", WAYS)
def test_a_record_of_one_is_one_row_in_every_way(how: str) -> None:
    spine = MemorySpine(EchoPipeline(), record_split=how)
    result = spine.run([*orders(2), gzip.compress(b'{"n": 2}')])
    assert (numbers(spine), result.rows, result.resume_at) == ([0, 1, 2], 3, None)


def test_each_line_is_a_row_with_an_id_of_its_own() -> None:
    batch, faults, _ = split(event_of([lines_of(2), b'\xef\xbb\xbf{"n": 7}\r\n\r\n  \n{"n": 8}'], ["a", "b"]), "lines")
    assert batch.payloads == [*orders(2), b'{"n": 7}', b'{"n": 8}']
    assert batch.partition_keys == ["a", "a", "b", "b"]
    assert batch.sub_sequence_numbers == [0, 1, 0, 1]
    assert len({batch.output_id(row, "stage", 0) for row in range(4)}) == 4
    assert not faults


@pytest.mark.parametrize("compress", [bytes, gzip.compress, zlib.compress])
@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"no JSON", "not_json"),
        (b"[" * 100, "too_deep"),
        (b'{"n": "\xff"}', "not_utf8"),
        (b'{"n": "1"}', "mistyped_field"),
    ],
)
def test_a_bad_line_is_set_aside_without_the_others(bad: bytes, reason: str, compress: Any) -> None:
    spine = MemorySpine(EchoPipeline(), record_split="lines")
    result = spine.run([compress(b'{"n": 0}\n' + bad + b'\n{"n": 2}')])
    assert (numbers(spine), result.resume_at) == ([0, 2], None)
    [aside] = spine.quarantined()
    assert (aside["reason"], base64.b64decode(aside["data"])) == (reason, bad)
    assert aside["source"]["sub_sequence_number"] == 1


def test_a_record_without_lines_is_set_aside_as_ever() -> None:
    spine = MemorySpine(EchoPipeline(), record_split="lines")
    spine.run([b"", b"\n \n"])
    assert [each["reason"] for each in spine.quarantined()] == ["empty", "not_json"]


def test_each_element_of_a_list_is_a_row() -> None:
    spine = MemorySpine(EchoPipeline(), record_split="list")
    elements = [{"n": 0}, [1, 2], {"n": "1"}, {"n": 3}, 4]
    result = spine.run([json.dumps(elements, indent=1).encode(), b"[]", b'[{"n": 9}', *orders(1, _0="skip")])
    assert (numbers(spine), result.resume_at) == ([0, 3], None)
    aside = [(each["reason"], each["source"]["sub_sequence_number"]) for each in spine.quarantined()]
    assert sorted(aside) == [("mistyped_field", 1), ("mistyped_field", 2), ("mistyped_field", 4), ("not_json", 0)]
    whole = next(each for each in spine.quarantined() if each["reason"] == "not_json")
    assert base64.b64decode(whole["data"]) == b'[{"n": 9}'


def test_log_events_are_rows_with_the_names_of_their_group_and_stream() -> None:
    batch, faults, counts = split(event_of([subscription(["one", "two"]), CONTROL, *orders(1)]), "log-events")
    assert [msgspec.json.decode(payload) for payload in batch.payloads] == [
        {
            "id": f"{row:056d}",
            "timestamp": 1767225600000 + row,
            "message": message,
            "owner": "111122223333",
            "logGroup": "/depot/parcels",
            "logStream": "2026/01/01/[$LATEST]0",
        }
        for row, message in enumerate(["one", "two"])
    ] + [{"n": 0, "do": "emit"}]
    assert batch.sub_sequence_numbers == [0, 1, 0]
    assert (faults, counts["split_empty"]) == ({}, 1)


def test_the_messages_of_log_events_are_records_for_the_pipeline_that_reads_them() -> None:
    spine = MemorySpine(EchoPipeline(), record_split="log-messages")
    result = spine.run([subscription(['{"n": 1}', "START RequestId: 1", "\n", '{"n": 2}']), CONTROL, b'{"n": 3}'])
    assert (numbers(spine), result.resume_at) == ([1, 2, 3], None)
    [aside] = spine.quarantined()
    assert (aside["reason"], base64.b64decode(aside["data"])) == ("not_json", b"START RequestId: 1")


def test_a_log_event_without_a_message_is_set_aside_alone() -> None:
    record = json.dumps(
        {"messageType": "DATA_MESSAGE", "logEvents": [{"message": '{"n": 1}'}, {"id": "x"}, 7, {"message": '{"n": 2}'}]}
    ).encode()
    spine = MemorySpine(EchoPipeline(), record_split="log-messages")
    spine.run([record])
    assert numbers(spine) == [1, 2]
    assert [each["reason"] for each in spine.quarantined()] == ["bad_log_event"] * 2
    rows = rows_of(record.replace(b'{"id": "x"}', b"{ }"), "log-events").payloads
    assert [msgspec.json.decode(row) for row in rows[1:3]] == [{"owner": "", "logGroup": "", "logStream": ""}, 7]


def test_records_of_an_aggregate_are_split_too_and_their_numbers_grow() -> None:
    payloads = [packed([lines_of(2), *orders(1), lines_of(3)]), lines_of(2)]
    batch, _, counts = split(event_of(payloads, ["outer", "k"]), "lines")
    assert batch.partition_keys == ["inner-0"] * 2 + ["inner-1"] + ["inner-2"] * 3 + ["k"] * 2
    subs = [0, 1, ROW_NUMBERS, 2 * ROW_NUMBERS, 2 * ROW_NUMBERS + 1, 2 * ROW_NUMBERS + 2, 0, 1]
    assert batch.sub_sequence_numbers == subs
    assert counts["aggregates"] == 1


def test_the_shard_resumes_at_the_whole_record_and_the_ids_come_again() -> None:
    spine = MemorySpine(EchoPipeline(), record_split="lines")
    payloads = [lines_of(2), lines_of(3, _1="retry"), lines_of(1)]
    result = spine.run(payloads)
    assert (result.acknowledged, result.resume_at) == (2, sequence_number(1))
    spine.run([payloads[1].replace(b"retry", b"emit"), payloads[2]], start=1)
    ids = [each["id"] for each in spine.outputs()]
    assert len(ids) == 2 + 1 + 3 + 1  # the first line of the second record came twice
    assert len(set(ids)) == 6


def test_state_counts_each_row_once_however_often_the_record_comes() -> None:
    spine = MemorySpine(CountingPipeline(), record_split="lines")
    spine.run([lines_of(3)], ["k"])
    spine.run([lines_of(3), lines_of(2)], ["k", "k"], start=0)
    assert spine.state("k") == b"5"
    assert [each["count"] for each in spine.outputs()] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("how", "payload"),
    [
        ("lines", b"1\n" * (MAX_ROWS + 1)),
        ("lines", b"\n" * 16_000_000),
        ("list", b"[" + b"1," * MAX_ROWS + b"1]"),
        ("list", b"[" + b"1," * 7_000_000 + b"]]]"),
        ("log-messages", b'{"messageType": "DATA_MESSAGE", "logEvents": [' + b"1," * MAX_ROWS + b"1]}"),
    ],
)
def test_a_record_with_too_many_rows_is_set_aside_as_it_came(how: str, payload: bytes) -> None:
    rows = rows_of(payload, how)
    assert (rows.payloads, rows.faults[0].reason) == ([payload], "split_too_large")
    assert peak_bytes(lambda: rows_of(payload, how)) < 4_000_000 + 4 * len(payload)


def test_lines_of_two_characters_count_once() -> None:
    assert rows_of(b"1\r\n" * MAX_ROWS, "lines").payloads == [b"1"] * MAX_ROWS


def test_a_list_of_as_many_as_are_allowed_is_split_whatever_commas_it_has() -> None:
    element = b'{"a": "[,,{", "b": [1, 2, 3, {"c": ",]"}]}'
    rows = rows_of(b"[" + b",".join([element] * MAX_ROWS) + b"]", "list")
    assert rows.payloads == [element] * MAX_ROWS
    assert not rows.faults


def test_a_record_of_an_aggregate_that_would_fill_the_memory_is_set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.stream.aggregation_rows.MAX_ROWS", 4)
    batch, faults, _ = split(event_of([packed([lines_of(2), lines_of(3), lines_of(1)])]), "lines")
    assert batch.payloads == [*orders(2), lines_of(3), *orders(1)]
    assert batch.sub_sequence_numbers == [0, 1, ROW_NUMBERS, 2 * ROW_NUMBERS]
    assert {row: fault.reason for row, fault in faults.items()} == {2: "split_too_large"}


def test_a_batch_with_more_rows_than_fit_the_memory_is_cut_at_a_record() -> None:
    count = MAX_ROWS // 2
    record = b'{"n":1}\n' * count
    batch, faults, _ = split(event_of([record] * 8), "lines")
    [(row, fault)] = faults.items()
    assert isinstance(fault, Retry)
    assert row == len(batch) - 1
    assert batch.sequence_numbers[row] == sequence_number(row // count)
    assert batch.payloads[row] == record
    assert sum(map(len, batch.payloads)) < BATCH_BYTES + 2 * MAX_ROW_BYTES


def test_a_cut_batch_is_done_in_several_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.stream.aggregation_rows.BATCH_ROWS", 5)
    spine = MemorySpine(EchoPipeline(), record_split="lines")
    payloads, start, turns = [lines_of(3) for _ in range(7)], 0, 0
    while start < len(payloads):
        result = spine.run(payloads[start:], start=start)
        numbers_left = [sequence_number(index) for index in range(len(payloads))]
        start = numbers_left.index(result.resume_at) if result.resume_at else len(payloads)
        turns += 1
    assert turns > 1
    assert len({each["id"] for each in spine.outputs()}) == len(spine.outputs()) == 21


@given(
    st.sampled_from(WAYS),
    st.one_of(
        st.binary(),
        st.lists(st.sampled_from([b'{"n": 1}', b"x", b"", b"[", b'"messageType"', b"\xef\xbb\xbf", b"\r"])).map(
            b"\n".join
        ),
        st.lists(st.integers()).map(lambda value: json.dumps(value).encode()),
        st.lists(st.text()).map(subscription),
    ),
)
def test_every_record_gives_rows_whose_faults_are_known(how: str, payload: bytes) -> None:
    rows = rows_of(payload, how) if how != "none" else None
    if rows is not None:
        assert set(rows.faults) <= set(range(len(rows.payloads)))
    spine = MemorySpine(EchoPipeline(), record_split=how)
    result = spine.run([payload, *orders(1)])
    assert result.resume_at is None
    assert len(spine.outputs()) + len(spine.quarantined()) == result.rows
