"""Hash keys of records and hash key ranges of shards, which determine the shard of a record.

A record's hash key is its explicit hash key, else the MD5 of its partition key as a 128-bit integer:
https://docs.aws.amazon.com/streams/latest/dev/key-concepts.html
"""

from __future__ import annotations

import hashlib
import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

from app.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class HashRange(NamedTuple):
    """A shard's range of hash keys, or a part of one.

    Attributes:
        first: The lowest hash key.
        last: The highest hash key, inclusive.
    """

    first: int
    last: int

    def holds(self, hash_key: int) -> bool:
        """Return whether a hash key is in the range."""
        return self.first <= hash_key <= self.last

    def cut(self, parts: int) -> list[HashRange]:
        """Return the range in parts of about equal size; in fewer parts if it has fewer hash keys."""
        size = self.last + 1 - self.first
        bounds = sorted({self.first + size * part // parts for part in range(parts + 1)})
        return [HashRange(first, after - 1) for first, after in itertools.pairwise(bounds)]


def hash_key_of(partition_key: str) -> int:
    """Return the hash key of a record without an explicit one."""
    return int.from_bytes(hashlib.md5(partition_key.encode(), usedforsecurity=False).digest())


def list_ranges(stream: str, *, only_open: bool = False) -> dict[str, HashRange]:
    """Return the range of each shard that has or accepts records, by shard id.

    Args:
        stream: The stream's name.
        only_open: Whether to leave out shards that a split or merge has closed.

    Raises:
        MissingStreamError: The stream does not exist.
        CloudError: Its shards cannot be listed.
    """
    from app import aws  # noqa: PLC0415 - a test kit has services of its own, and needs nothing of AWS

    with aws.explaining(f"stream {stream}"):
        pages = aws.client("kinesis").get_paginator("list_shards").paginate(StreamName=stream)
        shards: list[dict[str, Any]] = [shard for page in pages for shard in page["Shards"]]
    return {
        shard["ShardId"]: HashRange(
            int(shard["HashKeyRange"]["StartingHashKey"]), int(shard["HashKeyRange"]["EndingHashKey"])
        )
        for shard in shards
        if not (only_open and shard["SequenceNumberRange"].get("EndingSequenceNumber"))
    }


class ShardRanges:
    """Cache of the ranges of streams' shards, read again when a shard is unknown."""

    def __init__(self, ask: Callable[[str], Mapping[str, HashRange]] = list_ranges) -> None:
        """Start empty; `ask` reads the ranges of a stream."""
        self._ask = ask
        self._known: dict[str, dict[str, HashRange | None]] = {}

    def of(self, stream: str, shard: str) -> HashRange | None:
        """Return a shard's range; None for a shard that the stream does not have, which is cached too.

        Raises:
            CloudError: The shards cannot be listed.
        """
        known = self._known.setdefault(stream, {})
        if shard not in known:
            known.update(self._ask(stream))
            if shard not in known:
                logger.warning("a shard that its stream does not list", extra={"stream": stream, "shard": shard})
                known[shard] = None
        return known[shard]
