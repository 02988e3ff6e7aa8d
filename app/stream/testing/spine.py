"""The public test kit: a pipeline on the delivery spine, with streams, quarantine and state in memory.

    spine = MemorySpine(TemperatureAlarms())
    spine.run([b'{"sensor": "s1", "celsius": 81}'], ["s1"])
    assert spine.outputs("alarms") == [...]

Decoding, bisection, ids, ordering, quarantine, acknowledgement and the commit of state are those of production; only
the services are stand-ins. They can be made to fail on demand, which the real ones cannot.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from app.settings import DEFAULT_ROLE, Settings
from app.storage.state import MemoryState
from app.stream.aggregation import user_records
from app.stream.aggregation_rows import Splitter
from app.stream.deadline import Deadline
from app.stream.emit import Writer
from app.stream.event import read_event
from app.stream.mapping.event import build_event
from app.stream.origin import StreamOrigins
from app.stream.pipeline import StatefulPipeline
from app.stream.processor import Processor
from app.stream.puts import DEFAULT_RECORD_LIMIT_BYTES
from app.stream.quarantine import QuarantineDestination
from app.stream.testing.simulation import SimulatedCrash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from app.storage.objects import Objects
    from app.storage.state import StateStore, Stored
    from app.stream.pipeline import AnyPipeline
    from app.stream.processor import Result

FIRST_SEQUENCE_NUMBER = 49_600_000_000_000_000_000_000_000_000_000_000_000_000_000_000_000_000_000
CREATED_MS = 1_767_225_600_000  # every stream's creation: 2026-01-01, when its records arrive
WITHIN_S = 5.0  # for one event: far more than a test's pipeline needs, so that a hanging one fails soon

Step: TypeAlias = Literal["put", "commit", "acknowledge"]


class FakeStreams:
    """Streams in memory in place of Kinesis's PutRecords.

    Attributes:
        records: What each stream accepted, in order, as (partition key, data).
        calls: The size of each call, in records.
    """

    def __init__(
        self, fault: Callable[[str, Sequence[str]], Mapping[int, str]] | None = None, limit_kib: int = 1024
    ) -> None:
        """Take a plan of faults.

        Args:
            fault: Called with a call's stream and keys; returns the error codes of the entries to refuse, by index,
                or raises what a call may raise. None accepts everything.
            limit_kib: The largest record that each stream takes.
        """
        self.records: dict[str, list[tuple[str, bytes]]] = defaultdict(list)
        self.calls: list[int] = []
        self.fault, self._limit_bytes = fault, limit_kib * 1024
        self._lock = threading.Lock()

    def put(self, stream: str, keys: Sequence[str], datas: Sequence[bytes]) -> Mapping[int, str]:
        """Accept the entries that the plan does not refuse; concurrent calls take turns."""
        with self._lock:
            self.calls.append(len(keys))
            refused = self.fault(stream, keys) if self.fault else {}
            self.records[stream] += [
                (key, data) for row, (key, data) in enumerate(zip(keys, datas, strict=True)) if row not in refused
            ]
            return refused

    def record_limit_bytes(self, _stream: str) -> int:
        """Return the largest record, which is equal for every stream."""
        return max(self._limit_bytes, DEFAULT_RECORD_LIMIT_BYTES)


class MemorySpine:
    """Runs a pipeline over records of one shard, event by event, as Lambda would.

    Attributes:
        streams: What was put, by stream.
        store: The state between events; a `MemoryState` unless another is given.
        settings: Each of the pipeline's roles has a stream of the same name; the default role, if it is one of them,
            has `output`.
    """

    def __init__(
        self,
        pipeline: AnyPipeline,
        streams: FakeStreams | None = None,
        *,
        quarantine_stream: str = "quarantine",
        objects: Objects | None = None,
        store: StateStore | None = None,
        **settings: Any,  # noqa: ANN401 - fields of Settings, each of its own type
    ) -> None:
        """Take a pipeline, ready for records.

        Args:
            pipeline: The pipeline, as its `open` returns it.
            streams: Streams that fail on demand.
            quarantine_stream: The quarantine's stream; an empty string leaves it out.
            objects: The quarantine's location, besides or in place of the stream.
            store: The state store.
            settings: Other settings, such as `test_run=True`.
        """
        self.streams = FakeStreams() if streams is None else streams
        self.store = MemoryState() if store is None else store
        named = {role: role for role in pipeline.roles if role != DEFAULT_ROLE}
        output = "output" if DEFAULT_ROLE in pipeline.roles else ""
        self.settings = Settings(**{"output_stream": output, "output_streams": named, **settings})
        self._pipeline, self._quarantine = pipeline, QuarantineDestination(quarantine_stream, objects)
        self._next = 0
        self.processor = self._processor(self.store)

    def run(
        self,
        payloads: Sequence[bytes],
        keys: Sequence[str] | None = None,
        *,
        start: int | None = None,
        seconds: float = WITHIN_S,
    ) -> Result:
        """Process one event.

        Args:
            payloads: The records, as a producer puts them.
            keys: Their partition keys; without them each record has its own.
            start: The first record's index in the shard. By default the records follow those of the last event; give an
                earlier index for records that are delivered again.
            seconds: The time for it.

        Returns:
            The result: `acknowledged` says how many records from the first one on are safe.

        Raises:
            MillraceError: Nothing of the event could be made safe, for a reason that a person must mend.
        """
        return self.run_event(self._event(payloads, keys, start), seconds)

    def run_event(self, event: bytes, seconds: float = WITHIN_S) -> Result:
        """Process an event as Lambda delivers it; `run` makes one from payloads."""
        return self._run(self.processor, event, seconds)

    def run_and_crash(
        self, before: Step, payloads: Sequence[bytes], keys: Sequence[str] | None = None, *, start: int | None = None
    ) -> None:
        """Process one event in a process that ends before a step, so that nothing of the event is acknowledged.

        Run the same records with the same `start` afterwards, as the mapping would deliver them again. Before `put`
        nothing was accepted or written; before `commit` outputs were accepted and no state was written; before
        `acknowledge` both have happened.

        Args:
            before: The step that is not reached.
            payloads: As in `run`, like the others.
            keys: Partition keys.
            start: The first record's index in the shard.
        """
        event = self._event(payloads, keys, start)
        fault = self.streams.fault
        store: StateStore = self.store if before == "acknowledge" else _CrashingState(self.store)
        if before == "put":
            self.streams.fault = _crash
        try:
            self._run(self._processor(store), event, WITHIN_S)
        except SimulatedCrash:
            pass
        finally:
            self.streams.fault = fault

    def outputs(self, role: str = DEFAULT_ROLE) -> list[dict[str, Any]]:
        """Return the outputs of a role, decoded, in the order in which its stream accepted them."""
        records = self.streams.records[self.settings.stream_for(role)]
        return [msgspec.json.decode(each) for _, data in records for each in user_records(data)]

    def quarantined(self) -> list[dict[str, Any]]:
        """Return the records on the quarantine's stream, decoded."""
        return [msgspec.json.decode(data) for _, data in self.streams.records[self._quarantine.stream]]

    def state(self, key: str) -> bytes | None:
        """Return the committed state of one of the pipeline's state keys."""
        if not isinstance(self._pipeline, StatefulPipeline):
            return None
        stored_key = self._pipeline.stored_key(key)
        stored = self.store.load([stored_key]).get(stored_key)
        return stored.value if stored else None

    def _processor(self, store: StateStore) -> Processor:
        parts = self._pipeline, Writer(self.streams), self._quarantine, self.settings
        return Processor(*parts, store=store, origins=StreamOrigins(lambda _: CREATED_MS))

    def _event(self, payloads: Sequence[bytes], keys: Sequence[str] | None, start: int | None) -> bytes:
        first = self._next if start is None else start
        self._next = max(self._next, first + len(payloads))
        return event_of(payloads, keys, start=first)

    @staticmethod
    def _run(processor: Processor, event: bytes, seconds: float) -> Result:
        batch, faults, _ = Splitter(how=processor.settings.record_split).split(*read_event(event))
        return processor.process(batch, faults, Deadline(seconds))


