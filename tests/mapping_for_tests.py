"""Fake Kinesis and the clock in memory, and record the events that a function is invoked with."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from app.stream.mapping import Mapping, MappingSettings
from app.stream.testing import FIRST_SEQUENCE_NUMBER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

STREAM = "events"
ARN = f"arn:aws:kinesis:us-east-1:123456789012:stream/{STREAM}"
SHARD = "shardId-000000000000"
HASHES = 2**16
BEGIN_S = 1_700_000_040.0  # a whole minute
ITERATOR_LIVES_S = 300


class FakeClock:
    """A clock that only `sleep` moves.

    Attributes:
        now_s: The service's time.
        ahead_s: How far this machine's clock is ahead of it.
    """

    def __init__(self, now_s: float = BEGIN_S) -> None:
        self.now_s = now_s
        self.ahead_s = 0.0
        self.then: list[tuple[float, Callable[[], object]]] = []

    def time(self) -> float:
        return self.now_s + self.ahead_s

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        while self.then and self.then[0][0] <= self.now_s:
            self.then.pop(0)[1]()

    def at(self, after_s: float, do: Callable[[], object]) -> None:
        """Call `do` this many seconds after the beginning."""
        self.then.append((BEGIN_S + after_s, do))
        self.then.sort(key=lambda each: each[0])


@dataclass
class FakeShard:
    """A shard with a range of hash keys, so that a reshard moves a key only to children of its shard."""

    shard_id: str
    hashes: range
    parents: tuple[str, ...] = ()
    records: list[dict[str, Any]] = field(default_factory=list)
    closed: bool = False


class FakeKinesis:
    """One stream with the methods of botocore's client that reading uses."""

    def __init__(self, clock: FakeClock, shards: int = 1) -> None:
        self.clock = clock
        step = HASHES // shards
        ranges = [range(step * n, HASHES if n == shards - 1 else step * (n + 1)) for n in range(shards)]
        self.shards = [FakeShard(f"shardId-{number:012d}", each) for number, each in enumerate(ranges)]
        self.fault: Callable[[str], str | None] = lambda _operation: None
        self.put_in_all = 0

    def put(self, payloads: Sequence[bytes | dict[str, Any]], keys: Sequence[str] | None = None) -> list[str]:
        """Put records on the open shards by key; return their sequence numbers."""
        numbers = []
        for row, payload in enumerate(payloads):
            key = keys[row] if keys else f"key-{self.put_in_all}"
            data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
            numbers.append(str(FIRST_SEQUENCE_NUMBER + self.put_in_all))
            record = {
                "SequenceNumber": numbers[-1],
                "PartitionKey": key,
                "Data": data,
                "ApproximateArrivalTimestamp": datetime.fromtimestamp(self.clock.now_s, UTC),
            }
            hashed = int(hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()[:4], 16)
            [shard] = [each for each in self.open if hashed in each.hashes]
            shard.records.append(record)
            self.put_in_all += 1
        return numbers

    @property
    def open(self) -> list[FakeShard]:
        """The open shards, ordered by range."""
        return sorted((shard for shard in self.shards if not shard.closed), key=lambda each: each.hashes.start)

    def split(self, index: int = 0) -> None:
        """Close an open shard and open two children."""
        parent = self.open[index]
        parent.closed = True
        middle = (parent.hashes.start + parent.hashes.stop) // 2
        for hashes in (range(parent.hashes.start, middle), range(middle, parent.hashes.stop)):
            self.shards.append(FakeShard(f"shardId-{len(self.shards):012d}", hashes, (parent.shard_id,)))

    def merge(self) -> None:
        """Close the first two shards and open one child of both."""
        first, second = self.open[:2]
        first.closed = second.closed = True
        hashes = range(first.hashes.start, second.hashes.stop)
        parents = (first.shard_id, second.shard_id)
        self.shards.append(FakeShard(f"shardId-{len(self.shards):012d}", hashes, parents))

    def describe_stream_summary(self, *, StreamName: str) -> dict[str, Any]:  # noqa: N803 - botocore's
        made = datetime.fromtimestamp(BEGIN_S, UTC)
        return {"StreamDescriptionSummary": {"StreamARN": ARN, "StreamCreationTimestamp": made, "Name": StreamName}}

    def get_paginator(self, _name: str) -> FakeKinesis:
        return self

    def paginate(self, *, StreamName: str) -> Iterator[dict[str, Any]]:  # noqa: ARG002, N803 - botocore's
        self._may_fail("ListShards")
        shown = []
        for shard in self.shards:
            parents = dict(zip(("ParentShardId", "AdjacentParentShardId"), shard.parents, strict=False))
            shown.append({"ShardId": shard.shard_id, **parents})
        yield {"Shards": shown, **self._dated()}

    def get_shard_iterator(self, *, ShardId: str, ShardIteratorType: str, **more: Any) -> dict[str, str]:  # noqa: N803
        [shard] = [each for each in self.shards if each.shard_id == ShardId]
        if more.get("Timestamp", 0) > self.clock.now_s:
            raise ClientError({"Error": {"Code": "InvalidArgumentException", "Message": "future"}}, "GetShardIterator")
        starts: dict[str, Callable[[dict[str, Any]], bool]] = {
            "TRIM_HORIZON": lambda _record: True,
            "LATEST": lambda _record: False,
            "AT_TIMESTAMP": lambda record: record["ApproximateArrivalTimestamp"].timestamp() >= more["Timestamp"],
            "AFTER_SEQUENCE_NUMBER": lambda record: int(record["SequenceNumber"]) > int(more["StartingSequenceNumber"]),
        }
        begins = starts[ShardIteratorType]
        at = next((row for row, record in enumerate(shard.records) if begins(record)), len(shard.records))
        return {"ShardIterator": f"{ShardId}/{at}/{self.clock.now_s}"}

    def get_records(self, *, ShardIterator: str, Limit: int) -> dict[str, Any]:  # noqa: N803 - botocore's
        self._may_fail("GetRecords")
        shard_id, at, made_s = ShardIterator.split("/")
        if self.clock.now_s - float(made_s) > ITERATOR_LIVES_S:
            raise ClientError({"Error": {"Code": "ExpiredIteratorException", "Message": ""}}, "GetRecords")
        [shard] = [each for each in self.shards if each.shard_id == shard_id]
        stop = min(len(shard.records), int(at) + Limit)
        answer: dict[str, Any] = {
            "Records": shard.records[int(at) : stop],
            "MillisBehindLatest": 0 if stop == len(shard.records) else 1000,
            **self._dated(),
        }
        if not (shard.closed and stop == len(shard.records)):
            answer["NextShardIterator"] = f"{shard_id}/{stop}/{self.clock.now_s}"
        return answer

    def _dated(self) -> dict[str, Any]:
        """The part of an answer that has the service's time, in whole seconds."""
        return {"ResponseMetadata": {"HTTPHeaders": {"date": formatdate(int(self.clock.now_s), usegmt=True)}}}

    def _may_fail(self, operation: str) -> None:
        code = self.fault(operation)
        if code:
            raise ClientError({"Error": {"Code": code, "Message": ""}}, operation)


