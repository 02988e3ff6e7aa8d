"""Records packed: grouped by shard, in order per key, within the size."""

from __future__ import annotations

import pytest

from app.stream.aggregation import MAX_SUB_RECORDS, SubRecords, split
from app.stream.aggregation_ranges import HashRange, hash_key_of
from app.stream.aggregation_writer import AGGREGATE_BYTES, Aggregate, Aggregator, Packer

WHOLE = HashRange(0, 2**128 - 1)


def contents(aggregate: Aggregate) -> list[tuple[str, bytes]]:
    found = split(aggregate.data)
    assert isinstance(found, SubRecords), found
    assert len(found.datas) == aggregate.records
    return list(zip(found.partition_keys, found.datas, strict=True))


def aggregated(aggregator: Aggregator, records: list[tuple[str, bytes]]) -> list[Aggregate]:
    full = [closed for key, data in records if (closed := aggregator.add(key, data))]
    return full + aggregator.flush()


def test_a_packer_s_size_is_what_it_packs() -> None:
    packer = Packer()
    for row in range(300):
        assert packer.add(f"key-{row % 7}", b"x" * row, hash_key=row % 3 if row % 2 else None)
        assert packer.size == len(packer.pack())
    assert packer.records == 300


def test_nothing_is_added_past_the_limit() -> None:
    packer = Packer()
    assert packer.add("key", b"first", limit=100)
    size, data = packer.size, packer.pack()
    assert not packer.add("another key", b"x" * 100, hash_key=5, limit=100)
    assert (packer.size, packer.pack(), packer.records) == (size, data, 1)


def test_an_aggregate_has_no_more_records_than_a_reader_takes() -> None:
    packer = Packer()
    packer.records = MAX_SUB_RECORDS - 1
    assert packer.add("key", b"")
    assert not packer.add("key", b"")


def test_each_aggregate_holds_records_of_one_range_under_a_key_of_that_range() -> None:
    ranges = WHOLE.cut(5)
    records = [(f"key-{row}", str(row).encode()) for row in range(1_000)]
    made = aggregated(Aggregator(ranges, 500), records)
    assert sorted(record for each in made for record in contents(each)) == sorted(records)
    outer: dict[HashRange, set[str]] = {}
    for each in made:
        [held] = [held for held in ranges if held.holds(hash_key_of(each.partition_key))]
        assert all(held.holds(hash_key_of(key)) for key, _ in contents(each))
        outer.setdefault(held, set()).add(each.partition_key)
    assert len(outer) == 5
    assert all(len(keys) == 1 for keys in outer.values())  # one key a range: the writer keeps their order


def test_the_order_of_each_key_is_kept() -> None:
    records = [(f"key-{row % 10}", str(row).encode()) for row in range(1_000)]
    made = aggregated(Aggregator(WHOLE.cut(3), 300), records)
    for key in {key for key, _ in records}:
        assert [data for each in made for inner, data in contents(each) if inner == key] == [
            data for inner, data in records if inner == key
        ]


def test_aggregates_are_full_and_no_larger_than_they_may_be() -> None:
    made = aggregated(Aggregator([WHOLE]), [(f"key-{row}", b"x" * 200) for row in range(2_000)])
    sizes = [len(each.data) + len(each.partition_key) for each in made]
    assert max(sizes) <= AGGREGATE_BYTES
    assert min(sizes[:-1]) > AGGREGATE_BYTES - 250


@pytest.mark.parametrize("place", [0, 1])
def test_a_record_larger_than_an_aggregate_stands_alone_in_its_order(place: int) -> None:
    records = [("k", b"1"), ("k", b"2"), ("k", b"3")]
    records[place] = ("k", b"x" * 1_000)
    made = aggregated(Aggregator([WHOLE], 100), records)
    assert [record for each in made for record in contents(each)] == records
    assert any(contents(each) == [records[place]] for each in made)


def test_flushed_twice_is_nothing_twice() -> None:
    aggregator = Aggregator([WHOLE])
    aggregator.add("a", b"1")
    assert len(aggregator.flush()) == 1
    assert aggregator.flush() == []
