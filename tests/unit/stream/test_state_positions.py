"""State under records that cannot be compared: other streams, streams made anew, other shards, earlier releases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import aws
from app.errors import CloudError, SettingsError, StateConflictError
from app.settings import Settings
from app.storage.state import BEGUN_ANEW, MOST_SHARDS, MemoryState, Parked, Position, ShardOrigin, Stored
from app.stream.aggregation_rows import Splitter
from app.stream.deadline import Deadline
from app.stream.emit import Writer
from app.stream.event import read_event
from app.stream.origin import StreamOrigins, ask_created_ms
from app.stream.pipeline import check_declared
from app.stream.processor import Processor
from app.stream.quarantine import QuarantineDestination
from app.stream.testing import FakeStreams, MemorySpine, event_of
from tests.pipelines_for_tests import CountingPipeline, orders

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from app.stream.processor import Result


class Two:
    """Streams that share a table of state, as two functions or two mappings of one do."""

    def __init__(self, ask: Callable[[str], int | None]) -> None:
        self.asked: list[str] = []
        self.store = MemoryState()
        self.streams = FakeStreams()
        self._ask = ask
        self.start()

    def start(self) -> None:
        """Begin a new process."""

        def ask(arn: str) -> int | None:
            self.asked.append(arn)
            return self._ask(arn)

        quarantine = QuarantineDestination("quarantine", None)
        parts = CountingPipeline(), Writer(self.streams), quarantine, Settings(output_stream="output")
        self._processor = Processor(*parts, store=self.store, origins=StreamOrigins(ask))

    def run(self, stream: str, count: int, start: int = 0, shard: str = "shardId-000000000000") -> Result:
        event = event_of(orders(count), ["a"] * count, stream=stream, start=start)
        batch, faults, _ = Splitter().split(*read_event(event.replace(b"shardId-000000000000", shard.encode())))
        return self._processor.process(batch, faults, Deadline(5))

    @property
    def count(self) -> bytes | None:
        return self.store.stored["count/a"].value


def test_records_of_two_streams_with_one_table_are_all_applied() -> None:
    both = Two(lambda _: 1)
    for start in range(0, 20, 5):
        for stream in ("first", "second"):
            assert both.run(stream, 5, start).counts["skipped"] == 0
    assert both.count == b"40"
    assert both.run("first", 5, 15).counts["skipped"] == 5  # each stream's own are still known
    assert both.run("second", 20).counts["skipped"] == 20
    assert both.count == b"40"


def test_records_of_other_shards_are_all_applied() -> None:
    one = Two(lambda _: 1)
    for shard in ("shardId-000000000003", "shardId-000000000001", "shardId-000000000002"):
        one.run("input", 5, shard=shard)  # an explicit hash key leads there; sequence numbers may well be equal
    assert one.count == b"15"
    assert one.run("input", 5, shard="shardId-000000000001").counts["skipped"] == 5


def test_a_stream_made_anew_is_another_stream_also_for_a_process_that_goes_on() -> None:
    created = iter([100, 200, 200])
    one = Two(lambda _: next(created))
    one.run("input", 5)
    assert one.run("input", 5).counts["skipped"] == 0  # the records of the new stream have the old one's numbers
    assert one.count == b"10"
    one.start()
    assert one.run("input", 5).counts["skipped"] == 5
    assert one.count == b"10"


def test_a_process_that_outlives_its_stream_learns_of_the_new_one_from_the_state() -> None:
    created = {"now": 100}
    old = Two(lambda _: created["now"])
    old.run("input", 5)
    created["now"] = 200
    new = Two(lambda _: created["now"])
    new.store = old.store
    new.start()
    new.run("input", 5)
    old.run("input", 5, start=5)  # it asked before the stream was made anew
    assert new.run("input", 5, start=5).counts["skipped"] == 5
    assert new.count == b"15"


def test_kinesis_is_asked_once_and_again_only_before_a_record_is_skipped() -> None:
    one = Two(lambda _: 1)
    for start in (0, 5, 10):
        one.run("input", 5, start)
    assert len(one.asked) == 1
    one.run("input", 5, 10)
    assert len(one.asked) == 2


def test_events_that_no_stream_sent_are_never_taken_for_repeated_ones() -> None:
    nobody = Two(lambda _: None)
    nobody.run("input", 5)
    nobody.run("input", 5)
    assert nobody.count == b"10"
    assert nobody.store.stored["count/a"].applied == {}


def test_two_writers_whose_records_cannot_be_compared_do_not_overwrite_each_other() -> None:
    store = MemoryState()
    first = Stored(b"1")
    store.commit("a", first, None)
    store.commit("a", first.after(b"2", {}), first)
    with pytest.raises(StateConflictError):
        store.commit("a", first.after(b"lost", {}), first)


class TestEarlierRelease:
    class Renamed(CountingPipeline):
        def former_key(self, key: str) -> str | None:
            return key

    def run(self, store: MemoryState, start: int = 0, replayed_key: str | None = None) -> Result:
        origins = StreamOrigins(lambda _: 1)
        parts = self.Renamed(), Writer(FakeStreams()), QuarantineDestination("q", None), Settings(output_stream="o")
        processor = Processor(*parts, store=store, origins=origins)
        return processor.process(*read_event(event_of(orders(2), ["a"] * 2, start=start)), Deadline(5), replayed_key)

    def test_its_state_is_read_once_under_its_key_and_kept(self) -> None:
        store = MemoryState()
        store.stored["a"] = before = Stored(b"7", {}, 0, ("4960", 0))
        self.run(store)
        assert store.stored["count/a"].value == b"9"
        self.run(store, 2)
        assert store.stored["count/a"].value == b"11"
        assert store.stored["a"] == before

    def test_it_does_not_come_back_where_a_key_begins_anew(self) -> None:
        store = MemoryState()
        store.stored["a"] = Stored(b"7", {}, 0, ("4960", 0))
        store.stored["count/a"] = Stored(None, parked=Parked(f"{BEGUN_ANEW}it is damaged", "now"))
        self.run(store, replayed_key="a")
        assert store.stored["count/a"].value == b"2"

    def test_it_is_read_where_the_item_was_made_for_a_mark(self) -> None:
        store = MemoryState()
        store.stored["a"] = Stored(b"7", {}, 0, ("4960", 0))
        store.stored["count/a"] = Stored(None, parked=Parked("it was damaged", "now"))
        self.run(store, replayed_key="a")
        assert store.stored["count/a"].value == b"9"

    def test_what_this_release_wrote_under_such_a_key_is_another_pipelines(self) -> None:
        store = MemoryState()
        store.stored["a"] = Stored(b"7", {}, 3)
        self.run(store)
        assert store.stored["count/a"].value == b"2"


def test_a_stream_that_is_not_said_to_be_created_is_a_fault_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    class Kinesis:
        def describe_stream_summary(self, **_: str) -> dict[str, Any]:
            return {}

    with monkeypatch.context() as patch:
        patch.setattr(aws, "client", lambda _service: Kinesis())
        with pytest.raises(CloudError, match="stream a: Kinesis does not say when it was created"):
            ask_created_ms("arn:aws:kinesis:eu-west-1:1:stream/a")


@pytest.mark.parametrize("call", ["load", "commit"])
def test_what_a_store_raises_is_no_records_fault(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryState()
    spine = MemorySpine(CountingPipeline(), store=store)

    def fail(*_: object) -> None:
        raise KeyError("Responses")

    with monkeypatch.context() as patch:
        patch.setattr(store, call, fail)
        with pytest.raises(CloudError, match="because of KeyError in the store"):
            spine.run(orders(3), ["a"] * 3)
    assert spine.quarantined() == []
    assert spine.run(orders(3), ["a"] * 3, start=0).resume_at is None
    assert spine.state("a") == b"3"


@pytest.mark.parametrize("namespace", ["", "a/b", "a b"])
def test_a_namespace_keeps_state_apart(namespace: str) -> None:
    class Open(CountingPipeline):
        state_namespace = namespace

    with pytest.raises(SettingsError, match="state_namespace"):
        check_declared(Open)


ORIGINS = st.builds(
    ShardOrigin,
    st.sampled_from(["arn:aws:kinesis:eu-west-1:1:stream/a", "arn:aws:kinesis:eu-west-1:1:stream/b@2"]),
    st.integers(1, 3),
    st.sampled_from([f"shardId-{number:012}" for number in range(60)]),
)
POSITIONS = st.builds(Position, st.integers(0, 10**56), st.integers(0, 10**5))


@given(st.lists(st.dictionaries(ORIGINS, POSITIONS, min_size=1, max_size=30), max_size=20))
def test_positions_of_a_key_are_bounded_and_the_latest_are_kept(
    batches: Sequence[Mapping[ShardOrigin, Position]],
) -> None:
    stored = Stored(b"")
    for applied in batches:
        before, stored = stored, stored.after(b"", applied)
        assert len(stored.applied) <= MOST_SHARDS
        assert stored.revision == before.revision + 1
        for origin, position in applied.items():
            later = [each for each in stored.applied if each.stream_arn == origin.stream_arn]
            assert stored.has_applied(origin, position) or later[0].created_ms > origin.created_ms


@given(ORIGINS, POSITIONS)
def test_what_is_stored_is_read_again(origin: ShardOrigin, position: Position) -> None:
    assert ShardOrigin.parse(str(origin)) == origin
    assert Position.parse(str(position)) == position
