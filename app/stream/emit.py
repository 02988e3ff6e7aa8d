"""The writer: outputs onto streams within the service's limits, in order per partition key, nothing lost.

A later output of a key is sent only when the earlier one has been accepted, so a call carries a key at most once and
calls run side by side across keys; outputs of a role whose order means nothing need not wait. Entries that fail are
tried again, alone, after a jittered pause, until the time is up; what was never accepted stays unsafe in the tracker,
and the shard resumes there.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import time
from bisect import bisect_right
from collections import Counter, deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, TypeAlias

from app.errors import CloudError, MillraceError
from app.stream.putrecords import DEFAULT_RECORD_LIMIT_BYTES, PutRecords, TransientError
from app.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from app.stream.deadline import Deadline
    from app.stream.tracker import Tracker

CALL_RECORDS = 500  # PutRecords' own limit
CALL_BYTES = 10 * 1024 * 1024  # PutRecords' own limit, data and partition keys before base64
CONCURRENT_CALLS = 16  # hides 15 ms of latency behind 8,000 records; more gained nothing in measurements
CONCURRENT_BYTES = 24 * 1024 * 1024  # a call's body is held about three times; this fits a 256 MB function
PAUSE_BASE_S = 0.05  # a throttled shard frees up within tens of milliseconds
PAUSE_CAP_S = 2.0  # past this a longer pause frees nothing more: shard limits are per second

_Call: TypeAlias = "Future[Mapping[int, str]]"


class Writer:
    """Puts outputs on streams; one a process, shared by its batches."""

    def __init__(self, service: PutRecords, *, concurrent_calls: int = CONCURRENT_CALLS) -> None:
        """Starts no thread until there is something to put."""
        self.service = service
        self.concurrent_calls = concurrent_calls
        self.pool = ThreadPoolExecutor(concurrent_calls, thread_name_prefix="put-records")

    def fits(self, stream: str, key: str, data: bytes) -> bool:
        """Whether a stream takes a record of this size; it is asked only about more than every stream takes."""
        size = len(data) + len(key.encode())
        try:
            return size <= DEFAULT_RECORD_LIMIT_BYTES or size <= self.service.record_limit_bytes(stream)
        except TransientError as error:
            raise CloudError(f"stream {stream}: does not tell its record limit ({error})") from None

    def renew(self) -> None:
        """Leaves threads that wait for calls which do not end to themselves, and goes on with fresh ones."""
        self.close()
        self.pool = ThreadPoolExecutor(self.concurrent_calls, thread_name_prefix="put-records")

    def begin(self, tracker: Tracker, deadline: Deadline) -> BatchEmitter:
        """Return the emitter of one batch."""
        return BatchEmitter(self, tracker, deadline)

    def close(self) -> None:
        """Ends the threads."""
        self.pool.shutdown(wait=False, cancel_futures=True)


@dataclass(slots=True)
class _Lane:
    """The outputs of one batch for one stream: entries as columns, addressed by their index."""

    stream: str
    ordered: bool = True
    rows: list[int] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    datas: list[bytes] = field(default_factory=list)
    ready: deque[int] = field(default_factory=deque)  # may go out now; of a key at most one
    busy: set[str] = field(default_factory=set)  # keys with an entry ready, in flight or to be tried again
    held: dict[str, deque[int]] = field(default_factory=dict)  # behind a busy key, in order
    attempts: dict[int, int] = field(default_factory=dict)  # of entries that failed

    def add(self, rows: Sequence[int], keys: Sequence[str], datas: Sequence[bytes]) -> None:
        """Adds entries, each behind the earlier ones of its key where order is asked for."""
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
        """Takes the next call's entries off the ready ones; gives them with their keys and their data."""
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
        """Frees the keys of accepted entries: the next entry of each becomes ready."""
        for entry in entries:
            self.datas[entry] = b""  # it is safe; its memory is not needed any more
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
    """What records weigh in a call, in bytes: a key's character has at most four."""
    return sum(map(len, datas)) + 4 * sum(map(len, keys))


