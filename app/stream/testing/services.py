"""The services that the spine calls, simulated: PutRecords, the state's table, objects, and the checkpoint's store."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import msgspec

from app.errors import (
    CloudError,
    CredentialsError,
    LocationError,
    StateConflictError,
    StateTooLargeError,
    UnreadableStateError,
)
from app.stream.puts import DEFAULT_RECORD_LIMIT_BYTES, PutAnswer, TransientError, refused_entries
from app.stream.testing import faults as kinds
from app.stream.testing.simulation import SimulatedCrash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from app.storage.state import MemoryState, Stored
    from app.stream.shards import StartingPosition
    from app.stream.testing.faults import FaultPlan
    from app.stream.testing.kinesis import SimulatedKinesis
    from app.stream.testing.simulation import Timeline


class SimulatedPutRecords:
    """PutRecords on simulated streams, as the writer calls it.

    Attributes:
        slowest_s: By how much later a call answers at most.
    """

    def __init__(
        self,
        kinesis: SimulatedKinesis,
        timeline: Timeline,
        plan: FaultPlan,
        accepted: Callable[[str, str, bytes], object],
        quarantine: str = "",
    ) -> None:
        """Take the streams.

        Args:
            kinesis: The streams.
            timeline: Simulated time.
            plan: Faults of the steps `put` and `put to quarantine`.
            accepted: Called with stream, key and data of each record that is taken.
            quarantine: The quarantine's stream, whose calls are a step of their own.
        """
        self._kinesis, self._timeline, self._plan = kinesis, timeline, plan
        self._accepted, self._quarantine = accepted, quarantine
        self.slowest_s = 0.0

    def put(self, stream: str, keys: Sequence[str], datas: Sequence[bytes]) -> Mapping[int, str]:
        """Take the entries that no fault meets."""
        kind = self._plan.at("put to quarantine" if stream == self._quarantine else "put")
        rng = self._timeline.rng
        self._timeline.delay_s = rng.uniform(0, self.slowest_s)
        if kind in {kinds.THROTTLED, kinds.ERROR}:
            raise TransientError("ProvisionedThroughputExceededException" if kind == kinds.THROTTLED else "HTTP 500")
        if kind == kinds.REFUSED:
            raise CredentialsError(f"stream {stream}: simulated: the credentials have expired")
        if kind == kinds.HANG:
            self._timeline.delay_s = 1e6
        elif kind == kinds.SLOW:
            self._timeline.delay_s = rng.uniform(0.5, 4.0)
        elif kind == kinds.ARRIVES_LATER:
            self._timeline.at(self._timeline.now_s + rng.uniform(0.05, 6.0), lambda: self._take(stream, keys, datas))
            raise TransientError("ReadTimeoutError")
        refused = self._refused(kind, len(keys))
        taken = [row for row in range(len(keys)) if row not in refused]
        self._take(stream, [keys[row] for row in taken], [datas[row] for row in taken])
        if kind == kinds.CRASH_AFTER:
            raise SimulatedCrash("after PutRecords")
        if kind == kinds.LATE_ERROR:
            raise TransientError("ReadTimeoutError")
        if not refused:
            return refused
        rows: list[dict[str, str]] = [
            {"ErrorCode": refused[row]} if row in refused else {"SequenceNumber": "1"} for row in range(len(keys))
        ]
        answer = {"FailedRecordCount": len(refused), "Records": rows}
        if kind == kinds.CONTRADICTION:
            answer = rng.choice(
                (
                    {"FailedRecordCount": 0, "Records": rows},
                    {"FailedRecordCount": 0, "Records": rows[1:]},
                    {"FailedRecordCount": 0, "Records": []},
                    {"FailedRecordCount": len(refused) + 1, "Records": rows},
                    {"FailedRecordCount": 0, "Records": [{} for _ in rows]},
                )
            )
        return refused_entries(msgspec.convert(answer, PutAnswer), len(keys))

    def record_limit_bytes(self, _stream: str) -> int:
        """Return the limit of all streams."""
        return DEFAULT_RECORD_LIMIT_BYTES

    def _refused(self, kind: str, count: int) -> dict[int, str]:
        if kind not in {kinds.SOME_THROTTLED, kinds.CONTRADICTION}:
            return {}
        rng = self._timeline.rng
        rows = [row for row in range(count) if rng.random() < 0.5] or [rng.randrange(count)]  # noqa: PLR2004 - half
        code = "ProvisionedThroughputExceededException" if rng.random() < 0.7 else "InternalFailure"  # noqa: PLR2004
        return dict.fromkeys(rows, code)

    def _take(self, stream: str, keys: Sequence[str], datas: Sequence[bytes]) -> None:
        """Put records on the stream, in an order that the service need not keep between keys."""
        records = [{"PartitionKey": key, "Data": data} for key, data in zip(keys, datas, strict=True)]
        if records:
            self._kinesis.put_records(StreamName=stream, Records=records)
            for key, data in zip(keys, datas, strict=True):
                self._accepted(stream, key, data)


class SimulatedState:
    """A table of state with faults.

    Attributes:
        table: What it holds.
        before: Called before each call, with the kind of its fault: other processes may go on here.
        is_damaged: Returns whether a key's item cannot be read now.
        is_too_large: Returns whether a key's value is too large to be written now.
        largest_bytes: The largest value that it takes.
    """

    def __init__(self, table: MemoryState, timeline: Timeline, plan: FaultPlan) -> None:
        """Take the table; several processes may share it."""
        self.table = table
        self.before: Callable[[str], object] = lambda _kind: None
        self.is_damaged: Callable[[str], bool] = lambda _key: False
        self.is_too_large: Callable[[str], bool] = lambda _key: False
        self.largest_bytes = 400_000
        self._timeline, self._plan = timeline, plan

    def load(self, keys: Iterable[str]) -> Mapping[str, Stored]:
        """Return the stored state of those keys that have one."""
        kind = self._plan.at("load state")
        self.before(kind)
        self._pass(kind)
        if kind == kinds.ERROR:
            raise CloudError("state table: simulated fault")
        found = dict(self.table.load(keys))
        damaged = {*itertools.islice(found, kind == kinds.UNREADABLE), *filter(self.is_damaged, found)}
        for key in sorted(damaged):
            fault = UnreadableStateError(f"state of {key!r}: simulated damage")
            found[key] = found[key]._replace(value=None, fault=fault)
        if kind == kinds.CRASH_AFTER:
            raise SimulatedCrash("after reading state")
        return found

    def check_size(self, key: str, value: bytes) -> None:
        """Check that a value can be committed."""
        del value
        if self.is_too_large(key):
            raise StateTooLargeError(f"state of {key!r}: simulated size")

    def commit(self, key: str, staged: Stored, before: Stored | None) -> None:
        """Write a key's state under the condition."""
        kind = self._plan.at("commit state")
        self.before(kind)
        self._pass(kind)
        if kind == kinds.ERROR:
            raise CloudError("state table: simulated fault")
        if kind == kinds.CONFLICT:
            raise StateConflictError(f"state of {key!r}: simulated conflict")
        if staged.value is not None and len(staged.value) > self.largest_bytes:
            raise StateTooLargeError(f"state of {key!r}: {len(staged.value)} bytes")
        self.table.commit(key, staged, before)
        if kind == kinds.CRASH_AFTER:
            raise SimulatedCrash("after writing state")
        if kind == kinds.LATE_ERROR:
            raise CloudError("state table: simulated time-out")

    def _pass(self, kind: str) -> None:
        self._timeline.spend(*((1.0, 8.0) if kind == kinds.SLOW else (0.002, 0.01)))


