"""Under throttling older rows go first, so that what is written again stays within a bound; on a simulated clock."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import pytest

from app.errors import DiskError, MillraceError, MissingStreamError
from app.storage.objects import MemoryObjects
from app.stream.deadline import Deadline
from app.stream.emit import CALL_RECORDS, CONCURRENT_CALLS, Writer
from app.stream.testing import FakeStreams, MemorySpine
from app.stream.tracker import Tracker
from tests.pipelines_for_tests import EchoPipeline, orders

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from app.stream.deadline import Clock

LATENCY_S = 0.015
LEAST_WAIT_S = 1e-6  # a shorter one may not change a float
THROTTLED = "ProvisionedThroughputExceededException"
BURST = CALL_RECORDS * CONCURRENT_CALLS  # in flight when the first refusal is answered


class StillClock:
    """A clock that only waiting advances."""

    now_s = 0.0

    def time(self) -> float:
        return self.now_s

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += max(seconds, LEAST_WAIT_S) if seconds else 0.0


class OneThread:
    """Workers whose calls take a fixed time of a simulated clock."""

    def __init__(self, seed: int) -> None:
        self.clock: Clock = StillClock()
        self._chance = random.Random(seed)
        self._due_s: dict[Future[Any], float] = {}

    @property
    def now_s(self) -> float:
        return self.clock.monotonic()

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        call = Future[Any]()
        try:
            call.set_result(function(*args, **kwargs))
        except MillraceError as error:
            call.set_exception(error)
        self._due_s[call] = self.now_s + LATENCY_S
        return call

    def wait(self, calls: Collection[Any], timeout_s: float) -> list[Any]:
        first_s = min((self._due_s[call] for call in calls), default=float("inf")) - self.now_s
        self.clock.sleep(max(0.0, min(timeout_s, first_s)))
        return [call for call in calls if self._due_s[call] <= self.now_s]

    def uniform(self, low: float, high: float) -> float:
        return self._chance.uniform(low, high)

    def unique(self) -> str:
        raise NotImplementedError

    def renew(self) -> None:
        """Leave what is in flight."""

    def close(self) -> None:
        """Do nothing."""


class Shards:
    """Accept so many records a second on each stream, whichever of a call's records they are."""

    def __init__(self, workers: OneThread, per_second: Mapping[str, int], seed: int) -> None:
        self._workers, self._per_second = workers, per_second
        self._chance = random.Random(seed)
        self._left: dict[str, float] = dict(per_second)
        self._filled_s = 0.0

    def __call__(self, stream: str, keys: Sequence[str]) -> Mapping[int, str]:
        for each, rate in self._per_second.items():
            self._left[each] = min(rate, self._left[each] + rate * (self._workers.now_s - self._filled_s))
        self._filled_s = self._workers.now_s
        if stream not in self._per_second:
            return {}
        rows = list(range(len(keys)))
        self._chance.shuffle(rows)
        accepted = int(min(self._left[stream], len(rows)))
        self._left[stream] -= accepted
        return dict.fromkeys(rows[accepted:], THROTTLED)


def put_until_done(
    records: int,
    key_of: Callable[[int], str],
    *,
    per_second: Mapping[str, int],
    roles: Sequence[str] = ("output",),
    seconds: float,
    seed: int,
) -> tuple[FakeStreams, int]:
    """Put a batch as Lambda would deliver it: again from its first unsafe record, until all are safe."""
    workers = OneThread(seed)
    streams = FakeStreams(Shards(workers, per_second, seed))
    writer = Writer(streams, workers=workers)
    done = 0
    for attempt in itertools.count(1):
        left = records - done
        tracker = Tracker(left)
        emitter = writer.begin(tracker, Deadline(seconds, workers.clock.monotonic))
        for stream in roles:
            tracker.expect(range(left))
            keys = [key_of(done + row) for row in range(left)]
            emitter.add(stream, range(left), keys, [b"%d" % (done + row) for row in range(left)])
        tracker.settle(range(left))
        emitter.finish()
        done += tracker.prefix
        if done == records:
            break
        assert attempt < 500, "no progress"
    for stream in roles:  # nothing is lost, and the first deliveries of a key are in order
        first = list(dict.fromkeys(int(data) for _, data in streams.records[stream]))
        assert sorted(first) == list(range(records))
        by_key: dict[str, list[int]] = defaultdict(list)
        for row in first:
            by_key[key_of(row)].append(row)
        assert all(rows == sorted(rows) for rows in by_key.values())
    return streams, attempt


