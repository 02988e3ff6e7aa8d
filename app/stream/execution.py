"""A pipeline run over one batch: halved where it raises, its state staged, cut and committed."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from app.errors import DeadlineError, MillraceError, StateConflictError, UnreadableStateError
from app.storage.state import Position, StateStore, Stored
from app.stream.outcomes import Outcomes
from app.stream.pipeline_faults import text_of
from app.telemetry import logger
from app.text import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Future

    from app.storage.state import ShardOrigin
    from app.stream.batch import Batch
    from app.stream.deadline import Deadline
    from app.stream.origin import StreamOrigins
    from app.stream.pipeline import Pipeline, Staged, StatefulPipeline
    from app.stream.pipeline_faults import RaisedInARow
    from app.stream.workers import Workers

COMMITS_AT_ONCE = 8  # of different keys; botocore keeps ten connections
PIPELINE_ERROR = "pipeline_error"  # the reason of a record on which a pipeline raises


_Place: TypeAlias = tuple[str, Position]


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
    faults: RaisedInARow,
    is_late: Callable[[], bool] = lambda: False,
) -> BisectedOutcomes:
    """Run a pipeline over a batch; quarantine each record on which it raises.

    Where the state of a record's key cannot be read, that record and all after it are handed back: those before it,
    of other keys, go on. Where the pipeline raises for a reason that is no record's, the records on which it did are
    handed back too.

    Args:
        run: Called with a part of the batch and the state before it.
        batch: The records.
        state: The state before the batch.
        faults: Tells a record at fault from other faults.
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
            faults.passed()
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
            found.failure = faults.raised(error)
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
    """

    keys = 0

    def __init__(self, pipeline: Pipeline[Any], faults: RaisedInARow) -> None:
        """Take the pipeline, and what tells its faults apart."""
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

    A record whose position is not past the last one applied to its key from its shard was emitted and committed before:
    it is skipped, so a repeated or overlapping batch changes nothing. One that cannot be compared is never skipped.

    Attributes:
        failure: Why records were handed back, if a person must mend it.
    """

    def __init__(
        self,
        pipeline: StatefulPipeline[Any],
        store: StateStore,
        origins: StreamOrigins,
        workers: Workers,
        faults: RaisedInARow,
    ) -> None:
        """Take the parts; no state is loaded yet.

        Args:
            pipeline: The pipeline.
            store: The state between batches.
            origins: Says which positions can be compared.
            workers: Run the commits of different keys side by side.
            faults: Tells a record at fault from other faults.
        """
        self.failure: MillraceError | None = None
        self._pipeline, self._store, self._origins = pipeline, store, origins
        self._workers, self._faults = workers, faults
        self._stored: dict[str, Stored | None] = {}
        self._ahead: dict[str, bytes] = {}  # staged by earlier chunks
        self._chunks: list[tuple[Sequence[int], BisectedOutcomes]] = []
        self._key_at: dict[_Place, str] = {}
        self._row_at: dict[_Place, int] = {}
        self._stream_arn = ""
        self._origins_are_fresh = False

    @property
    def keys(self) -> int:
        """Return the number of state keys to commit so far."""
        return len(self._ahead)

    def run(self, rows: Sequence[int], records: Batch[Any], is_late: Callable[[], bool]) -> Outcomes:
        """Return an outcome for each record of a chunk; `rows` are their indexes in the whole batch."""
        self._stream_arn = records.stream_arn
        self._row_at.update((_place(records, index), row) for index, row in enumerate(rows))
        found = run_bisected(self._run_part, records, self._ahead, self._faults, is_late)
        self._ahead.update(found.state)
        self._chunks.append((rows, found))
        self.failure = found.failure
        return found.outcomes

    def _run_part(self, part: Batch[Any], ahead: Mapping[str, bytes]) -> Staged:
        keys = self._pipeline.state_keys(part)
        self._load(keys)
        applied = self._applied_before(part, keys)
        fresh = [row for row in range(len(part)) if row not in applied]
        outcomes = Outcomes(len(part))
        for row in applied:
            outcomes.skip(row, "already_applied")
        if not fresh:
            return Stateless(outcomes)
        state = {key: stored.value for key in keys if (stored := self._stored[key])}
        state.update((key, ahead[key]) for key in keys if key in ahead)
        staged = self._pipeline.process_with(part.take(fresh, [part.records[row] for row in fresh]), state)
        check_outcomes(staged.outcomes, len(fresh))
        outcomes.extend(fresh, staged.outcomes)
        self._key_at.update((_place(part, row), keys[row]) for row in fresh)
        return _Part(outcomes, fresh, {keys[row] for row in fresh}, staged)

    def _load(self, keys: Iterable[str]) -> None:
        """Read the states of keys that are not read yet; one that has none may have had another key before."""
        missing = {key: self._pipeline.stored_key(key) for key in keys if key not in self._stored}
        if not missing:
            return
        loaded = self._store.load(missing.values())
        former = {
            key: before for key in missing if missing[key] not in loaded and (before := self._pipeline.former_key(key))
        }
        earlier = self._store.load(former.values()) if former else {}
        for key, stored_key in missing.items():
            self._stored[key] = loaded.get(stored_key)
            stored = earlier.get(former.get(key, ""))
            if stored is not None and stored.former is not None:  # else it is not of an earlier release
                self._stored[key] = Stored(stored.value, revision=0)

    def _applied_before(self, part: Batch[Any], keys: Sequence[str]) -> set[int]:
        """Return the rows that were applied before.

        Skipping is the one step that could lose a record, so when the stream was created is asked anew before it.
        """
        rows = [row for row, key in enumerate(keys) if (stored := self._stored[key]) and stored.applied]
        applied = {row for row in rows if self._is_applied(part, row, keys[row])}
        if applied and not self._origins_are_fresh:
            self._origins_are_fresh = True
            self._origins.of(self._stream_arn, part.shards[0], again=True)
            applied = {row for row in rows if self._is_applied(part, row, keys[row])}
        return applied

    def _is_applied(self, part: Batch[Any], row: int, key: str) -> bool:
        stored = self._stored[key]
        return stored is not None and stored.has_applied(self._origin(part.shards[row]), part.position(row))

    def _origin(self, shard: str) -> ShardOrigin | None:
        return self._origins.of(self._stream_arn, shard)

    def commit(self, prefix: int, deadline: Deadline) -> tuple[int, MillraceError | None]:
        """Write the state as it is after the first `prefix` rows of the batch.

        Each key is committed by itself, several side by side: rows of a key that was committed come again too if they
        stand behind one that was not, and are then skipped as applied.

        Returns:
            The number of rows that are safe now, and a fault for a person to mend, if one made them fewer. Another
            writer's commit, or a lack of time, is not one: the batch comes again.
        """
        state, prefix, failure = self._state_after(prefix)
        touched: dict[str, list[_Place]] = {}
        for place, key in self._key_at.items():
            if self._row_at[place] < prefix:
                touched.setdefault(key, []).append(place)
        try:
            staged = {key: self._after(key, state[key], places) for key, places in touched.items() if key in state}
        except MillraceError as unknown_origin:
            return 0, unknown_origin
        kept_back: Counter[str] = Counter()
        for key, error in self._write_all(staged, deadline):
            if error is not None:
                kept_back[type(error).__name__] += 1
                prefix = min(prefix, *(self._row_at[place] for place in touched[key]))
                if not isinstance(error, (StateConflictError, DeadlineError)):
                    failure = failure or error
        if kept_back:  # one line: a throttled table keeps back the keys of thousands
            logger.warning("state not committed", extra={"row": prefix, "keys": dict(kept_back)})
        return prefix, failure

    def _after(self, key: str, value: bytes, places: Sequence[_Place]) -> Stored:
        """Return what to store for a key after the records at some places."""
        last: dict[ShardOrigin, Position] = {}
        for shard, position in places:
            origin = self._origin(shard)
            if origin is not None:
                last[origin] = max(position, last.get(origin, position))
        return (self._stored[key] or Stored(b"", revision=0)).after(value, last)

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

    def _write_all(
        self, staged: Mapping[str, Stored], deadline: Deadline
    ) -> Iterator[tuple[str, MillraceError | None]]:
        """Commit keys in order, several side by side; yield each with the reason if it is not committed."""
        waiting = deque(staged)
        calls: dict[Future[MillraceError | None], str] = {}
        while waiting or calls:
            while waiting and len(calls) < COMMITS_AT_ONCE and deadline.remaining_s() > 0:
                key = waiting.popleft()
                calls[self._workers.submit(self._write, key, staged[key])] = key
            if not calls or deadline.remaining_s() <= 0:
                break
            for call in self._workers.wait(list(calls), deadline.remaining_s()):
                yield calls.pop(call), call.result()
        ended = self._workers.wait(list(calls), 0) if calls else []
        for call, key in calls.items():
            yield key, call.result() if call in ended else _late(key)
        for key in waiting:
            yield key, _late(key)

    def _write(self, key: str, staged: Stored) -> MillraceError | None:
        """Commit one key; return the reason if it is not committed."""
        before = self._stored[key]
        try:
            is_new = before is None or not (before.revision or before.former)
            self._store.commit(self._pipeline.stored_key(key), staged, None if is_new else before)
        except MillraceError as error:
            return error
        return None


def _late(key: str) -> DeadlineError:
    return DeadlineError(f"state of {key!r}: no time left to commit it")


def _place(batch: Batch[Any], row: int) -> _Place:
    """Return a record's shard and its position there."""
    return batch.shards[row], batch.position(row)
