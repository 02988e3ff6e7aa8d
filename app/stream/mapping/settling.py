"""Apply the answer of an invocation to the batch's records, its lane, its window and its shard's checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from app.errors import CloudError
from app.stream.mapping.destinations import failure_record
from app.stream.mapping.invoke import Answer, first_failure
from app.stream.mapping.retries import Batch, settle
from app.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.stream.deadline import Clock
    from app.stream.mapping.destinations import Destination
    from app.stream.mapping.event import EventSource, Record
    from app.stream.mapping.lanes import Lane, ShardRun
    from app.stream.mapping.settings import MappingSettings

RETRY_PAUSE_S = 0.2  # doubles with each failure in a row
RETRY_CAP_S = 5.0  # a person who mends what was wrong should not wait longer
_DOUBLINGS = 8  # past the cap


@dataclass(frozen=True, slots=True)
class Invocation:
    """A batch that is being invoked."""

    run: ShardRun
    lane: Lane
    batch: Batch
    event: bytes
    began_s: float


@dataclass(frozen=True, slots=True)
class BatchReport:
    """The outcome of one batch.

    Attributes:
        shard_id: Its shard.
        records: How many it held; none in a window's final invocation.
        event_bytes: How large the event was.
        done: How many of them are done.
        discarded: Why the rest was given up, if it was.
        answer: The answer of the function; None if it was not invoked again.
        seconds: How long that took.
    """

    shard_id: str
    records: int
    event_bytes: int
    done: int
    discarded: str | None
    answer: Answer | None
    seconds: float


class Progress(Protocol):
    """A function that is called after each batch."""

    def __call__(self, report: BatchReport, /) -> None:
        """Take the report."""


class Settler:
    """Settles batches after their invocation, and gives up those that are not to be invoked again.

    Attributes:
        acknowledged: Records that the function is done with.
        discarded: Records given up after their attempts or their time.
    """

    def __init__(
        self,
        settings: MappingSettings,
        source: EventSource,
        destination: Destination | None,
        *,
        progress: Progress | None,
        advance: Callable[[ShardRun], None],
        clock: Clock,
        chance: Callable[[float, float], float],
        unique: Callable[[], str],
    ) -> None:
        """Take the parts it works with.

        Args:
            settings: The mapping's.
            source: The stream, for failure records.
            destination: Takes the records that are given up.
            progress: Called after each batch.
            advance: Moves a shard's checkpoint on.
            clock: The clock for pauses.
            chance: Gives a number between two, to spread retries.
            unique: Gives a UUID.
        """
        self._settings, self._source, self._destination = settings, source, destination
        self._progress, self._advance, self._clock = progress, advance, clock
        self._chance, self._unique = chance, unique
        self.acknowledged = self.discarded = 0

    def settle(self, answers: Sequence[tuple[Invocation, Answer]]) -> None:
        """Decide about batches that have been invoked."""
        for invocation, answer in answers:
            run, lane, batch = invocation.run, invocation.lane, invocation.batch
            lane.under_way, batch.answer = None, answer
            batch.invocations += answer.invoked
            if answer.fault is None and lane.window is not None and lane.window.lacks_state(answer.value):
                batch.answer = Answer(fault="the answer has no state", request_id=answer.request_id)
            settlement = settle(batch, self._done_in(batch), self._settings)
            if batch.answer.fault:
                logger.error("batch returned: %s", batch.answer.fault, extra={"shard": run.shard.shard_id})
            self._finish(batch.records[: settlement.done])
            self.acknowledged += settlement.done
            self._close_or_carry(lane, batch, settlement.done)
            lane.batches.extendleft(reversed(settlement.again))
            if lane.window is not None and lane.window.terminated_early and batch.closes is None:
                lane.batches.appendleft(Batch([], closes=lane.window))
            self._pace(lane, failed=bool(settlement.again), progressed=settlement.done > 0)
            self._advance(run)
            given_up = next((each.discard for each in settlement.again if each.discard), None)
            self._report(invocation, settlement.done, given_up, batch.answer)

    def discard(self, run: ShardRun, lane: Lane, batch: Batch, event: bytes) -> None:
        """Give a batch up; an on-failure destination, if there is one, has to take it first."""
        moment, shard_id = datetime.fromtimestamp(self._clock.time(), UTC), run.shard.shard_id
        if self._destination is None:
            logger.error(
                "%d records discarded (%s): no on-failure destination", len(batch.records), batch.discard,
                extra={"shard": shard_id, "batch": [record.sequence_number for record in batch.records[:1]]},
            )  # fmt: skip
        else:
            record = failure_record(
                batch, self._source, shard_id, self._settings.function_name, moment, request_id=self._unique()
            )
            try:
                self._destination.send(record, event, moment)
            except CloudError as error:
                # AWS would count it and go on; here nothing is lost while somebody can still mend it.
                logger.error(str(error), extra={"shard": shard_id})
                lane.batches.appendleft(batch)
                self._pace(lane, failed=True, progressed=False)
                return
        if batch.closes:
            lane.window = None
        self._finish(batch.records)
        self.discarded += len(batch.records)
        self._advance(run)

    def _done_in(self, batch: Batch) -> int:
        """Return how many records of a batch the function has processed."""
        answer = batch.answer
        if answer is None or answer.fault is not None:
            return 0
        if self._settings.reports_failures:
            return first_failure(answer.value, [record.sequence_number for record in batch.records])
        if isinstance(answer.value, dict) and answer.value.get("batchItemFailures"):
            logger.error(
                "the function names records that failed, and this mapping, like AWS's own, takes no notice of it "
                "without FunctionResponseTypes ReportBatchItemFailures: they are lost"
            )
        return len(batch.records)

    def _close_or_carry(self, lane: Lane, batch: Batch, done: int) -> None:
        """Keep a window's new state, or drop the window after its final invocation."""
        window, answer = lane.window, batch.answer
        if window is None or answer is None or answer.fault is not None:
            return
        if batch.closes:
            lane.window = None
        elif done:
            window.take(batch.records[:done], answer.value["state"])

    def _pace(self, lane: Lane, *, failed: bool, progressed: bool) -> None:
        """Let a lane rest after a failure, longer each time none of its records is done."""
        if progressed or not failed:
            lane.failures = 0
        if failed:
            lane.failures += not progressed
            longest_s = min(RETRY_CAP_S, RETRY_PAUSE_S * 2 ** min(lane.failures, _DOUBLINGS))
            lane.due_s = self._clock.monotonic() + self._chance(RETRY_PAUSE_S / 2, longest_s)

    @staticmethod
    def _finish(records: Sequence[Record]) -> None:
        for record in records:
            record.done, record.encoded = True, b""

    def _report(self, invocation: Invocation, done: int, discarded: str | None, answer: Answer) -> None:
        if self._progress:
            shard_id, took_s = invocation.run.shard.shard_id, self._clock.monotonic() - invocation.began_s
            records, size = len(invocation.batch.records), len(invocation.event)
            self._progress(BatchReport(shard_id, records, size, done, discarded, answer, took_s))
