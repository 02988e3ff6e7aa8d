"""A state key at fault is parked: other keys go on, its records wait in order, and none is lost or doubled."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import (
    CloudError,
    PipelineFailedError,
    QuarantineError,
    StateConflictError,
    StateTooLargeError,
    UnacknowledgedError,
    UnreadableStateError,
)
from app.storage.objects import MemoryObjects
from app.storage.state import MemoryState, Parked, Stored
from app.stream.outcomes import Outcomes
from app.stream.pipeline import StateWrites
from app.stream.quarantine import QuarantinedRecord
from app.stream.resuming import Resumption
from app.stream.testing import FakeStreams, MemorySpine, SimulatedCrash, sequence_number
from tests.pipelines_for_tests import CountingPipeline, Order, orders

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from app.stream.batch import Batch
    from app.stream.testing.spine import Step


class FaultyState(MemoryState):
    """State of which some keys are damaged, and that takes values up to a size.

    Attributes:
        damaged: The keys whose value cannot be read.
        largest: The largest value.
        before_commit: Called before each commit.
    """

    def __init__(self) -> None:
        super().__init__()
        self.damaged: set[str] = set()
        self.largest = 1000
        self.before_commit: Callable[[str], object] = lambda _: None

    def load(self, keys: Iterable[str]) -> Mapping[str, Stored]:
        found = dict(super().load(keys))
        for key in found.keys() & self.damaged:
            found[key] = found[key]._replace(value=None, fault=UnreadableStateError(f"state of {key!r}: damaged"))
        return found

    def check_size(self, key: str, value: bytes) -> None:
        if len(value) > self.largest:
            raise StateTooLargeError(f"state of {key!r}: too large")

    def commit(self, key: str, staged: Stored, before: Stored | None) -> None:
        self.before_commit(key)
        super().commit(key, staged, before)


class GrowingPipeline(CountingPipeline):
    """Counts as many `x` as there were records of a key."""

    def process_with(self, batch: Batch[Order], state: Mapping[str, bytes]) -> StateWrites:
        counts = {key: str(len(value)).encode() for key, value in state.items()}
        staged = super().process_with(batch, counts)
        staged._writes = [(key, b"x" * int(value)) for key, value in staged._writes]
        return staged


def quarantine_of(spine: MemorySpine, objects: MemoryObjects | None = None) -> list[QuarantinedRecord]:
    """Return the quarantine as `QuarantinedRecords` does."""
    found: dict[str, QuarantinedRecord] = {}
    lines = [data for _, data in spine.streams.records["quarantine"]]
    for data in objects.objects.values() if objects else ():
        lines += data.splitlines()
    for line in lines:
        record = msgspec.json.decode(line, type=QuarantinedRecord)
        if record.data is not None:
            found.setdefault(record.id, record)
    return sorted(found.values(), key=lambda each: (int(each.source.sequence_number), each.source.sub_sequence_number))


def resumption(spine: MemorySpine, objects: MemoryObjects | None = None) -> Resumption:
    return Resumption(spine.store, lambda _stream: spine.processor, lambda: quarantine_of(spine, objects))


def counts_by_key(spine: MemorySpine) -> dict[str, list[tuple[int, int]]]:
    """Return each key's first deliveries: number and count."""
    seen: set[str] = set()
    found: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for key, data in spine.streams.records["output"]:
        output = msgspec.json.decode(data)
        if output["id"] not in seen:
            seen.add(output["id"])
            found[key].append((output["n"], output["count"]))
    return dict(found)


KEYS = ["a", "b", "bad", "a", "bad", "b", "a", "bad"]


def expected(keys: list[str]) -> dict[str, list[tuple[int, int]]]:
    """Return what a clean run gives."""
    found: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for number, key in enumerate(keys):
        found[key].append((number, len(found[key]) + 1))
    return dict(found)


