"""Reading a stream shard by shard: positions, resharding, expired iterators, throttling.

A shard's children are read once it has been read to its end, so a key's records stay in order through a reshard.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime  # noqa: TC003 - msgspec reads it from the annotation
from typing import TYPE_CHECKING, Any

import msgspec
from botocore.exceptions import BotoCoreError, ClientError, ReadTimeoutError

from app import aws
from app.errors import CloudError
from app.stream.clock import SYSTEM_CLOCK
from app.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from app.stream.clock import Clock

READ_RECORDS = 10_000  # GetRecords' own limit
READS_PER_S = 5  # a shard's own limit, shared by all that read it
IDLE_PAUSE_S = 0.05  # between rounds that found nothing: well below the time between two reads of a shard
SHARD_END = "SHARD_END"
_SERVER_FAULT = 500


class StartingPosition(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where to begin: `TRIM_HORIZON`, `LATEST`, or `AT_TIMESTAMP` with a timestamp.

    A shard that was read before also begins `AFTER_SEQUENCE_NUMBER`, or at its `SHARD_END`.
    """

    type: str = "TRIM_HORIZON"
    timestamp: datetime | float | None = None
    sequence_number: str | None = None


@dataclass(slots=True)
class ShardReader:
    """One shard and how far it has been read.

    Attributes:
        shard_id: The shard.
        parents: Shards that must have been read to their end before this one is.
        kinesis: The client to read with.
        clock: What the pace and LATEST go by.
        buffer: Records read and not yet taken away, as GetRecords gives them.
        held: How much of what was taken away is still to be done; until it is, children are not read.
        behind_ms: How far the last read was from the shard's tip, or None before the first.
        read_at_s: When it was read last, in seconds since 1970.
        ended: Whether the shard is closed and was read to its end.
    """

    stream: str
    shard_id: str
    parents: frozenset[str]
    start: StartingPosition
    kinesis: Any
    clock: Clock = SYSTEM_CLOCK
    buffer: deque[dict[str, Any]] = field(default_factory=deque)
    held: int = 0
    behind_ms: int | None = None
    read_at_s: float = 0.0
    ended: bool = False
    _iterator: str | None = None
    _last_read: str | None = None
    _next_read_at_s: float = 0.0
    _limit: int = READ_RECORDS
    _latest_is_s: float | None = None  # seconds since 1970: when LATEST was

    def __post_init__(self) -> None:
        """Fixes what LATEST means to now: a shard may be read much later, and must not skip what came meanwhile."""
        self.ended = self.start.type == SHARD_END
        if self.start.type == "LATEST":
            now_s = self.clock.time()
            self._open()
            self._latest_is_s = now_s

    @property
    def finished(self) -> bool:
        """Whether all that the shard will ever hold has been read, taken and done."""
        return self.ended and not self.buffer and not self.held

    def position(self, done: str | None) -> StartingPosition:
        """Where a later reader is to begin.

        Args:
            done: The last record up to which all is done; None if there is none.
        """
        if self.finished:
            return StartingPosition(SHARD_END)
        if done:
            return StartingPosition("AFTER_SEQUENCE_NUMBER", sequence_number=done)
        if self._latest_is_s is not None:
            return StartingPosition("AT_TIMESTAMP", self._latest_is_s)
        return self.start

    def read(self) -> int:
        """Reads on into the buffer if the shard's rate allows; gives the number of records read.

        Raises:
            CloudError: The stream cannot be read, for a reason that does not pass by itself.
        """
        if self.ended or self.clock.monotonic() < self._next_read_at_s:
            return 0
        self._next_read_at_s = self.clock.monotonic() + 1 / READS_PER_S
        now_s = self.clock.time()
        try:
            if self._iterator is None:
                self._open()
            answer = self.kinesis.get_records(ShardIterator=self._iterator, Limit=self._limit)
        except (BotoCoreError, ClientError) as error:
            self._pass_over(error)
            return 0
        self._limit = min(READ_RECORDS, 2 * self._limit)
        records = answer["Records"]
        self.buffer.extend(records)
        if records:
            self._last_read = records[-1]["SequenceNumber"]
        self.behind_ms, self.read_at_s = answer.get("MillisBehindLatest", 0), now_s
        self._iterator = answer.get("NextShardIterator")
        self.ended = self._iterator is None
        return len(records)

    def _open(self) -> None:
        """Gets an iterator for where reading is to go on."""
        self._iterator = self.kinesis.get_shard_iterator(
            StreamName=self.stream, ShardId=self.shard_id, **self._position()
        )["ShardIterator"]

    def _position(self) -> dict[str, Any]:
        """The arguments of GetShardIterator: after what was read last, otherwise the start."""
        if self._last_read:
            return {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": self._last_read}
        if self._latest_is_s is not None:
            return {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": self._latest_is_s}
        if self.start.type == "AT_TIMESTAMP":
            return {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": self.start.timestamp}
        if self.start.sequence_number:
            return {
                "ShardIteratorType": "AFTER_SEQUENCE_NUMBER",
                "StartingSequenceNumber": self.start.sequence_number,
            }
        return {"ShardIteratorType": self.start.type}

    def _pass_over(self, error: Exception) -> None:
        """Leaves a passing fault to the next read; raises any other."""
        code = _code_of(error)
        if isinstance(error, ReadTimeoutError):
            self._limit = max(1, self._limit // 10)  # an answer of 10 MB may not come in time on a slow way
        if code == "ExpiredIteratorException":
            self._iterator = None
        elif not _passes(error):
            raise aws.explained(error, f"stream {self.stream}") from error
        logger.warning("read failed; trying again", extra={"shard": self.shard_id, "code": code})
        self._next_read_at_s = self.clock.monotonic() + 1


def _code_of(error: Exception) -> str:
    return str(error.response["Error"]["Code"]) if isinstance(error, ClientError) else type(error).__name__


def _passes(error: Exception) -> bool:
    """Whether a fault passes by itself."""
    status = (
        error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) if isinstance(error, ClientError) else 0
    )
    return _code_of(error) in aws.PASSING or status >= _SERVER_FAULT or isinstance(error, aws.UNREACHABLE)


class StreamReader:
    """All shards of a stream, those that open later too."""

    def __init__(
        self,
        stream: str,
        start: StartingPosition,
        *,
        resume: Mapping[str, StartingPosition] | None = None,
        kinesis: Any = None,  # noqa: ANN401 - botocore makes its clients at run time
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Lists the shards.

        Args:
            stream: The stream's name.
            start: Where to begin in shards that are there now.
            resume: Where to begin in shards that an earlier reader knew; if given, every other one opened since.
            kinesis: The client; by default the process's own.
            clock: What time it is.

        Raises:
            MissingStreamError: There is no such stream.
            CloudError: It cannot be listed.
        """
        self.stream = stream
        self._readers: dict[str, ShardReader] = {}
        self._start, self._resume = start, resume or {}
        self._kinesis, self._clock = kinesis or aws.client("kinesis"), clock
        self._listed_at = 0  # how many shards had ended when shards were listed last
        try:
            self._add_shards()
        except (BotoCoreError, ClientError) as error:
            raise aws.explained(error, f"stream {self.stream}") from error

    @property
    def all_shards(self) -> list[ShardReader]:
        """Every shard that is known, those that wait for their parents and those that are finished too."""
        return [*self._readers.values()]

    @property
    def shards(self) -> list[ShardReader]:
        """The shards that may be read now: those whose parents have been read to their end, and emptied."""
        unfinished = {shard_id: each for shard_id, each in self._readers.items() if not each.finished}
        return [each for each in unfinished.values() if each.parents.isdisjoint(unfinished)]

    def read(self) -> int:
        """Reads on in every shard whose records have been taken; gives the number of records read."""
        count = sum(shard.read() for shard in self.shards if not shard.buffer)
        self.find_children()
        return count

    def find_children(self) -> None:
        """Lists the shards again if one has ended since: its children have opened.

        Raises:
            CloudError: They cannot be listed, for a reason that does not pass by itself.
        """
        ended = sum(each.ended for each in self._readers.values())
        if ended != self._listed_at:
            try:
                self._add_shards()
            except (BotoCoreError, ClientError) as error:
                if not _passes(error):
                    raise aws.explained(error, f"stream {self.stream}") from error
                return  # listed again at the next round
            self._listed_at = ended

    def at_tip(self) -> bool:
        """Whether all that was in the stream has been read and taken."""
        return all(
            not each.buffer and not each.held and (each.ended or each.behind_ms == 0) for each in self._readers.values()
        )

    def _add_shards(self) -> None:
        """Takes up shards not seen before; those that opened after the start are read from their first record."""
        start = StartingPosition() if self._readers or self._resume else self._start
        for shard in self._list():
            shard_id = shard["ShardId"]
            if shard_id not in self._readers:
                parents = frozenset(
                    shard[name] for name in ("ParentShardId", "AdjacentParentShardId") if shard.get(name)
                )
                begin = self._resume.get(shard_id, start)
                self._readers[shard_id] = ShardReader(self.stream, shard_id, parents, begin, self._kinesis, self._clock)

    def _list(self) -> Iterable[dict[str, Any]]:
        pages = self._kinesis.get_paginator("list_shards").paginate(StreamName=self.stream)
        return [shard for page in pages for shard in page["Shards"]]


def read_stream(stream: str, start: StartingPosition, *, follow: bool = False) -> Iterator[bytes]:
    """The data of a stream's records: all that are there, then with `follow` those that come."""
    reader = StreamReader(stream, start)
    while True:
        read = reader.read()
        for shard in reader.shards:
            while shard.buffer:
                yield shard.buffer.popleft()["Data"]
        if reader.at_tip() and not follow:
            return
        if not read:
            SYSTEM_CLOCK.sleep(IDLE_PAUSE_S)


def create_stream(stream: str, shards: int, wait_s: float = 30) -> bool:
    """Creates a stream and waits until it is active; False when it was there already.

    Raises:
        CloudError: It does not become active in time, or cannot be created.
    """
    kinesis = aws.client("kinesis")
    made = True
    try:
        try:
            kinesis.create_stream(StreamName=stream, ShardCount=shards)
        except kinesis.exceptions.ResourceInUseException:
            made = False
        ends = SYSTEM_CLOCK.monotonic() + wait_s
        while SYSTEM_CLOCK.monotonic() < ends:
            summary = kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]
            if summary["StreamStatus"] == "ACTIVE":
                return made
            SYSTEM_CLOCK.sleep(0.05)
    except (BotoCoreError, ClientError) as error:
        raise aws.explained(error, f"stream {stream}") from error
    raise CloudError(f"stream {stream}: not active after {wait_s:g} s")
