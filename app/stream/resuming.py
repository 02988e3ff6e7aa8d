"""Records of a parked state key, processed in their order once its fault is mended; `parking.py` has the steps."""

from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

from app.errors import QuarantineError, SettingsError, StateConflictError, UnacknowledgedError
from app.storage.state import LONGEST_HOLD_S, Position
from app.stream.batch import Batch
from app.stream.deadline import SYSTEM_CLOCK, WITHOUT_CONTEXT_S, Deadline
from app.stream.origin import StreamOrigins
from app.stream.pipeline import StatefulPipeline
from app.stream.processor import Processor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from app.storage.state import Parked, ShardOrigin, StateStore
    from app.stream.deadline import Clock
    from app.stream.quarantine import QuarantinedRecord

RECORDS_AT_ONCE = 500  # as many as one call of PutRecords takes
SHORTEST_HOLD_S = 60.0  # a shard waits no longer than the resumption takes, or until this has passed if it is killed
TRIES = 10  # without progress: another writer of the key passes, a stream that takes nothing does not


class _Waiting(NamedTuple):
    """A record that waits, and the shard that it came from."""

    record: QuarantinedRecord
    origin: ShardOrigin
    position: Position

    @property
    def stream(self) -> tuple[str, int]:
        """Return the stream's ARN and creation."""
        return self.origin.stream_arn, self.origin.created_ms


