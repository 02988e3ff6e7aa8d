"""Split an aggregated record of the Kinesis Producer Library into its user records: all or none.

The format: https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md

    F3 89 9A C2 | protobuf message AggregatedRecord | its MD5, 16 bytes

It is read here rather than with the protobuf package: cold starts need no dependency, and one module checks every
limit. A faulty aggregate becomes one Quarantine of the whole with its raw bytes:

    aggregate_digest    the magic number without a matching MD5: a truncated or damaged aggregate
    aggregate_too_many  more records, or keys in a table, than MAX_SUB_RECORDS
    bad_aggregate       a matching MD5 around what is not the format; the message says what, and at which byte

`docs/decisions/0012-aggregation.md` says why a wrong MD5 is not an ordinary record here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import NamedTuple, NoReturn

from app.stream.outcomes import Quarantine

MAGIC = b"\xf3\x89\x9a\xc2"
DIGEST_BYTES = 16
MAX_SUB_RECORDS = 100_000  # a 1 MiB aggregate of 10 bytes a record; as columns they take about 20 MB
MAX_PARTITION_KEY = 256  # Kinesis's limit, in UTF-16 units: a longer key could not be put on any stream again
HASH_KEYS = 2**128  # hash keys are below this

# Tags of protobuf's wire format (https://protobuf.dev/programming-guides/encoding/): field number << 3 | wire type.
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
PARTITION_KEY_TABLE, HASH_KEY_TABLE, RECORDS = 1 << 3 | _BYTES, 2 << 3 | _BYTES, 3 << 3 | _BYTES
PARTITION_KEY_INDEX, HASH_KEY_INDEX, DATA = 1 << 3 | _VARINT, 2 << 3 | _VARINT, 3 << 3 | _BYTES
_FIELDS = frozenset((PARTITION_KEY_TABLE, HASH_KEY_TABLE, RECORDS))
_MORE = 0x80  # this bit of a byte of a number means that another byte follows


class SubRecords(NamedTuple):
    """The records of an aggregate as columns, in order; the index is the sub-sequence number.

    Attributes:
        partition_keys: 1 to 256 characters each.
        hash_keys: Explicit hash keys, below 2**128; None where the hash of the partition key applies.
        datas: The raw bytes of each.
    """

    partition_keys: list[str]
    hash_keys: list[int | None]
    datas: list[bytes]


class _BadAggregateError(Exception):
    """The bytes do not have the format."""


@dataclass(slots=True)
class _Message:
    """The part of an AggregatedRecord read so far: its two tables, and a column for each field of its records."""

    partition_keys: list[bytes] = field(default_factory=list)
    hash_keys: list[bytes] = field(default_factory=list)
    partition_key_at: list[int] = field(default_factory=list)
    hash_key_at: list[int | None] = field(default_factory=list)
    datas: list[bytes] = field(default_factory=list)

    @property
    def entries(self) -> int:
        """Return the length of the longest list: no record needs more than one key of each table."""
        return max(len(self.datas), len(self.partition_keys), len(self.hash_keys))


def split(payload: bytes) -> SubRecords | Quarantine:
    """Split a payload that begins with the magic number.

    Time and memory are proportional to the payload's length. It raises for no payload.

    Returns:
        All its records, or the reason why it is refused.
    """
    end = len(payload) - DIGEST_BYTES
    body = memoryview(payload)[len(MAGIC) : end]
    if end < len(MAGIC) or hashlib.md5(body, usedforsecurity=False).digest() != payload[end:]:
        return Quarantine("aggregate_digest", f"{len(payload)} bytes with an aggregate's magic, but not its MD5")
    try:
        message = _read_message(payload, end)
        if message.entries > MAX_SUB_RECORDS:
            found = f"more than {MAX_SUB_RECORDS} records or keys in {len(payload)} bytes"
            return Quarantine("aggregate_too_many", found)
        return _resolve(message)
    except _BadAggregateError as error:
        return Quarantine("bad_aggregate", str(error))


def user_records(data: bytes) -> list[bytes]:
    """Return the records in an aggregated record; any other data as the only one."""
    found = split(data) if data.startswith(MAGIC) else None
    return found.datas if isinstance(found, SubRecords) else [data]


def _read_message(raw: bytes, end: int) -> _Message:
    """Read the fields of the message between the magic number and `end`; stop soon after too many records or keys."""
    found = _Message()
    at = len(MAGIC)
    while at < end and found.entries <= MAX_SUB_RECORDS:
        start, first = at, raw[at]
        if first == RECORDS:
            at = _read_usual_records(raw, at, end, found)
        elif first == PARTITION_KEY_TABLE:
            at = _read_usual_keys(raw, at, end, found.partition_keys)
        if at == start:
            at = _read_field(raw, at, end, found)
    return found


def _read_usual_keys(raw: bytes, at: int, end: int, keys: list[bytes]) -> int:
    """Read entries of a table shorter than 128 bytes up to the first other field, and return its offset."""
    while at < end and raw[at] == PARTITION_KEY_TABLE and len(keys) <= MAX_SUB_RECORDS:
        size = raw[at + 1]
        stop = at + 2 + size
        if size >= _MORE or stop > end:
            break
        keys.append(raw[at + 2 : stop])
        at = stop
    return at


def _read_usual_records(raw: bytes, at: int, end: int, found: _Message) -> int:  # noqa: C901, PLR0912 - see below
    """Read records in the form that producers write up to the first other one, and return its offset.

    In this form a record has the index of the partition key, an optional index of an explicit hash key, then data up to
    its end, each number in one or two bytes. It is written without calls since it runs for nearly every record. It may
    look past `end` into the digest of 16 bytes, never past `raw`, and accepts no record that ends past `end`.
    """
    indexes, datas, hash_indexes = found.partition_key_at, found.datas, found.hash_key_at
    for _ in range(MAX_SUB_RECORDS + 1 - len(datas)):
        if raw[at] != RECORDS:
            break
        size, high = raw[at + 1], raw[at + 2]
        mark = at + 2
        if size >= _MORE:
            if high >= _MORE:
                break
            size += (high << 7) - _MORE
            mark += 1
        stop = mark + size
        if raw[mark] != PARTITION_KEY_INDEX or stop > end:
            break
        index, high = raw[mark + 1], raw[mark + 2]
        mark += 2
        if index >= _MORE:
            if high >= _MORE:
                break
            index += (high << 7) - _MORE
            mark += 1
        hash_index = None
        if raw[mark] == HASH_KEY_INDEX:
            hash_index, high = raw[mark + 1], raw[mark + 2]
            mark += 2
            if hash_index >= _MORE:
                if high >= _MORE:
                    break
                hash_index += (high << 7) - _MORE
                mark += 1
        if raw[mark] != DATA:
            break
        size, high = raw[mark + 1], raw[mark + 2]
        mark += 2
        if size >= _MORE:
            size += (high << 7) - _MORE  # were there a third byte, it would be more than the record has
            mark += 1
        if mark + size != stop:
            break
        indexes.append(index)
        hash_indexes.append(hash_index)
        datas.append(raw[mark:stop])
        at = stop
    return at


def _read_field(raw: bytes, at: int, end: int, found: _Message) -> int:
    """Read a field in any form, and return the offset of the next one."""
    tag, at = _varint32(raw, at, end)
    if tag not in _FIELDS:
        return _skip(raw, at, end, tag)
    stop, at = _length(raw, at, end)
    if tag == RECORDS:
        _read_record(raw, at, stop, found)
    else:
        (found.partition_keys if tag == PARTITION_KEY_TABLE else found.hash_keys).append(raw[at:stop])
    return stop


def _read_record(raw: bytes, at: int, end: int, found: _Message) -> None:
    """Read a record in any form; of a repeated field the last one applies, as in protobuf."""
    start = at
    partition_key_at: int | None = None
    hash_key_at: int | None = None
    data: bytes | None = None
    while at < end:
        tag, at = _varint32(raw, at, end)
        if tag == DATA:
            stop, at = _length(raw, at, end)
            data, at = raw[at:stop], stop
        elif tag == PARTITION_KEY_INDEX:
            partition_key_at, at = _varint(raw, at, end)
        elif tag == HASH_KEY_INDEX:
            hash_key_at, at = _varint(raw, at, end)
        else:
            at = _skip(raw, at, end, tag)
    if data is None or partition_key_at is None:
        _refuse(start, f"record {len(found.datas)} has no {'data' if data is None else 'partition key'}")
    found.partition_key_at.append(partition_key_at)
    found.hash_key_at.append(hash_key_at)
    found.datas.append(data)


def _resolve(message: _Message) -> SubRecords:
    """Replace indexes by the tables' entries."""
    keys, hash_keys = _partition_keys(message.partition_keys), _hash_keys(message.hash_keys)
    if max(message.partition_key_at, default=-1) >= len(keys):
        raise _BadAggregateError(f"a record's partition key is not among the table's {len(keys)}")
    explicit = [index for index in message.hash_key_at if index is not None]
    if max(explicit, default=-1) >= len(hash_keys):
        raise _BadAggregateError(f"a record's explicit hash key is not among the table's {len(hash_keys)}")
    return SubRecords(
        [keys[index] for index in message.partition_key_at],
        [None if index is None else hash_keys[index] for index in message.hash_key_at],
        message.datas,
    )


