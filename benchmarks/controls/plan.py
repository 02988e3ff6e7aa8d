"""The faults, the services that have them, and the judge; the standard library alone: each peer's process runs it.

A history is a scenario and a seed: the records that go in, and a service whose faults end after some calls, so that
a library which tries again comes to rest.
"""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

RECORDS = 60
KEYS = 6
FAULTY_CALLS = 8  # then the service works
BOTO3_ATTEMPTS = 5  # botocore's own, of a call that fails as a whole
MOST_ROUNDS = 60  # of deliveries of the same records: a library that needs more does not move

THROTTLED, NO_ANSWER, CONTRADICTION = "throttled", "no answer", "contradiction"
MALFORMED, FOREIGN = "malformed aggregates", "aggregates over shards"
MERGE, SLOW = "merged shards", "slow consumer"

SCENARIOS = {
    THROTTLED: "PutRecords refuses some entries of a call",
    NO_ANSWER: "a PutRecords call fails as a whole, before or after it was written",
    CONTRADICTION: "PutRecords answers `FailedRecordCount: 0` beside entries with an error",
    MALFORMED: "an aggregate with a matching MD5 names a partition key that its table lacks",
    FOREIGN: "records of all hash keys are aggregated for a stream of two shards, and read by the KCL's rule",
    MERGE: "two shards were merged; the adjacent parent is read more slowly",
    SLOW: "the application takes longer for a record than the library waits for it",
}


class NoAnswerError(Exception):
    """The call ended without an answer; whether it was written is not known to its caller."""


@dataclass
class Trace:
    """One history as the judge sees it.

    Attributes:
        sent: Key and id of each record that went in, in order.
        delivered: The ids that came out, in order; True where the library was told of an earlier acceptance.
        reported: Ids that the library reported as failed or set aside.
        stuck: Whether it stopped moving: what is not there is held back, not lost.
    """

    sent: list[tuple[str, int]]
    delivered: list[tuple[int, bool]] = field(default_factory=list)
    reported: list[int] = field(default_factory=list)
    stuck: bool = False


@dataclass
class Verdict:
    """Numbers of records that broke a promise.

    Attributes:
        records: How many went in.
        lost: Neither out nor reported, though the library went on.
        doubled: Out again although the library had been told that they were accepted.
        repeated: Out again after an answer was lost, which nobody can avoid.
        unordered: Out for the first time after a later one of the same key.
        stuck: Histories that stopped.
    """

    records: int = 0
    lost: int = 0
    doubled: int = 0
    repeated: int = 0
    unordered: int = 0
    stuck: int = 0

    def add(self, other: Verdict) -> None:
        """Add another history's numbers."""
        for name, value in asdict(other).items():
            setattr(self, name, getattr(self, name) + value)


def judge(trace: Trace) -> Verdict:
    """Return what a history broke."""
    found = Verdict(records=len(trace.sent), stuck=int(trace.stuck))
    first: dict[int, int] = {}
    for place, (record, known) in enumerate(trace.delivered):
        if record in first:
            found.doubled += known
            found.repeated += not known
        first.setdefault(record, place)
    reported = set(trace.reported)
    if not trace.stuck:
        found.lost = sum(record not in first and record not in reported for _, record in trace.sent)
    by_key: dict[str, list[int]] = defaultdict(list)
    for key, record in trace.sent:
        if record in first:
            by_key[key].append(first[record])
    for places in by_key.values():
        earliest_after = list(itertools.accumulate(reversed(places), min))[::-1]
        found.unordered += sum(place > later for place, later in zip(places, earliest_after[1:], strict=False))
    return found


def records_of(seed: int, count: int = RECORDS) -> list[tuple[str, int]]:
    """Return the key and the id of each record of a history."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    return [(f"key-{chance.randrange(KEYS)}", record) for record in range(count)]


def data_of(record: int) -> bytes:
    """Return a record's payload."""
    return json.dumps({"n": record}).encode()


def id_of(data: bytes) -> int:
    """Return the id in a payload; an output of Millrace has it among its own fields."""
    return int(json.loads(data)["n"])