class SimulatedObjects:
    """Objects with faults.

    Attributes:
        kept: The objects by name.
    """

    root = "s3://simulated"

    def __init__(self, timeline: Timeline, plan: FaultPlan, stored: Callable[[str, bytes], object]) -> None:
        """Begin without objects; `stored` is called with each that is put."""
        self.kept: dict[str, bytes] = {}
        self._put_s: dict[str, float] = {}
        self._timeline, self._plan, self._stored = timeline, plan, stored

    def check(self) -> None:
        """Find nothing wrong."""

    def put(self, name: str, data: bytes) -> None:
        """Store an object."""
        kind = self._call("put object")
        self.kept[name], self._put_s[name] = data, self._timeline.now_s
        self._stored(name, data)
        self._after(kind)

    def get(self, name: str) -> bytes | None:
        """Return an object's bytes."""
        self._call("get object")
        return self.kept.get(name)

    def exists(self, name: str) -> bool:
        """Return whether there is an object of that name."""
        return name in self.kept

    def modified_s(self, name: str) -> float | None:
        """Return when an object was last put."""
        return self._put_s.get(name)

    def blocks(self, name: str) -> Iterator[bytes]:
        """Yield an object's bytes at once.

        Raises:
            LocationError: There is no object of that name.
        """
        data = self.get(name)
        if data is None:
            raise LocationError(f"{self.root}/{name}: there is no such object")
        if data:
            yield data

    def delete(self, name: str) -> None:
        """Delete an object."""
        kind = self._call("put object")
        self.kept.pop(name, None)
        self._after(kind)

    def names(self, prefix: str = "") -> Iterator[str]:
        """Yield the names that begin with a prefix."""
        yield from sorted(name for name in self.kept if name.startswith(prefix))

    def _call(self, step: str) -> str:
        kind = self._plan.at(step)
        self._timeline.spend(*((1.0, 8.0) if kind == kinds.SLOW else (0.01, 0.05)))
        if kind == kinds.ERROR:
            raise CloudError(f"{self.root}: simulated fault")
        return kind

    def _after(self, kind: str) -> None:
        if kind == kinds.CRASH_AFTER:
            raise SimulatedCrash("after a call of the objects")
        if kind == kinds.LATE_ERROR:
            raise CloudError(f"{self.root}: simulated time-out")


class SimulatedCheckpoint:
    """A mapping's checkpoint, which only the owner of the lease may write.

    Attributes:
        positions: By stream and creation, then by shard.
    """

    def __init__(self, plan: FaultPlan) -> None:
        """Begin without positions."""
        self.positions: dict[tuple[str, str], dict[str, StartingPosition]] = {}
        self.check_owner: Callable[[], object] = lambda: None
        self.saved: Callable[[str, Mapping[str, StartingPosition]], object] = lambda _arn, _positions: None
        self._plan = plan

    def load(self, stream_arn: str, created: str) -> dict[str, StartingPosition]:
        """Return how far an earlier process got."""
        return dict(self.positions.get((stream_arn, created), {}))

    def save(self, stream_arn: str, created: str, shards: Mapping[str, StartingPosition]) -> None:
        """Keep how far this process got."""
        self.check_owner()
        kind = self._plan.at("save checkpoint")
        self.positions[stream_arn, created] = dict(shards)
        self.saved(stream_arn, shards)
        if kind == kinds.CRASH_AFTER:
            raise SimulatedCrash("after saving the checkpoint")
