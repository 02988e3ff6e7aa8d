"""Fakes for tests of the spine and of pipelines: streams in memory that fail as they are told, and events.

They stand where the real service cannot be made to fail on demand; the local cloud's tests use the real protocol.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from app.stream.mapping.event import build_event
from app.stream.putrecords import DEFAULT_RECORD_LIMIT_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

FIRST_SEQUENCE_NUMBER = 49_600_000_000_000_000_000_000_000_000_000_000_000_000_000_000_000_000_000


class FakeStreams:
    """Streams in memory behind the PutRecords seam.

    Attributes:
        records: What each stream accepted, in order, as (partition key, data).
        calls: The size of each call, in records.
    """

    def __init__(
        self, fault: Callable[[str, Sequence[str]], Mapping[int, str]] | None = None, limit_kib: int = 1024
    ) -> None:
        """Takes a fault plan.

        Args:
            fault: Given a call's stream and keys, the error codes of the entries to refuse by index; it may raise
                what a call may raise. None accepts everything.
            limit_kib: The largest record that each stream takes.
        """
        self.records: dict[str, list[tuple[str, bytes]]] = defaultdict(list)
        self.calls: list[int] = []
        self._fault, self._limit_bytes = fault, limit_kib * 1024
        self._lock = threading.Lock()

    def put(self, stream: str, keys: Sequence[str], datas: Sequence[bytes]) -> Mapping[int, str]:
        """Accepts what the plan does not refuse; calls side by side take turns."""
        with self._lock:
            self.calls.append(len(keys))
            refused = self._fault(stream, keys) if self._fault else {}
            self.records[stream] += [
                (key, data) for row, (key, data) in enumerate(zip(keys, datas, strict=True)) if row not in refused
            ]
            return refused

    def record_limit_bytes(self, _stream: str) -> int:
        """The same for every stream."""
        return max(self._limit_bytes, DEFAULT_RECORD_LIMIT_BYTES)


def event_of(
    payloads: Sequence[bytes], keys: Sequence[str] | None = None, *, stream: str = "input", start: int = 0
) -> bytes:
    """An event that holds these payloads.

    Args:
        payloads: Raw bytes, one a record.
        keys: Partition keys; without them each record has its own.
        stream: The stream's name.
        start: The place of the first record in its shard; it makes the sequence numbers.
    """
    arrived = datetime(2026, 1, 1, tzinfo=UTC)
    return build_event(
        stream,
        "shardId-000000000000",
        [
            {
                "PartitionKey": keys[row] if keys else f"key-{start + row}",
                "SequenceNumber": str(FIRST_SEQUENCE_NUMBER + start + row),
                "Data": payload,
                "ApproximateArrivalTimestamp": arrived,
            }
            for row, payload in enumerate(payloads)
        ],
    )


def sequence_number(place: int) -> str:
    """The sequence number of the record at a place of `event_of`'s shard."""
    return str(FIRST_SEQUENCE_NUMBER + place)
