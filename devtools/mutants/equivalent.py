"""Changes that nothing can catch: what they change is not promised, or cannot happen."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from devtools.mutants.generated import Mutation

_PACE = "only how many rows a stream that was slow once is sent at first: the pace, not what is sent or its order"

_MOMENT = "two moments of a clock are not equal, or the next round finds them otherwise"

_SHOWN = "how many quarantined records the answer shows to a person"

_CHUNK = "how many records a chunk has: the pace alone"

EQUIVALENT: dict[str, str] = {
    "stream.emit.finish: self._writer.slow.pop(lane.stream, None) → pass": _PACE,
    "stream.shards.read: if self.ended or self.clock.monotonic() < self._next_read_at_s: → "
    "if self.ended or self.clock.monotonic() <= self._next_read_at_s:": _MOMENT,
    "stream.shards.read: self._next_read_at_s = now_s + 1 / READS_PER_S → "
    "self._next_read_at_s = now_s + 2 / READS_PER_S": "a shard is read half as often: the pace alone",
    "stream.mapping.lanes.next_batch: if self.under_way is not None or now_s < self.due_s: → "
    "if self.under_way is not None or now_s <= self.due_s:": _MOMENT,
    "stream.routing._quarantine: if len(self._quarantined) < self._shown and "
    "self._fits_response(2 * len(record.data or b'')): → "
    "if len(self._quarantined) < self._shown or self._fits_response(2 * len(record.data or b'')):": _SHOWN,
    "stream.routing._quarantine: if len(self._quarantined) < self._shown and "
    "self._fits_response(2 * len(record.data or b'')): → "
    "if not (len(self._quarantined) < self._shown and self._fits_response(2 * len(record.data or b''))):": _SHOWN,
    "stream.processor._next_stop: if spare_s <= 0 or (start and self._state.keys * self._processor.key_s > "
    "self._commit_s): → if spare_s < 0 or (start and self._state.keys * self._processor.key_s > "
    "self._commit_s):": _MOMENT,
    "stream.emit.finish: if lane.refused: → if not lane.refused:": _PACE,
    "stream.processor.note_chunk: self.chunk_rows = max(1, done) if done < rows else max(self.chunk_rows, "
    "min(CHUNK_ROWS, 2 * rows)) → self.chunk_rows = max(1, done) if done < rows else max(self.chunk_rows, "
    "min(CHUNK_ROWS, 3 * rows))": _CHUNK,
    "stream.processor.compute: self._processor.note_chunk(stop - start, outcomes.rows_before_retry(), "
    "routing - began) → self._processor.note_chunk(stop + start, outcomes.rows_before_retry(), "
    "routing - began)": _CHUNK,
    "stream.batch_state._run_part: check_outcomes(staged.outcomes, len(fresh)) → pass": "`Outcomes.extend` refuses "
    "them too, with another message",
    "stream.batch.first_row_of: while 0 < row < len(numbers) and numbers[row - 1] == numbers[row]: → "
    "while 0 < row < len(numbers) and numbers[row - 2] == numbers[row]:": "another row of one Kinesis record, and so "
    "one sequence number to resume at",
    "stream.routing._explain_standstill: if self._emitter.failure or not len(self._batch) or "
    "self._batch.first_row_of(self._tracker.prefix): → if not (self._emitter.failure or not len(self._batch) or "
    "self._batch.first_row_of(self._tracker.prefix)):": "it decides about a log line alone",
}
"""The reason, by the change's name."""


def reason(mutation: Mutation) -> str:
    """Return why a change is equivalent to the code, or an empty string."""
    return EQUIVALENT.get(mutation.name, "")
