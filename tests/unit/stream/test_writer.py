"""The writer's limits: records and bytes a call, calls and bytes in flight, pauses, final faults."""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING

import pytest

from app.errors import CloudError
from app.stream import emit
from app.stream.deadline import Deadline
from app.stream.emit import BatchEmitter, Writer
from app.stream.puts import TransientError
from app.stream.testing import FakeStreams
from app.stream.tracker import Tracker

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


LONG_S = 10.0  # no test waits so long unless it fails


class Watched(FakeStreams):
    """Notes the bytes of each call, and how many calls and bytes were in flight at most."""

    def __init__(self, pause_s: float = 0.0, wait_for_calls: int = 0) -> None:
        super().__init__()
        self.pause_s, self.wait_for_calls = pause_s, wait_for_calls
        self._crowded = threading.Event()
        self.sizes: list[int] = []
        self.flying = self.most_calls = self.flying_bytes = self.most_bytes = 0
        self._guard = threading.Lock()

    def put(self, stream: str, keys: Sequence[str], datas: Sequence[bytes]) -> Mapping[int, str]:
        size = sum(map(len, datas))
        with self._guard:
            self.sizes.append(size)
            self.flying += 1
            self.flying_bytes += size
            self.most_calls = max(self.most_calls, self.flying)
            self.most_bytes = max(self.most_bytes, self.flying_bytes)
            if self.flying >= self.wait_for_calls:
                self._crowded.set()
        self._crowded.wait(LONG_S)
        time.sleep(self.pause_s)
        with self._guard:
            self.flying -= 1
            self.flying_bytes -= size
        return super().put(stream, keys, datas)


def send(
    writer: Writer, datas: Sequence[bytes], deadline: Deadline, stream: str = "output"
) -> tuple[Tracker, BatchEmitter]:
    tracker = Tracker(len(datas))
    emitter = writer.begin(tracker, deadline)
    rows = range(len(datas))
    tracker.expect(rows)
    emitter.add(stream, rows, [str(row) for row in rows], datas)
    tracker.settle(rows)
    emitter.finish()
    return tracker, emitter


def test_a_call_has_at_most_500_records_and_10_mib() -> None:
    streams = Watched()
    tracker, _ = send(Writer(streams), [b"x" * 900_000] * 30 + [b"{}"] * 1200, Deadline(20))
    assert tracker.prefix == 1230
    assert max(streams.calls) <= 500
    assert max(streams.sizes) <= emit.CALL_BYTES
    assert len(streams.calls) <= 3 + 3


def test_calls_and_bytes_in_flight_are_bounded() -> None:
    streams = Watched(pause_s=0.02, wait_for_calls=2)
    send(Writer(streams), [b"{}"] * 20_000, Deadline(20))
    assert 1 < streams.most_calls <= emit.CONCURRENT_CALLS
    heavy = Watched(pause_s=0.05)
    send(Writer(heavy), [b"x" * 1_000_000] * 80, Deadline(20))
    assert heavy.most_bytes <= emit.CONCURRENT_BYTES + emit.CALL_BYTES


def test_pauses_double_up_to_their_cap_and_burn_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    bounds: list[float] = []

    def longest(_low: float, high: float) -> float:
        bounds.append(high)
        return min(high, 0.15)

    monkeypatch.setattr(random, "uniform", longest)
    streams = FakeStreams(lambda _stream, keys: dict.fromkeys(range(len(keys)), "InternalFailure"))
    before = time.process_time()
    tracker, emitter = send(Writer(streams), [b"{}"] * 10, Deadline(1.5))
    assert tracker.prefix == 0
    assert emitter.transient_code == "InternalFailure"
    assert bounds[:3] == [0.1, 0.2, 0.4]
    assert max(bounds) <= emit.PAUSE_CAP_S
    assert len(streams.calls) < 20
    assert time.process_time() - before < 0.3