CASES = {
    "many keys": ({"output": 100}, ["output"], lambda row: f"key-{row}"),
    "some keys": ({"output": 100}, ["output"], lambda row: f"key-{row % 40}"),
    "one key": ({"output": 20}, ["output"], lambda _: "tenant"),
    "a hot key, and no throttling": ({}, ["output"], lambda row: "hot" if row % 2 else f"key-{row}"),
    "one of three roles": ({"output": 100}, ["output", "second", "third"], lambda row: f"key-{row}"),
    "each role at its own rate": ({"output": 150, "second": 60}, ["output", "second"], lambda row: f"key-{row}"),
}


def test_without_throttling_a_batch_is_in_flight_at_once() -> None:
    workers = OneThread(0)
    writer = Writer(FakeStreams(), workers=workers)
    for _ in range(2):
        tracker = Tracker(BURST)
        emitter = writer.begin(tracker, Deadline(5, workers.clock.monotonic))
        tracker.expect(range(BURST))
        emitter.add("output", range(BURST), [str(row) for row in range(BURST)], [b"{}"] * BURST)
        tracker.settle(range(BURST))
        began_s = workers.now_s
        emitter.finish()
        assert tracker.is_done
        assert workers.now_s - began_s == pytest.approx(LATENCY_S)


def test_a_stream_that_has_recovered_gets_whole_batches_at_once_again() -> None:
    workers = OneThread(0)
    streams = FakeStreams(Shards(workers, {"output": 100}, 0))
    writer = Writer(streams, workers=workers)
    took_s = []
    for attempt in range(4):
        if attempt == 1:
            streams.fault = None
        tracker = Tracker(1000)
        emitter = writer.begin(tracker, Deadline(1, workers.clock.monotonic))
        tracker.expect(range(1000))
        emitter.add("output", range(1000), [str(row) for row in range(1000)], [b"{}"] * 1000)
        tracker.settle(range(1000))
        began_s = workers.now_s
        emitter.finish()
        assert tracker.is_done == (attempt > 0)
        took_s.append(workers.now_s - began_s)
    assert took_s[1] < 15 * LATENCY_S  # it feels its way
    assert took_s[2:] == pytest.approx([LATENCY_S] * 2)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("case", CASES)
def test_writes_beyond_the_records_are_bounded(case: str, seed: int) -> None:
    per_second, roles, key_of = CASES[case]
    records = 1500 if case != "one key" else 300
    streams, attempts = put_until_done(records, key_of, per_second=per_second, roles=roles, seconds=2.0, seed=seed)
    writes = sum(len(streams.records[stream]) for stream in roles)
    burst = min(records * len(roles), BURST)
    assert writes <= 2.5 * records * len(roles) + burst + len(roles) * attempts


def test_a_role_whose_stream_is_gone_does_not_multiply_the_outputs_of_the_others() -> None:
    class Gone(FakeStreams):
        def put(self, stream: str, keys: Sequence[str], datas: Sequence[bytes]) -> Mapping[int, str]:
            if stream == "gone":
                raise MissingStreamError("stream gone: not found")
            return super().put(stream, keys, datas)

    workers, streams = OneThread(0), Gone()
    writer = Writer(streams, workers=workers)
    written = []
    for _ in range(5):
        tracker = Tracker(1000)
        emitter = writer.begin(tracker, Deadline(1, workers.clock.monotonic))
        for stream in ("output", "gone"):
            tracker.expect(range(1000))
            emitter.add(stream, range(1000), [str(row) for row in range(1000)], [b"{}"] * 1000)
        tracker.settle(range(1000))
        emitter.finish()
        assert isinstance(emitter.failure, MissingStreamError)
        written.append(len(streams.records["output"]))
    assert [after - before for before, after in itertools.pairwise(written)] == [1] * 4


def test_a_location_that_cannot_be_written_does_not_multiply_the_outputs_behind() -> None:
    class Full(MemoryObjects):
        full = True

        def put(self, name: str, data: bytes) -> None:
            if self.full:
                raise DiskError("the disk is full")
            super().put(name, data)

    objects = Full()
    spine = MemorySpine(EchoPipeline(), quarantine_stream="", objects=objects)
    payloads = [*orders(5), b"not JSON", *orders(1200)]
    written = []
    for _ in range(5):
        assert spine.run(payloads, start=0).acknowledged == 5
        written.append(len(spine.outputs()))
    assert max(after - before for before, after in itertools.pairwise(written)) <= 2 * 5
    objects.full = False
    assert spine.run(payloads, start=0).acknowledged == len(payloads)
    assert len({each["id"] for each in spine.outputs()}) == len(payloads) - 1
