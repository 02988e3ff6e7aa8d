"""Write outputs to streams within the service's limits, in order per partition key, losing nothing.

A later output of a key is sent only after the earlier one has been accepted, so a call has a key at most once, and
concurrent calls have different keys; outputs of an unordered role need not wait. Outputs of an aggregated role wait for
the end of the batch, and then those of a key travel together. Failed entries are sent again, without the others, after
a jittered pause, until the time is up. Outputs that were never accepted stay unsafe in the tracker, and the shard
resumes there.

What is accepted behind the row at which the shard resumes is written again. So once an entry has been refused, rows are
sent only up to twice the number that is safe from the batch's first row on, and older rows go first. A batch for a
stream that did not take all of the last one begins so, with half the rows that were made safe then. Over all its
attempts a batch therefore writes at most 2.5 times its outputs, and besides: in the first attempt, and in the first of
a new process, what is taken while nothing has been refused or cut off; and the outputs of one row in each attempt that
makes no row safe. An aggregated record that came in counts as one row.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, TypeAlias

from app.errors import CloudError, MillraceError
from app.stream.lane import Lane, size_of
from app.stream.puts import DEFAULT_RECORD_LIMIT_BYTES, PutRecords, TransientError
from app.stream.workers import Threads
from app.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from concurrent.futures import Future

    from app.stream.deadline import Deadline
    from app.stream.tracker import Tracker
    from app.stream.workers import Workers

CALL_RECORDS = 500  # PutRecords' limit
CALL_BYTES = 10 * 1024 * 1024  # PutRecords' limit: data and partition keys, before base64
CONCURRENT_CALLS = 16  # hides 15 ms of latency behind 8,000 records; more gained nothing in measurements
CONCURRENT_BYTES = 24 * 1024 * 1024  # a call's body is in memory about three times; this fits a 256 MB function
PAUSE_BASE_S = 0.05  # a throttled shard frees up within tens of milliseconds
PAUSE_CAP_S = 2.0  # shard limits are per second, so a longer pause gains nothing

_Call: TypeAlias = "Future[Mapping[int, str]]"


class Writer:
    """Puts outputs on streams; one per process, shared by its batches."""

    def __init__(
        self, service: PutRecords, *, concurrent_calls: int = CONCURRENT_CALLS, workers: Workers | None = None
    ) -> None:
        """Start no thread until there is something to put; `workers` may replace the threads."""
        self.service = service
        self.concurrent_calls = concurrent_calls
        self.call_records = CALL_RECORDS  # fewer where small batches are to show what large ones do
        self.slow: dict[str, int] = {}  # rows that a batch begins with, by stream or location that took not all of one
        self.workers: Workers = workers or Threads(concurrent_calls)

    def fits(self, stream: str, key: str, data: bytes) -> bool:
        """Return whether a stream accepts a record of this size; it is called only above the least limit."""
        size = len(data) + len(key.encode())
        try:
            return size <= DEFAULT_RECORD_LIMIT_BYTES or size <= self.service.record_limit_bytes(stream)
        except TransientError as error:
            raise CloudError(f"stream {stream}: does not say its record limit ({error})") from None

    def begin(self, tracker: Tracker, deadline: Deadline) -> BatchEmitter:
        """Return the emitter of one batch."""
        return BatchEmitter(self, tracker, deadline)

    def close(self) -> None:
        """End the threads."""
        self.workers.close()


class BatchEmitter:
    """Emits the outputs of one batch; used by one thread, which alone updates the tracker.

    Attributes:
        failure: A permanent fault, after which nothing more is started.
        transient_code: The code of the last transient fault.
        accepted: Number of outputs that each stream accepted.
        retried: Number of repeated entries.
    """

    def __init__(self, writer: Writer, tracker: Tracker, deadline: Deadline) -> None:
        """Start with nothing to send."""
        self.failure: MillraceError | None = None
        self.transient_code = ""
        self.retried = 0
        self.accepted: Counter[str] = Counter()
        self._writer, self._tracker, self._deadline = writer, tracker, deadline
        self._lanes: dict[tuple[str, bool, bool], Lane] = {}
        self._calls: dict[_Call, tuple[Lane, list[int], int]] = {}
        self._bytes = 0
        self._concurrent = writer.concurrent_calls
        self._paused: list[tuple[float, Lane, list[int]]] = []  # due at this remaining time
        self._first_rows: int | None = None  # that may be sent although none is safe; None until an entry is refused

    def add(
        self,
        stream: str,
        rows: Sequence[int],
        keys: Sequence[str],
        datas: Sequence[bytes],
        *,
        ordered: bool = True,
        aggregates: bool = False,
    ) -> None:
        """Add outputs for a stream; the tracker must expect them already.

        Args:
            stream: The stream.
            rows: Row of each output.
            keys: Partition key of each output.
            datas: Data of each output.
            ordered: Whether outputs of a key must arrive in this order; otherwise a call may have a key repeatedly.
            aggregates: Whether outputs of a key travel together in aggregated records.
        """
        lane = self._lanes.get((stream, ordered, aggregates))
        if lane is None:
            lane = self._lanes[stream, ordered, aggregates] = Lane(stream, ordered, aggregates)
            self.begin_slowly(stream)
        lane.add(rows, keys, datas)

    def push(self) -> None:
        """Start full calls, and process those that have ended, without waiting."""
        self._collect(0)
        self._start(only_full=True)

    def finish(self) -> None:
        """Send everything, repeating failed entries, until all are accepted, time is up, or a fault is permanent."""
        while not self.failure and self._deadline.remaining_s() > 0:
            self._resume_paused()
            self._start(only_full=False)
            if not self._calls and not any(due > 0 for due, _, _ in self._paused):
                break  # all is sent, or waits for a row that is not sent but stored
            self._collect(self._wait_s())
        # Nothing further is started; calls in flight may still succeed.
        while self._calls and self._deadline.remaining_s() > 0:
            self._collect(self._deadline.remaining_s())
        if self._calls:
            self._collect(0)
        if self._calls:
            self._calls.clear()
            self._writer.workers.renew()
        for lane in self._lanes.values():
            if lane.refused or not lane.is_done:
                self._writer.slow[lane.stream] = max(1, self._tracker.prefix // 2)
            else:
                self._writer.slow.pop(lane.stream, None)

    def begin_slowly(self, destination: str) -> None:
        """Send older rows first if a stream or location has not taken all of the last batch for it."""
        if destination in self._writer.slow:
            self._narrow(self._writer.slow[destination])

    def waiting_for_keys(self) -> Counter[str]:
        """Return the number of outputs on each stream that wait for an earlier one of their key, one in a call."""
        waiting: Counter[str] = Counter()
        for lane in self._lanes.values():
            if not lane.aggregates and lane.held:
                waiting[lane.stream] += sum(map(len, lane.held.values()))
        return waiting

    def _narrow(self, rows: int) -> None:
        """From now on send only so many rows, or twice as many as are safe."""
        self._first_rows = rows if self._first_rows is None else min(rows, self._first_rows)

    def _first_waiting_row(self) -> int | None:
        """Return the row from which on outputs wait for older ones; None while nothing was refused."""
        if self._first_rows is None:
            return None
        safe = self._tracker.prefix
        return safe + max(self._first_rows, safe)

    def _start(self, *, only_full: bool) -> None:
        """Start calls while there are entries, connections and memory for them."""
        if self.failure:
            return
        before = self._first_waiting_row()
        # One call per stream in turn: a stream with many outputs must not hold up the others.
        while waiting := [lane for lane in self._lanes.values() if self._may_start(lane, before, only_full=only_full)]:
            for lane in waiting:
                if len(self._calls) >= self._concurrent or (self._calls and self._bytes >= CONCURRENT_BYTES):
                    return
                self._start_call(lane, before)

    def _may_start(self, lane: Lane, before: int | None, *, only_full: bool) -> bool:
        """Return whether a lane has entries for a call; aggregates are full at the end of the batch."""
        if only_full:
            return not lane.aggregates and lane.startable(before) >= self._writer.call_records
        return lane.startable(before) > 0

    def _start_call(self, lane: Lane, before: int | None) -> None:
        entries, keys, datas = lane.next_call(self._writer.call_records, CALL_BYTES, before)
        size = size_of(keys, datas)
        call = self._writer.workers.submit(self._writer.service.put, lane.stream, keys, datas)
        self._calls[call] = (lane, entries, size)
        turn = lane.stream, lane.ordered, lane.aggregates
        self._lanes[turn] = self._lanes.pop(turn)  # last in turn now
        self._bytes += size

    def _collect(self, timeout_s: float) -> None:
        """Process ended calls, waiting for the first one at most `timeout_s`."""
        for call in self._writer.workers.wait(self._calls, timeout_s):
            self._note(call)

    def _note(self, call: _Call) -> None:
        """Process one ended call."""
        lane, entries, size = self._calls.pop(call)
        self._bytes -= size
        try:
            failed = call.result()
        except TransientError as error:
            # The service may be overloaded: fewer concurrent calls, since each repeated one adds to its load.
            self._concurrent = max(1, self._concurrent // 2)
            failed = dict.fromkeys(range(len(entries)), str(error))
        except MillraceError as error:
            self.failure = self.failure or error
            return
        else:
            if len(self._calls) + 1 >= self._concurrent:  # as many as may be side by side were
                self._concurrent = min(self._concurrent + 1, self._writer.concurrent_calls)
        accepted = [entry for index, entry in enumerate(entries) if index not in failed] if failed else entries
        rows = lane.accept(accepted)
        self.accepted[lane.stream] += len(rows)
        self._tracker.accepted(rows)
        if failed:
            self._pause(lane, [entries[index] for index in failed], next(iter(failed.values())))

    def _pause(self, lane: Lane, entries: list[int], code: str) -> None:
        """Pause failed entries for a random time whose maximum doubles with their attempts (full jitter)."""
        lane.refused = True
        self._narrow(1)
        attempt = max(lane.attempts.get(entry, 0) for entry in entries) + 1
        lane.attempts.update(dict.fromkeys(entries, attempt))
        pause_s = self._writer.workers.uniform(0, min(PAUSE_CAP_S, PAUSE_BASE_S * 2 ** min(attempt, 16)))
        self._paused.append((self._deadline.remaining_s() - pause_s, lane, entries))
        self.retried += len(entries)
        self.transient_code = code
        logger.info(
            "entries not accepted; trying again",
            extra={
                "stream": lane.stream, "entries": len(entries), "code": code, "attempt": attempt,
                "pause_ms": round(pause_s * 1000),
            },
        )  # fmt: skip

    def _resume_paused(self) -> None:
        """Make entries ready again after their pause, ahead of the others."""
        now = self._deadline.remaining_s()
        for pause in [pause for pause in self._paused if pause[0] >= now]:
            self._paused.remove(pause)
            _, lane, entries = pause
            lane.ready.extendleft(reversed(entries))

    def _wait_s(self) -> float:
        """Return the time until the next pause or the deadline ends."""
        next_due = max((due for due, _, _ in self._paused), default=0.0)
        return max(0.0, self._deadline.remaining_s() - max(0.0, next_due))
