"""Reading a stream shard by shard: positions, resharding, expired iterators, throttling.

A shard's children are read once it has been read to its end, so a key's records stay in order through a reshard.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from app import aws
from app.errors import CloudError
from app.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

READ_RECORDS = 10_000  # GetRecords' own limit
READS_PER_S = 5  # a shard's own limit, shared by all that read it
IDLE_PAUSE_S = 0.05  # between rounds that found nothing: well below the time between two reads of a shard
_SERVER_FAULT = 500


class StartingPosition(msgspec.Struct, frozen=True):
    """Where to begin: `TRIM_HORIZON`, `LATEST`, or `AT_TIMESTAMP` with a timestamp."""

    type: str = "TRIM_HORIZON"
    timestamp: datetime | float | None = None


@dataclass(slots=True)
class ShardReader:
    """One shard and how far it has been read.

    Attributes:
        shard_id: The shard.
        parents: Shards that must have been read to their end before this one is.
        buffer: Records read and not yet taken away, as GetRecords gives them.
        behind_ms: How far the last read was from the shard's tip, or None before the first.
        ended: Whether the shard is closed and was read to its end.
    """

    stream: str
    shard_id: str
    parents: frozenset[str]
    start: StartingPosition
    buffer: deque[dict[str, Any]] = field(default_factory=deque)
    behind_ms: int | None = None
    ended: bool = False
    _iterator: str | None = None
    _last_read: str | None = None
    _next_read_at_s: float = 0.0
    _latest_is_s: float | None = None  # seconds since 1970: when LATEST was

    def __post_init__(self) -> None:
        """Fixes what LATEST means to now: a shard may be read much later, and must not skip what came meanwhile."""
        if self.start.type == "LATEST":
            now_s = time.time()
            self._open()
            self._latest_is_s = now_s

    def read(self) -> int:
        """Reads on into the buffer if the shard's rate allows; gives the number of records read.

        Raises:
            CloudError: The stream cannot be read, for a reason that does not pass by itself.
        """
        if self.ended or time.monotonic() < self._next_read_at_s:
            return 0
        self._next_read_at_s = time.monotonic() + 1 / READS_PER_S
        kinesis = aws.client("kinesis")
        try:
            if self._iterator is None:
                self._open()
            answer = kinesis.get_records(ShardIterator=self._iterator, Limit=READ_RECORDS)
        except (BotoCoreError, ClientError) as error:
            self._pass_over(error)
            return 0
        records = answer["Records"]
        self.buffer.extend(records)
        if records:
            self._last_read = records[-1]["SequenceNumber"]
        self.behind_ms = answer.get("MillisBehindLatest", 0)
        self._iterator = answer.get("NextShardIterator")
        self.ended = self._iterator is None
        return len(records)

    def _open(self) -> None:
        """Gets an iterator for where reading is to go on."""
        self._iterator = aws.client("kinesis").get_shard_iterator(
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
        return {"ShardIteratorType": self.start.type}

    def _pass_over(self, error: Exception) -> None:
        """Leaves a passing fault to the next read; raises any other."""
        code = _code_of(error)
        if code == "ExpiredIteratorException":
            self._iterator = None
        elif not _passes(error):
            raise aws.explained(error, f"stream {self.stream}") from error
        logger.warning("read failed; trying again", extra={"shard": self.shard_id, "code": code})
        self._next_read_at_s = time.monotonic() + 1


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

    def __init__(self, stream: str, start: StartingPosition) -> None:
        """Lists the shards.

        Raises:
            MissingStreamError: There is no such stream.
            CloudError: It cannot be listed.
        """
        self.stream = stream
        self._readers: dict[str, ShardReader] = {}
        self._start = start
        self._listed_at = 0  # how many shards had ended when shards were listed last
        try:
            self._add_shards()
        except (BotoCoreError, ClientError) as error:
            raise aws.explained(error, f"stream {self.stream}") from error

    @property
    def shards(self) -> list[ShardReader]:
        """The shards that may be read now: those whose parents have been read to their end, and emptied."""
        open_or_full = {each.shard_id for each in self._readers.values() if not each.ended or each.buffer}
        return [
            each for each in self._readers.values() if each.shard_id in open_or_full and not each.parents & open_or_full
        ]

    def read(self) -> int:
        """Reads on in every shard whose records have been taken; gives the number of records read."""
        count = sum(shard.read() for shard in self.shards if not shard.buffer)
        ended = sum(each.ended for each in self._readers.values())
        if ended != self._listed_at:
            try:
                self._add_shards()
            except (BotoCoreError, ClientError) as error:
                if not _passes(error):
                    raise aws.explained(error, f"stream {self.stream}") from error
                return count  # listed again at the next round
            self._listed_at = ended
        return count

    def at_tip(self) -> bool:
        """Whether all that was in the stream has been read and taken."""
        return all(not each.buffer and (each.ended or each.behind_ms == 0) for each in self._readers.values())

    def _add_shards(self) -> None:
        """Takes up shards not seen before; those that opened after the start are read from their first record."""
        start = StartingPosition() if self._readers else self._start
        for shard in self._list():
            shard_id = shard["ShardId"]
            if shard_id not in self._readers:
                parents = frozenset(
                    shard[name] for name in ("ParentShardId", "AdjacentParentShardId") if shard.get(name)
                )
                self._readers[shard_id] = ShardReader(self.stream, shard_id, parents, start)

    def _list(self) -> Iterable[dict[str, Any]]:
        pages = aws.client("kinesis").get_paginator("list_shards").paginate(StreamName=self.stream)
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
            time.sleep(IDLE_PAUSE_S)


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
        ends = time.monotonic() + wait_s
        while time.monotonic() < ends:
            summary = kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]
            if summary["StreamStatus"] == "ACTIVE":
                return made
            time.sleep(0.05)
    except (BotoCoreError, ClientError) as error:
        raise aws.explained(error, f"stream {stream}") from error
    raise CloudError(f"stream {stream}: not active after {wait_s:g} s")