@pytest.fixture(params=["damaged", "unreadable to the pipeline"])
def spine(request: pytest.FixtureRequest) -> MemorySpine:
    """Return a spine on which key `bad` has a state that cannot be read, until `mend`."""
    store = FaultyState()
    by_store = request.param == "damaged"

    class Reading(CountingPipeline):
        def process_with(self, batch: Batch[Order], state: Mapping[str, bytes]) -> StateWrites:
            if state.get("bad") == b"of another release":
                raise UnreadableStateError("state key 'bad': of another release")
            return super().process_with(batch, state)

    store.stored["count/bad"] = Stored(b"0" if by_store else b"of another release")
    if by_store:
        store.damaged.add("count/bad")
    return MemorySpine(Reading(), store=store)


def mend(spine: MemorySpine) -> None:
    store = spine.store
    assert isinstance(store, FaultyState)
    store.damaged.clear()
    store.stored["count/bad"] = store.stored["count/bad"]._replace(value=b"0")


def test_a_key_at_fault_is_parked_and_the_others_go_on(spine: MemorySpine, caplog: pytest.LogCaptureFixture) -> None:
    result = spine.run(orders(8), KEYS)
    assert (result.resume_at, result.failure) == (None, None)
    assert result.counts["keys_parked"] == 1
    assert result.counts["quarantined_key_parked"] == 3
    assert counts_by_key(spine) == {key: counts for key, counts in expected(KEYS).items() if key != "bad"}
    [line] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "mend it, then run `millrace state resume count/bad`" in line.getMessage()
    parked = spine.store.load(["count/bad"])["count/bad"].parked
    assert parked is not None
    assert "bad'" in parked.fault
    assert parked.records == 3


def test_later_records_of_a_parked_key_wait_too_and_all_are_resumed_in_order(spine: MemorySpine) -> None:
    spine.run(orders(8), KEYS)
    mend(spine)  # the mark holds them, whatever has become of the fault
    assert spine.run(orders(8), KEYS).counts["keys_parked"] == 0
    assert resumption(spine).resume("count/bad") == 6
    spine.run(orders(1), ["bad"])
    counts = [count for _, count in counts_by_key(spine)["bad"]]
    assert counts == [1, 2, 3, 4, 5, 6, 7]
    assert spine.state("bad") == b"7"
    assert spine.store.load(["count/bad"])["count/bad"].parked is None


def test_a_key_whose_fault_is_not_mended_stays_parked(spine: MemorySpine) -> None:
    spine.run(orders(8), KEYS)
    before = spine.store.load(["count/bad"])
    with pytest.raises(UnreadableStateError, match="bad'"):
        resumption(spine).resume("count/bad")
    assert spine.store.load(["count/bad"])["count/bad"].parked == before["count/bad"].parked


def test_a_repeated_batch_parks_no_record_twice(spine: MemorySpine) -> None:
    spine.run(orders(8), KEYS)
    spine.run(orders(8), KEYS, start=0)
    assert len(quarantine_of(spine)) == 3
    parked = spine.store.load(["count/bad"])["count/bad"].parked
    assert parked is not None
    assert parked.records == 3


def test_a_record_in_the_quarantine_that_was_never_confirmed_is_not_resumed_before_an_earlier_one(
    spine: MemorySpine,
) -> None:
    spine.run(orders(1), ["bad"])
    spine.streams.fault = lambda _stream, _keys: {0: "ProvisionedThroughputExceededException"}
    cut_off = spine.run(orders(4)[1:], ["bad"] * 3, seconds=0.3)
    assert cut_off.resume_at == sequence_number(1)
    assert [each.source.sequence_number for each in quarantine_of(spine)] != [sequence_number(0), sequence_number(1)]
    spine.streams.fault = None
    mend(spine)
    assert resumption(spine).resume("count/bad") == 1
    spine.run(orders(4)[1:], ["bad"] * 3, start=1)
    assert counts_by_key(spine) == expected(["bad"] * 4)


@pytest.mark.parametrize("before", ["put", "commit", "acknowledge"])
def test_a_crash_while_a_key_is_parked_loses_nothing(spine: MemorySpine, before: Any) -> None:
    spine.run_and_crash(before, orders(8), KEYS)
    spine.run(orders(8), KEYS, start=0)
    mend(spine)
    assert resumption(spine).resume("count/bad") == 3
    assert counts_by_key(spine) == expected(KEYS)