def _partition_keys(table: list[bytes]) -> list[str]:
    try:
        keys = [key.decode() for key in table]
    except UnicodeDecodeError:
        raise _BadAggregateError("a partition key is not UTF-8") from None
    longest = 2 * max(map(len, keys), default=0)  # a character has at most two UTF-16 units
    if "" in keys or (longest > MAX_PARTITION_KEY and max(map(_units, keys)) > MAX_PARTITION_KEY):
        raise _BadAggregateError(f"a partition key has not 1 to {MAX_PARTITION_KEY} characters")
    return keys


def _hash_keys(table: list[bytes]) -> list[int]:
    # 39 digits are enough for every hash key; int() takes signs, spaces and underscores too, and its time grows.
    keys = [int(key) if key.isdigit() and len(key) <= len(str(HASH_KEYS)) else HASH_KEYS for key in table]
    if max(keys, default=0) >= HASH_KEYS:
        raise _BadAggregateError("an explicit hash key is not a decimal number below 2**128")
    return keys


def _units(key: str) -> int:
    return len(key.encode("utf-16-le")) // 2


def _varint32(raw: bytes, at: int, end: int) -> tuple[int, int]:
    """Return a tag or a length of 32 bits, and the offset after it."""
    return _varint(raw, at, min(end, at + 5), 2**32)


