"""What must hold beyond the first chunk of a batch, and when a pipeline misbehaves."""

from __future__ import annotations

import re
import threading
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from app.errors import CloudError, MillraceError, NoOutputStreamError, UnreadableStateError
from app.storage.state import MemoryState, Stored
from app.stream.deadline import Deadline
from app.stream.event import read_event
from app.stream.outcomes import Outcomes
from app.stream.pipeline import StateWrites
from app.stream.testing import FakeStreams, MemorySpine, event_of, sequence_number
from tests.pipelines_for_tests import CountingPipeline, EchoPipeline, Order, orders

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from app.stream.batch import Batch


def numbers(spine: MemorySpine) -> list[int]:
    return [each["n"] for each in spine.outputs()]


def test_nothing_of_a_later_chunk_is_started_after_a_record_that_waits() -> None:
    spine = MemorySpine(EchoPipeline())
    result = spine.run(orders(60, _3="retry"))
    assert numbers(spine) == [0, 1, 2]
    assert result.resume_at == sequence_number(3)


def test_bad_base64_in_a_later_chunk_is_that_records_fault() -> None:
    spine = MemorySpine(EchoPipeline())
    event = msgspec.json.decode(event_of(orders(40)))
    event["Records"][30]["kinesis"]["data"] = '{"n": 1}'  # JSON, but not base64
    spine.run_event(msgspec.json.encode(event))
    assert [each["reason"] for each in spine.quarantined()] == ["bad_base64"]
    assert numbers(spine) == [n for n in range(40) if n != 30]


def test_state_is_carried_from_chunk_to_chunk() -> None:
    spine = MemorySpine(CountingPipeline(), store=MemoryState())
    spine.run(orders(60), ["a"] * 60)
    assert [each["count"] for each in spine.outputs()] == list(range(1, 61))


def test_an_overlap_that_stops_midway_commits_what_it_applied() -> None:
    store = MemoryState()
    spine = MemorySpine(CountingPipeline(), store=store)
    spine.run(orders(4), ["a"] * 4)
    spine.run(orders(4, _2="retry"), ["a"] * 4, start=2)  # two applied before, one new... and it waits
    assert store.stored["count/a"].value == b"4"
    spine.run(orders(4, _3="retry"), ["a"] * 4, start=2)
    assert store.stored["count/a"].value == b"5"
    assert [str(last.sequence_number) for last in store.stored["count/a"].applied.values()] == [sequence_number(4)]


def test_a_record_after_which_the_state_cannot_be_written_is_quarantined_alone() -> None:
    class Unencodable(StateWrites):
        def at(self, rows: int) -> Mapping[str, bytes]:
            raise ValueError(rows)

    class Unwritable(CountingPipeline):
        def process_with(self, batch: Batch[Order], state: Mapping[str, bytes]) -> StateWrites:
            staged = super().process_with(batch, state)
            poisoned = any(order.do == "poison" for order in batch.records)
            return Unencodable(staged.outcomes) if poisoned else staged

    store = MemoryState()
    spine = MemorySpine(Unwritable(), store=store)
    assert spine.run(orders(6, _3="poison"), ["a"] * 6).resume_at is None
    assert [each["reason"] for each in spine.quarantined()] == ["pipeline_error"]
    assert numbers(spine) == [0, 1, 2, 4, 5]
    assert store.stored["count/a"].value == b"5"


@pytest.mark.parametrize("error", [ValueError("secret"), CloudError("lookup table: gone")])
@pytest.mark.parametrize("waiting", [3, 18])
def test_a_pipeline_that_raises_on_a_part_of_its_state_is_named(
    error: Exception, waiting: int, caplog: pytest.LogCaptureFixture
) -> None:
    class Whole(StateWrites):
        staged: StateWrites

        def at(self, rows: int) -> Mapping[str, bytes]:
            if rows < len(self.outcomes):
                raise error
            return self.staged.at(rows)

    class Uncut(CountingPipeline):
        def process_with(self, batch: Batch[Order], state: Mapping[str, bytes]) -> StateWrites:
            staged = super().process_with(batch, state)
            whole = Whole(staged.outcomes)
            whole.staged = staged
            return whole

    store = MemoryState()
    spine = MemorySpine(Uncut(), store=store)
    batch = orders(20, **{f"_{waiting}": "retry"})
    line = "gone" if isinstance(error, CloudError) else r"^pipeline count: `at\(\d+\)` .* raised ValueError: "
    if waiting < 16:  # in the first chunk: nothing is safe
        with pytest.raises(MillraceError, match=line):
            spine.run(batch, ["a"] * 20)
        assert store.stored == {}
    else:
        result = spine.run(batch, ["a"] * 20)
        assert result.resume_at == sequence_number(16)
        assert result.failure is not None
        assert re.search(line, str(result.failure))
        assert store.stored["count/a"].value == b"16"
    assert numbers(spine) == list(range(waiting))  # they come again, with equal ids
    [logged] = [each for each in caplog.records if each.message == "pipeline raised on its state"]
    assert "secret" not in caplog.text
    assert logged.row == waiting // 16 * 16  # type: ignore[attr-defined]
    spine.run(orders(20), ["a"] * 20, start=0)
    assert spine.outputs()[-1]["count"] == 20