def test_without_a_quarantine_a_key_at_fault_holds_its_shard() -> None:
    store = FaultyState()
    store.stored["count/bad"] = Stored(b"0")
    store.damaged.add("count/bad")
    spine = MemorySpine(CountingPipeline(), store=store, quarantine_stream="")
    result = spine.run(orders(8), KEYS)
    assert result.resume_at == sequence_number(2)
    assert isinstance(result.failure, UnreadableStateError)
    assert counts_by_key(spine) == {"a": [(0, 1)], "b": [(1, 1)]}
    with pytest.raises(UnreadableStateError, match="'count/bad'"):
        spine.run(orders(6), KEYS[2:], start=2)


def test_a_state_that_outgrows_its_table_is_parked_at_the_record_after_which_it_does() -> None:
    store = FaultyState()
    store.largest = 5
    spine = MemorySpine(GrowingPipeline(), store=store)
    keys = ["a", "big", "big", "b", "big"] * 3
    assert spine.run(orders(15), keys).resume_at is None
    assert spine.run(orders(15), keys).resume_at is None  # `a` and `b` go on to six, and are parked in their turn
    assert {key: stored.value for key, stored in store.stored.items()} == {
        "count/a": b"xxxxx", "count/b": b"xxxxx", "count/big": b"xxxxx",
    }  # fmt: skip
    assert {key: stored.parked and stored.parked.records for key, stored in store.stored.items()} == {
        "count/a": 1, "count/b": 1, "count/big": 13,
    }  # fmt: skip
    with pytest.raises(StateTooLargeError, match="'count/big': too large"):
        resumption(spine).resume("count/big")
    store.largest = 10
    with pytest.raises(StateTooLargeError):  # what fits now is done
        resumption(spine).resume("count/big")
    assert store.stored["count/big"].value == b"x" * 10
    store.largest = 100
    for key in ("count/big", "count/a", "count/b"):
        resumption(spine).resume(key)
    assert [count for _, count in counts_by_key(spine)["big"]] == list(range(1, 19))
    assert [count for _, count in counts_by_key(spine)["a"]] == list(range(1, 7))
    assert all(stored.parked is None for stored in store.stored.values())


def test_a_state_that_never_had_an_item_is_parked_and_resumed() -> None:
    store = FaultyState()
    store.largest = 0
    spine = MemorySpine(GrowingPipeline(), store=store)
    spine.run(orders(2), ["a", "a"])
    assert store.stored["count/a"].value is None
    store.largest = 10
    assert resumption(spine).resume("count/a") == 2
    assert store.stored["count/a"].value == b"xx"


def test_a_fault_of_every_key_parks_a_few_and_holds_the_rest() -> None:
    store = FaultyState()
    keys = [f"k{number:02}" for number in range(40)]
    store.stored.update((f"count/{key}", Stored(b"0")) for key in keys)
    store.damaged.update(store.stored)
    spine = MemorySpine(CountingPipeline(), store=store)
    result = spine.run(orders(40), keys)
    assert result.resume_at == sequence_number(15)  # MOST_RAISED_IN_A_ROW
    with pytest.raises(UnreadableStateError):
        spine.run(orders(25), keys[15:], start=15)
    store.damaged.clear()
    assert spine.run(orders(40)[15:], keys[15:], start=15).resume_at is None
    for key in keys[:15]:
        resumption(spine).resume(f"count/{key}")
    assert counts_by_key(spine) == expected(keys)


def test_a_record_that_can_never_succeed_leaves_the_line_and_the_next_one_is_resumed() -> None:
    store = FaultyState()
    store.stored["count/a"] = Stored(b"0")
    store.damaged.add("count/a")
    spine = MemorySpine(CountingPipeline(), store=store)
    spine.run(orders(3, _1="raise"), ["a"] * 3)
    store.damaged.clear()
    assert resumption(spine).resume("count/a") == 3
    assert [each["reason"] for each in spine.quarantined()][3:] == ["pipeline_error"]
    assert store.stored["count/a"] == store.stored["count/a"]._replace(value=b"2", parked=None)