def test_a_service_that_cannot_take_many_calls_at_once_is_given_fewer() -> None:
    class Narrow(FakeStreams):
        in_flight, peaks = 0, list[int]()
        guard, nine_at_once = threading.Lock(), threading.Event()

        def put(self, stream: str, keys: Sequence[str], datas: Sequence[bytes]) -> Mapping[int, str]:
            with self.guard:
                self.in_flight += 1
                self.peaks.append(self.in_flight)
                if self.in_flight > 8:
                    self.nine_at_once.set()
            self.nine_at_once.wait(LONG_S)
            time.sleep(0.01)
            with self.guard:
                crowded = self.in_flight > 3
                self.in_flight -= 1
            if crowded:
                raise TransientError("ReadTimeoutError")
            return super().put(stream, keys, datas)

    streams = Narrow()
    tracker, emitter = send(Writer(streams), [b"{}"] * 15_000, Deadline(30))
    assert tracker.prefix == 15_000
    assert emitter.failure is None
    assert max(streams.peaks[: emit.CONCURRENT_CALLS]) > 8
    assert max(streams.peaks[2 * emit.CONCURRENT_CALLS :]) < 8


def test_a_final_fault_waits_for_what_is_in_flight_and_starts_nothing_more() -> None:
    gone = threading.Event()

    class Mixed(FakeStreams):
        def put(self, stream: str, keys: Sequence[str], datas: Sequence[bytes]) -> Mapping[int, str]:
            if "0" in keys:
                gone.wait(LONG_S)
                time.sleep(0.1)  # until the writer knows, too
                return super().put(stream, keys, datas)
            gone.set()
            raise CloudError("stream output: gone")

    streams = Mixed()
    tracker, emitter = send(Writer(streams, concurrent_calls=2), [b"{}"] * 2000, Deadline(10))
    assert isinstance(emitter.failure, CloudError)
    assert tracker.prefix == 500
    assert len(streams.records["output"]) == 500


def test_one_stream_with_much_to_send_does_not_keep_another_from_starting() -> None:
    order: list[str] = []

    class Ordered(FakeStreams):
        def put(self, stream: str, keys: Sequence[str], datas: Sequence[bytes]) -> Mapping[int, str]:
            order.append(stream)
            return super().put(stream, keys, datas)

    tracker = Tracker(5001)
    emitter = Writer(Ordered(), concurrent_calls=1).begin(tracker, Deadline(10))
    emitter.add("busy", range(5000), [str(row) for row in range(5000)], [b"{}"] * 5000)
    emitter.add("quiet", [5000], ["k"], [b"{}"])
    emitter.finish()
    assert "quiet" in order[:2]


@pytest.mark.parametrize(("size", "key", "fits"), [(1_048_320, "k" * 256, True), (1_048_321, "k" * 256, False)])
def test_a_record_may_fill_its_limit_to_the_byte(size: int, key: str, *, fits: bool) -> None:
    assert Writer(FakeStreams()).fits("output", key, b"x" * size) == fits


def test_outputs_without_order_share_a_call_although_they_share_a_key() -> None:
    streams = FakeStreams()
    tracker = Tracker(1200)
    emitter = Writer(streams).begin(tracker, Deadline(5))
    tracker.expect(range(1200))
    emitter.add("output", range(1200), ["tenant"] * 1200, [b"{}"] * 1200, ordered=False)
    tracker.settle(range(1200))
    emitter.finish()
    assert tracker.prefix == 1200
    assert len(streams.calls) == 3


def test_an_output_without_order_that_is_refused_is_put_again_and_waits_for_nobody() -> None:
    refused: list[str] = []

    def fault(_stream: str, keys: Sequence[str]) -> dict[int, str]:
        refused.extend(keys)
        return {0: "ProvisionedThroughputExceededException"} if len(refused) == len(keys) else {}

    streams = FakeStreams(fault)
    tracker = Tracker(3)
    emitter = Writer(streams).begin(tracker, Deadline(5))
    tracker.expect(range(3))
    emitter.add("output", range(3), ["tenant"] * 3, [b"0", b"1", b"2"], ordered=False)
    tracker.settle(range(3))
    emitter.finish()
    assert tracker.prefix == 3
    assert [data for _, data in streams.records["output"]] == [b"1", b"2", b"0"]
