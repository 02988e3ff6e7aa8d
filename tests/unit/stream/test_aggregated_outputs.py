"""Outputs of one key that travel together: in order, with ids of their own, whatever is refused or resharded."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import SettingsError
from app.settings import QUARANTINE, Settings
from app.stream.aggregation import MAGIC, SubRecords, split, user_records
from app.stream.aggregation_ranges import HashRange, ShardRanges, hash_key_of
from app.stream.aggregation_rows import Splitter
from app.stream.aggregation_writer import AGGREGATE_BYTES, Packer
from app.stream.event import read_event
from app.stream.outcomes import Outcomes
from app.stream.pipeline import Pipeline
from app.stream.puts import TransientError
from app.stream.runtime import Runtime, check_aggregation
from app.stream.testing import FakeStreams, MemorySpine, event_of
from tests.pipelines_for_tests import EchoPipeline, Order, orders

if TYPE_CHECKING:
    import logging
    from collections.abc import Mapping, Sequence

    from app.stream.batch import Batch

RECORDS = 2000


class TwoRoles(Pipeline[Order]):
    """Emits two outputs for each record, to two roles; those of `loose` need no order."""

    name = "two"
    record_type = Order
    roles: ClassVar[Sequence[str]] = ("default", "loose")
    unordered_roles: ClassVar[frozenset[str]] = frozenset({"loose"})

    def process(self, batch: Batch[Order]) -> Outcomes:
        outcomes = Outcomes(len(batch))
        for row, (order, key) in enumerate(zip(batch.records, batch.partition_keys, strict=True)):
            for role in self.roles:
                outcomes.emit(row, key, msgspec.json.encode({"n": order.n}), role=role)
                outcomes.emit(row, key, msgspec.json.encode({"n": order.n, "second": True}), role=role)
        return outcomes


def aggregating(streams: FakeStreams | None = None, *roles: str) -> MemorySpine:
    return MemorySpine(EchoPipeline(), streams, output_aggregation=list(roles or ["default"]))


def numbers(spine: MemorySpine) -> list[int]:
    return [each["n"] for each in spine.outputs()]


def test_outputs_of_one_key_take_one_record_for_some_hundred() -> None:
    spine, plain = aggregating(), MemorySpine(EchoPipeline())
    for each in (spine, plain):
        assert each.run(orders(RECORDS), ["tenant"] * RECORDS).acknowledged == RECORDS
    assert spine.outputs() == plain.outputs()  # the same ids, in the same order
    assert len(plain.streams.calls) == RECORDS
    assert len(spine.streams.calls) < RECORDS / 80
    for key, data in spine.streams.records["output"]:
        found = split(data)
        assert isinstance(found, SubRecords)
        assert len(data) + len(key) <= AGGREGATE_BYTES
        assert set(found.partition_keys) == {key} == {"tenant"}
        assert set(found.hash_keys) == {None}


def test_an_output_alone_or_too_large_for_an_aggregate_travels_as_it_is() -> None:
    class Large(EchoPipeline):
        def process(self, batch: Batch[Order]) -> Outcomes:
            outcomes = Outcomes(len(batch))
            for row, order in enumerate(batch.records):
                pad = "x" * AGGREGATE_BYTES if order.n == 2 else ""
                outcomes.emit(row, batch.partition_keys[row], msgspec.json.encode({"n": order.n, "pad": pad}))
            return outcomes

    spine = MemorySpine(Large(), output_aggregation=["default"])
    spine.run([*orders(5), *orders(1)], ["a"] * 5 + ["b"])
    held = [
        (key, [msgspec.json.decode(each)["n"] for each in user_records(data)], data.startswith(MAGIC))
        for key, data in spine.streams.records["output"]
    ]
    assert sorted(held) == [("a", [0, 1], True), ("a", [2], False), ("a", [3, 4], True), ("b", [0], False)]


def test_a_row_is_safe_when_the_aggregates_with_its_outputs_are_accepted() -> None:
    calls: list[int] = []

    def first_only(_stream: str, keys: Sequence[str]) -> Mapping[int, str]:
        calls.append(len(keys))
        if len(calls) > 1:
            raise TransientError("InternalFailure")
        return {}

    spine = aggregating(FakeStreams(first_only))
    result = spine.run(orders(RECORDS), ["tenant"] * RECORDS, seconds=0.3)
    [(_, data)] = spine.streams.records["output"]
    assert result.acknowledged == len(user_records(data)) > 50
    spine.streams.fault = None
    left = orders(RECORDS)[result.acknowledged :]
    again = spine.run(left, ["tenant"] * len(left), start=result.acknowledged)
    assert again.resume_at is None
    assert numbers(spine) == list(range(RECORDS))
    assert again.counts["emitted"] == len(left)


@given(
    st.lists(st.sampled_from(["a", "b", "c"]), max_size=60),
    st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=12),
    st.integers(100, 400),
)
def test_no_fault_loses_or_reorders_aggregated_outputs(
    keys: list[str], plan: list[tuple[float, bool]], aggregate_bytes: int
) -> None:
    faults = iter(plan)

    def fault(_stream: str, keys: Sequence[str]) -> Mapping[int, str]:
        share, whole = next(faults, (0.0, False))
        if whole:
            raise TransientError("InternalFailure")
        return dict.fromkeys(range(int(share * len(keys))), "InternalFailure")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.stream.lane.AGGREGATE_BYTES", aggregate_bytes)
        patch.setattr("app.stream.emit.PAUSE_BASE_S", 0.0001)
        spine = MemorySpine(TwoRoles(), FakeStreams(fault), output_aggregation=["default", "loose"])
        result = spine.run(orders(len(keys)), keys)
    assert result.acknowledged == len(keys)
    for role in TwoRoles.roles:
        stream = spine.settings.stream_for(role)
        arrived: dict[str, list[Any]] = defaultdict(list)
        for key, data in spine.streams.records[stream]:
            arrived[key] += map(msgspec.json.decode, user_records(data))
        assert sum(map(len, arrived.values())) == 2 * len(keys)
        assert len({each["id"] for outputs in arrived.values() for each in outputs}) == 2 * len(keys)
        for key, outputs in arrived.items():
            found = [(each["n"], "second" in each) for each in outputs]
            rows = [(row, second) for row, each in enumerate(keys) if each == key for second in (False, True)]
            assert (sorted(found) if role == "loose" else found) == rows


def test_the_next_stage_never_takes_our_aggregates_for_another_shard_s() -> None:
    """Not even where the output stream was resharded between packing and arriving: an aggregate has one key."""
    spine = aggregating()
    keys = [f"key-{row % 7}" for row in range(300)]
    spine.run(orders(300), keys)
    for parts in (1, 2, 5, 64):
        found: dict[str, list[int]] = defaultdict(list)
        for held in HashRange(0, 2**128 - 1).cut(parts):
            ranges = ShardRanges(lambda _, held=held: {"shardId-000000000000": held})  # type: ignore[misc]  # mypy infers no default
            here = [(key, data) for key, data in spine.streams.records["output"] if held.holds(hash_key_of(key))]
            event = event_of([data for _, data in here], [key for key, _ in here])
            batch, faults, counts = Splitter(QUARANTINE, ranges).split(*read_event(event))
            assert not faults
            assert bool(counts["aggregates"]) == bool(here)
            for key, payload in zip(batch.partition_keys, batch.payloads, strict=True):
                found[key].append(msgspec.json.decode(payload)["n"])
        for key in set(keys):
            assert found[key] == [row for row in range(300) if keys[row] == key]


def test_roles_that_share_a_stream_keep_the_order_of_their_rows() -> None:
    class Shared(TwoRoles):
        unordered_roles: ClassVar[frozenset[str]] = frozenset()

    for aggregation in ([], ["loose"]):
        spine = MemorySpine(Shared(), output_streams={"loose": "output"}, output_aggregation=aggregation)
        spine.run(orders(50), ["tenant"] * 50)
        assert numbers(spine) == sorted(numbers(spine))


def test_a_standstill_says_what_mends_it(caplog: pytest.LogCaptureFixture) -> None:
    """An aggregate comes again whole: more outputs of a key than the time allows calls for never get done."""

    def slow(_stream: str, _keys: Sequence[str]) -> Mapping[int, str]:
        time.sleep(0.02)
        return {}

    def run(**settings: Any) -> list[logging.LogRecord]:
        caplog.clear()
        packer = Packer()
        for order in orders(50):
            packer.add("tenant", order)
        MemorySpine(EchoPipeline(), FakeStreams(slow), **settings).run([packer.pack()], ["tenant"], seconds=0.3)
        return [each for each in caplog.records if "OUTPUT_AGGREGATION" in each.message]

    [line] = run()
    assert "set OUTPUT_AGGREGATION=default" in line.message
    assert 20 < line.__dict__["outputs_waiting"] < 50
    assert run(output_aggregation=["default"]) == []


def test_an_unknown_role_is_refused_at_the_start() -> None:
    settings = Settings(pipeline="echo", output_stream="output", output_aggregation=["defualt"])
    with pytest.raises(SettingsError, match="OUTPUT_AGGREGATION has 'defualt': set it to some of default"):
        Runtime(settings, {"echo": lambda _: EchoPipeline()}, FakeStreams())
    check_aggregation(Settings(output_streams={"own": "s"}, output_aggregation=["own"]), {"default"})