def test_records_that_are_nowhere_are_told_before_anything_is_done() -> None:
    store = FaultyState()
    store.stored["count/a"] = Stored(b"0")
    store.damaged.add("count/a")
    spine = MemorySpine(CountingPipeline(), store=store)
    spine.run(orders(4), ["a"] * 4)
    store.damaged.clear()
    del spine.streams.records["quarantine"][1]
    with pytest.raises(QuarantineError, match=r"1 of 4 records that wait for 'count/a' are not in the quarantine"):
        resumption(spine).resume("count/a")
    assert spine.outputs() == []
    assert resumption(spine).resume("count/a", without_missing=True) == 3
    assert store.stored["count/a"] == store.stored["count/a"]._replace(value=b"3", parked=None)


def test_a_stream_that_takes_nothing_ends_a_resumption_and_the_key_stays_parked() -> None:
    store = FaultyState()
    store.stored["count/a"] = Stored(b"0")
    store.damaged.add("count/a")
    spine = MemorySpine(CountingPipeline(), store=store)
    spine.run(orders(2), ["a"] * 2)
    store.damaged.clear()

    def refuse(_key: str) -> None:
        raise StateConflictError("another writer was first")

    store.before_commit = refuse
    with pytest.raises(UnacknowledgedError, match="2 records that wait for 'count/a' are not safe: another writer"):
        resumption(spine).resume("count/a")
    store.before_commit = lambda _: None
    assert resumption(spine).resume("count/a") == 2


@pytest.mark.parametrize("key", ["k" * 2043, "\ud800"])
def test_a_key_that_no_table_takes_sets_its_record_aside(key: str) -> None:
    class Keyed(CountingPipeline):
        def state_keys(self, batch: Batch[Order]) -> list[str]:
            return [key if order.n == 1 else "a" for order in batch.records]

    spine = MemorySpine(Keyed())
    assert spine.run(orders(3), ["a"] * 3).resume_at is None
    assert [each["reason"] for each in spine.quarantined()] == ["bad_state_key"]
    assert spine.state("a") == b"2"


def test_a_key_that_always_has_further_records_is_resumed_all_the_same() -> None:
    store = FaultyState()
    store.stored["count/a"] = Stored(b"0")
    store.damaged.add("count/a")
    spine = MemorySpine(CountingPipeline(), store=store)
    spine.run(orders(3), ["a"] * 3)
    store.damaged.clear()
    done, results = 3, []

    def read() -> list[QuarantinedRecord]:
        nonlocal done
        found = quarantine_of(spine)
        results.append(spine.run([msgspec.json.encode({"n": done})], ["a"], start=done))
        done += results[-1].acknowledged
        return found

    assert Resumption(store, lambda _: spine.processor, read).resume("count/a") == 4
    assert [result.acknowledged for result in results] == [1, 0]  # the second one waits for those before it
    assert spine.run([msgspec.json.encode({"n": done})], ["a"], start=done).resume_at is None
    assert counts_by_key(spine) == expected(["a"] * 5)


def test_further_records_while_many_are_processed_stop_a_resumption_once() -> None:
    """A commit of many records takes long, and whatever is set aside until then makes it fail."""
    store = FaultyState()
    store.stored["count/a"] = Stored(b"0")
    store.damaged.add("count/a")
    calls, done = list[int](), 200

    class Slow(CountingPipeline):
        def process_with(self, batch: Batch[Order], state: Mapping[str, bytes]) -> StateWrites:
            calls.append(len(batch))
            nonlocal done
            done += feeder.run([msgspec.json.encode({"n": done})], ["a"], start=done).acknowledged
            return super().process_with(batch, state)

    feeder = MemorySpine(CountingPipeline(), store=store)
    feeder.run(orders(done), ["a"] * done)
    store.damaged.clear()
    spine = MemorySpine(Slow(), feeder.streams, store=store)
    assert resumption(spine).resume("count/a") == done == 202
    assert sum(calls) == 2 * 200 + 2
    assert counts_by_key(spine) == expected(["a"] * done)


