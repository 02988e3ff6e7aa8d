"""One aggregated record split: as others write it, and all or none."""

from __future__ import annotations

import hashlib
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from aws_kinesis_agg.aggregator import AggRecord  # type: ignore[import-untyped]  # shipped without types

from app.stream import aggregation
from app.stream.aggregation import MAGIC, SubRecords, split
from app.stream.aggregation_writer import Packer
from app.stream.outcomes import Quarantine

if TYPE_CHECKING:
    from collections.abc import Callable


def wrapped(message: bytes) -> bytes:
    """A message as an aggregated record with the right digest."""
    return MAGIC + message + hashlib.md5(message, usedforsecurity=False).digest()


def packed(*records: tuple[str, bytes]) -> bytes:
    packer = Packer()
    for key, data in records:
        assert packer.add(key, data)
    return packer.pack()


def records_of(payload: bytes) -> SubRecords:
    found = split(payload)
    assert isinstance(found, SubRecords), found
    return found


def refused(payload: bytes) -> tuple[str, str]:
    found = split(payload)
    assert isinstance(found, Quarantine), found
    return found.reason, found.message


def test_a_record_by_the_format_s_own_words() -> None:
    """Table entry `k`; a record with partition key 0 and data `{}`; written out by hand."""
    message = b"\x0a\x01k" + b"\x1a\x06" + b"\x08\x00" + b"\x1a\x02{}"
    assert records_of(wrapped(message)) == SubRecords(["k"], [None], [b"{}"])


def test_what_the_reference_packs_comes_out_in_order() -> None:
    theirs = AggRecord()
    theirs.add_user_record("a", b"1")
    theirs.add_user_record("ü" * 128, b"2" * 300)
    theirs.add_user_record("a", b"", str(2**128 - 1))
    found = records_of(theirs.get_contents()[2])
    assert found == SubRecords(["a", "ü" * 128, "a"], [None, None, 2**128 - 1], [b"1", b"2" * 300, b""])


def test_an_aggregate_without_records_has_none() -> None:
    assert records_of(wrapped(b"")) == SubRecords([], [], [])
    assert records_of(wrapped(b"\x0a\x01k")) == SubRecords([], [], [])


def test_tables_may_come_last_and_fields_in_any_order() -> None:
    record = b"\x1a\x01x" + b"\x10\x00" + b"\x08\x01"  # data, explicit hash key, partition key
    message = b"\x1a" + bytes([len(record)]) + record + b"\x0a\x01a" + b"\x12\x017" + b"\x0a\x01b"
    assert records_of(wrapped(message)) == SubRecords(["b"], [7], [b"x"])


def test_of_a_field_that_comes_twice_the_last_counts() -> None:
    record = b"\x08\x05" + b"\x1a\x01x" + b"\x08\x00" + b"\x1a\x01y"
    message = b"\x0a\x01a" + b"\x1a" + bytes([len(record)]) + record
    assert records_of(wrapped(message)).datas == [b"y"]


@pytest.mark.parametrize(
    "unknown",
    [
        b"\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # field 4, the largest number there is
        b"\x21" + bytes(8),  # field 4, 64 bits
        b"\x25" + bytes(4),  # field 4, 32 bits
        b"\x22\x03abc",  # field 4, bytes: in a record these are its tags
        b"\xfa\x01\x00",  # field 31, bytes, none
        b"\x18\x07",  # field 3 with another wire type than the format's is another field
    ],
)
def test_fields_that_the_format_does_not_have_yet_are_passed_over(unknown: bytes) -> None:
    record = unknown + b"\x08\x00" + unknown + b"\x1a\x01x" + unknown
    message = unknown + b"\x0a\x01a" + unknown + b"\x1a" + bytes([len(record)]) + record + unknown
    assert records_of(wrapped(message)) == SubRecords(["a"], [None], [b"x"])


def test_numbers_may_be_longer_than_they_need_to_be() -> None:
    record = b"\x08\x80\x80\x00" + b"\x1a\x81\x80\x00x"
    message = b"\x8a\x00\x81\x00a" + b"\x1a" + bytes([0x80 | len(record), 0]) + record
    assert records_of(wrapped(message)) == SubRecords(["a"], [None], [b"x"])


@pytest.mark.parametrize("size", [0, 1, 100, 127, 128, 300, 16_000, 16_383, 16_384, 70_000])
@pytest.mark.parametrize("keys", [1, 200])
def test_lengths_and_indexes_of_one_two_and_three_bytes(size: int, keys: int) -> None:
    records = [(f"key-{row % keys}", bytes([row % 256]) * size) for row in range(keys + 3)]
    found = records_of(packed(*records))
    assert list(zip(found.partition_keys, found.datas, strict=True)) == records


def test_more_keys_than_two_bytes_can_count() -> None:
    records = [(f"key-{row}", b"x") for row in range(2**14 + 2)]
    assert records_of(packed(*records)).partition_keys[-2:] == ["key-16384", "key-16385"]


