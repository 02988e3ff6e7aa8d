"""Spread a shard's records over lanes, cut them into batches, and acknowledge them without a gap.

A lane holds the keys whose hash it is given, and has one batch in progress at a time: so the records of one key stay in
order however many batches of the shard run at once.
"""

from __future__ import annotations

import zlib
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.stream.mapping.event import EVENT_BYTES, event_bytes
from app.stream.mapping.retries import Batch
from app.stream.mapping.windows import STATE_BYTES, Window

if TYPE_CHECKING:
    from app.stream.mapping.event import Record
    from app.stream.mapping.settings import MappingSettings
    from app.stream.shards import ShardReader

WINDOW_BYTES = STATE_BYTES + 1024  # reserved in an event for a window's state and the other fields of `Window.fields`
HELD_RECORDS = 20_000  # a lane: two full batches, one under way and one gathering
HELD_BYTES = 4 * EVENT_BYTES  # a lane: as much in bytes


class Checkpoint:
    """The records of a shard that are not all done, in order; the checkpoint is before the first that is not."""

    def __init__(self) -> None:
        """Start without records."""
        self._records: deque[Record] = deque()
        self.sequence_number: str | None = None

    def __len__(self) -> int:
        """Return how many records are behind the checkpoint, done or not."""
        return len(self._records)

    def add(self, record: Record) -> None:
        """Take the shard's next record."""
        self._records.append(record)

    def advance(self) -> bool:
        """Move past the records that are done without a gap; return whether it moved."""
        before = self.sequence_number
        while self._records and self._records[0].done:
            self.sequence_number = self._records.popleft().sequence_number
        return self.sequence_number != before


@dataclass(slots=True)
class Lane:
    """The records of some keys of one shard.

    Attributes:
        waiting: Records that are in no batch yet.
        waiting_bytes: Their size in an event.
        batches: Batches to invoke before any new one: one that failed, was cut, or closes a window.
        under_way: The batch that is being invoked.
        window: The tumbling window that is open.
        since_s: When the first waiting record came, by the monotonic clock.
        due_s: When the lane may go on after a failure.
        failures: Failures in a row, for the pause.
        turn: The number of the last invocation that was its own, counted over all lanes.
    """

    waiting: deque[Record] = field(default_factory=deque)
    waiting_bytes: int = 0
    batches: deque[Batch] = field(default_factory=deque)
    under_way: Batch | None = None
    window: Window | None = None
    since_s: float = 0.0
    due_s: float = 0.0
    failures: int = 0
    turn: int = 0

    def add(self, record: Record, now_s: float) -> None:
        """Take a record."""
        if not self.waiting:
            self.since_s = now_s
        self.waiting.append(record)
        self.waiting_bytes += len(record.encoded)

    def short(self, settings: MappingSettings) -> bool:
        """Return whether less than a full batch is waiting."""
        return len(self.waiting) < settings.batch_size and self.waiting_bytes < EVENT_BYTES

    def next_batch(self, settings: MappingSettings, shard: ShardReader, now_s: float) -> Batch | None:
        """Return the batch to invoke now, if one is due.

        Args:
            settings: The mapping's.
            shard: The shard that the lane is of.
            now_s: The time by the monotonic clock.
        """
        if self.under_way is not None or now_s < self.due_s:
            return None
        if self.batches:
            return self.batches.popleft()
        if self._window_is_over(shard):
            return Batch([], closes=self.window)
        if not self.waiting:
            return None
        count, full = self._measure(settings)
        gathered = now_s - self.since_s >= settings.maximum_batching_window_in_seconds
        if not (full or gathered or shard.ended):
            return None
        taken = [self.waiting.popleft() for _ in range(count)]
        self.waiting_bytes -= sum(len(record.encoded) for record in taken)
        self.since_s = now_s
        return Batch(taken)

    def open_window(self, batch: Batch, settings: MappingSettings) -> Window | None:
        """Return the window that a batch belongs to, opened if need be; None without tumbling windows."""
        if settings.tumbling_window_in_seconds and self.window is None:
            self.window = Window.around(batch.records[0].arrived_s, settings.tumbling_window_in_seconds)
        return self.window

    def _window_is_over(self, shard: ShardReader) -> bool:
        if self.window is None:
            return False
        if self.waiting:
            return not self.window.holds(self.waiting[0])
        return (shard.ended and not shard.buffer) or self.window.is_over(shard.read_at_s, shard.behind_ms)

    def _measure(self, settings: MappingSettings) -> tuple[int, bool]:
        """Return how many waiting records make the next batch, and whether a limit ends it."""
        seconds, size = settings.tumbling_window_in_seconds, 0
        window = self.window or (Window.around(self.waiting[0].arrived_s, seconds) if seconds else None)
        extra = WINDOW_BYTES if seconds else 0
        for count, record in enumerate(self.waiting):
            size += len(record.encoded)
            if count and (event_bytes(size, count + 1, extra) > EVENT_BYTES or (window and not window.holds(record))):
                return count, True
            if count + 1 == settings.batch_size:
                return count + 1, True
        return len(self.waiting), False


class ShardRun:
    """One shard that is being read: its reader, its lanes and its checkpoint."""

    def __init__(self, shard: ShardReader, factor: int) -> None:
        """Make a lane for each batch that may run at once."""
        self.shard = shard
        self.lanes = [Lane() for _ in range(factor)]
        self.checkpoint = Checkpoint()
        self.published: str | None = None

    def lane_of(self, record: Record) -> Lane:
        """Return the lane of a record's key."""
        return self.lanes[zlib.crc32(record.partition_key.encode()) % len(self.lanes)]

    def wants_more(self, settings: MappingSettings) -> bool:
        """Return whether to read on: a lane could take more, and not too much is held already."""
        size = sum(lane.waiting_bytes for lane in self.lanes)
        return (
            len(self.checkpoint) < HELD_RECORDS * len(self.lanes)
            and size < HELD_BYTES * len(self.lanes)
            and any(lane.short(settings) for lane in self.lanes)
        )

    def hold(self) -> None:
        """Tell the reader how many records are not done, so that child shards wait."""
        self.shard.held = len(self.checkpoint) + sum(
            lane.window is not None or bool(lane.batches) or lane.under_way is not None for lane in self.lanes
        )

    def advance(self) -> bool:
        """Move the checkpoint on; return whether the part of it that may be kept beyond this run moved.

        While a window is open its state is held here alone, so a later run is to begin before the window.
        """
        self.checkpoint.advance()
        if any(lane.window is not None for lane in self.lanes) or self.published == self.checkpoint.sequence_number:
            return False
        self.published = self.checkpoint.sequence_number
        return True