def test_a_test_run_leaves_state_alone() -> None:
    store = MemoryState()
    MemorySpine(CountingPipeline(), store=store, test_run=True).run(orders(3), ["a"] * 3)
    assert store.stored == {}


def test_a_store_that_cannot_be_written_is_told_and_nothing_is_acknowledged_past_it() -> None:
    class Broken(MemoryState):
        def commit(self, key: str, staged: Stored, expected: Any) -> None:
            if key == "count/b":
                raise CloudError("state table: gone")
            super().commit(key, staged, expected)

    result = MemorySpine(CountingPipeline(), store=Broken()).run(orders(3), ["a", "b", "a"])
    assert result.resume_at == sequence_number(1)
    assert "gone" in str(result.failure)


def test_keys_are_committed_side_by_side() -> None:
    together = threading.Barrier(4, timeout=10)

    class Waiting(MemoryState):
        def commit(self, key: str, staged: Stored, expected: Any) -> None:
            together.wait()  # until four are here: one after the other, the first would wait in vain
            super().commit(key, staged, expected)

    store = Waiting()
    assert MemorySpine(CountingPipeline(), store=store).run(orders(8), list("abcdabcd")).resume_at is None
    assert {key: stored.value for key, stored in store.stored.items()} == {f"count/{key}": b"2" for key in "abcd"}


def test_a_table_that_never_answers_keeps_no_later_batch_waiting() -> None:
    gate, hanging = threading.Event(), True

    class Hanging(MemoryState):
        def commit(self, key: str, staged: Stored, before: Any) -> None:
            if hanging:
                gate.wait(30)
            super().commit(key, staged, before)

    keys = [f"t{n}" for n in range(40)]
    spine = MemorySpine(CountingPipeline(), store=Hanging())
    for _ in range(2):  # eight calls each: then no thread is left
        result = spine.run(orders(40), keys, start=0, seconds=0.4)
        assert (result.acknowledged, result.failure) == (0, None)
    hanging = False
    assert spine.run(orders(40), keys, start=0, seconds=2).acknowledged == 40
    gate.set()


def test_a_store_that_takes_nothing_is_logged_once_a_batch(caplog: pytest.LogCaptureFixture) -> None:
    class Throttled(MemoryState):
        def commit(self, *_: Any) -> None:
            raise CloudError("state table: throttled")

    with pytest.raises(CloudError, match="throttled"):  # nothing is safe
        MemorySpine(CountingPipeline(), store=Throttled()).run(orders(12), [f"t{n}" for n in range(12)])
    [record] = [each for each in caplog.records if each.message == "state not committed"]
    assert (record.row, record.keys) == (0, {"CloudError": 12})  # type: ignore[attr-defined]


def test_a_store_that_fails_later_does_not_undo_what_was_placed() -> None:
    class Flaky(MemoryState):
        def load(self, keys: Any) -> Mapping[str, Stored]:
            wanted = set(keys)
            if "count/late" in wanted:
                raise CloudError("state table: gone")
            return super().load(wanted)

    spine = MemorySpine(CountingPipeline(), store=Flaky())
    result = spine.run(orders(40), ["early"] * 20 + ["late"] * 20)
    assert result.acknowledged == 16  # the first chunk
    assert "gone" in str(result.failure)
    assert len(spine.outputs()) == 16


def test_outputs_that_take_all_the_time_leave_some_for_the_state() -> None:
    now = 0.0

    def one_second(_stream: str, _keys: Sequence[str]) -> Mapping[int, str]:
        nonlocal now
        now += 1
        return {}

    streams, store = FakeStreams(one_second), MemoryState()
    processor = MemorySpine(CountingPipeline(), streams, store=store).processor
    batch, _ = read_event(event_of(orders(30), ["a"] * 30))  # one key: one call after another
    result = processor.process(batch, {}, Deadline(10, lambda: now))
    assert result.acknowledged == 8
    assert store.stored["count/a"].value == b"8"