@pytest.mark.parametrize(("ahead_s", "held"), [(60, True), (-1, False), (3600, False)])
def test_a_hold_ends_by_itself_and_one_of_a_wrong_clock_holds_nothing(ahead_s: int, held: bool) -> None:
    store = FaultyState()
    spine = MemorySpine(CountingPipeline(), store=store)
    store.stored["count/a"] = Stored(b"0", parked=Parked("damaged", "now", held_until_s=int(time.time()) + ahead_s))
    assert (spine.run(orders(1), ["a"]).resume_at is not None) == held


class Story:
    """Events, crashes, faults and resumptions in any order, with events in the midst of resumptions."""

    def __init__(self, chance: Random) -> None:
        self.chance, self.store, self.sent = chance, FaultyState(), list[str]()
        self.spine = MemorySpine(CountingPipeline(), store=self.store)
        self.meanwhile_left = 0

    def deliver(self) -> None:
        """Deliver new records and some again, until they are acknowledged; perhaps the process ends on the way."""
        start = len(self.sent) - self.chance.randint(0, min(3, len(self.sent)))
        self.sent += self.chance.choices("ab", k=self.chance.randint(0, 4))
        step: Step | None = self.chance.choice(["put", "commit", "acknowledge", None, None])
        for attempt in range(20):
            keys = self.sent[start:]
            payloads = [msgspec.json.encode({"n": start + number}) for number in range(len(keys))]
            if not keys:
                return
            if step is not None and not attempt:
                self.spine.run_and_crash(step, payloads, keys, start=start)
            start += self.spine.run(payloads, keys, start=start).acknowledged
        raise AssertionError("no progress")

    def damage(self) -> None:
        self.store.damaged.update(self.store.stored)

    def mend(self) -> None:
        self.store.damaged.clear()

    def resume(self) -> None:
        """Resume a key, while records arrive; perhaps the command ends on the way."""
        self.meanwhile_left = self.chance.randint(0, 3)
        self.store.before_commit = self.meanwhile
        self.spine.streams.fault = self.perhaps_crash
        try:
            key = self.chance.choice(["count/a", "count/b"])
            Resumption(self.store, lambda _: self.spine.processor, self.read).resume(key)
        except (SimulatedCrash, UnreadableStateError, UnacknowledgedError):
            pass
        finally:
            self.store.before_commit, self.spine.streams.fault = lambda _: None, None

    def perhaps_crash(self, *_: object) -> Mapping[int, str]:
        if self.chance.random() < 0.1:
            raise SimulatedCrash
        return {}

    def meanwhile(self, *_: object) -> None:
        if self.meanwhile_left and self.chance.random() < 0.5:
            self.meanwhile_left -= 1
            self.store.before_commit, self.spine.streams.fault = lambda _: None, None
            self.deliver()
            self.store.before_commit, self.spine.streams.fault = self.meanwhile, self.perhaps_crash
        elif self.chance.random() < 0.1:
            raise SimulatedCrash

    def read(self) -> list[QuarantinedRecord]:
        self.meanwhile()
        found = quarantine_of(self.spine)
        self.meanwhile()
        return found


@given(st.integers(), st.lists(st.sampled_from(["deliver", "deliver", "damage", "mend", "resume"]), max_size=15))
def test_nothing_is_lost_doubled_or_overtaken_whatever_happens_meanwhile(seed: int, actions: list[str]) -> None:
    story = Story(Random(seed))
    for action in actions:
        getattr(story, action)()
    story.mend()
    for key in ("count/a", "count/b"):
        resumption(story.spine).resume(key)
    assert counts_by_key(story.spine) == expected(story.sent)
    assert {key: (stored.value, stored.parked) for key, stored in story.store.stored.items()} == {
        f"count/{key}": (str(story.sent.count(key)).encode(), None) for key in set(story.sent)
    }


