"""Find out when a record's stream was created: positions are compared only within one creation of a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.errors import CloudError, MissingStreamError
from app.storage.state import ShardOrigin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from app.storage.state import Position, Stored
    from app.stream.batch import Batch, Place


def ask_created_ms(stream_arn: str) -> int | None:
    """Ask Kinesis when a stream was created, in milliseconds since 1970; None if there is no such stream.

    Raises:
        CloudError: Kinesis does not answer, or refuses.
    """
    if ":stream/" not in stream_arn:  # a test event by hand names none
        return None
    from app import aws  # noqa: PLC0415 - a test kit has streams of its own, and needs nothing of AWS

    try:
        with aws.explaining(f"stream {stream_arn.rpartition('/')[2]}"):
            answer = aws.client("kinesis").describe_stream_summary(StreamARN=stream_arn)
    except MissingStreamError:
        return None
    created: datetime | None = answer.get("StreamDescriptionSummary", {}).get("StreamCreationTimestamp")
    if created is None:
        raise CloudError(f"stream {stream_arn.rpartition('/')[2]}: Kinesis does not say when it was created")
    return round(created.timestamp() * 1000)


class StreamOrigins:
    """Cache of when streams were created; one for each process."""

    def __init__(self, ask: Callable[[str], int | None] = ask_created_ms) -> None:
        """Ask nothing yet."""
        self._ask = ask
        self._created_ms: dict[str, int | None] = {}

    def of(self, stream_arn: str, shard: str, *, again: bool = False) -> ShardOrigin | None:
        """Return the origin of a shard's records; None if the stream does not exist: their positions mean nothing.

        Args:
            stream_arn: The stream's ARN.
            shard: The shard's id.
            again: Whether to ask although an answer is cached: the stream may have been deleted and made anew since.

        Raises:
            CloudError: Kinesis does not say.
        """
        if again or stream_arn not in self._created_ms:
            self._created_ms[stream_arn] = self._ask(stream_arn)
        created_ms = self._created_ms[stream_arn]
        return None if created_ms is None else ShardOrigin(stream_arn, created_ms, shard)


class BatchOrigins:
    """The origins of one batch's records, asked anew at most once: a stream may have been made anew since."""

    def __init__(self, origins: StreamOrigins, batch: Batch[Any]) -> None:
        """Take the process's cache, and the batch."""
        self._origins, self._batch = origins, batch
        self._are_fresh = False
        self._known: dict[str, ShardOrigin | None] = {}

    def of(self, shard: str) -> ShardOrigin | None:
        """Return the origin of a shard's records; None if the stream does not exist."""
        if shard not in self._known:
            self._known[shard] = self._origins.of(self._batch.stream_arn, shard)
        return self._known[shard]

    def ask_anew(self) -> bool:
        """Ask when the stream was created; return whether that was not done for this batch before."""
        if self._are_fresh:
            return False
        self._are_fresh = True
        self._known.clear()
        self._origins.of(self._batch.stream_arn, self._batch.shards[0], again=True)
        return True

    def heed(self, stored: Stored) -> None:
        """Ask anew if a state knows a later creation of the stream than this process does."""
        for origin in stored.applied:
            known = self.of(origin.shard) if origin.stream_arn == self._batch.stream_arn else None
            if known is not None and known.created_ms < origin.created_ms:
                self.ask_anew()

    def exist(self) -> bool:
        """Return whether positions of these records mean something, now."""
        self.ask_anew()
        return self.of(self._batch.shards[0]) is not None

    def located(self, places: Iterable[Place]) -> list[tuple[ShardOrigin, Position]]:
        """Return positions with their shards' origins, in order; those without an origin are left out."""
        found = ((self.of(shard), position) for shard, position in places)
        return sorted((origin, position) for origin, position in found if origin is not None)