class Resumption:
    """Processes the records that wait for parked keys; it may be stopped anywhere, and run beside other processes."""

    def __init__(
        self,
        store: StateStore,
        processor_for: Callable[[str], Processor],
        read: Callable[[], Iterable[QuarantinedRecord]],
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Take the parts.

        Args:
            store: The state.
            processor_for: Returns the processor of a stream's records.
            read: Reads the quarantine anew. What it returns is sorted by stream, sequence number and sub-sequence
                number, and can be iterated again.
            clock: Says until when further records are handed back.
        """
        self._store, self._processor_for, self._read, self._clock = store, processor_for, read, clock

    def resume(self, key: str, *, without_missing: bool = False) -> int:
        """Process the records that wait for a key, until it is no longer parked.

        Args:
            key: The key, as it is in the table.
            without_missing: Go on although records that wait are not in the quarantine any more.

        Returns:
            The number of records that were processed; 0 if the key is not parked.

        Raises:
            QuarantineError: Records that wait are not in the quarantine.
            SettingsError: A record's pipeline is not the one that reads its stream.
            UnacknowledgedError: Nothing could be made safe, several times in a row.
            MillraceError: The fault is not mended, or another one keeps the records from being processed.
        """
        replayed = 0
        while (parked := self._mark(key)) is not None:
            began_s = self._clock.monotonic()
            records = self._read()  # after the mark, so that every record that it names is there
            found = sum(1 for _ in self._waiting(records, key, parked))
            if found < parked.records:
                if not without_missing:
                    raise QuarantineError(
                        f"{parked.records - found} of {parked.records} records that wait for {key!r} are not in the "
                        "quarantine: set QUARANTINE_STREAM and QUARANTINE_LOCATION as the function has them; if the "
                        "records are lost, go on with --without-missing"
                    )
                self._forget(key, parked.records - found)
                continue
            for _, of_stream in itertools.groupby(self._waiting(records, key, parked), lambda each: each.stream):
                while some := list(itertools.islice(of_stream, RECORDS_AT_ONCE)):
                    replayed += self._replay(key, some)
            self._hold(key, began_s)  # if it is parked still: further records were set aside meanwhile
        return replayed

    def _mark(self, key: str) -> Parked | None:
        stored = self._store.load([key]).get(key)
        return stored.parked if stored else None

    def _waiting(self, records: Iterable[QuarantinedRecord], key: str, parked: Parked) -> Iterator[_Waiting]:
        """Yield the records that a mark names, in order."""
        for record in records:
            source = record.source
            if record.parked_key != key or record.data is None or not source.sequence_number.isdecimal():
                continue
            position = Position(int(source.sequence_number), source.sub_sequence_number)
            for origin in parked.shards:
                is_there = origin.shard == source.shard and origin.stream_arn.endswith(f"/{source.stream}")
                if is_there and parked.has(origin, position):
                    yield _Waiting(record, origin, position)
                    break

    def _pipeline_of(self, record: QuarantinedRecord) -> StatefulPipeline[Any]:
        """Return the pipeline that a record waits for."""
        pipeline = self._processor_for(record.source.stream).pipeline
        if pipeline.name != record.stage or not isinstance(pipeline, StatefulPipeline):
            raise SettingsError(
                f"records of {record.source.stream} wait for pipeline {record.stage}, and {pipeline.name} would read "
                f"them: set PIPELINES={record.source.stream}:{record.stage}, or PIPELINE"
            )
        return pipeline

    def _replay(self, key: str, waiting: Sequence[_Waiting]) -> int:
        """Process records of one stream; return their number once none of them waits."""
        usual, created_ms = self._processor_for(waiting[0].record.source.stream), waiting[0].origin.created_ms
        pipeline = self._pipeline_of(waiting[0].record)
        processor = Processor(
            pipeline,
            usual.writer,
            usual.quarantine,
            usual.settings,
            store=self._store,
            origins=StreamOrigins(lambda _: created_ms),  # of the life that the records are of
        )
        left, tries = list(waiting), 0
        while left:
            began_s = self._clock.monotonic()
            deadline = Deadline(WITHOUT_CONTEXT_S, processor.writer.workers.clock.monotonic)
            result = processor.process(_batch_of(left), {}, deadline, replayed_key=pipeline.state_key(key))
            parked, before = self._mark(key), len(left)
            left = [each for each in left if parked is not None and parked.has(each.origin, each.position)]
            if len(left) < before:
                tries = 0
                continue
            tries += 1
            if tries > TRIES:
                reason = result.failure or result.transient_code or "another writer of the key is always first"
                raise UnacknowledgedError(f"{before} records that wait for {key!r} are not safe: {reason}")
            self._hold(key, began_s)
        return len(waiting)

    def _forget(self, key: str, missing: int) -> None:
        """Subtract records that are in no quarantine from a mark's count."""

        def without_missing(parked: Parked) -> Parked | None:
            records = parked.records - missing
            return parked._replace(records=records) if records > 0 else None

        self._change(key, without_missing)

    def _hold(self, key: str, began_s: float) -> None:
        """Let further records be handed back for longer than has passed since then; try it a few times.

        Each record that is set aside changes the mark, so that a longer commit, of records that wait, fails.
        """
        hold_s = min(LONGEST_HOLD_S, max(SHORTEST_HOLD_S, 2 * (self._clock.monotonic() - began_s)))
        until_s = int(self._clock.time() + hold_s)
        for _ in range(TRIES):
            with contextlib.suppress(StateConflictError):  # another record was set aside in this moment
                self._change(key, lambda parked: parked._replace(held_until_s=until_s))
                return

    def _change(self, key: str, change: Callable[[Parked], Parked | None]) -> None:
        """Change a key's mark, if it has one.

        Raises:
            StateConflictError: Another writer was first.
        """
        stored = self._store.load([key])[key]
        if stored.parked is not None:
            mark = change(stored.parked)
            self._store.commit(key, stored._replace(value=None, revision=stored.revision + 1, parked=mark), stored)


def _batch_of(waiting: Sequence[_Waiting]) -> Batch[None]:
    """Return records as the batch of an event, at their original positions."""
    records = [each.record for each in waiting]
    sources = [record.source for record in records]
    return Batch(
        sources[0].stream,
        [source.shard for source in sources],
        [source.sequence_number for source in sources],
        [source.sub_sequence_number for source in sources],
        [source.partition_key for source in sources],
        [source.arrived_s for source in sources],
        [record.data or b"" for record in records],
        [],
        waiting[0].origin.stream_arn,
    )
