"""Write outputs to streams within the service's limits, in order per partition key, losing nothing.

A later output of a key is sent only after the earlier one has been accepted, so a call has a key at most once, and
concurrent calls have different keys; outputs of an unordered role need not wait. Failed entries are sent again, without
the others, after a jittered pause, until the time is up. Outputs that were never accepted stay unsafe in the tracker,
and the shard resumes there.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from app.errors import CloudError, MillraceError
from app.stream.putrecords import DEFAULT_RECORD_LIMIT_BYTES, PutRecords, TransientError
from app.stream.workers import Threads
from app.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
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


@dataclass(slots=True)
class _Lane:
    """Outputs of one batch for one stream: entries as columns, addressed by their index."""

    stream: str
    ordered: bool = True
    rows: list[int] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    datas: list[bytes] = field(default_factory=list)
    ready: deque[int] = field(default_factory=deque)  # may be sent now; at most one of a key
    busy: set[str] = field(default_factory=set)  # keys with an entry that is ready, in flight or paused
    held: dict[str, deque[int]] = field(default_factory=dict)  # waiting for a busy key, in order
    attempts: dict[int, int] = field(default_factory=dict)  # number of failures of an entry

    def add(self, rows: Sequence[int], keys: Sequence[str], datas: Sequence[bytes]) -> None:
        """Add entries, each after the earlier ones of its key if the lane is ordered."""
        first = len(self.keys)
        self.rows += rows
        self.keys += keys
        self.datas += datas
        if not self.ordered:
            self.ready.extend(range(first, len(self.keys)))
            return
        fresh = set(keys)
        if len(fresh) == len(keys) and self.busy.isdisjoint(fresh):
            self.busy |= fresh
            self.ready.extend(range(first, len(self.keys)))
            return
        for entry, key in enumerate(keys, first):
            if key in self.busy:
                self.held.setdefault(key, deque()).append(entry)
            else:
                self.busy.add(key)
                self.ready.append(entry)

    def next_call(self) -> tuple[list[int], list[str], list[bytes]]:
        """Remove the entries of the next call from the ready ones; return them, their keys and their data."""
        entries = list(itertools.islice(self.ready, CALL_RECORDS))
        keys, datas = [self.keys[entry] for entry in entries], [self.datas[entry] for entry in entries]
        if _size(keys, datas) > CALL_BYTES:
            sizes = itertools.accumulate(map(_size, zip(keys), zip(datas)))
            count = max(1, bisect_right(list(sizes), CALL_BYTES))
            entries, keys, datas = entries[:count], keys[:count], datas[:count]
        for _ in entries:
            self.ready.popleft()
        return entries, keys, datas

    def release(self, entries: Sequence[int]) -> None:
        """Free the keys of accepted entries: the next entry of each becomes ready."""
        for entry in entries:
            self.datas[entry] = b""  # it is safe; free its memory
        if not self.held:
            self.busy.difference_update([self.keys[entry] for entry in entries])
            return
        for entry in entries:
            key = self.keys[entry]
            waiting = self.held.get(key)
            if not waiting:
                self.busy.discard(key)
                continue
            self.ready.append(waiting.popleft())
            if not waiting:
                del self.held[key]


def _size(keys: Iterable[str], datas: Iterable[bytes]) -> int:
    """Return an upper bound of the records' size in a call, in bytes: a key's character has at most four."""
    return sum(map(len, datas)) + 4 * sum(map(len, keys))


class BatchEmitter:
    """Emits the outputs of one batch; used by one thread, which alone updates the tracker.

    Attributes:
        failure: A permanent fault, after which nothing more is started.
        transient_code: The code of the last transient fault.
        accepted: Number of entries that each stream accepted.
        retried: Number of repeated entries.
    """

    def __init__(self, writer: Writer, tracker: Tracker, deadline: Deadline) -> None:
        """Start with nothing to send."""
        self.failure: MillraceError | None = None
        self.transient_code = ""
        self.retried = 0
        self.accepted: Counter[str] = Counter()
        self._writer, self._tracker, self._deadline = writer, tracker, deadline
        self._lanes: dict[tuple[str, bool], _Lane] = {}
        self._calls: dict[_Call, tuple[_Lane, list[int], int]] = {}
        self._bytes = 0
        self._concurrent = writer.concurrent_calls
        self._paused: list[tuple[float, _Lane, list[int]]] = []  # due at this remaining time

    def add(
        self, stream: str, rows: Sequence[int], keys: Sequence[str], datas: Sequence[bytes], *, ordered: bool = True
    ) -> None:
        """Add outputs for a stream; the tracker must expect them already.

        Args:
            stream: The stream.
            rows: Row of each output.
            keys: Partition key of each output.
            datas: Data of each output.
            ordered: Whether outputs of a key must arrive in this order; otherwise a call may have a key repeatedly.
        """
        lane = self._lanes.get((stream, ordered))
        if lane is None:
            lane = self._lanes[stream, ordered] = _Lane(stream, ordered)
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
                return
            self._collect(self._wait_s())
        # Nothing further is started; calls in flight may still succeed.
        while self._calls and self._deadline.remaining_s() > 0:
            self._collect(self._deadline.remaining_s())
        if self._calls:
            self._collect(0)
        if self._calls:
            self._calls.clear()
            self._writer.workers.renew()

    def _start(self, *, only_full: bool) -> None:
        """Start calls while there are entries, connections and memory for them."""
        if self.failure:
            return
        least = CALL_RECORDS if only_full else 1
        # One call per stream in turn: a stream with many outputs must not hold up the others.
        while waiting := [lane for lane in self._lanes.values() if len(lane.ready) >= least]:
            for lane in waiting:
                if len(self._calls) >= self._concurrent or (self._calls and self._bytes >= CONCURRENT_BYTES):
                    return
                self._start_call(lane)

    def _start_call(self, lane: _Lane) -> None:
        entries, keys, datas = lane.next_call()
        size = _size(keys, datas)
        call = self._writer.workers.submit(self._writer.service.put, lane.stream, keys, datas)
        self._calls[call] = (lane, entries, size)
        turn = lane.stream, lane.ordered
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
            self._concurrent = min(self._concurrent + 1, self._writer.concurrent_calls)
        accepted = [entry for index, entry in enumerate(entries) if index not in failed] if failed else entries
        self.accepted[lane.stream] += len(accepted)
        self._tracker.accepted([lane.rows[entry] for entry in accepted])
        lane.release(accepted)
        if failed:
            self._pause(lane, [entries[index] for index in failed], next(iter(failed.values())))

    def _pause(self, lane: _Lane, entries: list[int], code: str) -> None:
        """Pause failed entries for a random time whose maximum doubles with their attempts (full jitter)."""
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
