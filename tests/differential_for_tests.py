"""Make the same random calls to a simulated service and to an emulator over HTTP, and compare the answers.

A program is a list of calls that name shards, records and iterators by number, so that the same program runs on
services that give them different names. Answers are compared in the same terms.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from botocore.exceptions import ClientError

from app.errors import MillraceError
from app.storage.state import Position, ShardOrigin, Stored

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.storage.objects import Objects
    from app.storage.state import StateStore

Call: TypeAlias = tuple[Any, ...]
IteratorKind: TypeAlias = Literal["TRIM_HORIZON", "LATEST", "AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"]

HASH_KEYS = 2**128
KNOWN_DIFFERENCES = {
    "bounds of hash keys, to six digits": "kinesis-local divides the keys of a new stream one key off",
    "the code with which a split or a merge is refused": "emulators differ, and Millrace makes neither",
    "a merge that names the higher shard first": "kinesis-local refuses it",
    "MillisBehindLatest": "kinesis-local gives 0 before records that came within the same millisecond",
}
"""What is not compared, and why."""
_KINDS: tuple[IteratorKind, ...] = ("TRIM_HORIZON", "LATEST", "AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER")


class Kinesis(Protocol):
    """What the delivery asks of Kinesis, on one stream; refusals are a `ClientError` or have its form."""

    def put(self, keys: Sequence[str], datas: Sequence[bytes]) -> list[tuple[str, str]]:
        """Return the shard and the sequence number of each record."""

    def shards(self) -> list[dict[str, Any]]:
        """Return the shards as ListShards does."""

    def iterator(self, shard: str, kind: IteratorKind, sequence_number: str | None) -> str:
        """Return an iterator."""

    def read(self, iterator: str, limit: int) -> dict[str, Any]:
        """Return what GetRecords does."""

    def split(self, shard: str, hash_key: int) -> None:
        """Split a shard, and wait until it is done."""

    def merge(self, shard: str, adjacent: str) -> None:
        """Merge two shards, and wait until it is done."""


@dataclass
class EmulatedKinesis:
    """A stream of an emulator, through boto3."""

    client: Any
    stream: str

    def put(self, keys: Sequence[str], datas: Sequence[bytes]) -> list[tuple[str, str]]:
        records = [{"PartitionKey": key, "Data": data} for key, data in zip(keys, datas, strict=True)]
        answer = self.client.put_records(StreamName=self.stream, Records=records)
        return [(each["ShardId"], each["SequenceNumber"]) for each in answer["Records"]]

    def shards(self) -> list[dict[str, Any]]:
        pages = self.client.get_paginator("list_shards").paginate(StreamName=self.stream)
        return [shard for page in pages for shard in page["Shards"]]

    def iterator(self, shard: str, kind: IteratorKind, sequence_number: str | None) -> str:
        at = {"StartingSequenceNumber": sequence_number} if sequence_number else {}
        answer = self.client.get_shard_iterator(StreamName=self.stream, ShardId=shard, ShardIteratorType=kind, **at)
        return str(answer["ShardIterator"])

    def read(self, iterator: str, limit: int) -> dict[str, Any]:
        answer: dict[str, Any] = self.client.get_records(ShardIterator=iterator, Limit=limit)
        return answer

    def split(self, shard: str, hash_key: int) -> None:
        self.client.split_shard(StreamName=self.stream, ShardToSplit=shard, NewStartingHashKey=str(hash_key))
        self._wait()

    def merge(self, shard: str, adjacent: str) -> None:
        self.client.merge_shards(StreamName=self.stream, ShardToMerge=shard, AdjacentShardToMerge=adjacent)
        self._wait()

    def _wait(self) -> None:
        while (
            self.client.describe_stream_summary(StreamName=self.stream)["StreamDescriptionSummary"]["StreamStatus"]
            != "ACTIVE"
        ):
            time.sleep(0.02)


def kinesis_program(seed: int, calls: int = 40) -> list[Call]:
    """Return a program for a stream: numbers are taken modulo what there is when the call is made."""
    chance = random.Random(seed)
    kinds: list[Callable[[], Call]] = [
        *[lambda: ("put", [f"key-{chance.randrange(12)}" for _ in range(chance.randrange(1, 6))])] * 3,
        lambda: ("iterator", chance.randrange(100), chance.choice(_KINDS), chance.randrange(100)),
        lambda: ("iterator", chance.randrange(100), "TRIM_HORIZON", 0),
        *[lambda: ("read", chance.randrange(100), chance.choice([1, 3, 10_000]))] * 3,
        lambda: ("shards",),
    ]
    rare: list[Callable[[], Call]] = [
        lambda: ("split", chance.randrange(100), chance.choice([2, 4])),
        lambda: ("merge", chance.randrange(100), chance.randrange(100)),
        lambda: ("unknown_shard",),
    ]
    return [chance.choice(rare if chance.random() < 0.2 else kinds)() for _ in range(calls)]


@dataclass
class KinesisRun:
    """Runs a program on one stream, and names things by number."""

    kinesis: Kinesis
    answers: list[Any] = field(default_factory=list)
    _shards: list[str] = field(default_factory=list)
    _records: list[tuple[str, str]] = field(default_factory=list)
    _iterators: list[str] = field(default_factory=list)

    def run(self, program: Sequence[Call]) -> list[Any]:
        """Return the program's answers; a refusal is its code."""
        self._list()
        for name, *arguments in program:
            try:
                answer = getattr(self, f"_call_{name}")(*arguments)
            except ClientError as error:
                answer = "refused" if name in {"split", "merge"} else error.response["Error"]["Code"]
            self.answers.append((name, answer))
        return self.answers

    def _list(self) -> list[dict[str, Any]]:
        listed = self.kinesis.shards()
        self._shards += [each["ShardId"] for each in listed if each["ShardId"] not in self._shards]
        return sorted(listed, key=lambda each: self._shards.index(each["ShardId"]))

    def _call_put(self, keys: list[str]) -> list[int]:
        first = len(self._records)
        made = self.kinesis.put(keys, [str(first + index).encode() for index in range(len(keys))])
        self._records += made
        return [self._shards.index(shard) for shard, _ in made]

    def _call_shards(self) -> list[Any]:
        return [
            (
                *(
                    round(int(each["HashKeyRange"][name]) / HASH_KEYS, 6)
                    for name in ("StartingHashKey", "EndingHashKey")
                ),
                [
                    self._shards.index(each[name])
                    for name in ("ParentShardId", "AdjacentParentShardId")
                    if each.get(name)
                ],
                "EndingSequenceNumber" in each["SequenceNumberRange"],
            )
            for each in self._list()
        ]

    def _call_iterator(self, shard: int, kind: IteratorKind, record: int) -> str:
        shard_id = self._shards[shard % len(self._shards)]
        number = None
        if kind.endswith("SEQUENCE_NUMBER"):
            numbers = [number for of, number in self._records if of == shard_id]
            if not numbers:
                return "no record"
            number = numbers[record % len(numbers)]
        self._iterators.append(self.kinesis.iterator(shard_id, kind, number))
        return "made"

    def _call_read(self, iterator: int, limit: int) -> Any:
        if not self._iterators:
            return "no iterator"
        place = iterator % len(self._iterators)
        answer = self.kinesis.read(self._iterators[place], limit)
        following = answer.get("NextShardIterator")
        if following:
            self._iterators[place] = following
        else:
            del self._iterators[place]  # the end of a closed shard
        numbers = [int(each["SequenceNumber"]) for each in answer["Records"]]
        assert numbers == sorted(numbers), "sequence numbers grow along a shard"
        records = [(each["PartitionKey"], int(bytes(each["Data"]))) for each in answer["Records"]]
        return records, bool(following)

    def _call_split(self, shard: int, part: int) -> str:
        listed = self._list()
        chosen = listed[shard % len(listed)]
        first, last = (int(chosen["HashKeyRange"][name]) for name in ("StartingHashKey", "EndingHashKey"))
        self.kinesis.split(chosen["ShardId"], first + (last - first) // part)
        self._list()
        return "split"

    def _call_merge(self, shard: int, adjacent: int) -> str:
        listed = self._list()
        chosen = [listed[shard % len(listed)], listed[adjacent % len(listed)]]
        chosen.sort(key=lambda each: int(each["HashKeyRange"]["StartingHashKey"]))
        self.kinesis.merge(*(each["ShardId"] for each in chosen))
        self._list()
        return "merged"

    def _call_unknown_shard(self) -> str:
        return self.kinesis.iterator("shardId-000000009999", "TRIM_HORIZON", None) and "made"


def state_program(seed: int, calls: int = 40) -> list[Call]:
    """Return a program for a state store: commits under right and wrong conditions, and reads."""
    chance = random.Random(seed)
    keys = ["a", "b", "tenant/é", "\U0001f600"]
    program: list[Call] = []
    for _ in range(calls):
        if chance.random() < 0.6:
            value = chance.randbytes(chance.choice([0, 1, 50, 5000]))
            program.append(("commit", chance.choice(keys), value, chance.randrange(4), chance.choice([0, 0, 0, 1, 2])))
        else:
            program.append(("load", chance.sample(keys, chance.randrange(1, len(keys) + 1))))
    return program


def run_state(store: StateStore, program: Sequence[Call]) -> list[Any]:
    """Return the program's answers; a refusal is the error's class.

    A commit starts from the state that is stored, from one that was stored before, or from none.
    """
    answers: list[Any] = []
    written: dict[str, list[Stored]] = {}
    shard = ShardOrigin("arn:aws:kinesis:eu-west-1:1:stream/s", 1, "shardId-000000000000")
    for number, (name, *arguments) in enumerate(program):
        try:
            if name == "load":
                answers.append(sorted(store.load(arguments[0]).items(), key=itemgetter(0)))
                continue
            key, value, sub, back = arguments
            before = written.setdefault(key, [])
            base = before[-1 - back] if len(before) > back else None
            staged = (base or Stored(b"", revision=0)).after(value, {shard: Position(10**55 + number, sub)})
            store.commit(key, staged, base)
            before.append(staged)
            answers.append("written")
        except MillraceError as error:
            answers.append(type(error).__name__)
    return answers


FOLDER_NAMES = ("a.json", "a/b.jsonl", "a/b/c", "é/ü", "z z", "a-b")
"""Names that a folder takes too; there no object may be at the start of another one's path."""
ANY_NAMES = (*FOLDER_NAMES, "a", "a/b")


def objects_program(seed: int, names: Sequence[str] = FOLDER_NAMES, calls: int = 40) -> list[Call]:
    """Return a program for objects: names in folders, one the start of another, empty data."""
    chance = random.Random(seed)
    kinds = ("put", "put", "get", "exists", "delete", "names", "blocks")
    return [
        (chance.choice(kinds), chance.choice(names), chance.randbytes(chance.choice([0, 1, 5000])))
        for _ in range(calls)
    ]


def run_objects(objects: Objects, program: Sequence[Call]) -> list[Any]:
    """Return the program's answers; a refusal is the error's class."""
    answers: list[Any] = []
    for call, name, data in program:
        try:
            if call == "put":
                objects.put(name, data)
                answers.append("put")
            elif call == "names":
                answers.append(list(objects.names(name[:1])))
            elif call == "blocks":
                answers.append(b"".join(objects.blocks(name)))
            else:
                answers.append(getattr(objects, call)(name))
        except MillraceError as error:
            answers.append(type(error).__name__)
    return answers
