"""One event through the spine: decode → pipeline → emit → commit → acknowledge.

What happens when a step fails:

1. A record cannot be decoded, or the pipeline raises on it: it is quarantined, its neighbours go on.
2. An output is never accepted in the time there is: the shard resumes at its record.
3. The process dies before the commit: nothing was acknowledged, the replay gives the same outputs with the same ids.
4. It dies between commit and acknowledgement: the replay finds the records already applied and skips them; their
   outputs were accepted before the commit.
5. Another writer commits a state key first: nothing of ours is written, the shard resumes at the key's first record.
   So too where the time for commits is up: keys are committed in the order of their first records.
6. The state of a key cannot be read, or became too large: the key is parked (`parking.py`) and other keys go on.
   Without a quarantine the shard resumes at the key's first record; the records before it are done.
7. The pipeline raises on the state after a part of a chunk: the shard resumes at the chunk's first record.
8. The pipeline raises for a reason that is no record's (`pipeline_faults.py`): the shard resumes there.

Each phase has a time of its own: computing ends at half of it, putting outputs before the share for commits, and
committing before the margin for the answer. So what was put in time is committed and acknowledged.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from app.errors import MillraceError, SettingsError
from app.stream.batch_state import BatchState
from app.stream.execution import NoState
from app.stream.origin import StreamOrigins
from app.stream.outcomes import Outcomes, Quarantine, Retry
from app.stream.payload import decode_chunk, json_decoder
from app.stream.pipeline import StatefulPipeline, check_declared
from app.stream.pipeline_faults import RaisedInARow
from app.stream.routing import OutcomeRouter
from app.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.settings import Settings
    from app.storage.state import StateStore
    from app.stream.batch import Batch
    from app.stream.deadline import Deadline
    from app.stream.emit import Writer
    from app.stream.payload import Decoder
    from app.stream.pipeline import AnyPipeline
    from app.stream.quarantine import QuarantineDestination, QuarantinedRecord

CHUNK_ROWS = 2000  # four full PutRecords calls: they travel while the next chunk is computed
FIRST_CHUNK_ROWS = 16  # until a pipeline's pace is known: even at 100 ms a record it fits Lambda's 3 s default
CHUNK_BYTES = 1024 * 1024  # as they came; `decode_chunk` ends a chunk by what they inflate to
COMPUTE_SHARE = 0.5  # of the time there is; the rest is kept for outputs that must be tried again
COMMIT_SHARE = 0.2  # of it, if there is state: outputs that take all the time would block the shard forever
_SET_ASIDE = {Quarantine, Retry}  # in place of a decoded record


@dataclass(frozen=True, slots=True)
class Result:
    """The result of processing one event.

    Attributes:
        rows: How many records it held.
        acknowledged: How many from the first one on are safe, without a gap; an aggregate counts when all of it is.
        resume_at: The sequence number at which the shard resumes, or None when all are safe.
        published: The first outputs, stamped, as JSON.
        quarantined: The first quarantined records.
        failure: Why the rest is handed back, when that is a fault for a person to mend.
        transient_code: The code of the last fault of a call that was tried again.
        counts: Numbers of records and entries, for metrics.
        milliseconds: Time in each stage, for metrics.
    """

    rows: int
    acknowledged: int
    resume_at: str | None
    published: list[bytes]
    quarantined: list[QuarantinedRecord]
    failure: MillraceError | None
    transient_code: str
    counts: Counter[str]
    milliseconds: Mapping[str, float]


class Processor:
    """Runs one pipeline over the events of its stream."""

    def __init__(
        self,
        pipeline: AnyPipeline,
        writer: Writer,
        quarantine: QuarantineDestination,
        settings: Settings,
        *,
        store: StateStore | None = None,
        origins: StreamOrigins | None = None,
    ) -> None:
        """Take the parts that the entry point has built; nothing is called yet.

        Args:
            pipeline: For a stateful one `store` must be given.
            writer: Puts outputs on streams.
            quarantine: The destination of records that can never succeed.
            settings: Stream roles, `TEST_RUN`, `RESPONSE_RESULTS`.
            store: State between batches.
            origins: Say which records' positions can be compared; by default Kinesis is asked.

        Raises:
            SettingsError: The pipeline lacks an attribute or its state store, or declares what cannot be used.
        """
        check_declared(pipeline)
        if pipeline.decoder is None and not hasattr(pipeline, "record_type"):
            raise SettingsError(f"pipeline {pipeline.name}: it has no record_type")
        self.pipeline = pipeline
        self.writer, self.quarantine, self.settings, self.store = writer, quarantine, settings, store
        self.decoder: Decoder[Any] = pipeline.decoder or json_decoder(pipeline.record_type)
        if isinstance(pipeline, StatefulPipeline) and store is None:
            raise SettingsError(f"pipeline {pipeline.name} keeps state: set STATE_TABLE to a DynamoDB table")
        self.origins = origins or StreamOrigins()
        self.faults = RaisedInARow(pipeline.name, settings.most_raised_in_a_row)
        self.row_s: float | None = None  # the pipeline's pace, from earlier chunks
        self.chunk_rows = CHUNK_ROWS  # the most rows of the next chunk: fewer after one that was not finished
        self.key_s = 0.0  # the state's pace: seconds for the commit of a key, from earlier batches

    def note_chunk(self, rows: int, done: int, seconds: float) -> None:
        """Note the pace of a chunk, of which `done` rows were finished.

        Where a pipeline raises on some, a chunk is run again in halves, and takes longer than the pace of one row says.
        Else an aggregated record, which comes again as a whole, would never be finished in time.
        """
        self.row_s = seconds / max(1, done)
        self.chunk_rows = max(1, done) if done < rows else max(self.chunk_rows, min(CHUNK_ROWS, 2 * rows))

    def begin_state(self, batch: Batch[None], replayed_key: str | None) -> NoState | BatchState:
        """Return the runner of the pipeline over one batch."""
        if isinstance(self.pipeline, StatefulPipeline):
            store = cast("StateStore", self.store)
            parts = self.origins, self.writer.workers, self.faults
            can_park = bool(self.quarantine.stream) or self.quarantine.objects is not None
            return BatchState(self.pipeline, store, *parts, batch=batch, can_park=can_park, replayed_key=replayed_key)
        return NoState(self.pipeline, self.faults)

    def process(
        self,
        batch: Batch[None],
        faults: Mapping[int, Quarantine | Retry],
        deadline: Deadline,
        replayed_key: str | None = None,
    ) -> Result:
        """Process a batch as far as time allows.

        Args:
            batch: The records of one event.
            faults: Rows that could not be read at all.
            deadline: When nothing new may be started.
            replayed_key: The parked state key whose records these are: they are processed, although it is parked.

        Raises:
            MillraceError: The first record already could not be made safe, for a reason that a person must mend.
        """
        run = _Run(self, batch, faults, deadline, replayed_key)
        run.compute()
        return run.finish()


class _Run:
    """One batch on its way through the spine."""

    def __init__(
        self,
        processor: Processor,
        batch: Batch[None],
        faults: Mapping[int, Quarantine | Retry],
        deadline: Deadline,
        replayed_key: str | None,
    ) -> None:
        self._processor, self._batch, self._faults, self._deadline = processor, batch, faults, deadline
        self._failure: MillraceError | None = None
        self._reserve_s = deadline.remaining_s() * (1 - COMPUTE_SHARE)
        self._milliseconds: dict[str, float] = defaultdict(float)
        self._state = processor.begin_state(batch, replayed_key)
        keeps_state = isinstance(processor.pipeline, StatefulPipeline)
        self._commit_s = deadline.remaining_s() * COMMIT_SHARE if keeps_state else 0.0
        self._router = OutcomeRouter(
            batch,
            processor.pipeline,
            settings=processor.settings,
            writer=processor.writer,
            quarantine=processor.quarantine,
            deadline=deadline.earlier(self._commit_s),
        )

    def compute(self) -> None:
        """Decode, run and route chunk after chunk, until a record must wait or the time for it is up.

        A fault that is not a record's ends it too; the outputs that were routed before are still put.
        """
        start = 0
        try:
            while start < len(self._batch) and not self._router.failed:
                stop = self._next_stop(start)
                if stop == start:
                    logger.warning("time is up; the rest is handed back", extra={"rows_done": start})
                    return
                began = self._deadline.now_s()
                outcomes = self._outcomes(start, stop)
                stop = start + len(outcomes)
                routing = self._deadline.now_s()
                self._processor.note_chunk(stop - start, outcomes.rows_before_retry(), routing - began)
                goes_on = self._router.route(start, outcomes)
                self._milliseconds["emit"] += (self._deadline.now_s() - routing) * 1000
                if not goes_on:
                    return
                start = stop
        except MillraceError as error:
            self._failure = error

    def _next_stop(self, start: int) -> int:
        """Return where the next chunk ends: as many rows as time and memory allow, one at the least."""
        spare_s = self._deadline.remaining_s() - self._reserve_s
        if spare_s <= 0 or (start and self._state.keys * self._processor.key_s > self._commit_s):
            return start
        pace_s = self._processor.row_s
        # Half the time left: a pace is a guess, and a chunk in which a record fails is run more than once.
        rows = (
            FIRST_CHUNK_ROWS
            if pace_s is None
            else int(min(self._processor.chunk_rows, 0.5 * spare_s / max(pace_s, 1e-9)))
        )
        if rows < 1 and start:
            return start
        sizes = itertools.accumulate(map(len, self._batch.payloads[start : start + max(1, rows)]))
        return start + max(1, bisect_right(list(sizes), CHUNK_BYTES))

    def finish(self) -> Result:
        """Wait for the outputs, commit the state of the safe rows, and find where the shard resumes."""
        batch, began = self._batch, self._deadline.now_s()
        routed = self._router.finish()
        self._milliseconds["emit"] += (self._deadline.now_s() - began) * 1000
        safe, failure = routed.safe_rows, routed.failure or self._failure or self._state.failure
        if not self._processor.settings.test_run:
            committing = self._deadline.now_s()
            safe, commit_failure = self._state.commit(safe, self._deadline)
            self._processor.key_s = (self._deadline.now_s() - committing) / max(1, self._state.keys)
            failure = failure or commit_failure
        acknowledged = batch.first_row_of(safe)
        if failure and not acknowledged:
            raise failure
        counts = Counter(routed.counts)
        counts.update(will_repeat=safe - acknowledged, retried=len(batch) - acknowledged)
        counts.update(self._state.counts)
        return Result(
            len(batch),
            acknowledged,
            batch.sequence_numbers[acknowledged] if acknowledged < len(batch) else None,
            routed.published,
            routed.quarantined,
            failure,
            routed.transient_code,
            counts,
            self._milliseconds,
        )

    def _outcomes(self, start: int, stop: int) -> Outcomes:
        """Return an outcome for each row of a chunk, or of its first rows where all would take too much memory."""
        began = self._deadline.now_s()
        decoded: list[Any] = decode_chunk(self._batch.payloads[start:stop], self._processor.decoder)
        stop = start + len(decoded)
        for row in self._faults.keys() & range(start, stop):
            decoded[row - start] = self._faults[row]
        faulty = not _SET_ASIDE.isdisjoint(map(type, decoded))
        rows: Sequence[int] = range(start, stop)
        if faulty:
            rows = [start + index for index, value in enumerate(decoded) if type(value) not in _SET_ASIDE]
            records = self._batch.take(rows, [decoded[row - start] for row in rows])
        else:
            records = self._batch.cut(start, stop, decoded)
        computing = self._deadline.now_s()
        found = self._state.run(rows, records, lambda: self._deadline.remaining_s() <= self._reserve_s)
        ended = self._deadline.now_s()
        self._milliseconds["decode"] += (computing - began) * 1000
        self._milliseconds["predict"] += (ended - computing) * 1000
        if not faulty:
            return found
        outcomes = Outcomes(stop - start)
        outcomes.extend([row - start for row in rows], found)
        for index, value in enumerate(decoded):
            if type(value) in _SET_ASIDE:
                outcomes.set_aside[index] = value
        return outcomes