def test_pipelines_that_share_a_stream_a_table_and_a_quarantine_are_resumed_apart() -> None:
    class Other(CountingPipeline):
        name = "other"

    store, streams = FaultyState(), FakeStreams()
    spines = [MemorySpine(each, streams, store=store) for each in (CountingPipeline(), Other())]
    for key in ("count/a", "other/a"):
        store.stored[key] = Stored(b"0")
        store.damaged.add(key)
    for spine in spines:
        spine.run(orders(3), ["a"] * 3)
    store.damaged.clear()
    assert [resumption(spine).resume(f"{spine.processor.pipeline.name}/a") for spine in spines] == [3, 3]
    assert {key: stored.value for key, stored in store.stored.items()} == {"count/a": b"3", "other/a": b"3"}


def test_an_empty_state_key_is_parked_and_resumed_like_any_other() -> None:
    class OneState(CountingPipeline):
        def state_keys(self, batch: Batch[Order]) -> list[str]:
            return [""] * len(batch)

        def process_with(self, batch: Batch[Order], state: Mapping[str, bytes]) -> StateWrites:
            staged = StateWrites(Outcomes(len(batch)))
            for row in range(len(batch)):
                staged.write(row, "", str(int(state.get("", 0)) + row + 1).encode())
                staged.outcomes.done(row)
            return staged

    store = FaultyState()
    store.stored["count/"] = Stored(b"0")
    store.damaged.add("count/")
    spine = MemorySpine(OneState(), store=store)
    spine.run(orders(3), ["a", "b", "a"])
    store.damaged.clear()
    assert resumption(spine).resume("count/") == 3
    assert spine.state("") == b"3"


def test_a_location_takes_parked_records_as_well() -> None:
    store, objects = FaultyState(), MemoryObjects()
    store.stored["count/bad"] = Stored(b"0")
    store.damaged.add("count/bad")
    spine = MemorySpine(CountingPipeline(), store=store, quarantine_stream="", objects=objects)
    spine.run(orders(8), KEYS)
    spine.run(orders(8), KEYS)
    store.damaged.clear()
    assert resumption(spine, objects).resume("count/bad") == 6
    assert [count for _, count in counts_by_key(spine)["bad"]] == [1, 2, 3, 4, 5, 6]


def test_a_record_of_the_location_is_not_lost_by_one_of_an_equal_name() -> None:
    """A batch that is repeated may set other records aside between its first and its last."""
    objects = MemoryObjects()
    spine = MemorySpine(CountingPipeline(), quarantine_stream="", objects=objects)
    spine.run([b"?", b"?", *orders(1), b"?"], ["a"] * 4)
    spine.run([b"?", *orders(1), b"?", b"?"], ["a"] * 4, start=0)
    assert len(quarantine_of(spine, objects)) == 4


def test_a_cloud_that_does_not_answer_parks_no_key() -> None:
    class Unreachable(FaultyState):
        def load(self, _keys: Iterable[str]) -> Mapping[str, Stored]:
            raise CloudError("state table: does not answer")

    spine = MemorySpine(CountingPipeline(), store=Unreachable())
    with pytest.raises(CloudError):
        spine.run(orders(2))
    assert spine.quarantined() == []


def test_a_pipeline_of_another_name_does_not_take_parked_records() -> None:
    store = FaultyState()
    store.stored["count/a"] = Stored(b"0")
    store.damaged.add("count/a")
    spine = MemorySpine(CountingPipeline(), store=store)
    spine.run(orders(2), ["a"] * 2)

    class Other(CountingPipeline):
        name = "other"

    with pytest.raises(Exception, match="set PIPELINES=input:count"):
        Resumption(store, lambda _: MemorySpine(Other()).processor, lambda: quarantine_of(spine)).resume("count/a")


def test_a_record_that_waits_does_not_make_a_fault_of_the_code_look_like_one_of_records() -> None:
    store = FaultyState()
    store.stored["count/bad"] = Stored(b"0")
    store.damaged.add("count/bad")
    spine = MemorySpine(CountingPipeline(), store=store, most_raised_in_a_row=3)
    broken = msgspec.json.encode({"n": 0, "do": "raise"})
    result = spine.run([broken] * 20, ["a", "bad"] * 10)
    assert isinstance(result.failure, PipelineFailedError)
    assert result.counts["quarantined_pipeline_error"] <= 3
