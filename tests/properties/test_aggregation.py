"""Aggregates against AWS's own Python library and protobuf's, any bytes at all, and the promises of the spine."""

from __future__ import annotations

import base64
import itertools
import random
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import msgspec
from aws_kinesis_agg.aggregator import AggRecord  # type: ignore[import-untyped]  # shipped without types
from aws_kinesis_agg.deaggregator import iter_deaggregate_records  # type: ignore[import-untyped]  # the same
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped]  # the same
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # the same
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from app.storage.state import MemoryState
from app.stream import emit
from app.stream.aggregation import DIGEST_BYTES, HASH_KEYS, MAGIC, SubRecords, split
from app.stream.aggregation_ranges import HashRange, hash_key_of
from app.stream.aggregation_writer import Aggregator, Packer
from app.stream.outcomes import Quarantine
from app.stream.testing import FIRST_SEQUENCE_NUMBER, FakeStreams, MemorySpine
from tests.pipelines_for_tests import CountingPipeline, EchoPipeline, orders
from tests.properties.test_delivery import KEYS, faults
from tests.unit.stream.test_aggregation import wrapped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.properties.test_delivery import RandomFaults

UserRecord = tuple[str, bytes, int | None]
"""Partition key, data, explicit hash key."""

partition_keys = st.one_of(st.sampled_from(["a", "b", "c"]), st.text(min_size=1, max_size=128))
datas = st.one_of(
    st.binary(max_size=40), st.integers(100, 400).map(bytes), st.sampled_from([16_383, 16_384]).map(bytes)
)
hash_keys = st.integers(0, HASH_KEYS - 1)
user_records = st.lists(st.tuples(partition_keys, datas, st.none() | hash_keys), max_size=12)
# The reference gives a record without an explicit hash key that of another, so there all records have one or none has.
alike = st.one_of(
    st.lists(st.tuples(partition_keys, datas, st.none()), min_size=1, max_size=12),
    st.lists(st.tuples(partition_keys, datas, hash_keys), min_size=1, max_size=12),
)


def pack(records: Sequence[UserRecord]) -> bytes:
    packer = Packer()
    assert all(packer.add(*record) for record in records)
    return packer.pack()


def ours(payload: bytes) -> list[UserRecord] | None:
    found = split(payload)
    if isinstance(found, Quarantine):
        assert found.reason
        assert found.message.isprintable()
        return None
    return list(zip(found.partition_keys, found.datas, found.hash_keys, strict=True))


@given(alike)
def test_what_is_packed_here_the_reference_splits_alike(records: list[UserRecord]) -> None:
    kinesis = {
        "SequenceNumber": "1",
        "PartitionKey": "outer",
        "ApproximateArrivalTimestamp": 0,
        "Data": pack(records),
    }
    found = [each["kinesis"] for each in iter_deaggregate_records([kinesis], "Boto3")]
    assert [
        (each["partitionKey"], base64.b64decode(each["data"]), each["explicitHashKey"]) for each in found
    ] == [(key, data, None if hash_key is None else str(hash_key)) for key, data, hash_key in records]  # fmt: skip
    assert [each["subSequenceNumber"] for each in found] == list(range(len(records)))


@given(user_records)
def test_what_the_reference_packs_is_split_here_alike(records: list[UserRecord]) -> None:
    theirs = AggRecord()
    for key, data, hash_key in records:
        assert theirs.add_user_record(key, data, None if hash_key is None else str(hash_key))
    assert ours(theirs.get_contents()[2]) == records
    assert ours(pack(records)) == records


