"""A pipeline run over a batch: where it raises, the batch is halved until the record at fault stands alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app.errors import MillraceError, UnreadableStateError
from app.stream.outcomes import Outcomes
from app.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.stream.batch import Batch
    from app.stream.pipeline import Staged


@dataclass(frozen=True, slots=True)
class Stateless:
    """The outcomes of a pipeline without state; one kind of `Staged`."""

    outcomes: Outcomes

    def at(self, _rows: int) -> Mapping[str, bytes]:
        """Return no state."""
        return {}


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

    def add(self, start: int, part: Staged) -> None:
        """Add the outcomes and the state of the rows from `start` on; nothing is added if the state raises."""
        size = len(part.outcomes)
        state = part.at(size)
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
    is_late: Callable[[], bool] = lambda: False,
) -> BisectedOutcomes:
    """Run a pipeline over a batch; quarantine each record on which it raises.

    Where the state of a record's key cannot be read, that record and all after it are handed back: those before it,
    of other keys, go on.

    Args:
        run: Called with a part of the batch and the state before it.
        batch: The records.
        state: The state before the batch.
        is_late: Whether the time for it is up: then no further part is started, and the rest is handed back.

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
            found.add(start, staged)  # may raise too: where the state cannot be written after a record, it is at fault
        except Exception as error:  # a pipeline may raise anything; a record must not block its shard
            if isinstance(error, MillraceError) and not isinstance(error, UnreadableStateError):
                raise
            if len(part) > 1:
                middle = (start + stop) // 2
                waiting += [(middle, stop), (start, middle)]
                if is_late():
                    found.outcomes.retry_from(start, "deadline")
                    break
                continue
            if isinstance(error, UnreadableStateError):
                found.outcomes.retry_from(start, "unreadable_state")
                found.failure = error
                break
            logger.warning(
                "pipeline raised on a record",
                extra={"exception": type(error).__name__, "sequence_number": part.sequence_numbers[0]},
            )
            found.outcomes.quarantine(start, "pipeline_error", f"{type(error).__name__}: {_text_of(error)}")
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


def _text_of(error: Exception) -> str:
    """Return an exception's message, where it has one."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - its own __str__ may raise
        return "(no text)"
