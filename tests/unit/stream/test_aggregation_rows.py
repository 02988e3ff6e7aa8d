"""Aggregates in a batch: rows, acknowledgement, quarantine and replay, and records of another shard."""

from __future__ import annotations

import base64
import itertools
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from app.errors import CloudError, SettingsError, UnacknowledgedError
from app.settings import Settings, read_settings
from app.storage.objects import FolderObjects
from app.storage.state import MemoryState, Position
from app.stream.aggregation_ranges import HashRange, ShardRanges, hash_key_of
from app.stream.aggregation_rows import Splitter
from app.stream.aggregation_writer import Packer
from app.stream.event import read_event
from app.stream.replay import QuarantinedRecords
from app.stream.runtime import Runtime
from app.stream.testing import FIRST_SEQUENCE_NUMBER, FakeStreams, MemorySpine, event_of, sequence_number
from tests.pipelines_for_tests import CountingPipeline, EchoPipeline, orders
from tests.unit.stream.test_aggregation import peak_bytes, wrapped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def packed(payloads: Sequence[bytes], keys: Sequence[str] | None = None) -> bytes:
    """An aggregate of payloads, each with a key of its own unless told."""
    packer = Packer()
    for row, payload in enumerate(payloads):
        assert packer.add(keys[row] if keys else f"inner-{row}", payload)
    return packer.pack()


def split(event: bytes, foreign: str = "keep", ranges: ShardRanges | None = None) -> Any:
    return Splitter(foreign, ranges).split(*read_event(event))


def numbers(spine: MemorySpine) -> list[int]:
    return [each["n"] for each in spine.outputs()]


def by_key(spine: MemorySpine) -> dict[str, list[int]]:
    """The numbers that came out, in order for each partition key."""
    found: dict[str, list[int]] = {}
    for (key, _), each in zip(spine.streams.records["output"], spine.outputs(), strict=True):
        found.setdefault(key, []).append(each["count"] if "count" in each else each["n"])
    return found


def test_an_aggregate_s_records_stand_in_its_place() -> None:
    one, two, three, four = orders(4)
    batch, faults, counts = split(event_of([one, packed([two, three]), four], ["a", "outer", "d"]))
    assert batch.payloads == [one, two, three, four]
    assert batch.partition_keys == ["a", "inner-0", "inner-1", "d"]
    assert batch.sub_sequence_numbers == [0, 0, 1, 0]
    assert batch.sequence_numbers == [sequence_number(place) for place in (0, 1, 1, 2)]
    assert len(batch.shards) == len(batch.arrivals_s) == 4
    assert faults == {}
    assert counts["aggregates"] == 1


def test_a_batch_without_aggregates_is_left_as_it_is() -> None:
    read = read_event(event_of(orders(3)))
    batch, faults, counts = Splitter().split(*read)
    assert batch is read[0]
    assert faults is read[1]
    assert not counts


def test_aggregated_records_give_what_the_same_records_give_alone() -> None:
    payloads, keys = orders(9, _4="skip", _6="raise"), [f"k{number % 3}" for number in range(9)]
    alone, together = MemorySpine(EchoPipeline()), MemorySpine(EchoPipeline())
    alone.run(payloads, keys)
    together.run([packed(payloads[:7], keys[:7]), *payloads[7:]], ["outer", *keys[7:]])
    assert by_key(alone) == by_key(together)
    assert [each["data"] for each in alone.quarantined()] == [each["data"] for each in together.quarantined()]
    assert {each["n"]: each["id"].split("/")[2:4] for each in together.outputs()} == {
        **{sub: [sequence_number(0), str(sub)] for sub in (0, 1, 2, 3, 5)},
        7: [sequence_number(1), "0"],
        8: [sequence_number(2), "0"],
    }


def test_a_record_that_must_wait_brings_its_whole_aggregate_back_with_the_same_ids() -> None:
    refusing = {"on": True}

    def refuse(_stream: str, keys: Sequence[str]) -> Mapping[int, str]:
        return {row: "InternalFailure" for row, key in enumerate(keys) if key == "inner-2" and refusing["on"]}

    spine = MemorySpine(EchoPipeline(), FakeStreams(refuse))
    single, inside = orders(1)[0], orders(5)
    event = [single, packed(inside)]
    result = spine.run(event, seconds=0.3)
    assert result.resume_at == sequence_number(1)
    assert (result.rows, result.acknowledged) == (6, 1)
    assert result.counts["retried"] == 5
    assert result.counts["will_repeat"] == 4  # two before the one that waits, two behind it
    before = {each["id"] for each in spine.outputs()}
    refusing["on"] = False
    again = spine.run(event[1:], start=1)
    assert again.resume_at is None
    ids = [each["id"] for each in spine.outputs()]
    assert len(ids) == 1 + 4 + 5
    assert before < set(ids)
    assert len(set(ids)) == 6


