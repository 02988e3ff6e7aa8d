"""Decide about a batch after an invocation: done, cut, halved, tried again, or discarded.

Sources: https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html and
https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html. Where AWS says nothing: the
parts of a batch keep its count of attempts, and each failed invocation is an attempt unless it split the batch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.stream.mapping.settings import INFINITE

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.stream.mapping.event import Record
    from app.stream.mapping.invoke import Answer
    from app.stream.mapping.settings import MappingSettings
    from app.stream.mapping.windows import Window

ATTEMPTS_EXHAUSTED = "RetryAttemptsExhausted"
TOO_OLD = "RecordAgeExceeded"


@dataclass(slots=True)
class Batch:
    """Records that are invoked together, and tried again together.

    Attributes:
        records: In their shard's order; none in a window's final invocation.
        attempts: Failed invocations that count.
        invocations: All that reached the function, for the on-failure record.
        closes: The tumbling window whose final invocation this is.
        discard: Why the batch is not invoked any more; it waits for the on-failure destination to take it.
        answer: The last answer to it.
    """

    records: list[Record]
    attempts: int = 0
    invocations: int = 0
    closes: Window | None = None
    discard: str | None = None
    answer: Answer | None = None

    def part(self, start: int, stop: int | None = None) -> Batch:
        """Return some of its records as a batch with its attempts."""
        return Batch(self.records[start:stop], self.attempts, self.invocations, answer=self.answer)


@dataclass(slots=True)
class Settlement:
    """The decision about a batch.

    Attributes:
        done: How many records, from the first, are done.
        again: The batches to invoke next, in order; a batch with `discard` goes to the destination instead.
        counted: Whether the failure used up an attempt.
    """

    done: int
    again: list[Batch] = field(default_factory=list)
    counted: bool = False


def settle(batch: Batch, done: int, settings: MappingSettings) -> Settlement:
    """Decide about a batch after an invocation.

    Args:
        batch: The batch that was invoked, with its `answer`.
        done: How many of its records are done: all, none, or those before the lowest one that was named.
        settings: The mapping's.
    """
    failed = batch.answer is not None and batch.answer.fault is not None
    if not failed and done == len(batch.records):
        return Settlement(done)
    if failed and batch.answer is not None and not batch.answer.invoked:
        return Settlement(0, [batch])  # "doesn't apply to service errors or throttles"
    if settings.bisect_batch_on_function_error:
        if done:
            return Settlement(done, [batch.part(done)])  # bisected at the returned number
        if len(batch.records) > 1:
            middle = len(batch.records) // 2
            return Settlement(0, [batch.part(0, middle), batch.part(middle)])
    rest = batch.part(done) if done else batch
    rest.attempts += 1
    if settings.maximum_retry_attempts != INFINITE and rest.attempts > settings.maximum_retry_attempts:
        rest.discard = ATTEMPTS_EXHAUSTED
    return Settlement(done, [rest], counted=True)


def split_too_old(batch: Batch, settings: MappingSettings, service_time: Callable[[], float]) -> list[Batch]:
    """Split off the records of a batch that have become too old, to be discarded.

    Args:
        batch: The batch.
        settings: The mapping's.
        service_time: Gives the time by the clock that dated the records, seconds since 1970.
    """
    age = settings.maximum_record_age_in_seconds
    if age == INFINITE or batch.discard:
        return [batch]
    now_s = service_time()
    if batch.closes:
        last = batch.closes.last
        if last is not None and now_s - last.arrived_s > age:
            batch.discard = TOO_OLD
        return [batch]
    old = next((row for row, record in enumerate(batch.records) if now_s - record.arrived_s <= age), len(batch.records))
    if not old:
        return [batch]
    gone = batch.part(0, old)
    gone.discard = TOO_OLD
    return [gone] if old == len(batch.records) else [gone, batch.part(old)]