def _varint(raw: bytes, at: int, end: int, limit: int = 2**64) -> tuple[int, int]:
    """Return a number in groups of seven bits, the lowest first, and the offset after it."""
    if at < end and raw[at] < _MORE:
        return raw[at], at + 1
    value = shift = 0
    for offset in range(at, min(end, at + 10)):  # ten bytes hold 64 bits
        value |= (raw[offset] & (_MORE - 1)) << shift
        if raw[offset] < _MORE:
            if value >= limit:
                _refuse(at, "a number is too large")
            return value, offset + 1
        shift += 7
    return _refuse(at, "a number does not end")


def _length(raw: bytes, at: int, end: int) -> tuple[int, int]:
    """Return the end of a field of bytes, and its start after the length."""
    size, at = _varint32(raw, at, end)
    if size > end - at:
        _refuse(at, f"a field of {size} bytes where {end - at} are left")
    return at + size, at


def _skip(raw: bytes, at: int, end: int, tag: int) -> int:
    """Return the end of an unknown field, which protobuf requires readers to ignore."""
    number, wire_type = tag >> 3, tag & 7
    if wire_type == _VARINT:
        stop = _varint(raw, at, end)[1]
    elif wire_type == _BYTES:
        stop = _length(raw, at, end)[0]
    elif wire_type in {_FIXED64, _FIXED32}:
        stop = at + (8 if wire_type == _FIXED64 else 4)
    else:
        # Groups (3 and 4), which protobuf has deprecated, nest without limit; 6 and 7 do not exist.
        _refuse(at, f"a field of wire type {wire_type}")
    if stop > end or not number:
        _refuse(at, "a field without end" if number else "field number 0")
    return stop


def _refuse(at: int, message: str) -> NoReturn:
    raise _BadAggregateError(f"byte {at}: {message}")