def _message_class() -> Any:
    """AggregatedRecord for protobuf's own parser, but for the tags: to it too they are fields that it passes over."""
    file = descriptor_pb2.FileDescriptorProto(name="aggregate_for_tests.proto", package="tests", syntax="proto2")
    field = descriptor_pb2.FieldDescriptorProto
    record = file.message_type.add(name="Record")
    for number, (name, kind, label) in enumerate(
        [
            ("partition_key_index", field.TYPE_UINT64, field.LABEL_REQUIRED),
            ("explicit_hash_key_index", field.TYPE_UINT64, field.LABEL_OPTIONAL),
            ("data", field.TYPE_BYTES, field.LABEL_REQUIRED),
        ],
        start=1,
    ):
        record.field.add(name=name, number=number, type=kind, label=label)
    whole = file.message_type.add(name="AggregatedRecord")
    for number, name in enumerate(["partition_key_table", "explicit_hash_key_table"], start=1):
        whole.field.add(name=name, number=number, type=field.TYPE_BYTES, label=field.LABEL_REPEATED)
    whole.field.add(
        name="records",
        number=3,
        type=field.TYPE_MESSAGE,
        type_name=".tests.Record",
        label=field.LABEL_REPEATED,
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tests.AggregatedRecord"))


AggregatedRecord = _message_class()


def by_protobuf(message: bytes) -> list[UserRecord] | None:
    """What protobuf's own parser makes of a message; None when it, or a key in it, is not what it must be."""
    found = AggregatedRecord()
    try:
        found.ParseFromString(message)
        if not found.IsInitialized():  # this parser leaves it to its callers
            return None
        keys = [key.decode() for key in found.partition_key_table]
        explicit = [int(key) if key.isdigit() else HASH_KEYS for key in found.explicit_hash_key_table]
        if not all(0 < len(key.encode("utf-16-le")) <= 512 for key in keys) or max(explicit, default=0) >= HASH_KEYS:
            return None
        return [
            (
                keys[each.partition_key_index],
                each.data,
                explicit[each.explicit_hash_key_index] if each.HasField("explicit_hash_key_index") else None,
            )
            for each in found.records
        ]
    except (DecodeError, UnicodeDecodeError, IndexError):
        return None


def agrees(message: bytes) -> None:
    """Holds our reading of a message against protobuf's.

    Groups, and numbers of more than 64 bits, are refused here; there they are passed over, and cut.
    """
    found = split(wrapped(message))
    if isinstance(found, Quarantine) and ("wire type" in found.message or "too large" in found.message):
        return
    assert ours(wrapped(message)) == by_protobuf(message)


def damaged(whole: bytes, chance: random.Random) -> bytes:
    """Bytes with a few bits flipped, a piece cut out, doubled or made up."""
    found = bytearray(whole)
    for _ in range(chance.randint(1, 3)):
        start = chance.randrange(len(found) + 1)
        stop = min(len(found), start + chance.choice([0, 1, 1, 2, 5]))
        piece = bytes(found[start:stop])
        found[start:stop] = chance.choice(
            [b"", piece * 2, chance.randbytes(len(piece)), bytes(byte ^ 1 << chance.randrange(8) for byte in piece)]
        )
    return bytes(found)


small_records = st.lists(
    st.tuples(st.sampled_from(["a", "b"]), st.binary(max_size=6), st.none() | st.integers(0, 300)), max_size=5
)


@settings(max_examples=400)
@given(small_records, st.integers(0, 2**32))
def test_a_damaged_aggregate_is_all_or_nothing(records: list[UserRecord], seed: int) -> None:
    payload = damaged(pack(records), random.Random(seed))
    assume(payload.startswith(MAGIC))
    assert ours(payload) in (None, records)


@settings(max_examples=1_500)
@given(small_records, st.integers(0, 2**32))
def test_a_damaged_message_with_the_right_digest_is_read_as_protobuf_reads_it(
    records: list[UserRecord], seed: int
) -> None:
    agrees(damaged(pack(records)[len(MAGIC) : -DIGEST_BYTES], random.Random(seed)))


numbers = st.one_of(st.integers(0, 5), st.integers(0, 2**65))


def varint(value: int, padding: int = 0) -> bytes:
    groups = [value >> shift & 0x7F for shift in range(0, max(1, value.bit_length()), 7)] + [0] * padding
    return bytes(group | 0x80 for group in groups[:-1]) + bytes(groups[-1:])


def fields_of(inner: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Messages of any fields whose bytes are `inner`, most of them fields that the format has."""
    tags = st.one_of(st.sampled_from([0x0A, 0x12, 0x1A, 0x08, 0x10, 0x1A]), st.integers(0, 60)).map(varint)
    return st.lists(
        st.one_of(
            st.tuples(tags, inner).map(lambda both: both[0] + varint(len(both[1])) + both[1]),
            st.tuples(tags, numbers, st.integers(0, 2)).map(lambda each: each[0] + varint(each[1], each[2])),
            st.tuples(tags, st.sampled_from([4, 8]).map(bytes)).map(b"".join),
        ),
        max_size=5,
    ).map(b"".join)


@settings(max_examples=600)
@given(fields_of(st.one_of(st.just(b"key"), st.just(b"7"), st.binary(max_size=4), fields_of(st.binary(max_size=4)))))
def test_any_fields_at_all_are_read_as_protobuf_reads_them(message: bytes) -> None:
    agrees(message)


@given(st.binary(max_size=60))
def test_any_bytes_behind_the_magic_give_a_reason(rest: bytes) -> None:
    assert isinstance(split(MAGIC + rest), Quarantine)
    agrees(rest)


@given(st.lists(st.tuples(partition_keys, datas), max_size=40), st.integers(1, 6), st.integers(64, 2_000))
def test_an_aggregator_keeps_every_record_and_the_order_of_each_key(
    records: list[tuple[str, bytes]], shards: int, limit: int
) -> None:
    ranges = HashRange(0, HASH_KEYS - 1).cut(shards)
    aggregator = Aggregator(ranges, limit)
    made = [full for key, data in records if (full := aggregator.add(key, data))] + aggregator.flush()
    found: dict[str, list[bytes]] = defaultdict(list)
    for each in made:
        inside = split(each.data)
        assert isinstance(inside, SubRecords)
        [held] = [held for held in ranges if held.holds(hash_key_of(each.partition_key))]
        assert all(held.holds(hash_key_of(key)) for key in inside.partition_keys)
        assert each.records == 1 or len(each.data) + len(each.partition_key.encode()) <= limit
        for key, data in zip(inside.partition_keys, inside.datas, strict=True):
            found[key].append(data)
    for key in {key for key, _ in records}:
        assert found.pop(key) == [data for each, data in records if each == key]
    assert not found


def kinesis_records(keys: list[str], cuts: set[int]) -> list[tuple[int, bytes, str]]:
    """Orders with these keys as Kinesis records, cut before these places: the first order of each, its data and key."""
    bounds = sorted({0, len(keys), *(cut for cut in cuts if cut < len(keys))})
    payloads = orders(len(keys))
    found = []
    for start, stop in itertools.pairwise(bounds):
        inside: list[UserRecord] = [(keys[row], payloads[row], None) for row in range(start, stop)]
        whole = payloads[start] if stop - start == 1 else pack(inside)
        found.append((start, whole, keys[start] if stop - start == 1 else "outer"))
    return found


@given(st.lists(st.sampled_from(KEYS), min_size=1, max_size=30), st.sets(st.integers(1, 29)), st.data(), faults)
def test_counts_are_right_however_aggregates_are_repeated_and_refused(
    keys: list[str], cuts: set[int], data: Any, fault: RandomFaults
) -> None:
    """Redelivers as a mapping would, from the record at which the shard resumes, with repeats of its choice."""
    spine = MemorySpine(CountingPipeline(), FakeStreams(fault), store=MemoryState())
    records = kinesis_records(keys, cuts)
    at = turns = 0
    limit, pause = emit.PAUSE_CAP_S, emit.PAUSE_BASE_S
    emit.PAUSE_CAP_S = emit.PAUSE_BASE_S = 0.0002
    try:
        while at < len(records) and turns < 200:
            turns += 1
            begin = at - data.draw(st.integers(0, min(at, 2)))
            batch = records[begin : at + data.draw(st.integers(1, 4))]
            result = spine.run([each for _, each, _ in batch], [key for _, _, key in batch], start=begin, seconds=2)
            resumes = begin + len(batch)
            if result.resume_at:
                resumes = int(result.resume_at) - FIRST_SEQUENCE_NUMBER
                assert result.acknowledged == (records[resumes][0] - records[begin][0])
            at = max(at, resumes)
    finally:
        emit.PAUSE_CAP_S, emit.PAUSE_BASE_S = limit, pause
    assert at == len(records)
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for key, each in spine.streams.records["output"]:
        value = msgspec.json.decode(each)
        assert found[key].setdefault(value["id"], value["count"]) == value["count"]  # a repeat says the same
    for key in set(keys):
        assert list(found[key].values()) == list(range(1, keys.count(key) + 1))


@given(
    st.lists(st.sampled_from(["emit", "skip", "raise", "retry", "bad"]), min_size=1, max_size=24),
    st.sets(st.integers(1, 23)),
    st.sets(st.integers(0, 24)),
)
def test_an_acknowledged_aggregate_has_no_unsafe_record(does: list[str], cuts: set[int], stuck: set[int]) -> None:
    def refuse(_stream: str, keys: Sequence[str]) -> Mapping[int, str]:
        return {row: "InternalFailure" for row, key in enumerate(keys) if int(key) in stuck}

    spine = MemorySpine(EchoPipeline(), FakeStreams(refuse))
    inside: list[UserRecord] = [
        (str(row), b"not JSON" if do == "bad" else msgspec.json.encode({"n": row, "do": do}), None)
        for row, do in enumerate(does)
    ]
    bounds = sorted({0, len(does), *(cut for cut in cuts if cut < len(does))})
    whole = [pack(inside[start:stop]) for start, stop in itertools.pairwise(bounds)]
    result = spine.run(whole, seconds=0.05 if stuck else 5)
    assert result.acknowledged in bounds
    accepted = {each["n"] for each in spine.outputs()}
    aside = {int(each["source"]["partition_key"]) for each in spine.quarantined()}
    for row in range(result.acknowledged):
        safe = {"emit": row in accepted, "skip": True, "raise": row in aside, "bad": row in aside, "retry": False}
        assert safe[does[row]], (row, does[row])
    if "retry" in does:
        assert max(accepted, default=-1) < does.index("retry")
        assert result.acknowledged == max(bound for bound in bounds if bound <= does.index("retry")) or stuck
    elif not stuck:
        assert result.acknowledged == len(does)
    number = bounds.index(result.acknowledged)
    assert result.resume_at == (None if number == len(whole) else str(FIRST_SEQUENCE_NUMBER + number))


ids = st.lists(st.sampled_from(KEYS), min_size=1, max_size=12)


@given(ids, st.sets(st.integers(1, 11)))
def test_a_replay_gives_the_same_ids(keys: list[str], cuts: set[int]) -> None:
    spine = MemorySpine(EchoPipeline())
    records = kinesis_records(keys, cuts)
    for _ in range(2):
        spine.run([each for _, each, _ in records], [key for _, _, key in records], start=0)
    numbers_of: dict[str, list[int]] = defaultdict(list)
    for each in spine.outputs():
        numbers_of[each["id"]].append(each["n"])
    assert sorted(numbers_of.values()) == [[number, number] for number in range(len(keys))]
