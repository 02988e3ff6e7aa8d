"""Put records on a stream for `feed`, `replay` and `demo`: one by one or aggregated, at a rate or at full speed."""

from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING

from app.errors import CloudError
from app.stream.aggregation_ranges import list_ranges
from app.stream.aggregation_writer import AGGREGATE_BYTES, Aggregate, Aggregator
from app.stream.deadline import SYSTEM_CLOCK, Deadline
from app.stream.emit import CALL_RECORDS, CONCURRENT_CALLS, Writer
from app.stream.putrecords import SignedPutRecords
from app.stream.tracker import Tracker

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from app.stream.deadline import Clock

FEED_WITHIN_S = 60  # for one step's worth of records; a stream that takes longer needs more shards
STEP_RECORDS = 4 * CALL_RECORDS  # put side by side before the next are made
STEP_BYTES = 4 * 1024 * 1024  # of aggregates put side by side: 160 of the usual size
TICKS_PER_S = 10  # how often a rate is kept: smooth enough to watch
LANES = 4  # parts of a shard's range: aggregates of a part wait for each other, and hide each other's latency


def feed_stream(stream: str, records: Iterable[tuple[str, bytes]], rate: float | None = None) -> Iterator[int]:
    """Put records (partition key, data) on a stream, in order per key.

    Yields:
        How many records each step put.

    Raises:
        CloudError: Some were never accepted.
    """
    step = STEP_RECORDS if rate is None else max(1, round(rate / TICKS_PER_S))
    pace = _Pace(rate)
    with contextlib.closing(Writer(SignedPutRecords(CONCURRENT_CALLS))) as writer:
        for chunk in _chunks(records, step):
            put = _Put(writer, stream, chunk)
            yield put.accepted
            put.check()
            pace.keep(len(chunk))


def feed_aggregates(
    stream: str,
    records: Iterable[tuple[str, bytes]],
    rate: float | None = None,
    aggregate_bytes: int = AGGREGATE_BYTES,
) -> Iterator[tuple[int, int]]:
    """Put records (partition key, data) on a stream in aggregated records, in order per key.

    With a rate, an aggregate waits for no more than a tick. Without one it waits until it is full.

    Yields:
        How many records each step put, and in how many aggregated records.

    Raises:
        CloudError: Some were never accepted.
    """
    ranges = list_ranges(stream, only_open=True).values()
    lanes = LANES if rate is None else 1  # a tick's records are few: they should share an aggregate
    aggregator = Aggregator([part for each in ranges for part in each.cut(lanes)], aggregate_bytes)
    pace = _Pace(rate)
    with contextlib.closing(Writer(SignedPutRecords(CONCURRENT_CALLS))) as writer:
        for chunk in _aggregates(aggregator, records, rate):
            put = _Put(writer, stream, [(each.partition_key, each.data) for each in chunk])
            yield sum(each.records for each in chunk[: put.prefix]), put.prefix
            put.check()
            pace.keep(sum(each.records for each in chunk))


def _aggregates(
    aggregator: Aggregator, records: Iterable[tuple[str, bytes]], rate: float | None
) -> Iterator[list[Aggregate]]:
    """Pack records into aggregates, a step's worth at a time."""
    if rate:
        for chunk in _chunks(records, max(1, round(rate / TICKS_PER_S))):
            yield [full for key, data in chunk if (full := aggregator.add(key, data))] + aggregator.flush()
        return
    step: list[Aggregate] = []
    size = 0
    for key, data in records:
        if full := aggregator.add(key, data):
            step.append(full)
            size += len(full.data)
            if size >= STEP_BYTES:
                yield step
                step, size = [], 0
    step += aggregator.flush()
    if step:
        yield step


class _Put:
    """Puts one step's worth of records on a stream, and knows how many were accepted."""

    def __init__(self, writer: Writer, stream: str, chunk: list[tuple[str, bytes]]) -> None:
        """Put the records, in order per key, for as long as a step may take."""
        tracker = Tracker(len(chunk))
        emitter = writer.begin(tracker, Deadline(FEED_WITHIN_S))
        rows = range(len(chunk))
        tracker.expect(rows)
        emitter.add(stream, rows, [key for key, _ in chunk], [data for _, data in chunk])
        tracker.settle(rows)
        emitter.finish()
        self.accepted, self.prefix = emitter.accepted[stream], tracker.prefix
        self._stream, self._records, self._emitter = stream, len(chunk), emitter

    def check(self) -> None:
        """Raise if a record was not accepted."""
        if self._emitter.failure:
            raise self._emitter.failure
        if self.prefix < self._records:
            raise CloudError(
                f"stream {self._stream}: {self._records - self.accepted} of {self._records} records not accepted "
                f"within {FEED_WITHIN_S} s ({self._emitter.transient_code}): is the endpoint up, and are there enough "
                "shards?"
            )


class _Pace:
    """Waits so that records keep to a rate, counted from its start; without a rate it never waits."""

    def __init__(self, rate: float | None, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._rate, self._began, self._fed = rate, clock.monotonic(), 0

    def keep(self, fed: int) -> None:
        """Wait until that many more records are due."""
        self._fed += fed
        if self._rate:
            self._clock.sleep(max(0.0, self._began + self._fed / self._rate - self._clock.monotonic()))


def _chunks(records: Iterable[tuple[str, bytes]], size: int) -> Iterator[list[tuple[str, bytes]]]:
    waiting = iter(records)
    while chunk := list(itertools.islice(waiting, size)):
        yield chunk