class KeepingDestination:
    """An on-failure destination that keeps its records."""

    arn = "arn:aws:sqs:us-east-1:123456789012:failed"

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []

    def check(self) -> None: ...

    def send(self, record: Any, event: bytes, moment: datetime) -> None:  # noqa: ARG002 - the interface
        self.records.append(record)
        self.events.append(json.loads(event))


class Bench:
    """A stream in memory, a function with a given answer, and the mapping between them.

    Attributes:
        events: All events that the function was invoked with, decoded.
    """

    def __init__(self, shards: int = 1) -> None:
        self.clock = FakeClock()
        self.kinesis = FakeKinesis(self.clock, shards)
        self.kept = KeepingDestination()
        self.events: list[dict[str, Any]] = []
        self.answer: Callable[[dict[str, Any]], Any] = lambda _event: {}

    def function(self, raw: bytes, _context: Any) -> Any:
        event = json.loads(raw)
        self.events.append(event)
        return self.answer(event)

    def mapping(self, *, on_failure: bool = False, function: Any = None, **settings: Any) -> Mapping:
        more = {
            name: settings.pop(name)
            for name in ("checkpoint", "pool", "progress", "chance", "unique")
            if name in settings
        }
        more.setdefault("chance", lambda low, _high: low)
        return Mapping(
            MappingSettings(stream_name=STREAM, **settings),
            function or self.function,
            kinesis=self.kinesis,
            destination=self.kept if on_failure else None,
            clock=self.clock,
            **more,
        )

    def drain(self, **settings: Any) -> Mapping:
        """Run a mapping until the stream is empty."""
        mapping = self.mapping(**settings)
        mapping.run(drain=True)
        return mapping

    def run_for(self, seconds: float, **settings: Any) -> Mapping:
        """Run a mapping for this many seconds."""
        mapping = self.mapping(**settings)
        self.clock.at(self.clock.now_s - BEGIN_S + seconds, mapping.stop)
        mapping.run()
        return mapping

    @property
    def batches(self) -> list[list[Any]]:
        """The decoded records of each event."""
        return [payloads(event) for event in self.events]

    @property
    def sizes(self) -> list[int]:
        return [len(event["Records"]) for event in self.events]


def payloads(event: dict[str, Any]) -> list[Any]:
    """Return the decoded JSON of an event's records."""
    return [json.loads(base64.b64decode(record["kinesis"]["data"])) for record in event["Records"]]


def numbers(event: dict[str, Any]) -> list[str]:
    """Return the sequence numbers of an event's records."""
    return [record["kinesis"]["sequenceNumber"] for record in event["Records"]]


def failing(event: dict[str, Any], *indices: int) -> dict[str, Any]:
    """Return an answer that names the records at these indices as failed."""
    named = numbers(event)
    return {"batchItemFailures": [{"itemIdentifier": named[index]} for index in indices]}


def by_key(events: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """Return the payloads of each partition key, in order."""
    found: dict[str, list[Any]] = defaultdict(list)
    for event in events:
        for record, payload in zip(event["Records"], payloads(event), strict=True):
            found[record["kinesis"]["partitionKey"]].append(payload)
    return found