class _CrashingState:
    """State that is read, and whose process ends when it would be written."""

    def __init__(self, store: StateStore) -> None:
        self._store = store

    def load(self, keys: Iterable[str]) -> Mapping[str, Stored]:
        return self._store.load(keys)

    def check_size(self, key: str, value: bytes) -> None:
        self._store.check_size(key, value)

    def commit(self, *_: Any, **__: Any) -> None:  # noqa: ANN401 - whatever the state store takes
        raise SimulatedCrash


def event_of(
    payloads: Sequence[bytes], keys: Sequence[str] | None = None, *, stream: str = "input", start: int = 0
) -> bytes:
    """Return an event that holds these payloads.

    Args:
        payloads: Raw bytes, one for each record.
        keys: Partition keys; without them each record has its own.
        stream: The stream's name.
        start: The index of the first record in its shard; it determines the sequence numbers.
    """
    arrived = datetime(2026, 1, 1, tzinfo=UTC)
    return build_event(
        stream,
        "shardId-000000000000",
        [
            {
                "PartitionKey": keys[row] if keys else f"key-{start + row}",
                "SequenceNumber": str(FIRST_SEQUENCE_NUMBER + start + row),
                "Data": payload,
                "ApproximateArrivalTimestamp": arrived,
            }
            for row, payload in enumerate(payloads)
        ],
    )


def sequence_number(index: int) -> str:
    """Return the sequence number of the record at an index in `event_of`'s shard."""
    return str(FIRST_SEQUENCE_NUMBER + index)


def _crash(_stream: str, _keys: Sequence[str]) -> Mapping[int, str]:
    raise SimulatedCrash
