"""Events, payloads and aggregated records."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

import msgspec

from app.settings import LINES, LIST, LOG_EVENTS, LOG_MESSAGES
from app.stream.aggregation import MAGIC, SubRecords, split
from app.stream.event import read_event
from app.stream.outcomes import Quarantine
from app.stream.payload import decode_column, decode_payload, json_decoder
from app.stream.record_rows import rows_of
from devtools.fuzz.target import memory, ours_alone, promise

BASE_BYTES = 4 * 1024 * 1024  # of memory: a payload may inflate to 64 KiB whatever its ratio
A_BYTE = 200.0
"""Bytes of memory a byte of input: an empty list of JSON takes two bytes, and 56 as an object."""
INFLATED_A_BYTE = 100 * 200.0
"""The same of a compressed payload, which may inflate a hundredfold."""


class _Sample(msgspec.Struct, forbid_unknown_fields=False):
    id: str
    count: Annotated[int, msgspec.Meta(ge=0)] = 0
    tags: list[str] = []
    nested: dict[str, Any] = {}


_ANY, _TYPED = json_decoder(Any), json_decoder(_Sample)


def check_event(data: bytes) -> None:
    """Read a Lambda event: as bytes and parsed it is the same batch, or refused; a faulty record is a Quarantine."""
    with memory(BASE_BYTES, A_BYTE, len(data)), ours_alone():
        batch, faults = read_event(data)
        promise(all(isinstance(fault, Quarantine) for fault in faults.values()), "a fault is no Quarantine")
        promise(all(0 <= row < len(batch) for row in faults), "a fault is of no record")
        promise(all(batch.partition_keys), "a record has no partition key")


def check_payload(data: bytes) -> None:
    """Decode a payload: a value or a Quarantine, and nothing else; alone as beside another."""
    with memory(BASE_BYTES, INFLATED_A_BYTE if data[:1] in {b"\x1f", b"\x78"} else A_BYTE, len(data)):
        for decoder in (_ANY, _TYPED):
            alone = decode_payload(data, decoder)
            beside = decode_column([b'{"id":"1"}', data], decoder)[1]
            if isinstance(alone, Quarantine):
                promise(
                    isinstance(beside, Quarantine) and beside.reason == alone.reason, "beside another it is no fault"
                )
                promise(alone.reason and alone.message, "a fault without a reason")
            else:
                promise(not isinstance(beside, Quarantine), "beside another it is a fault")
    for how in (LINES, LIST, LOG_EVENTS, LOG_MESSAGES):
        rows_of(data, how)


def check_aggregate(data: bytes) -> None:
    """Split an aggregated record with the right digest: all its records or one Quarantine; memory by its bytes."""
    payload = MAGIC + data + hashlib.md5(data, usedforsecurity=False).digest()
    with memory(BASE_BYTES, A_BYTE, len(payload)):
        found = split(payload)
    if isinstance(found, SubRecords):
        promise(sum(map(len, found.datas)) <= len(payload), "more bytes come out than went in")
        promise(all(found.partition_keys), "a record has no partition key")
