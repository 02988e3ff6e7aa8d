"""Aggregates for the controls: malformed ones, and a reader with the Kinesis Client Library's rule for foreign records.

That library hands on a record of an aggregate only if its hash key is in the shard's range, and drops the others in
silence; two shards halve the hash keys here.
"""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING

from benchmarks.controls.plan import Trace, data_of, id_of, records_of

if TYPE_CHECKING:
    from collections.abc import Callable

MAGIC = b"\xf3\x89\x9a\xc2"
HALF = 2**127
AGGREGATE_RECORDS = 5


def hash_key(key: str) -> int:
    """Return the hash key of a partition key."""
    return int.from_bytes(hashlib.md5(key.encode(), usedforsecurity=False).digest())


def malformed(seed: int) -> tuple[Trace, list[bytes]]:
    """Return a history of aggregates; in some a record in the middle has an index that the table lacks."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    trace = Trace(records_of(seed))
    payloads = []
    for start in range(0, len(trace.sent), AGGREGATE_RECORDS):
        records = trace.sent[start : start + AGGREGATE_RECORDS]
        bad = chance.randrange(1, AGGREGATE_RECORDS) if chance.random() < 0.3 else None  # noqa: PLR2004 - a chance
        payloads.append(_aggregate(records, bad))
    return trace, payloads


def _aggregate(records: list[tuple[str, int]], bad: int | None) -> bytes:
    keys = [key for key, _ in records]
    message = b"".join(b"\x0a" + bytes([len(key)]) + key.encode() for key in keys)
    for index, (_, record) in enumerate(records):
        data = data_of(record)
        body = b"\x08" + bytes([99 if index == bad else index]) + b"\x1a" + bytes([len(data)]) + data
        message += b"\x1a" + bytes([len(body)]) + body
    return MAGIC + message + hashlib.md5(message, usedforsecurity=False).digest()


def read_by_shard(
    trace: Trace, aggregates: list[tuple[str, bytes]], split: Callable[[bytes], list[tuple[str, bytes]]]
) -> None:
    """Read aggregates, given by their key on the stream, from two shards in turn, by the library's rule."""
    for first, last in ((0, HALF - 1), (HALF, 2 * HALF - 1)):
        for key, data in aggregates:
            if first <= hash_key(key) <= last:
                inside = [raw for inner, raw in split(data) if first <= hash_key(inner) <= last]
                trace.delivered += [(id_of(raw), False) for raw in inside]