@pytest.mark.parametrize("by_pipeline", [False, True])
def test_a_state_that_cannot_be_read_holds_its_key_and_not_the_records_before_it(by_pipeline: bool) -> None:
    class Damaged(MemoryState):
        def load(self, keys: Any) -> Mapping[str, Stored]:
            wanted = set(keys)
            if "count/bad" in wanted and not by_pipeline:
                raise UnreadableStateError("state of 'bad': its item is damaged")
            return super().load(wanted)

    class Reading(CountingPipeline):
        def process_with(self, batch: Batch[Order], state: Mapping[str, bytes]) -> StateWrites:
            if by_pipeline and "bad" in batch.partition_keys:
                raise UnreadableStateError("state of 'bad': of another release")
            return super().process_with(batch, state)

    store = Damaged()
    spine = MemorySpine(Reading(), store=store, quarantine_stream="")  # else its records are set aside
    result = spine.run(orders(12), ["a", "b", "a", "b", "a", "bad", "a", "b", "bad", "a", "b", "a"])
    assert result.resume_at == sequence_number(5)
    assert isinstance(result.failure, UnreadableStateError)
    assert numbers(spine) == [0, 1, 2, 3, 4]
    assert {key: stored.value for key, stored in store.stored.items()} == {"count/a": b"3", "count/b": b"2"}
    with pytest.raises(UnreadableStateError, match="state of 'bad'"):  # it comes first now: a person has to know
        spine.run(orders(7), ["bad", "a", "b", "bad", "a", "b", "a"], start=5)


def test_a_fault_of_the_cloud_is_not_a_records_fault() -> None:
    class Unreachable(EchoPipeline):
        def process(self, batch: Batch[Order]) -> Outcomes:
            self.calls.append(len(batch))
            raise CloudError("lookup table: gone")

    pipeline = Unreachable()
    spine = MemorySpine(pipeline)
    with pytest.raises(CloudError, match="gone"):
        spine.run(orders(8))
    assert pipeline.calls == [8]
    assert spine.quarantined() == []


def test_too_few_outcomes_lose_nothing() -> None:
    class Forgetful(EchoPipeline):
        def process(self, batch: Batch[Order]) -> Outcomes:
            return super().process(batch.cut(0, len(batch) - 1, batch.records[:-1]))

    spine = MemorySpine(Forgetful())
    assert spine.run(orders(4)).resume_at is None
    assert len(spine.quarantined()) == 4


def test_a_row_without_an_outcome_is_quarantined_alone() -> None:
    class Forgetful(EchoPipeline):
        def process(self, batch: Batch[Order]) -> Outcomes:
            outcomes = Outcomes(len(batch))
            for row in range(1, len(batch)):
                outcomes.emit(row, "k", msgspec.json.encode({"n": batch.records[row].n}))
            return outcomes

    spine = MemorySpine(Forgetful())
    assert spine.run(orders(4)).resume_at is None
    assert numbers(spine) == [1, 2, 3]
    assert [each["reason"] for each in spine.quarantined()] == ["bad_outcome"]


def test_a_row_that_is_done_emits_nothing_and_is_safe() -> None:
    class Silent(EchoPipeline):
        def process(self, batch: Batch[Order]) -> Outcomes:
            outcomes = Outcomes(len(batch))
            for row in range(len(batch)):
                outcomes.done(row)
            return outcomes

    spine = MemorySpine(Silent())
    result = spine.run(orders(4))
    assert (result.acknowledged, spine.outputs(), spine.quarantined()) == (4, [], [])


class Odd(EchoPipeline):
    """Adds something odd to the outcome of number 1."""

    def __init__(self, add: Callable[[Outcomes, int], object]) -> None:
        super().__init__()
        self._add = add

    def process(self, batch: Batch[Order]) -> Outcomes:
        outcomes = super().process(batch)
        for row, order in enumerate(batch.records):
            if order.n == 1:
                self._add(outcomes, row)
        return outcomes


@pytest.mark.parametrize(
    "add",
    [
        lambda outcomes, row: outcomes.emit(row, 7, b"{}"),
        lambda outcomes, row: outcomes.emit(row, "\ud800", b"{}"),
        lambda outcomes, row: outcomes.emit(row, "k", b"[]"),
        lambda outcomes, row: outcomes.emit(row, "k", b""),
        lambda outcomes, row: outcomes.emit(row, "k", "{}"),
        lambda outcomes, row: outcomes.emit(row, "k", None),
        lambda outcomes, row: outcomes.emit(row, "😀" * 200, b"{}"),  # 400 of the units that Kinesis counts
        lambda outcomes, _row: outcomes.emit(len(outcomes), "k", b"{}"),
        lambda outcomes, _row: outcomes.emit(-1, "k", b"{}"),
        lambda outcomes, row: outcomes.skip(row, 7),
        lambda outcomes, row: outcomes.quarantine(row, "reason", None),
    ],
)
def test_what_is_not_an_outcome_is_its_records_fault_alone(add: Callable[[Outcomes, int], object]) -> None:
    spine = MemorySpine(Odd(add))
    assert spine.run(orders(3)).resume_at is None
    assert numbers(spine) == [0, 2]
    assert [each["source"]["sequence_number"] for each in spine.quarantined()] == [sequence_number(1)]


