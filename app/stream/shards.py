"""Read a stream shard by shard: positions, resharding, expired iterators, throttling.

A shard's children are read after its end, so a key's records stay in order across a reshard.
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
from app.stream.deadline import SYSTEM_CLOCK, ServiceClock
from app.stream.workers import Threads, call_within
from app.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from app.stream.deadline import Clock
    from app.stream.workers import Workers

READ_RECORDS = 10_000  # GetRecords' limit
READS_PER_S = 5  # a shard's limit, shared by all its readers
ANSWER_WITHIN_S = 20.0  # the 10 MB of a full answer come in time over 4 Mbit/s; after this fewer are asked for
IDLE_PAUSE_S = 0.05  # between rounds without records: well below the time between two reads of a shard
SHARD_END = "SHARD_END"
DATE_S = 1.0  # the part of a second that the `Date` of an answer leaves out
SKEW_S = 5.0  # between the clocks of the service's own machines: those that answer, and those that date records
_SERVER_FAULT = 500


class StartingPosition(msgspec.Struct, frozen=True, omit_defaults=True):
    """A position to start from: `TRIM_HORIZON`, `LATEST`, or `AT_TIMESTAMP` with a timestamp.

    For a shard that was read before also `AFTER_SEQUENCE_NUMBER` or `SHARD_END`.
    """

    type: str = "TRIM_HORIZON"
    timestamp: datetime | float | None = None
    sequence_number: str | None = None


@dataclass(slots=True)
class ShardReader:
    """Reader of one shard.

    Attributes:
        shard_id: The shard.
        parents: Shards that must be read to their end before this one.
        start: Where to begin; for LATEST replaced by the position that it stands for.
        kinesis: The client.
        clock: Clock of the pace.
        service: The service's clock.
        workers: Makes the calls, so that each has an end; None where the client gives its own.
        buffer: Records that were read and not yet taken, as GetRecords returns them.
        held: Number of taken records that are still in work; until it is 0, children are not read.
        behind_ms: Distance of the last read from the shard's tip, or None before the first.
        ended: Whether the shard is closed and was read to its end.
    """

    stream: str
    shard_id: str
    parents: frozenset[str]
    start: StartingPosition
    kinesis: Any
    clock: Clock
    service: ServiceClock
    workers: Workers | None = None
    buffer: deque[dict[str, Any]] = field(default_factory=deque)
    held: int = 0
    behind_ms: int | None = None
    ended: bool = False
    _iterator: str | None = None
    _last_read: str | None = None
    _read_at_s: float = 0.0  # by the monotonic clock
    _next_read_at_s: float = 0.0
    _limit: int = READ_RECORDS

    def __post_init__(self) -> None:
        """Replace LATEST by a position: the shard may be read much later, and must not skip what came meanwhile."""
        self.ended = self.start.type == SHARD_END
        if self.start.type == "LATEST":
            self._find_latest()

    def _find_latest(self) -> None:
        """Read past the records of the last seconds.

        An iterator of LATEST lives for five minutes, and a time between two records is the only position in an idle
        shard that lasts. So LATEST is after the last record found from a little before the service's time on; if there
        is none, it is that time, since which no record has come. A busy shard has no tip to reach: there it is after
        records that came later than this began.
        """
        now_s, last_s = self.service.time(), 0.0
        self.start = StartingPosition("AT_TIMESTAMP", now_s - SKEW_S)
        while self.behind_ms != 0 and not self.ended and last_s <= now_s + DATE_S:
            self.clock.sleep(max(0.0, self._next_read_at_s - self.clock.monotonic()))
            if self.read():
                last_s = self.buffer[-1]["ApproximateArrivalTimestamp"].timestamp()
            self.buffer.clear()
        self.behind_ms = None  # what comes after LATEST has not been read
        if self._last_read:
            self.start = StartingPosition("AFTER_SEQUENCE_NUMBER", sequence_number=self._last_read)

    @property
    def read_at_s(self) -> float:
        """Return the service's time when the last read began, in seconds since 1970; 0 before the first."""
        return self.service.time(self._read_at_s) if self._read_at_s else 0.0

    @property
    def finished(self) -> bool:
        """Return whether the shard has ended and all its records are processed."""
        return self.ended and not self.buffer and not self.held

    def position(self, done: str | None) -> StartingPosition:
        """Return the position for a later reader.

        Args:
            done: Sequence number up to which all records are processed; None if there is none.
        """
        if self.finished:
            return StartingPosition(SHARD_END)
        if done:
            return StartingPosition("AFTER_SEQUENCE_NUMBER", sequence_number=done)
        return self.start

    def read(self) -> int:
        """Read more records into the buffer if the shard's rate allows; return their number.

        Raises:
            CloudError: The stream cannot be read, for a permanent reason.
        """
        if self.ended or self.clock.monotonic() < self._next_read_at_s:
            return 0
        now_s = self.clock.monotonic()
        self._next_read_at_s = now_s + 1 / READS_PER_S
        try:
            if self._iterator is None:
                self._open()
            answer = _ask(
                self.workers, self.stream, self.kinesis.get_records, ShardIterator=self._iterator, Limit=self._limit
            )
        except (BotoCoreError, ClientError) as error:
            self._tolerate(error)
            return 0
        self.service.note(answer)
        self._limit = min(READ_RECORDS, 2 * self._limit)
        records = answer["Records"]
        self.buffer.extend(records)
        if records:
            self._last_read = records[-1]["SequenceNumber"]
        self.behind_ms, self._read_at_s = answer.get("MillisBehindLatest", 0), now_s
        self._iterator = answer.get("NextShardIterator")
        self.ended = self._iterator is None
        return len(records)

    def _open(self) -> None:
        """Get an iterator for the present position."""
        where = {"StreamName": self.stream, "ShardId": self.shard_id, **self._position()}
        self._iterator = _ask(self.workers, self.stream, self.kinesis.get_shard_iterator, **where)["ShardIterator"]

    def _position(self) -> dict[str, Any]:
        """Return the arguments of GetShardIterator: after the last record read, or the start."""
        if self._last_read:
            return {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": self._last_read}
        if self.start.type == "AT_TIMESTAMP":
            return {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": self.start.timestamp}
        if self.start.sequence_number:
            return {
                "ShardIteratorType": "AFTER_SEQUENCE_NUMBER",
                "StartingSequenceNumber": self.start.sequence_number,
            }
        return {"ShardIteratorType": self.start.type}

    def _tolerate(self, error: Exception) -> None:
        """Leave a transient fault to the next read; raise any other."""
        code = _code_of(error)
        if isinstance(error, ReadTimeoutError):
            self._limit = max(1, self._limit // 10)  # an answer of 10 MB may not arrive in time on a slow connection
        if code == "ExpiredIteratorException":
            self._iterator = None
        elif not _is_transient(error):
            raise aws.explained(error, f"stream {self.stream}") from error
        logger.warning("read failed; trying again", extra={"shard": self.shard_id, "code": code})
        self._next_read_at_s = self.clock.monotonic() + 1


def _ask(workers: Workers | None, stream: str, call: Callable[..., Any], **arguments: Any) -> Any:  # noqa: ANN401 - botocore's
    """Call Kinesis.

    Raises:
        ReadTimeoutError: There is no whole answer in time.
    """
    if workers is None:
        return call(**arguments)
    try:
        return call_within(workers, ANSWER_WITHIN_S, call, **arguments)
    except TimeoutError:
        raise ReadTimeoutError(endpoint_url=f"stream {stream}") from None


def _code_of(error: Exception) -> str:
    return str(error.response["Error"]["Code"]) if isinstance(error, ClientError) else type(error).__name__


def _is_transient(error: Exception) -> bool:
    """Return whether a fault may pass by itself."""
    status = (
        error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) if isinstance(error, ClientError) else 0
    )
    return _code_of(error) in aws.PASSING or status >= _SERVER_FAULT or isinstance(error, aws.UNREACHABLE)


class StreamReader:
    """Reader of all shards of a stream, including those that open later.

    Attributes:
        service: The service's clock.
    """

    def __init__(
        self,
        stream: str,
        start: StartingPosition,
        *,
        resume: Mapping[str, StartingPosition] | None = None,
        kinesis: Any = None,  # noqa: ANN401 - botocore makes its clients at run time
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """List the shards; with LATEST, find the tip of each.

        Args:
            stream: The stream's name.
            start: Position in present shards.
            resume: Positions in shards that an earlier reader knew; if given, every other shard opened since.
            kinesis: The client; by default the process's own.
            clock: The clock.

        Raises:
            MissingStreamError: The stream does not exist.
            CloudError: Its shards cannot be listed.
        """
        self.stream = stream
        self._readers: dict[str, ShardReader] = {}
        self._start, self._resume = start, resume or {}
        self._kinesis, self._clock = kinesis or aws.client("kinesis"), clock
        self._workers = None if kinesis else Threads(1)
        self.service = ServiceClock(f"stream {stream}", clock)
        self._listed_at = 0  # number of ended shards at the last listing
        with aws.explaining(f"stream {self.stream}"):
            self._add_shards()

    @property
    def all_shards(self) -> list[ShardReader]:
        """Return every known shard, including waiting and finished ones."""
        return [*self._readers.values()]

    @property
    def shards(self) -> list[ShardReader]:
        """Return the shards that may be read now: unfinished ones with finished parents."""
        unfinished = {shard_id: each for shard_id, each in self._readers.items() if not each.finished}
        return [each for each in unfinished.values() if each.parents.isdisjoint(unfinished)]

    def read(self) -> int:
        """Read every shard with an empty buffer; return the number of records read."""
        count = sum(shard.read() for shard in self.shards if not shard.buffer)
        self.find_children()
        return count

    def find_children(self) -> None:
        """List the shards again if one has ended, since its children have opened.

        Raises:
            CloudError: The shards cannot be listed, for a permanent reason.
        """
        ended = sum(each.ended for each in self._readers.values())
        if ended != self._listed_at:
            try:
                self._add_shards()
            except (BotoCoreError, ClientError) as error:
                if not _is_transient(error):
                    raise aws.explained(error, f"stream {self.stream}") from error
                return  # listed again at the next round
            self._listed_at = ended

    def at_tip(self) -> bool:
        """Return whether all records of the stream have been read and processed."""
        return all(
            not each.buffer and not each.held and (each.ended or each.behind_ms == 0) for each in self._readers.values()
        )

    def _add_shards(self) -> None:
        """Add new shards; those that opened after the start are read from their first record."""
        start = StartingPosition() if self._readers or self._resume else self._start
        for shard in self._list():
            shard_id = shard["ShardId"]
            if shard_id not in self._readers:
                parents = frozenset(
                    shard[name] for name in ("ParentShardId", "AdjacentParentShardId") if shard.get(name)
                )
                begin = self._resume.get(shard_id, start)
                self._readers[shard_id] = ShardReader(
                    self.stream, shard_id, parents, begin, self._kinesis, self._clock, self.service, self._workers
                )

    def _list(self) -> list[dict[str, Any]]:
        pages = self._kinesis.get_paginator("list_shards").paginate(StreamName=self.stream)
        found = _ask(self._workers, self.stream, lambda: list(pages))
        for page in found:
            self.service.note(page)
        return [shard for page in found for shard in page["Shards"]]


def read_stream(stream: str, start: StartingPosition, *, follow: bool = False) -> Iterator[bytes]:
    """Yield the data of a stream's present records, and with `follow` also of later ones."""
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
    """Create a stream and wait until it is active; return False if it existed already.

    Raises:
        CloudError: The stream cannot be created, or does not become active in time.
    """
    kinesis = aws.client("kinesis")
    made = True
    with aws.explaining(f"stream {stream}"):
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
    raise CloudError(f"stream {stream}: not active after {wait_s:g} s")
