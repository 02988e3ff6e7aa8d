"""Kinesis, simulated: the part of boto3's client that Millrace calls, on a timeline and with a plan of faults."""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from app.stream.testing import faults as kinds
from app.stream.testing.spine import FIRST_SEQUENCE_NUMBER

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from app.stream.testing.faults import FaultPlan
    from app.stream.testing.simulation import Timeline

HASH_KEYS = 2**128
ITERATOR_S = 300.0  # an iterator is good for five minutes
ACCOUNT = "123456789012"
_ONE_STREAM_LATER = 10**40  # the sequence numbers of a stream made anew begin elsewhere


@dataclass(slots=True)
class Shard:
    """A shard: the records of a range of hash keys, in order."""

    shard_id: str
    first: int
    last: int
    parents: tuple[str, ...] = ()
    closed: bool = False
    opened_at: int = 0
    closed_at: int | None = None
    records: list[dict[str, Any]] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    times_s: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Stream:
    """A stream: its shards, open and closed, and the sequence number that comes next."""

    name: str
    created_s: float
    next_number: int
    shards: list[Shard] = field(default_factory=list)

    def shard_of(self, key: str, explicit: str | None = None) -> Shard:
        """Return the open shard of a record."""
        hashed = int(explicit) if explicit is not None else hash_key(key)
        return next(each for each in self.shards if not each.closed and each.first <= hashed <= each.last)