class Service:
    """A stream that takes PutRecords calls and fails as its scenario says.

    Attributes:
        delivered: See `Trace`.
    """

    def __init__(self, scenario: str, seed: int) -> None:
        """Take the scenario and the seed of its faults."""
        self.delivered: list[tuple[int, bool]] = []
        self._scenario, self._chance = scenario, random.Random(seed)  # noqa: S311 - no secret
        self._calls = 0
        self._told: Counter[int] = Counter()

    def call(self, datas: list[bytes]) -> dict[str, Any]:
        """Take one call, and answer as the API does.

        Raises:
            NoAnswerError: It ends without an answer.
        """
        self._calls += 1
        faulty = self._calls <= FAULTY_CALLS
        refused: set[int] = set()
        if faulty and self._scenario == NO_ANSWER and (dice := self._chance.random()) < 0.6:  # noqa: PLR2004 - a chance
            if dice < 0.3:  # noqa: PLR2004 - half of them were written
                self._accept(datas, refused, told=False)
            raise NoAnswerError
        if faulty and self._scenario in {THROTTLED, CONTRADICTION}:
            refused = {row for row in range(len(datas)) if self._chance.random() < 0.3}  # noqa: PLR2004 - a chance
        self._accept(datas, refused, told=self._scenario != CONTRADICTION or not refused)
        code = {"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "Rate exceeded"}
        ok = {"SequenceNumber": "1", "ShardId": "shardId-000000000000"}
        return {
            "FailedRecordCount": 0 if self._scenario == CONTRADICTION else len(refused),
            "Records": [code if row in refused else ok for row in range(len(datas))],
        }

    def call_like_boto3(self, datas: list[bytes]) -> dict[str, Any]:
        """Take a call as boto3's client makes it: one that fails as a whole is tried again some times."""
        for attempt in range(1, BOTO3_ATTEMPTS + 1):
            try:
                return self.call(datas)
            except NoAnswerError:
                if attempt == BOTO3_ATTEMPTS:
                    raise
        raise NoAnswerError

    def _accept(self, datas: list[bytes], refused: set[int], *, told: bool) -> None:
        for row, data in enumerate(datas):
            if row not in refused:
                record = id_of(data)
                self.delivered.append((record, self._told[record] > 0))
                self._told[record] += told


@dataclass
class Shard:
    """A closed or open shard of `Shards`, and how many records one GetRecords call gives."""

    shard_id: str
    records: list[tuple[str, int]]
    parents: list[str]
    closed: bool
    per_call: int


class Shards:
    """A stream to read: two parents and, in `MERGE`, the child into which they were merged."""

    def __init__(self, scenario: str, seed: int) -> None:
        """Spread a history's records over the shards: of each key the first half before the merge."""
        self.sent = records_of(seed)
        half, rest = self.sent[: RECORDS // 2], self.sent[RECORDS // 2 :]
        left = [each for each in half if each[0] < "key-3"]
        right = [each for each in half if each[0] >= "key-3"]
        merged = scenario == MERGE
        self.shards = {
            "shardId-000000000000": Shard("shardId-000000000000", left, [], merged, 10),
            "shardId-000000000001": Shard("shardId-000000000001", right, [], merged, 2),
        }
        if merged:
            parents = list(self.shards)
            self.shards["shardId-000000000002"] = Shard("shardId-000000000002", rest, parents, closed=False, per_call=5)
        else:
            self.sent = half

    def list(self) -> list[dict[str, Any]]:
        """Return the shards as ListShards does."""
        names = ("ParentShardId", "AdjacentParentShardId")
        ends = {"EndingSequenceNumber": "999"}
        return [
            {
                "ShardId": each.shard_id,
                "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": str(2**128 - 1)},
                "SequenceNumberRange": {"StartingSequenceNumber": "1", **(ends if each.closed else {})},
                **dict(zip(names, each.parents, strict=False)),
            }
            for each in self.shards.values()
        ]

    @staticmethod
    def iterator(shard_id: str, after: str | None) -> str:
        """Return an iterator, at the start or after a sequence number."""
        return f"{shard_id}:{int(after) if after else 0}"

    def read(self, iterator: str) -> dict[str, Any]:
        """Return records as GetRecords does."""
        shard_id, start = iterator.split(":")
        shard = self.shards[shard_id]
        stop = min(len(shard.records), int(start) + shard.per_call)
        answer: dict[str, Any] = {
            "Records": [
                {
                    "SequenceNumber": str(number + 1),
                    "PartitionKey": shard.records[number][0],
                    "Data": data_of(shard.records[number][1]),
                    "ApproximateArrivalTimestamp": datetime.now(UTC),
                }
                for number in range(int(start), stop)
            ],
            "MillisBehindLatest": 0 if stop == len(shard.records) else 1000,
        }
        if stop < len(shard.records) or not shard.closed:
            answer["NextShardIterator"] = f"{shard_id}:{stop}"
        return answer
