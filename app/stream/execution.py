"""A pipeline run over one batch: halved where it raises, its state staged, cut and committed."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app.errors import DeadlineError, MillraceError, StateConflictError, UnreadableStateError
from app.storage.state import Position, StateStore, Stored
from app.stream.outcomes import Outcomes
from app.telemetry import logger
from app.text import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from app.stream.batch import Batch
    from app.stream.deadline import Deadline
    from app.stream.pipeline import Pipeline, Staged, StatefulPipeline
    from app.stream.workers import Workers

COMMITS_AT_ONCE = 8  # of different keys; botocore keeps ten connections


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


class NoState:
    """Runs a pipeline without state over the chunks of one batch."""

    failure: MillraceError | None = None

    def __init__(self, pipeline: Pipeline[Any]) -> None:
        """Take the pipeline."""
        self._pipeline = pipeline

    def run(self, _rows: Sequence[int], records: Batch[Any], is_late: Callable[[], bool]) -> Outcomes:
        """Return an outcome for each record of a chunk."""
        return run_bisected(lambda part, _: Stateless(self._pipeline.process(part)), records, {}, is_late).outcomes

    def commit(self, prefix: int, _deadline: Deadline) -> tuple[int, MillraceError | None]:
        """Write nothing."""
        return prefix, None


@dataclass(slots=True)
class _Part:
    """The outcomes and the state of records of which some had been applied before."""

    outcomes: Outcomes
    _fresh: list[int]
    _keys: set[str]
    _staged: Staged

    def at(self, rows: int) -> Mapping[str, bytes]:
        """Return the state after the first `rows` records.

        Raises:
            TypeError: A value is not bytes.
            ValueError: No record that was processed has the state's key, so that it would never be committed.
        """
        state = self._staged.at(bisect_left(self._fresh, rows))
        for key, value in state.items():
            if key not in self._keys:
                raise ValueError(f"state of {quoted(key)}, which state_keys gives for no record of the batch")
            if not isinstance(value, bytes):
                raise TypeError(f"state of {quoted(key)} is {type(value).__name__}, not bytes")
        return state


class BatchState:
    """Runs a stateful pipeline over the chunks of one batch and commits what became safe.

    A record whose position is not past the last one applied to its key was emitted and committed before: it is
    skipped, so a repeated or overlapping batch changes nothing.

    Attributes:
        failure: A state that cannot be read, and because of which records were handed back.
    """

    def __init__(self, pipeline: StatefulPipeline[Any], store: StateStore, workers: Workers) -> None:
        """Take the parts; no state is loaded yet."""
        self.failure: MillraceError | None = None
        self._pipeline, self._store, self._workers = pipeline, store, workers
        self._stored: dict[str, Stored | None] = {}
        self._ahead: dict[str, bytes] = {}  # staged by earlier chunks
        self._chunks: list[tuple[Sequence[int], BisectedOutcomes]] = []
        self._key_at: dict[Position, str] = {}
        self._row_at: dict[Position, int] = {}

    def run(self, rows: Sequence[int], records: Batch[Any], is_late: Callable[[], bool]) -> Outcomes:
        """Return an outcome for each record of a chunk; `rows` are their indexes in the whole batch."""
        self._row_at.update((records.position(index), row) for index, row in enumerate(rows))
        found = run_bisected(self._run_part, records, self._ahead, is_late)
        self._ahead.update(found.state)
        self._chunks.append((rows, found))
        self.failure = found.failure
        return found.outcomes

    def _run_part(self, part: Batch[Any], ahead: Mapping[str, bytes]) -> Staged:
        keys = self._pipeline.state_keys(part)
        self._load(keys)
        positions = [part.position(row) for row in range(len(part))]
        applied = [self._is_applied(key, position) for key, position in zip(keys, positions, strict=True)]
        fresh = [row for row, before in enumerate(applied) if not before]
        outcomes = Outcomes(len(part))
        for row, before in enumerate(applied):
            if before:
                outcomes.skip(row, "already_applied")
        if not fresh:
            return Stateless(outcomes)
        state = {key: stored.value for key in keys if (stored := self._stored[key])}
        state.update((key, ahead[key]) for key in keys if key in ahead)
        staged = self._pipeline.process_with(part.take(fresh, [part.records[row] for row in fresh]), state)
        check_outcomes(staged.outcomes, len(fresh))
        outcomes.extend(fresh, staged.outcomes)
        self._key_at.update((positions[row], keys[row]) for row in fresh)
        return _Part(outcomes, fresh, {keys[row] for row in fresh}, staged)

    def _load(self, keys: Iterable[str]) -> None:
        missing = {key: self._pipeline.stored_key(key) for key in keys if key not in self._stored}
        if missing:
            loaded = self._store.load(missing.values())
            self._stored.update((key, loaded.get(stored_key)) for key, stored_key in missing.items())

    def _is_applied(self, key: str, position: Position) -> bool:
        stored = self._stored[key]
        return stored is not None and position <= stored.last

    def commit(self, prefix: int, deadline: Deadline) -> tuple[int, MillraceError | None]:
        """Write the state as it is after the first `prefix` rows of the batch.

        Each key is committed by itself, several side by side: rows of a key that was committed come again too if they
        stand behind one that was not, and are then skipped as applied.

        Returns:
            The number of rows that are safe now, and a fault for a person to mend, if one made them fewer. Another
            writer's commit, or a lack of time, is not one: the batch comes again.
        """
        state, prefix, failure = self._state_after(prefix)
        touched: dict[str, list[Position]] = {}
        for position, key in self._key_at.items():
            if self._row_at[position] < prefix:
                touched.setdefault(key, []).append(position)
        kept_back: Counter[str] = Counter()
        wanted = {key: max(positions) for key, positions in touched.items() if key in state}
        errors = self._workers.run_all(  # with many keys the time goes into waiting
            lambda key: self._write(key, Stored(state[key], wanted[key]), deadline), list(wanted), COMMITS_AT_ONCE
        )
        for key, error in zip(wanted, errors, strict=True):
            if error is not None:
                kept_back[type(error).__name__] += 1
                prefix = min(prefix, *(self._row_at[position] for position in touched[key]))
                if not isinstance(error, (StateConflictError, DeadlineError)):
                    failure = failure or error
        if kept_back:  # one line: a throttled table keeps back the keys of thousands
            logger.warning("state not committed", extra={"row": prefix, "keys": dict(kept_back)})
        return prefix, failure

    def _state_after(self, prefix: int) -> tuple[dict[str, bytes], int, MillraceError | None]:
        """Return the state after the first `prefix` rows, or after fewer where a pipeline raises on it, and the reason.

        A pipeline was asked for its state after each whole chunk, and may still raise when it is cut within one: then
        the rows from that chunk on come again.
        """
        state: dict[str, bytes] = {}
        for rows, found in self._chunks:
            cut = bisect_left(rows, prefix)
            try:
                state.update(found.at(cut))
            except Exception as error:  # noqa: BLE001 - a pipeline may raise anything
                exception, prefix = type(error).__name__, rows[0]
                logger.error("pipeline raised on its state", extra={"exception": exception, "row": prefix, "cut": cut})
                if isinstance(error, MillraceError):
                    return state, prefix, error
                line = (
                    f"pipeline {self._pipeline.name}: `at({cut})` of the state from row {prefix} on raised {exception}"
                )
                return state, prefix, MillraceError(f"{line}: it must take any number up to {len(rows)}, its records")
        return state, prefix, None

    def _write(self, key: str, staged: Stored, deadline: Deadline) -> MillraceError | None:
        """Commit one key; return the reason if it is not committed."""
        if deadline.remaining_s() <= 0:
            return DeadlineError(f"state of {key!r}: no time left to commit it")
        stored = self._stored[key]
        try:
            self._store.commit(self._pipeline.stored_key(key), staged, stored.last if stored else None)
        except MillraceError as error:
            return error
        return None