class SimulatedKinesis:
    """Streams with the methods of boto3's client, named and answered as there.

    Attributes:
        streams: The streams by name.
        numbers_grow: Whether a stream made later has higher sequence numbers, as Kinesis gives in practice.
    """

    def __init__(self, timeline: Timeline, plan: FaultPlan) -> None:
        """Begin without streams."""
        self.streams: dict[str, Stream] = {}
        self.numbers_grow = False
        self._timeline, self._plan, self._made = timeline, plan, 0

    def create_stream(self, *, StreamName: str, ShardCount: int = 1) -> dict[str, Any]:  # noqa: N803 - boto3's names
        """Make a stream, which is active at once."""
        if StreamName in self.streams:
            raise fault_of("ResourceInUseException", "CreateStream")
        step_to_next = _ONE_STREAM_LATER if self.numbers_grow else -_ONE_STREAM_LATER
        first = FIRST_SEQUENCE_NUMBER + self._made * step_to_next
        self._made += 1
        stream = self.streams[StreamName] = Stream(StreamName, self._timeline.now_s, first)
        step = HASH_KEYS // ShardCount
        for index in range(ShardCount):
            last = HASH_KEYS - 1 if index == ShardCount - 1 else step * (index + 1) - 1
            self._open(stream, step * index, last)
        return {}

    def delete_stream(self, *, StreamName: str) -> dict[str, Any]:  # noqa: N803 - boto3's names
        """Delete a stream with its records."""
        self._stream(StreamName, "DeleteStream")
        del self.streams[StreamName]
        return {}

    def split_shard(self, *, StreamName: str, ShardToSplit: str, NewStartingHashKey: str) -> dict[str, Any]:  # noqa: N803
        """Close a shard and open two children."""
        stream = self._stream(StreamName, "SplitShard")
        parent = self._open_shard(stream, ShardToSplit, "SplitShard")
        middle = int(NewStartingHashKey)
        if not parent.first < middle <= parent.last:
            raise fault_of("InvalidArgumentException", "SplitShard")
        self._close(stream, parent)
        self._open(stream, parent.first, middle - 1, (parent.shard_id,))
        self._open(stream, middle, parent.last, (parent.shard_id,))
        return {}

    def merge_shards(self, *, StreamName: str, ShardToMerge: str, AdjacentShardToMerge: str) -> dict[str, Any]:  # noqa: N803
        """Close two adjacent shards and open their child."""
        stream = self._stream(StreamName, "MergeShards")
        one = self._open_shard(stream, ShardToMerge, "MergeShards")
        other = self._open_shard(stream, AdjacentShardToMerge, "MergeShards")
        low, high = sorted((one, other), key=lambda each: each.first)
        if low.last + 1 != high.first:
            raise fault_of("InvalidArgumentException", "MergeShards")
        self._close(stream, one)
        self._close(stream, other)
        self._open(stream, low.first, high.last, (one.shard_id, other.shard_id))
        return {}

    def put_records(self, *, StreamName: str, Records: Sequence[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        """Put records, all of them."""
        stream = self._stream(StreamName, "PutRecords")
        rows = [self._append(stream, record) for record in Records]
        return {"FailedRecordCount": 0, "Records": rows}

    def put_record(self, *, StreamName: str, **record: Any) -> dict[str, Any]:  # noqa: ANN401, N803 - boto3's names
        """Put one record."""
        return self._append(self._stream(StreamName, "PutRecord"), record)

    def describe_stream_summary(self, *, StreamName: str) -> dict[str, Any]:  # noqa: N803 - boto3's names
        """Describe a stream."""
        stream = self._stream(StreamName, "DescribeStreamSummary")
        summary = {
            "StreamName": StreamName,
            "StreamARN": f"arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/{StreamName}",
            "StreamStatus": "ACTIVE",
            "StreamCreationTimestamp": _moment(stream.created_s),
            "OpenShardCount": sum(not each.closed for each in stream.shards),
        }
        return {"StreamDescriptionSummary": summary, "ResponseMetadata": self._metadata()}

    def created_ms(self, stream_arn: str) -> int | None:
        """Return when a stream was created, in milliseconds since 1970; None if there is no such stream."""
        stream = self.streams.get(stream_arn.rpartition("/")[2])
        return round(stream.created_s * 1000) if stream else None

    def list_shards(self, *, StreamName: str) -> dict[str, Any]:  # noqa: N803 - boto3's names
        """List all shards on one page."""
        self._timeline.spend(0.002, 0.01)
        self._fail("list shards", "ListShards")
        shards = [_described(each) for each in self._stream(StreamName, "ListShards").shards]
        return {"Shards": shards, "ResponseMetadata": self._metadata()}

    def get_paginator(self, _name: str) -> SimulatedKinesis:
        """Return what pages through ListShards: this."""
        return self

    def paginate(self, *, StreamName: str) -> Iterator[dict[str, Any]]:  # noqa: N803 - boto3's names
        """Yield the one page of ListShards."""
        yield self.list_shards(StreamName=StreamName)

    def get_shard_iterator(
        self,
        *,
        StreamName: str,  # noqa: N803 - boto3's names
        ShardId: str,  # noqa: N803
        ShardIteratorType: str,  # noqa: N803
        StartingSequenceNumber: str = "",  # noqa: N803
        Timestamp: float | datetime = 0.0,  # noqa: N803
    ) -> dict[str, str]:
        """Return an iterator."""
        self._fail("get iterator", "GetShardIterator")
        stream = self._stream(StreamName, "GetShardIterator")
        shard = next((each for each in stream.shards if each.shard_id == ShardId), None)
        if shard is None:
            raise fault_of("ResourceNotFoundException", "GetShardIterator")
        if ShardIteratorType == "TRIM_HORIZON":
            at = 0
        elif ShardIteratorType == "LATEST":
            at = len(shard.records)
        elif ShardIteratorType == "AT_TIMESTAMP":
            moment_s = Timestamp.timestamp() if isinstance(Timestamp, datetime) else Timestamp
            at = bisect_left(shard.times_s, moment_s)
        elif ShardIteratorType == "AFTER_SEQUENCE_NUMBER":
            at = bisect_right(shard.numbers, int(StartingSequenceNumber))
        elif ShardIteratorType == "AT_SEQUENCE_NUMBER":
            at = bisect_left(shard.numbers, int(StartingSequenceNumber))
        else:
            raise fault_of("InvalidArgumentException", "GetShardIterator")
        return {"ShardIterator": self._iterator(stream, shard, at)}

    def get_records(self, *, ShardIterator: str, Limit: int = 10_000) -> dict[str, Any]:  # noqa: N803 - boto3's names
        """Return the records behind an iterator."""
        name, created, shard_id, at_text, issued = ShardIterator.split("|")
        self._timeline.spend(0.002, 0.02)
        kind = self._fail("get records", "GetRecords")
        stream = self.streams.get(name)
        if stream is None or repr(stream.created_s) != created:
            raise fault_of("ResourceNotFoundException", "GetRecords")
        if kind == kinds.EXPIRED or self._timeline.now_s - float(issued) > ITERATOR_S:
            raise fault_of("ExpiredIteratorException", "GetRecords")
        shard = next(each for each in stream.shards if each.shard_id == shard_id)
        at = int(at_text)
        limit = {kinds.EMPTY: 0, kinds.FEW: 1}.get(kind, Limit)
        stop = min(len(shard.records), at + limit)
        behind_s = self._timeline.now_s - shard.times_s[stop] if stop < len(shard.records) else 0.0
        answer: dict[str, Any] = {
            "Records": shard.records[at:stop],
            "MillisBehindLatest": max(1, int(behind_s * 1000)) if stop < len(shard.records) else 0,
            "ResponseMetadata": self._metadata(),
        }
        if not (shard.closed and stop == len(shard.records)):
            answer["NextShardIterator"] = self._iterator(stream, shard, stop)
        else:
            children = [each for each in stream.shards if shard_id in each.parents]
            answer["ChildShards"] = [{"ShardId": each.shard_id, "ParentShards": [*each.parents]} for each in children]
        return answer

    def _metadata(self) -> dict[str, Any]:
        return {"HTTPStatusCode": 200, "HTTPHeaders": {"date": _date(int(self._timeline.now_s))}}

    def _iterator(self, stream: Stream, shard: Shard, at: int) -> str:
        return f"{stream.name}|{stream.created_s!r}|{shard.shard_id}|{at}|{self._timeline.now_s!r}"

    def _fail(self, step: str, operation: str) -> str:
        """Meet the plan's next fault of a step; return its kind if it is not an error."""
        kind = self._plan.at(step)
        if kind == kinds.THROTTLED:
            raise fault_of("ProvisionedThroughputExceededException", operation)
        if kind == kinds.ERROR:
            raise fault_of("InternalFailure", operation, 500)
        if kind == kinds.REFUSED:
            raise fault_of("ExpiredTokenException", operation)
        if kind == kinds.SLOW:
            self._timeline.spend(1.0, 4.0)
        return kind

    def _stream(self, name: str, operation: str) -> Stream:
        if name not in self.streams:
            raise fault_of("ResourceNotFoundException", operation)
        return self.streams[name]

    @staticmethod
    def _open_shard(stream: Stream, shard_id: str, operation: str) -> Shard:
        for each in stream.shards:
            if each.shard_id == shard_id:
                if each.closed:
                    raise fault_of("InvalidArgumentException", operation)
                return each
        raise fault_of("ResourceNotFoundException", operation)

    @staticmethod
    def _open(stream: Stream, first: int, last: int, parents: tuple[str, ...] = ()) -> None:
        stream.next_number += 1
        shard_id = f"shardId-{len(stream.shards):012d}"
        stream.shards.append(Shard(shard_id, first, last, parents, opened_at=stream.next_number))

    @staticmethod
    def _close(stream: Stream, shard: Shard) -> None:
        stream.next_number += 1
        shard.closed, shard.closed_at = True, stream.next_number

    def _append(self, stream: Stream, record: dict[str, Any]) -> dict[str, Any]:
        key = record["PartitionKey"]
        shard = stream.shard_of(key, record.get("ExplicitHashKey"))
        stream.next_number += 1
        number = str(stream.next_number)
        shard.records.append(
            {
                "SequenceNumber": number,
                "ApproximateArrivalTimestamp": _moment(self._timeline.now_s),
                "Data": record["Data"],
                "PartitionKey": key,
            }
        )
        shard.numbers.append(stream.next_number)
        shard.times_s.append(self._timeline.now_s)
        return {"SequenceNumber": number, "ShardId": shard.shard_id}


def hash_key(partition_key: str) -> int:
    """Return the hash key of a partition key, as Kinesis computes it."""
    return int.from_bytes(hashlib.md5(partition_key.encode(), usedforsecurity=False).digest(), "big")


def fault_of(code: str, operation: str, status: int = 400) -> Exception:
    """Return the error that boto3's client raises."""
    from botocore.exceptions import ClientError  # noqa: PLC0415 - the test kit imports nothing of AWS before it is used

    response = {"Error": {"Code": code, "Message": "simulated"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, operation)  # type: ignore[arg-type]  # the stubs ask for every field


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@lru_cache(maxsize=64)
def _date(seconds: int) -> str:
    return formatdate(seconds, usegmt=True)


def _described(shard: Shard) -> dict[str, Any]:
    numbers = {"StartingSequenceNumber": str(shard.opened_at)}
    if shard.closed_at is not None:
        numbers["EndingSequenceNumber"] = str(shard.closed_at)
    parents = dict(zip(("ParentShardId", "AdjacentParentShardId"), shard.parents, strict=False))
    hashes = {"StartingHashKey": str(shard.first), "EndingHashKey": str(shard.last)}
    return {"ShardId": shard.shard_id, **parents, "HashKeyRange": hashes, "SequenceNumberRange": numbers}