def test_nothing_is_acknowledged_when_the_first_aggregate_is_not_safe_as_a_whole() -> None:
    runtime = Runtime(
        Settings(output_stream="output", pipeline="echo"), {"echo": lambda _: EchoPipeline()}, FakeStreams()
    )
    with pytest.raises(UnacknowledgedError, match=f"3 of 3 records .* from {sequence_number(0)} on"):
        runtime.handle(event_of([packed(orders(3, _2="retry"))]))


def test_state_is_committed_within_an_aggregate_and_its_replay_changes_nothing() -> None:
    store = MemoryState()
    spine = MemorySpine(CountingPipeline(), store=store)
    event = [packed(orders(4, _2="retry"), ["a", "b", "a", "b"])]
    assert spine.run(event).resume_at == sequence_number(0)
    assert [*store.stored["count/a"].applied.values()] == [Position(FIRST_SEQUENCE_NUMBER, 0)]
    assert [*store.stored["count/b"].applied.values()] == [Position(FIRST_SEQUENCE_NUMBER, 1)]
    event = [packed(orders(4), ["a", "b", "a", "b"])]
    again = spine.run(event, start=0)
    assert again.resume_at is None
    assert again.counts["skipped"] == 2
    assert by_key(spine) == {"a": [1, 2], "b": [1, 2]}


def test_an_aggregate_that_cannot_be_split_is_set_aside_whole() -> None:
    damaged = packed(orders(3))[:-1] + b"!"
    unreadable = wrapped(b"\x0a\x01a" + b"\x1a\x05\x08\x07\x1a\x01x")
    spine = MemorySpine(EchoPipeline())
    result = spine.run([*orders(1), damaged, unreadable, packed(orders(2))], ["a", "b", "c", "d"])
    assert result.resume_at is None
    assert numbers(spine) == [0, 0, 1]
    assert [(each["reason"], base64.b64decode(each["data"])) for each in spine.quarantined()] == [
        ("aggregate_digest", damaged),
        ("bad_aggregate", unreadable),
    ]
    assert [each["source"]["partition_key"] for each in spine.quarantined()] == ["b", "c"]


def test_an_aggregate_without_records_is_acknowledged_and_counted() -> None:
    told: list[Any] = []
    runtime = Runtime(
        Settings(output_stream="output", pipeline="echo", partial_responses=True),
        {"echo": lambda _: EchoPipeline()},
        FakeStreams(),
        lambda _namespace, _dimensions, counts, _milliseconds: told.append(counts),
    )
    assert runtime.handle(event_of([wrapped(b""), packed([])]))["batchItemFailures"] == []
    assert told[0]["records"] == 0
    assert told[0]["aggregates"] == told[0]["aggregates_empty"] == 2
    answer = runtime.handle(event_of([wrapped(b""), *orders(1, _0="retry"), wrapped(b"")]))
    assert answer["batchItemFailures"] == [{"itemIdentifier": sequence_number(1)}]
    runtime.handle(event_of([packed(orders(3)), *orders(1)]))
    assert (told[2]["records"], told[2]["aggregates"], told[2]["aggregates_empty"]) == (4, 1, 0)


def test_faults_of_other_records_stay_with_them() -> None:
    event = msgspec.json.decode(event_of([*orders(1), packed(orders(2)), *orders(1)], ["a", "b", "c"]))
    event["Records"][0]["kinesis"]["data"] = "!"
    event["Records"][2]["kinesis"]["data"] = "?"
    batch, faults, _ = split(msgspec.json.encode(event))
    assert sorted(faults) == [0, 3]
    assert [batch.payloads[row] for row in sorted(faults)] == [b"!", b"?"]


def test_an_aggregate_in_an_aggregate_is_set_aside_as_the_record_that_it_is() -> None:
    spine = MemorySpine(EchoPipeline())
    nested = packed(orders(2))
    spine.run([packed([*orders(1), nested])])
    assert numbers(spine) == [0]
    [aside] = spine.quarantined()
    assert (aside["reason"], aside["source"]["sub_sequence_number"]) == ("not_utf8", 1)
    assert base64.b64decode(aside["data"]) == nested


def test_quarantined_records_of_one_aggregate_do_not_overwrite_each_other(tmp_path: Path) -> None:
    """They share a sequence number; each run here sets another one aside, as a pipeline in the mending might."""
    spine = MemorySpine(EchoPipeline(), quarantine_stream="", objects=FolderObjects(tmp_path))
    for faulty in range(3):
        spine.run([packed(orders(3, **{f"_{faulty}": "raise"}))])
    with QuarantinedRecords(Settings(quarantine_location=str(tmp_path))) as records:
        found = list(records)
    assert [each.source.sub_sequence_number for each in found] == [0, 1, 2]
    assert [each.data for each in found] == [orders(3, **{f"_{sub}": "raise"})[sub] for sub in range(3)]
    assert [each.source.partition_key for each in found] == ["inner-0", "inner-1", "inner-2"]
    assert len({each.id for each in found}) == 3


def test_many_small_records_are_processed_chunk_by_chunk() -> None:
    spine = MemorySpine(EchoPipeline())
    result = spine.run([packed(orders(5_000))])
    assert sorted(numbers(spine)) == list(range(5_000))  # calls with different keys are side by side
    assert (result.acknowledged, result.resume_at) == (5_000, None)