@pytest.mark.parametrize("cut", [4, 5, 19, 20, 21, -17, -16, -1])
def test_a_truncated_aggregate_has_not_its_digest(cut: int) -> None:
    assert refused(packed(("a", b"hello, hello, hello"))[:cut])[0] == "aggregate_digest"


def test_a_damaged_aggregate_has_not_its_digest() -> None:
    whole = packed(("a", b"hello"))
    for place in range(len(MAGIC), len(whole)):
        damaged = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        assert refused(damaged)[0] == "aggregate_digest"


RECORD = b"\x1a\x05\x08\x00\x1a\x01x"


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (RECORD, "not among the table's 0"),
        (b"\x0a\x01a" + RECORD + b"\x1a\x05\x08\x01\x1a\x01y", "not among the table's 1"),
        (b"\x0a\x01a\x1a\x0e\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x1a\x01x", "not among the table's 1"),
        (b"\x0a\x01a\x1a\x07\x08\x00\x10\x00\x1a\x01x", "explicit hash key is not among the table's 0"),
        (b"\x0a\x01a\x1a\x02\x08\x00", "record 0 has no data"),
        (b"\x0a\x01a" + RECORD + b"\x1a\x03\x1a\x01x", "record 1 has no partition key"),
        (b"\x0a\x05a", "a field of 5 bytes where 1 are left"),
        (b"\x0a\x01a\x1a\x05\x08\x00\x1a\x09x", "a field of 9 bytes where 1 are left"),
        (b"\x0a\x01a\x1a\x7f\x08\x00\x1a\x01x", "where 5 are left"),
        (b"\x0a\xff\xff\xff\xff\x0f", "where 0 are left"),
        (b"\x1a", "a number does not end"),
        (b"\x0a\x80", "a number does not end"),
        (b"\x20" + b"\x80" * 10 + b"\x01", "a number does not end"),
        (b"\x20" + b"\xff" * 9 + b"\x7f", "a number is too large"),
        (b"\xff\xff\xff\xff\x7f", "a number is too large"),
        (b"\x8a\x80\x80\x80\x80\x00\x01a", "a number does not end"),
        (b"\x0a\x81\x80\x80\x80\x80\x00a", "a number does not end"),
        (b"\x25\x00\x00", "a field without end"),
        (b"\x00\x00", "field number 0"),
        (b"\x23\x24", "wire type 3"),
        (b"\x26", "wire type 6"),
        (b"\x0a\x01\xff" + RECORD, "not UTF-8"),
        (b"\x0a\x00" + RECORD, "1 to 256 characters"),
        (b"\x0a\x81\x02" + b"k" * 257 + RECORD, "1 to 256 characters"),
        (b"\x0a\x84\x04" + "🚲".encode() * 129 + RECORD, "1 to 256 characters"),
        (b"\x0a\x01a\x12\x02-1" + RECORD, "explicit hash key is not a decimal number"),
        (b"\x0a\x01a\x12\x02 1" + RECORD, "explicit hash key is not a decimal number"),
        (b"\x0a\x01a\x12\x27" + str(2**128).encode() + RECORD, "below 2**128"),
        (b"\x0a\x01a\x12\xff\xff\x03" + b"9" * 65_535 + RECORD, "below 2**128"),
    ],
)
def test_what_is_not_the_format_is_refused_whole(message: bytes, words: str) -> None:
    reason, said = refused(wrapped(message))
    assert reason == "bad_aggregate"
    assert words in said


def test_a_key_of_256_characters_is_one() -> None:
    assert records_of(packed(("🚲" * 128, b"x"))).partition_keys == ["🚲" * 128]


def test_too_many_records_are_refused_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aggregation, "MAX_SUB_RECORDS", 5)
    unusual = b"\x1a\x07\x08\x80\x80\x00\x1a\x01x"
    for record in (RECORD, unusual):
        assert len(records_of(wrapped(b"\x0a\x01a" + record * 5)).datas) == 5
        assert refused(wrapped(b"\x0a\x01a" + record * 6))[0] == "aggregate_too_many"
    assert refused(wrapped(b"\x0a\x01a" + RECORD * 3 + unusual * 3))[0] == "aggregate_too_many"


def peak_bytes(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_the_smallest_records_take_little_memory_however_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aggregation, "MAX_SUB_RECORDS", 10_000)
    smallest = b"\x1a\x04\x08\x00\x1a\x00"
    most, more = wrapped(b"\x0a\x01a" + smallest * 10_000), wrapped(b"\x0a\x01a" + smallest * 160_000)
    assert len(records_of(most).datas) == 10_000
    assert refused(more)[0] == "aggregate_too_many"
    assert peak_bytes(lambda: split(most)) < 10 * len(most)
    assert peak_bytes(lambda: split(more)) < 10 * len(most)