def test_whatever_an_exception_says_it_is_set_aside_and_cut_short() -> None:
    class UnspeakableError(Exception):
        def __str__(self) -> str:
            raise ValueError

    class Raising(EchoPipeline):
        def process(self, batch: Batch[Order]) -> Outcomes:
            raise [UnspeakableError(), ValueError("\ud800"), ValueError("x" * 2_000_000)][batch.records[0].n]

    spine = MemorySpine(Raising())
    assert spine.run(orders(3)).resume_at is None
    assert max(len(each["message"]) for each in spine.quarantined()) <= 1000


def test_outputs_of_a_record_have_ordinals_and_reach_their_own_streams() -> None:
    class Three(EchoPipeline):
        def process(self, batch: Batch[Order]) -> Outcomes:
            outcomes = Outcomes(len(batch))
            for row in range(len(batch)):
                outcomes.emit(row, "k", b'{"x":0}')
                outcomes.emit(row, "k", b'{"x":1}', role="audit")
                outcomes.emit(row, "k", b'{"x":2}')
            return outcomes

    spine = MemorySpine(Three(), output_streams={"audit": "elsewhere"})
    assert spine.run(orders(1)).resume_at is None
    audit = [msgspec.json.decode(data) for _, data in spine.streams.records["elsewhere"]]
    assert [(each["x"], each["id"][-2:]) for each in spine.outputs()] == [(0, "/0"), (2, "/2")]
    assert [(each["x"], each["id"][-2:]) for each in audit] == [(1, "/1")]


def test_a_quarantined_record_has_the_same_id_each_time() -> None:
    spine = MemorySpine(EchoPipeline())
    spine.run([b"?"])
    spine.run([b"?"], start=0)
    first, again = spine.quarantined()
    assert first["id"] == again["id"]


def test_a_role_without_a_stream_in_a_later_record_keeps_what_came_before() -> None:
    class Late(EchoPipeline):
        def process(self, batch: Batch[Order]) -> Outcomes:
            outcomes = Outcomes(len(batch))
            for row, order in enumerate(batch.records):
                outcomes.emit(row, "k", b"{}", role="audit" if order.n >= 30 else "default")
            return outcomes

    spine = MemorySpine(Late())
    result = spine.run(orders(40))
    assert result.acknowledged >= 16
    assert isinstance(result.failure, NoOutputStreamError)


def test_halving_stops_at_the_deadline_and_still_gets_on() -> None:
    class SlowAndPoisoned(EchoPipeline):
        def process(self, batch: Batch[Order]) -> Outcomes:
            time.sleep(0.02 * len(batch))
            return super().process(batch)

    spine = MemorySpine(SlowAndPoisoned())
    at, turns = 0, 0
    payloads = [msgspec.json.encode({"n": n, "do": "raise"}) for n in range(12)]
    while at < 12:
        began = time.monotonic()
        at += spine.run(payloads[at:], start=at, seconds=0.6).acknowledged
        assert time.monotonic() - began < 0.9
        turns += 1
        assert turns < 40
    assert len(spine.quarantined()) == 12


def test_a_service_that_hangs_holds_neither_this_batch_nor_the_next() -> None:
    hanging = True

    def hang(_stream: str, _keys: Sequence[str]) -> Mapping[int, str]:
        ends = time.monotonic() + 3
        while hanging and time.monotonic() < ends:
            time.sleep(0.01)
        return {}

    class Hanging(FakeStreams):
        def put(self, stream: str, keys: Sequence[str], datas: Sequence[bytes]) -> Mapping[int, str]:
            hang(stream, keys)
            return super().put(stream, keys, datas)

    spine = MemorySpine(EchoPipeline(), Hanging())
    began = time.monotonic()
    assert spine.run(orders(40), seconds=0.5).acknowledged == 0
    assert time.monotonic() - began < 1
    hanging = False
    assert spine.run(orders(40), seconds=5).resume_at is None


def test_the_response_stays_below_lambdas_limit() -> None:
    class Wide(EchoPipeline):
        def process(self, batch: Batch[Order]) -> Outcomes:
            outcomes = Outcomes(len(batch))
            outcomes.emit_columns(batch.partition_keys, [b'{"x":"' + b"x" * 50_000 + b'"}'] * len(batch))
            return outcomes

    result = MemorySpine(Wide()).run(orders(100))
    assert result.resume_at is None
    assert 0 < sum(map(len, result.published)) <= 1024 * 1024