def test_rows_take_little_memory_however_many() -> None:
    smallest = b"\x1a\x04\x08\x00\x1a\x00"
    read = read_event(event_of([wrapped(b"\x0a\x01a" + smallest * 10_000)] * 2))
    assert peak_bytes(lambda: Splitter().split(*read)) < 20_000 * 150


MIDDLE = 2**127
HALVES = {"shardId-000000000000": HashRange(0, MIDDLE - 1), "shardId-000000000001": HashRange(MIDDLE, 2**128 - 1)}
HERE = [key for key in map(str, range(40)) if hash_key_of(key) < MIDDLE][:3]
THERE = [key for key in map(str, range(40)) if hash_key_of(key) >= MIDDLE][:2]


def mixed() -> bytes:
    """An aggregate on the first half's shard: records 1 and 3 belong to the second."""
    return packed(orders(5), [HERE[0], THERE[0], HERE[1], THERE[1], HERE[2]])


def test_a_policy_that_there_is_not_is_one_line() -> None:
    assert read_settings({"FOREIGN_RECORDS": "skip"}).foreign_records == "skip"
    with pytest.raises(SettingsError, match=r"FOREIGN_RECORDS is 'drop': set keep, skip or quarantine"):
        read_settings({"FOREIGN_RECORDS": "drop"})


def test_records_of_another_shard_are_kept_without_asking() -> None:
    def ask(_stream: str) -> Mapping[str, HashRange]:
        raise AssertionError

    batch, faults, counts = split(event_of([mixed()]), "keep", ShardRanges(ask))
    assert len(batch) == 5
    assert not faults
    assert "foreign_skipped" not in counts


def test_records_of_another_shard_are_skipped_and_counted() -> None:
    batch, faults, counts = split(
        event_of([*orders(1), mixed()], [THERE[0], "o"]), "skip", ShardRanges(lambda _: HALVES)
    )
    assert batch.partition_keys == [THERE[0], *HERE]  # a record of its own is where Kinesis put it
    assert batch.sub_sequence_numbers == [0, 0, 2, 4]
    assert [msgspec.json.decode(payload)["n"] for payload in batch.payloads] == [0, 0, 2, 4]
    assert not faults
    assert counts["foreign_skipped"] == 2


def test_records_of_another_shard_are_set_aside() -> None:
    batch, faults, _ = split(event_of([*orders(1), mixed()]), "quarantine", ShardRanges(lambda _: HALVES))
    assert len(batch) == 6
    assert {row: fault.reason for row, fault in faults.items()} == {2: "foreign_record", 4: "foreign_record"}


def test_an_explicit_hash_key_says_where_a_record_belongs() -> None:
    packer = Packer()
    packer.add(THERE[0], b"1", MIDDLE - 1)
    packer.add(HERE[0], b"2", MIDDLE)
    batch, _, counts = split(event_of([packer.pack()]), "skip", ShardRanges(lambda _: HALVES))
    assert batch.payloads == [b"1"]
    assert counts["foreign_skipped"] == 1


def test_ranges_are_asked_for_once_and_again_for_a_new_shard() -> None:
    asked: list[str] = []
    found = dict(HALVES)

    def ask(stream: str) -> Mapping[str, HashRange]:
        asked.append(stream)
        return dict(found)

    ranges = ShardRanges(ask)
    assert ranges.of("s", "shardId-000000000001") == HALVES["shardId-000000000001"]
    assert ranges.of("s", "shardId-000000000000") == HALVES["shardId-000000000000"]
    assert asked == ["s"]
    found["shardId-000000000002"] = HashRange(0, 9)
    assert ranges.of("s", "shardId-000000000002") == HashRange(0, 9)
    assert ranges.of("t", "shardId-000000000000")
    assert asked == ["s", "s", "t"]


def test_records_of_a_shard_that_its_stream_does_not_list_are_kept() -> None:
    asked: list[str] = []

    def ask(stream: str) -> Mapping[str, HashRange]:
        asked.append(stream)
        return {}

    ranges = ShardRanges(ask)
    for _ in range(2):
        batch, faults, _ = split(event_of([mixed()]), "skip", ranges)
        assert len(batch) == 5
        assert not faults
    assert asked == ["input"]


def test_a_batch_waits_when_ranges_cannot_be_had() -> None:
    def ask(stream: str) -> Mapping[str, HashRange]:
        raise CloudError(f"stream {stream}: no answer")

    with pytest.raises(CloudError):
        split(event_of([mixed()]), "skip", ShardRanges(ask))


@pytest.mark.parametrize("parts", [1, 2, 3, 16])
def test_a_range_is_cut_into_parts_that_hold_all_of_it(parts: int) -> None:
    whole = HashRange(5, 2**128 - 1)
    cut = whole.cut(parts)
    assert len(cut) == parts
    assert (cut[0].first, cut[-1].last) == whole
    assert all(before.last + 1 == after.first for before, after in itertools.pairwise(cut))
    assert HashRange(7, 8).cut(16) == [HashRange(7, 7), HashRange(8, 8)]
