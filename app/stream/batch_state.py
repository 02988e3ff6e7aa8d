"""A stateful pipeline run over one batch: its state loaded, staged, cut and committed, key by key."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.errors import CloudError, DeadlineError, MillraceError, StateConflictError
from app.storage.state import LONGEST_KEY_BYTES, Stored
from app.stream.execution import BisectedOutcomes, Untouched, check_outcomes, run_bisected
from app.stream.origin import BatchOrigins
from app.stream.outcomes import Outcomes, Quarantine, Retry
from app.stream.parking import BatchParking, log_parked
from app.telemetry import logger
from app.text import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Future

    from app.storage.state import StateStore
    from app.stream.batch import Batch, Place
    from app.stream.deadline import Deadline
    from app.stream.origin import StreamOrigins
    from app.stream.pipeline import Staged, StatefulPipeline
    from app.stream.pipeline_faults import RaisedInARow
    from app.stream.workers import Workers

COMMITS_AT_ONCE = 8  # of different keys; botocore keeps ten connections
BAD_STATE_KEY = "bad_state_key"  # the reason of a record whose state key no table takes


@dataclass(slots=True)
class _Part:
    """The outcomes and the state of records of which some had been applied before, or are set aside."""

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
    The records of a parked key are set aside (`parking.py`).

    Attributes:
        failure: Why records were handed back, if a person must mend it.
        counts: Numbers for metrics: `keys_parked`, the keys that this batch parked.
    """

    def __init__(
        self,
        pipeline: StatefulPipeline[Any],
        store: StateStore,
        origins: StreamOrigins,
        workers: Workers,
        faults: RaisedInARow,
        *,
        batch: Batch[Any],
        can_park: bool = False,
        replayed_key: str | None = None,
    ) -> None:
        """Take the parts; no state is loaded yet.

        Args:
            pipeline: The pipeline.
            store: The state between batches.
            origins: Says which positions can be compared.
            workers: Run the commits of different keys side by side.
            faults: Tells a record at fault from other faults.
            batch: All records of the batch.
            can_park: Whether there is a quarantine for the records of parked keys.
            replayed_key: The parked key whose records these are; they are processed.
        """
        self.failure: MillraceError | None = None
        self.counts: Counter[str] = Counter()
        self._pipeline, self._store = pipeline, store
        self._origins, self._workers, self._faults, self._batch = BatchOrigins(origins, batch), workers, faults, batch
        self._replayed_key = replayed_key
        self._parking = BatchParking(self._origins, faults, workers.clock, can_park=can_park and replayed_key is None)
        self._stored: dict[str, Stored | None] = {}
        self._absent: set[str] = set()  # keys without an item
        self._impossible: dict[str, Quarantine] = {}  # keys that no table takes
        self._ahead: dict[str, bytes] = {}  # staged by earlier chunks
        self._chunks: list[tuple[Sequence[int], BisectedOutcomes]] = []
        self._key_at: dict[Place, str] = {}  # of the records that were processed
        self._row_at: dict[Place, int] = {}

    @property
    def keys(self) -> int:
        """Return the number of state keys to commit so far."""
        return len(self._ahead.keys() | self._parking.keys.keys())

    def run(self, rows: Sequence[int], records: Batch[Any], is_late: Callable[[], bool]) -> Outcomes:
        """Return an outcome for each record of a chunk; `rows` are their indexes in the whole batch."""
        self._row_at.update(zip(records.places(), rows, strict=True))
        parts = self._run_part, records, self._ahead, self._faults, is_late
        found = run_bisected(*parts, check=self._check_sizes, park=self._park_alone)
        self._ahead.update(found.state)
        self._chunks.append((rows, found))
        self.failure = found.failure
        return found.outcomes

    def _run_part(self, part: Batch[Any], ahead: Mapping[str, bytes]) -> Staged:
        keys, places = self._pipeline.state_keys(part), part.places()
        self._load(keys)
        outcomes = Outcomes(len(part))
        done = self._applied_before(places, keys)
        for row in done:
            outcomes.skip(row, "already_applied")
        for row, key in enumerate(keys):
            if row in done:
                continue
            outcome: Quarantine | Retry | None = self._impossible.get(key)
            if self._is_parked(key, ahead):
                self._key_at.pop(places[row], None)  # of an attempt that failed
                outcome = self._parking.set_aside(places[row], key, self._pipeline.stored_key(key))
            if outcome is not None:
                outcomes.set_aside[row] = outcome
                done.add(row)
        fresh = [row for row in range(len(part)) if row not in done]
        if not fresh:
            return Untouched(outcomes)
        state = self._state_before({keys[row]: None for row in fresh}, ahead)
        staged = self._pipeline.process_with(part.take(fresh, [part.records[row] for row in fresh]), state)
        check_outcomes(staged.outcomes, len(fresh))
        outcomes.extend(fresh, staged.outcomes)
        self._key_at.update((places[row], keys[row]) for row in fresh)
        if state.keys() - ahead.keys():
            self._faults.passed_with_state()
        return _Part(outcomes, fresh, {keys[row] for row in fresh}, staged)

    def _is_parked(self, key: str, ahead: Mapping[str, bytes]) -> bool:
        """Return whether a key is parked; park it if its value cannot be read."""
        stored = self._stored.get(key)
        if key not in self._parking.keys and key not in ahead and stored is not None and stored.fault is not None:
            self._parking.park(key, stored.fault)
        return key in self._parking.keys

    def _state_before(self, keys: Iterable[str], ahead: Mapping[str, bytes]) -> dict[str, bytes]:
        """Return the state of those keys that have one.

        Raises:
            UnreadableStateError: One cannot be read.
        """
        state: dict[str, bytes] = {}
        for key in keys:
            stored = self._stored[key]
            if key in ahead:
                state[key] = ahead[key]
            elif stored is not None and stored.fault is not None:
                raise stored.fault
            elif stored is not None and stored.value is not None:
                state[key] = stored.value
        return state

    def _load(self, keys: Iterable[str]) -> None:
        """Read the states of keys that are not read yet; one that has none may have had another key before."""
        missing: dict[str, str] = {}
        for key in keys:
            if key not in self._stored and key not in self._impossible and key not in missing:
                stored_key = self._pipeline.stored_key(key)
                if (fault := _fault_of(stored_key)) is None:
                    missing[key] = stored_key
                else:
                    self._impossible[key] = fault
        if not missing:
            return
        loaded = self._read(missing.values())
        found = {key: loaded.get(stored_key) for key, stored_key in missing.items()}
        for stored in filter(None, loaded.values()):
            self._origins.heed(stored)
        self._absent.update(key for key, stored in found.items() if stored is None)
        self._stored.update({**found, **self._earlier(found)})
        self._parking.load({key: stored for key, stored in found.items() if key != self._replayed_key})

    def _read(self, stored_keys: Iterable[str]) -> Mapping[str, Stored]:
        """Read states; what goes wrong in it is no record's fault, whatever it is.

        Raises:
            MillraceError: They cannot be read.
        """
        try:
            return self._store.load(stored_keys)
        except MillraceError:
            raise
        except Exception as error:
            raise CloudError(f"state: cannot be read, because of {type(error).__name__} in the store") from error

    def _earlier(self, found: Mapping[str, Stored | None]) -> dict[str, Stored]:
        """Return the state of keys without a value that an earlier release stored under another key."""
        former = {
            key: before
            for key, stored in found.items()
            if (stored is None or _is_unused(stored)) and (before := self._pipeline.former_key(key))
        }
        loaded = self._read(former.values()) if former else {}
        earlier: dict[str, Stored] = {}
        for key, former_key in former.items():
            stored = loaded.get(former_key)
            if stored is None:
                continue
            is_former = stored.former is not None or stored.fault is not None  # else not of an earlier release
            if is_former or (stored.value is not None and self._pipeline.is_former(key, stored.value)):
                start = found[key] or Stored(None, revision=0)
                earlier[key] = start._replace(value=stored.value, fault=stored.fault, applied=stored.applied)
        return earlier

    def _applied_before(self, places: Sequence[Place], keys: Sequence[str]) -> set[int]:
        """Return the rows that were applied before.

        Skipping is the one step that could lose a record, so when the stream was created is asked anew before it.
        """
        rows = [row for row, key in enumerate(keys) if (stored := self._stored.get(key)) and stored.applied]
        applied = {row for row in rows if self._is_applied(places[row], keys[row])}
        if applied and self._origins.ask_anew():
            applied = {row for row in rows if self._is_applied(places[row], keys[row])}
        return applied

    def _is_applied(self, place: Place, key: str) -> bool:
        shard, position = place
        stored = self._stored[key]
        return stored is not None and stored.has_applied(self._origins.of(shard), position)

    def _check_sizes(self, state: Mapping[str, bytes]) -> None:
        for key, value in state.items():
            self._store.check_size(self._pipeline.stored_key(key), value)

    def _park_alone(self, record: Batch[Any], fault: MillraceError) -> bool:
        """Park the key of a record that stands alone; return False if that is impossible."""
        [key] = self._pipeline.state_keys(record)
        return key in self._stored and self._parking.park(key, fault)

    def commit(self, prefix: int, deadline: Deadline) -> tuple[int, MillraceError | None]:
        """Write the state as it is after the first `prefix` rows of the batch.

        Each key is committed by itself, several side by side: rows of a key that was committed come again too if they
        stand behind one that was not, and are then skipped as applied.

        Returns:
            The number of rows that are safe now, and a fault for a person to mend, if one made them fewer. Another
            writer's commit, or a lack of time, is not one: the batch comes again.
        """
        state, prefix, failure = self._state_after(prefix)
        touched: dict[str, list[Place]] = {}
        places = [*self._key_at.items(), *self._parking.places()]
        for place, key in sorted(places, key=lambda each: self._row_at[each[0]]):  # keys in order of first records
            if self._row_at[place] < prefix:
                touched.setdefault(key, []).append(place)
        try:
            if self._replayed_key is not None and prefix:  # it is written even if no record of it could be processed
                self._load([self._replayed_key])
                touched[self._replayed_key] = self._batch.places()[:prefix]
            staged = {
                key: after
                for key, places in touched.items()
                if (after := self._after(key, state.get(key), places)) is not None
            }
        except MillraceError as unknown_origin:
            return 0, unknown_origin
        kept_back: Counter[str] = Counter()
        for key, error in self._write_all(staged, deadline):
            if error is None:
                self._note(key, staged[key])
                continue
            kept_back[type(error).__name__] += 1
            prefix = min(prefix, *(self._row_at.get(place, 0) for place in touched[key]))
            if not isinstance(error, (StateConflictError, DeadlineError)):
                failure = failure or error
        if kept_back:  # one line: a throttled table keeps back the keys of thousands
            logger.warning("state not committed", extra={"row": prefix, "keys": dict(kept_back)})
        return prefix, failure

    def _after(self, key: str, value: bytes | None, places: Sequence[Place]) -> Stored | None:
        """Return what to store for a key after the records at some places; None: nothing."""
        before = self._stored[key] or Stored(None, revision=0)
        processed = self._origins.located(place for place in places if self._key_at.get(place) == key)
        staged = before.after(value, {} if value is None else dict(processed))  # the last of each shard counts
        if key == self._replayed_key and before.parked is not None:
            return staged._replace(parked=before.parked.without_records(self._origins.located(places)))
        mark = self._parking.mark_after(key, places)
        if mark is not None:
            return staged._replace(parked=mark)
        return None if value is None else staged

    def _note(self, key: str, staged: Stored) -> None:
        """Count and log a key that this batch parked."""
        before = self._stored[key]
        if staged.parked is not None and (before is None or before.parked is None):
            self.counts["keys_parked"] += 1
            log_parked(self._pipeline.stored_key(key), staged.parked)

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
        if len(ended) < len(calls):
            self._workers.renew()  # a table that never answers must not keep the next batch's calls waiting
        for call, key in calls.items():
            yield key, call.result() if call in ended else _late(key)
        for key in waiting:
            yield key, _late(key)

    def _write(self, key: str, staged: Stored) -> MillraceError | None:
        """Commit one key; return the reason if it is not committed."""
        before = self._stored[key]
        try:
            self._store.commit(self._pipeline.stored_key(key), staged, None if key in self._absent else before)
        except MillraceError as error:
            return error
        except Exception as error:  # noqa: BLE001 - the other keys are to be committed all the same
            return CloudError(f"state: cannot be committed, because of {type(error).__name__} in the store")
        return None


def _is_unused(stored: Stored) -> bool:
    """Return whether an item never had a value: it was made for the mark of a key whose state is elsewhere."""
    had_one = stored.applied or (stored.parked is not None and stored.parked.begun_anew)
    return stored.value is None and stored.fault is None and not had_one


def _fault_of(stored_key: str) -> Quarantine | None:
    """Return the fault of a record whose state key no table takes."""
    try:
        size = len(stored_key.encode())
    except UnicodeEncodeError:
        return Quarantine(BAD_STATE_KEY, "its state key is no text that UTF-8 can encode")
    if size <= LONGEST_KEY_BYTES:
        return None
    return Quarantine(BAD_STATE_KEY, f"its state key has {size} bytes with its namespace, above {LONGEST_KEY_BYTES}")


def _late(key: str) -> DeadlineError:
    return DeadlineError(f"state of {key!r}: no time left to commit it")