class BatchEmitter:
    """The outputs of one batch on their way; used by one thread, which alone touches the tracker.

    Attributes:
        failure: Why nothing more is started: a fault that trying again does not mend.
        transient_code: The code of the last fault that trying again may mend.
        accepted: How many entries each stream accepted.
        retried: How many times an entry was put again.
    """

    def __init__(self, writer: Writer, tracker: Tracker, deadline: Deadline) -> None:
        """Starts with nothing to send."""
        self.failure: MillraceError | None = None
        self.transient_code = ""
        self.retried = 0
        self.accepted: Counter[str] = Counter()
        self._writer, self._tracker, self._deadline = writer, tracker, deadline
        self._lanes: dict[tuple[str, bool], _Lane] = {}
        self._calls: dict[_Call, tuple[_Lane, list[int], int]] = {}
        self._ended: SimpleQueue[_Call] = SimpleQueue()
        self._bytes = 0
        self._side_by_side = writer.concurrent_calls
        self._paused: list[tuple[float, _Lane, list[int]]] = []  # due when the deadline's remaining time is this

    def add(
        self, stream: str, rows: Sequence[int], keys: Sequence[str], datas: Sequence[bytes], *, ordered: bool = True
    ) -> None:
        """Adds outputs for a stream, each of the row beside it; the tracker must expect them already.

        Args:
            stream: Where to.
            rows: The row that each is of.
            keys: Partition keys.
            datas: What is put.
            ordered: Whether those of a key arrive in this order; else a call may hold a key more than once.
        """
        lane = self._lanes.get((stream, ordered))
        if lane is None:
            lane = self._lanes[stream, ordered] = _Lane(stream, ordered)
        lane.add(rows, keys, datas)

    def push(self) -> None:
        """Starts the calls that are full, and takes note of those that have ended; never waits."""
        self._collect(0)
        self._start(only_full=True)

    def finish(self) -> None:
        """Sends everything, trying again what failed, until all is accepted, the time is up, or a fault is final."""
        while not self.failure and self._deadline.remaining_s() > 0:
            self._resume_paused()
            self._start(only_full=False)
            if not self._calls and not any(due > 0 for due, _, _ in self._paused):
                return
            self._collect(self._wait_s())
        # Nothing further is started; what is in flight may still arrive, and then counts.
        while self._calls and self._deadline.remaining_s() > 0:
            self._collect(self._deadline.remaining_s())
        if self._calls:
            self._collect(0)
        if self._calls:
            self._calls.clear()
            self._writer.renew()

    def _start(self, *, only_full: bool) -> None:
        """Starts calls while there are entries, connections and memory for them."""
        if self.failure:
            return
        least = CALL_RECORDS if only_full else 1
        # A call for each stream in turn: one with much to send must not keep the others from starting.
        while waiting := [lane for lane in self._lanes.values() if len(lane.ready) >= least]:
            for lane in waiting:
                room = len(self._calls) < self._side_by_side
                if not room or (self._calls and self._bytes >= CONCURRENT_BYTES):
                    return
                self._start_call(lane)

    def _start_call(self, lane: _Lane) -> None:
        entries, keys, datas = lane.next_call()
        size = _size(keys, datas)
        call = self._writer.pool.submit(self._writer.service.put, lane.stream, keys, datas)
        self._calls[call] = (lane, entries, size)
        call.add_done_callback(self._ended.put)
        turn = lane.stream, lane.ordered
        self._lanes[turn] = self._lanes.pop(turn)  # last in turn now
        self._bytes += size

    def _collect(self, timeout_s: float) -> None:
        """Takes note of ended calls, waiting for the first one at most so long."""
        if not self._calls:
            time.sleep(timeout_s)
            return
        with contextlib.suppress(Empty):
            self._note(self._ended.get(timeout=timeout_s) if timeout_s else self._ended.get_nowait())
            while True:
                self._note(self._ended.get_nowait())

    def _note(self, call: _Call) -> None:
        """Takes note of one ended call."""
        if call not in self._calls:
            return  # it was given up
        lane, entries, size = self._calls.pop(call)
        self._bytes -= size
        try:
            failed = call.result()
        except TransientError as error:
            # A service that cannot answer so many calls at once is given fewer; else each try adds to what it holds.
            self._side_by_side = max(1, self._side_by_side // 2)
            failed = dict.fromkeys(range(len(entries)), str(error))
        except MillraceError as error:
            self.failure = self.failure or error
            return
        else:
            self._side_by_side = min(self._side_by_side + 1, self._writer.concurrent_calls)
        accepted = [entry for place, entry in enumerate(entries) if place not in failed] if failed else entries
        self.accepted[lane.stream] += len(accepted)
        self._tracker.accepted([lane.rows[entry] for entry in accepted])
        lane.release(accepted)
        if failed:
            self._pause(lane, [entries[place] for place in failed], next(iter(failed.values())))

    def _pause(self, lane: _Lane, entries: list[int], code: str) -> None:
        """Puts failed entries aside for a jittered time that doubles with their attempts (full jitter)."""
        attempt = max(lane.attempts.get(entry, 0) for entry in entries) + 1
        lane.attempts.update(dict.fromkeys(entries, attempt))
        pause_s = random.uniform(0, min(PAUSE_CAP_S, PAUSE_BASE_S * 2 ** min(attempt, 16)))  # noqa: S311 - no secret
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
        """Makes entries ready again whose pause is over, ahead of the others."""
        now = self._deadline.remaining_s()
        for pause in [pause for pause in self._paused if pause[0] >= now]:
            self._paused.remove(pause)
            _, lane, entries = pause
            lane.ready.extendleft(reversed(entries))

    def _wait_s(self) -> float:
        """How long to wait for a call to end: until the next pause is over or the time is up."""
        next_due = max((due for due, _, _ in self._paused), default=0.0)
        return max(0.0, self._deadline.remaining_s() - max(0.0, next_due))
