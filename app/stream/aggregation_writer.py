"""Make aggregated records: many small records in one Kinesis record, each with its own partition key.

Records are grouped by range of hash keys, so that an aggregate has records of one shard only, as in the Kinesis
Producer Library. All aggregates of a range have the same partition key, the first that came: the writer keeps the order
of outputs with the same key, so the records of each key stay in order too.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from app.stream.aggregation import (
    DATA,
    DIGEST_BYTES,
    HASH_KEY_INDEX,
    HASH_KEY_TABLE,
    MAGIC,
    MAX_SUB_RECORDS,
    PARTITION_KEY_INDEX,
    PARTITION_KEY_TABLE,
    RECORDS,
)
from app.stream.aggregation_ranges import hash_key_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.stream.aggregation_ranges import HashRange

AGGREGATE_BYTES = 25_000
"""Largest size of an aggregate, data and partition key together.

Kinesis bills a put in units of 25 KB, so a smaller one wastes part of a unit and a larger one saves nothing; 41 per
second reach a shard's 1 MB/s, far below its 1,000 records. It is half of the Kinesis Producer Library's default, since
an aggregate is retried as a whole and a smaller one repeats less.
"""

_MORE = 0x80  # this bit of a byte of a number means that another byte follows
_NUMBERS = [bytes([value]) for value in range(_MORE)]


class Aggregate(NamedTuple):
    """An aggregated record, ready to be put.

    Attributes:
        partition_key: Its partition key on the stream.
        data: The aggregated record.
        records: Number of its records.
    """

    partition_key: str
    data: bytes
    records: int


@dataclass(slots=True)
class Packer:
    """Packs records into one aggregated record.

    Attributes:
        size: Size of the aggregated record so far, in bytes.
        records: Number of its records.
    """

    size: int = len(MAGIC) + DIGEST_BYTES
    records: int = 0
    _keys: dict[str, int] = field(default_factory=dict)
    _hash_keys: dict[int, int] = field(default_factory=dict)
    _tables: list[bytes] = field(default_factory=list)
    _records: list[bytes] = field(default_factory=list)

    def add(self, partition_key: str, data: bytes, hash_key: int | None = None, *, limit: int | None = None) -> bool:
        """Add a record; return False and add nothing if it would exceed `limit` bytes or MAX_SUB_RECORDS.

        Args:
            partition_key: 1 to 256 characters.
            data: The raw bytes.
            hash_key: The explicit hash key, below 2**128, or None.
            limit: Largest size in bytes; None for no limit.
        """
        entries = b""
        index = self._keys.get(partition_key, len(self._keys))
        if index == len(self._keys):
            entries += _bytes_field(PARTITION_KEY_TABLE, partition_key.encode())
        fields = _NUMBERS[PARTITION_KEY_INDEX] + _varint(index)
        if hash_key is not None:
            hash_index = self._hash_keys.get(hash_key, len(self._hash_keys))
            if hash_index == len(self._hash_keys):
                entries += _bytes_field(HASH_KEY_TABLE, str(hash_key).encode())
            fields += _NUMBERS[HASH_KEY_INDEX] + _varint(hash_index)
        record = _bytes_field(RECORDS, fields + _bytes_field(DATA, data))
        size = self.size + len(entries) + len(record)
        if self.records == MAX_SUB_RECORDS or (limit is not None and size > limit):
            return False
        self._keys.setdefault(partition_key, index)
        if hash_key is not None:
            self._hash_keys.setdefault(hash_key, hash_index)
        self._tables.append(entries)
        self._records.append(record)
        self.size = size
        self.records += 1
        return True

    def pack(self) -> bytes:
        """Return the aggregated record: tables first, as the Kinesis Producer Library writes them."""
        message = b"".join(self._tables) + b"".join(self._records)
        return MAGIC + message + hashlib.md5(message, usedforsecurity=False).digest()


class Aggregator:
    """Groups records by range of hash keys; an aggregate is complete when the next record does not fit."""

    def __init__(self, ranges: Sequence[HashRange], limit_bytes: int = AGGREGATE_BYTES) -> None:
        """Use ranges that cover all hash keys, and a largest size of an aggregate.

        A larger record becomes an aggregate of its own.
        """
        self._starts = sorted(each.first for each in ranges)
        self._limit_bytes = limit_bytes
        self._open: dict[int, Packer] = {}
        self._partition_keys: dict[int, str] = {}

    def add(self, partition_key: str, data: bytes) -> Aggregate | None:
        """Add a record after the earlier ones of its key; return the aggregate that this completes, or None."""
        index = bisect_right(self._starts, hash_key_of(partition_key)) - 1
        key = self._partition_keys.setdefault(index, partition_key)
        packer = self._open.setdefault(index, Packer())
        if packer.add(partition_key, data, limit=self._limit_bytes - len(key.encode()) if packer.records else None):
            return None
        self._open[index] = fresh = Packer()
        fresh.add(partition_key, data)
        return Aggregate(key, packer.pack(), packer.records)

    def flush(self) -> list[Aggregate]:
        """Return all incomplete aggregates."""
        closed = [
            Aggregate(self._partition_keys[index], packer.pack(), packer.records)
            for index, packer in sorted(self._open.items())
        ]
        self._open.clear()
        return closed


def _varint(value: int) -> bytes:
    """Return a number in groups of seven bits, the lowest first."""
    return _NUMBERS[value] if value < _MORE else bytes([value & (_MORE - 1) | _MORE]) + _varint(value >> 7)


def _bytes_field(tag: int, value: bytes) -> bytes:
    return _NUMBERS[tag] + _varint(len(value)) + value
