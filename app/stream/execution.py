"""A pipeline run over one batch, halved where it raises; `batch_state.py` runs one with state."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from app.errors import MillraceError, StateTooLargeError, UnreadableStateError
from app.stream.outcomes import Outcomes
from app.stream.pipeline_faults import text_of
from app.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from app.stream.batch import Batch
    from app.stream.deadline import Deadline
    from app.stream.pipeline import Pipeline, Staged
    from app.stream.pipeline_faults import RaisedInARow

PIPELINE_ERROR = "pipeline_error"  # the reason of a record on which a pipeline raises
KEY_FAULTS = (UnreadableStateError, StateTooLargeError)  # of a record's state key, whatever the record


@dataclass(frozen=True, slots=True)
class Stateless:
    """The outcomes of a pipeline without state; one kind of `Staged`."""

    outcomes: Outcomes

    def at(self, _rows: int) -> Mapping[str, bytes]:
        """Return no state."""
        return {}


class Untouched(Stateless):
    """The outcomes of records of which none reached the pipeline: they were applied before, or are set aside."""


@dataclass(slots=True)
class BisectedOutcomes:
    """The outcomes of a batch that may have been run in parts, with the state of each part.

    Attributes:
        outcomes: An outcome for each row.
        state: The state after them; a later part's state of a key replaces an earlier one's.
        failure: The reason why the records from some row on are handed back, if a person must mend it.
    """

    outcomes: Outcomes
    state: dict[str, bytes] = field(default_factory=dict)
    failure: MillraceError | None = None
    _parts: list[tuple[int, Staged]] = field(default_factory=list)

    def add(self, start: int, part: Staged, check: Callable[[Mapping[str, bytes]], None]) -> None:
        """Add the outcomes and the state of the rows from `start` on, unless the state or its check raises."""
        size = len(part.outcomes)
        state = part.at(size)
        check(state)
        self._parts.append((start, part))
        self.state.update(state)
        if size == len(self.outcomes):
            self.outcomes = part.outcomes  # the whole batch, as is usual
        else:
            self.outcomes.extend(range(start, start + size), part.outcomes)

    def at(self, rows: int) -> dict[str, bytes]:
        """Return the state after the first `rows` records."""
        state: dict[str, bytes] = {}
        for start, part in self._parts:
            if start < rows:
                state.update(part.at(min(rows - start, len(part.outcomes))))
        return state


def run_bisected(
    run: Callable[[Batch[Any], Mapping[str, bytes]], Staged],
    batch: Batch[Any],
    state: Mapping[str, bytes],
    faults: RaisedInARow,
    is_late: Callable[[], bool] = lambda: False,
    *,
    check: Callable[[Mapping[str, bytes]], None] = lambda _: None,
    park: Callable[[Batch[Any], MillraceError], bool] = lambda *_: False,
) -> BisectedOutcomes:
    """Run a pipeline over a batch; quarantine each record on which it raises.

    Where the state of a record's key cannot be read or became too large, the key is parked. If it cannot be, that
    record and all after it are handed back: those before it, of other keys, go on. Where the pipeline raises for a
    reason that is no record's, the records on which it did are handed back too.

    Args:
        run: Called with a part of the batch and the state before it.
        batch: The records.
        state: The state before the batch.
        faults: Tells a record at fault from other faults.
        is_late: Whether the time for it is up: then no further part is started, and the rest is handed back.
        check: Raises if the state after a part cannot be committed.
        park: Called with a record alone and the fault of its key; returns whether `run` sets it aside from now on.

    Raises:
        MillraceError: A fault that is no record's and no key's.
    """
    found = BisectedOutcomes(Outcomes(len(batch)))
    waiting = [(0, len(batch))] if len(batch) else []  # a pipeline need not know what to make of no records
    while waiting:
        start, stop = waiting.pop()
        if start and is_late():
            found.outcomes.retry_from(start, "deadline")
            break
        part = batch if stop - start == len(batch) else batch.cut(start, stop, batch.records[start:stop])
        try:
            staged = run(part, {**state, **found.state})
            check_outcomes(staged.outcomes, len(part))
            # This may raise too: where the state cannot be written after a record, that record is at fault.
            found.add(start, staged, check)
            faults.passed(processed=not isinstance(staged, Untouched))
        except Exception as error:  # a pipeline may raise anything; a record must not block its shard
            if isinstance(error, MillraceError) and not isinstance(error, KEY_FAULTS):
                raise
            if len(part) > 1:
                middle = (start + stop) // 2
                waiting += [(middle, stop), (start, middle)]
                if is_late():
                    found.outcomes.retry_from(start, "deadline")
                    break
                continue
            if isinstance(error, KEY_FAULTS):
                if park(part, error):
                    waiting.append((start, stop))
                    continue
                found.outcomes.retry_from(start, "key_at_fault")
                found.failure = error
                break
            found.failure = faults.raised(error, part)
            if found.failure:
                found.outcomes.retry_from(max(0, start + 1 - faults.count), "pipeline_failed")
                break
            logger.warning(
                "pipeline raised on a record",
                extra={"exception": type(error).__name__, "sequence_number": part.sequence_numbers[0]},
            )
            found.outcomes.quarantine(start, PIPELINE_ERROR, f"{type(error).__name__}: {text_of(error)}")
    return found


def check_outcomes(outcomes: Outcomes, rows: int) -> None:
    """Check that a pipeline gave outcomes for as many rows as it was given.

    Raises:
        TypeError: It did not.
    """
    if not isinstance(outcomes, Outcomes):
        raise TypeError(f"a pipeline returns Outcomes, not {type(outcomes).__name__}")
    if len(outcomes) != rows:
        raise TypeError(f"{len(outcomes)} outcomes for {rows} records")


class NoState:
    """Runs a pipeline without state over the chunks of one batch.

    Attributes:
        failure: Why records were handed back, if a person must mend it.
        keys: The number of state keys to commit: none.
        counts: Numbers for metrics: none.
    """

    keys = 0
    counts: ClassVar[Mapping[str, int]] = {}

    def __init__(self, pipeline: Pipeline[Any], faults: RaisedInARow) -> None:
        """Take the pipeline, and the counter that tells faults of records from others."""
        self.failure: MillraceError | None = None
        self._pipeline, self._faults = pipeline, faults

    def run(self, _rows: Sequence[int], records: Batch[Any], is_late: Callable[[], bool]) -> Outcomes:
        """Return an outcome for each record of a chunk."""
        found = run_bisected(
            lambda part, _: Stateless(self._pipeline.process(part)), records, {}, self._faults, is_late
        )
        self.failure = found.failure
        return found.outcomes

    def commit(self, prefix: int, _deadline: Deadline) -> tuple[int, MillraceError | None]:
        """Write nothing."""
        return prefix, None
