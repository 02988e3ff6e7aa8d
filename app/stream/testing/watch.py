"""Watch a run from outside of the code that is tested: what was delivered, taken and passed by a checkpoint."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING

from app.stream.aggregation import MAGIC, SubRecords, split
from app.stream.shards import SHARD_END

READ_WITHIN_S = 0.5  # a shard is read five times a second
CALM_WITHIN_S = 1.5  # and again a second after a fault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.stream.mapping.settling import Invocation
    from app.stream.shards import StartingPosition
    from app.stream.testing.evidence import Evidence
    from app.stream.testing.kinesis import Shard, SimulatedKinesis
    from app.stream.testing.simulation import Process


class Watch:
    """Turns what the services see into facts, and checks at once what is only visible then."""

    def __init__(self, evidence: Evidence, kinesis: SimulatedKinesis, note: Callable[[str], object]) -> None:
        """Take where facts go, the streams, and what adds a line to the trace."""
        self._evidence, self._kinesis, self._note = evidence, kinesis, note
        self._passed: dict[tuple[str, float, str], int] = {}  # behind the checkpoint, by stream, life, shard
        self._begun: set[tuple[str, float, str]] = set()  # shards of which records were delivered
        self._mapping: Process | None = None  # the one of which turns are counted
        self._served: set[str] = set()  # the shards that had one in it
        self._disturbances, self._calm_s = 0, 0.0  # after a fault a shard may not be read for a moment
        self._waited: Counter[str] = Counter()  # how many the others had, by shard

    def delivered(self, invocation: Invocation, *, by_owner: bool) -> list[int]:
        """Note a batch that the function is invoked with; return its records.

        Args:
            invocation: The batch and its shard.
            by_owner: Whether the process that invokes has the lease.
        """
        evidence, stream = self._evidence, invocation.run.shard.stream
        shards = {each.shard_id: each for each in self._kinesis.streams[stream].shards}
        shard = shards[invocation.run.shard.shard_id]
        life = stream, self._kinesis.streams[stream].created_s, shard.shard_id
        if life not in self._begun:
            self._begun.add(life)
            for parent in shard.parents:
                if left := self._unsafe(stream, shards[parent], 0, None):
                    evidence.wrong.append(
                        ("parents before children", f"{shard.shard_id} before {left[:10]} of {parent}")
                    )
        behind = self._passed.get(life, 0)
        passed = shard.numbers[behind - 1] if behind else -1
        found: list[int] = []
        for record in invocation.batch.records:
            rids = evidence.records_at(stream, record.sequence_number)
            found += rids
            if by_owner and int(record.sequence_number) <= passed:
                evidence.wrong.append(("nothing behind the checkpoint comes again", f"records {rids}"))
        evidence.deliveries.update(found)
        return found

    def check_turns(
        self, invocation: Invocation, mapping: Process, began_s: float, *, disturbances: int, now_s: float
    ) -> None:
        """Check that no shard waits for its first invocation while others have one after the other, one at a time.

        Args:
            invocation: The present one.
            mapping: The mapping's process.
            began_s: When the mapping began.
            disturbances: How many faults there were.
            now_s: Now.
        """
        name, shard_id = invocation.run.shard.stream, invocation.run.shard.shard_id
        stream = self._kinesis.streams[name]
        if mapping is not self._mapping:
            self._mapping, self._served, self._waited = mapping, set(), Counter()
        if disturbances != self._disturbances:
            self._disturbances, self._waited, self._calm_s = disturbances, Counter(), now_s + CALM_WITHIN_S
        self._served.add(shard_id)
        for shard in stream.shards:
            behind = self._passed.get((name, stream.created_s, shard.shard_id), 0)
            unread = shard.times_s[behind : behind + 1]
            is_read = unread and now_s >= self._calm_s and unread[0] <= max(began_s, now_s - READ_WITHIN_S)
            if shard.parents or shard.shard_id in self._served or not is_read:
                continue
            self._waited[shard.shard_id] += 1
            if self._waited[shard.shard_id] >= len(stream.shards):
                self._evidence.wrong.append(("each shard has its turn", f"{shard.shard_id} waits for its first"))

    def checkpointed(self, arn: str, positions: Mapping[str, StartingPosition]) -> None:
        """Check that every record that a checkpoint passes is safe."""
        name = arn.rpartition("/")[2]
        stream = self._kinesis.streams[name]
        for shard in stream.shards:
            position, life = positions.get(shard.shard_id), (name, stream.created_s, shard.shard_id)
            before = self._passed.get(life, 0)
            passed = _passed_by(position, shard, before)
            if passed <= before:
                continue
            if left := self._unsafe(name, shard, before, passed):
                self._evidence.wrong.append(("the checkpoint never passes an unsafe record", f"records {left[:10]}"))
            self._passed[life] = passed
            self._note(f"checkpoint of {name} {shard.shard_id[-2:]}: {passed} records")

    def took(self, stream: str, key: str, data: bytes) -> None:
        """Note a record that an output stream or the quarantine took: an output, or an aggregate of several."""
        found = split(data) if data.startswith(MAGIC) else None
        if isinstance(found, SubRecords):
            self._note(f"{stream} took {len(found.datas)} of {key} together")
            for sub_key, sub_data in zip(found.partition_keys, found.datas, strict=True):
                self._evidence.took(stream, sub_key, sub_data)
        else:
            self._note(f"{stream} took {data.decode()[:60]}")
            self._evidence.took(stream, key, data)

    def stored(self, name: str, data: bytes) -> None:
        """Note an object: of quarantined records, or of state."""
        self._note(f"object {name}, {len(data)} bytes")
        if name.endswith(".jsonl"):
            for line in data.splitlines():
                self._evidence.set_aside(line)

    def check_others(self, key: str, put_before_s: float, *, holds: bool) -> None:
        """Check that the records of other keys are safe.

        Args:
            key: A partition key whose state cannot be read or written.
            put_before_s: Later records need not be: seconds since 1970.
            holds: Whether the key holds its shard from its first record on, since it cannot be parked.
        """
        evidence = self._evidence
        for name, stream in self._kinesis.streams.items():
            for shard in stream.shards:
                stop = bisect_left(shard.times_s, put_before_s)
                if holds:
                    keys = [record["PartitionKey"] for record in shard.records[:stop]]
                    stop = 0 if shard.parents else keys.index(key) if key in keys else stop
                unsafe = self._unsafe(name, shard, 0, stop)
                if left := [rid for rid in unsafe if evidence.sent[rid].key != key]:
                    evidence.wrong.append(("a key's fault leaves other keys' progress", f"records {left[:10]}"))

    def all_passed(self, stream: str) -> bool:
        """Return whether a checkpoint is behind every record of a stream."""
        found = self._kinesis.streams[stream]
        return all(
            self._passed.get((stream, found.created_s, each.shard_id), 0) == len(each.records) for each in found.shards
        )

    def _unsafe(self, stream: str, shard: Shard, first: int, stop: int | None) -> list[int]:
        evidence = self._evidence
        return [
            rid
            for record in shard.records[first:stop]
            for rid in evidence.records_at(stream, record["SequenceNumber"])
            if not evidence.is_safe(rid)
        ]


def _passed_by(position: StartingPosition | None, shard: Shard, before: int) -> int:
    """Return how many of a shard's records are behind a position, if that is more than `before`."""
    if position is None:
        return before
    if position.type == SHARD_END:
        return len(shard.records)
    if not position.sequence_number:
        return before
    last = int(position.sequence_number)
    return next((at for at in range(before, len(shard.numbers)) if shard.numbers[at] > last), len(shard.numbers))
