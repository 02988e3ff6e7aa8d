"""Decode a record's bytes into a value within limits: compression, size, UTF-8, nesting, JSON, types.

No payload makes this raise; a faulty one becomes a Quarantine with a reason code:

    empty             no bytes
    bad_compression   a gzip or zlib header with a broken stream behind it
    inflate_bomb      inflates past the cap on bytes or on ratio
    too_large         more JSON than MAX_JSON_BYTES
    not_utf8          text that is not UTF-8
    too_deep          JSON nested deeper than MAX_JSON_DEPTH
    too_many_elements JSON with more values and fields than MOST_ELEMENTS, which would fill the memory
    not_json          not a JSON document
    not_finite        NaN, Infinity, or a number no double can hold
    missing_field     a required field is not there
    mistyped_field    a field has another type than it must have
    out_of_range      a field has a value outside its bounds
"""

from __future__ import annotations

import codecs
import operator
import re
import zlib
from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec
import numpy as np

from app.budgets import MOST_ELEMENTS, SCANNED_BYTES, is_over_elements, outside_strings, without_escapes
from app.stream.hints import hint_of
from app.stream.outcomes import Quarantine
from app.text import decode_json, without_bom

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAX_INFLATED_BYTES = 16 * 1024 * 1024  # more than Kinesis's largest record (10 MiB), less than hurts in 256 MB
MAX_INFLATE_RATIO = 100  # JSON records compress 3 to 30 times; a bomb about 1,000 times
RATIO_FREE_BYTES = 64 * 1024  # below this size any ratio is harmless
MAX_MEMBERS = 64  # of a concatenated gzip, which has a few; each further one costs a copy of the rest
MAX_JSON_BYTES = MAX_INFLATED_BYTES
CHUNK_TEXT_BYTES = 2 * MOST_ELEMENTS  # texts of as much, inflated, have no more elements together than one may have
MAX_JSON_DEPTH = 64  # the deepest real formats (OCSF, ASFF) stay below 20; parsers recurse, so a bound is needed
DEEP_BYTES = 2 * MAX_JSON_DEPTH + 2  # the shortest JSON that is nested deeper

_AUTO_HEADER = 32 + zlib.MAX_WBITS  # tells zlib to detect gzip or zlib from the header
_GZIP = b"\x1f\x8b"
_ZLIB = 0x78  # deflate with a 32 KiB window, as every encoder writes it
_COMPRESSED = frozenset((_GZIP[0], _ZLIB))
_SPECIAL = _COMPRESSED | {codecs.BOM_UTF8[0]}  # the first bytes of payloads that are not yet a JSON text
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_NOT_BRACKETS_NOR_QUOTES = bytes(set(_NOT_BRACKETS) - set(b'"'))
_OPEN = ord("[")
_NOT_FINITE = re.compile(rb"(?:^|[\[:,])\s*(-?(?:NaN|Infinity))")

T = TypeVar("T")
MadeT_co = TypeVar("MadeT_co", covariant=True)


class Decoder(Protocol[MadeT_co]):
    """Decoder of a text: msgspec's for a type, or a pipeline's own, which raises `ValueError` for a faulty text."""

    def decode(self, buf: bytes, /) -> MadeT_co:
        """Return the value of a text, which is UTF-8 and within the limits of size and nesting."""


def decode_payload(payload: bytes, decoder: Decoder[T]) -> T | Quarantine:
    """Return a payload as a value of the decoder's type, or its fault."""
    return decode_chunk([payload], decoder)[0]


def decode_column(payloads: Sequence[bytes], decoder: Decoder[T]) -> list[T | Quarantine]:
    """Return each payload as a value of the decoder's type, or its fault."""
    values: list[T | Quarantine] = []
    while len(values) < len(payloads):
        values += decode_chunk(payloads[len(values) :], decoder)
    return values


def decode_chunk(payloads: Sequence[bytes], decoder: Decoder[T]) -> list[T | Quarantine]:
    """Return the first payloads as values of the decoder's type, or their faults, as far as the memory for them goes.

    The payload with which they have more than `CHUNK_TEXT_BYTES` of text, inflated, is the last of a call.

    Returns:
        The values of as many payloads, one at the least if there is one.
    """
    decode = decoder.decode
    # The short cut relies on a decoder that refuses all but JSON: texts with open brackets hide each other's nesting.
    if isinstance(decoder, msgspec.json.Decoder) and _all_plain(payloads):
        try:
            return list(map(decode, payloads))
        except (msgspec.MsgspecError, ValueError, RecursionError):
            pass  # one of them is faulty: decode them one by one
    values: list[T | Quarantine] = []
    size = 0
    for payload in payloads:
        if size > CHUNK_TEXT_BYTES:
            break
        text = plain(payload)
        if isinstance(text, Quarantine):
            values.append(text)
            continue
        size += len(text)
        if is_over_elements(text):
            message = f"more than {MOST_ELEMENTS} values and fields in {len(text)} bytes of JSON"
            values.append(Quarantine("too_many_elements", message))
        else:
            values.append(decode_text(text, decode))
    return values


def decode_text(text: bytes, decode: Callable[[bytes], T]) -> T | Quarantine:
    """Return the value of a text, as `plain` returns one, or its fault; its elements are not counted."""
    try:
        return decode_json(text, decode)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        return _diagnose(text, error)


def _all_plain(payloads: Sequence[bytes]) -> bool:
    """Return True if no payload needs `plain`, found without a loop over them; False is inconclusive.

    If the joined text is UTF-8, so is each payload. Nesting is counted across payloads: one that leaves brackets open
    is no JSON, and then each is checked. A bracket within a string makes the result False, since it could hide one
    outside; only adjacent quotes, apart from brackets, enclose none.
    """
    if b"" in payloads or not _SPECIAL.isdisjoint(map(operator.itemgetter(0), payloads)):
        return False
    joined = b"\n".join(payloads)
    if len(joined) - len(payloads) >= CHUNK_TEXT_BYTES or not _is_utf8(joined):
        return False
    if max(map(len, payloads), default=0) < DEEP_BYTES:
        return True
    brackets = without_escapes(joined).translate(_ONE_KIND, _NOT_BRACKETS_NOR_QUOTES).replace(b'""', b"")
    return b'"' not in brackets and not _nest_too_deep(brackets)


def plain(payload: bytes) -> bytes | Quarantine:
    """Return a payload as text, inflated and without a byte order mark, that a JSON parser can read, or its fault.

    Its elements are not counted: `is_over_elements` says whether they are too many to be read as a whole.
    """
    if not payload:
        return Quarantine("empty", "the record has no bytes")
    text = inflated(payload)
    if isinstance(text, Quarantine):
        return text
    payload = text
    if len(payload) > MAX_JSON_BYTES:
        return Quarantine("too_large", f"{len(payload)} bytes; the cap is {MAX_JSON_BYTES}")
    if not _is_utf8(payload):
        return Quarantine("not_utf8", _with_hint(f"byte {_first_not_utf8(payload)} is not UTF-8", payload))
    if payload.count(b"[") + payload.count(b"{") > MAX_JSON_DEPTH and _is_too_deep(payload):
        return Quarantine("too_deep", f"nested deeper than {MAX_JSON_DEPTH}")
    return payload


def inflated(payload: bytes) -> bytes | Quarantine:
    """Return a payload inflated, if it is compressed, and without a byte order mark, or its fault."""
    text = _inflate(payload) if payload and payload[0] in _COMPRESSED and _is_compressed(payload) else payload
    if not isinstance(text, Quarantine):
        return without_bom(text)
    # `x^` is a zlib header and the begin of a formula; a broken stream is no UTF-8.
    return payload if text.reason == "bad_compression" and _is_utf8(payload) else text


def _is_utf8(text: bytes) -> bool:
    return text.isascii() or _first_not_utf8(text) is None


def _first_not_utf8(text: bytes) -> int | None:
    """Return the offset of the first byte that is not UTF-8, or None."""
    try:
        text.decode()
    except UnicodeDecodeError as error:
        return error.start
    return None


def _is_compressed(payload: bytes) -> bool:
    """Return whether it begins with gzip's magic or a zlib header (RFC 1950: 0x78, and a multiple of 31)."""
    return payload[:2] == _GZIP or (
        payload[0] == _ZLIB and len(payload) > 1 and (payload[0] << 8 | payload[1]) % 31 == 0
    )


def _inflate(payload: bytes) -> bytes | Quarantine:
    """Inflate gzip (all members) or zlib, within the limits of memory."""
    cap = min(MAX_INFLATED_BYTES, max(RATIO_FREE_BYTES, MAX_INFLATE_RATIO * len(payload)))
    parts: list[bytes] = []
    left, rest = cap, payload
    while rest:
        inflater = zlib.decompressobj(_AUTO_HEADER)
        try:
            part = inflater.decompress(rest, left + 1)
        except zlib.error as error:
            return Quarantine("bad_compression", str(error))
        if len(part) > left:
            return Quarantine("inflate_bomb", f"{len(payload)} bytes inflate to more than {cap}")
        if not inflater.eof:
            return Quarantine("bad_compression", "the compressed stream ends too early")
        if len(parts) == MAX_MEMBERS:
            return Quarantine("inflate_bomb", f"more than {MAX_MEMBERS} compressed members")
        parts.append(part)
        left -= len(part)
        rest = inflater.unused_data
    return b"".join(parts)


def _is_too_deep(text: bytes) -> bool:
    """Return whether brackets are nested deeper than the limit."""
    return _nest_too_deep(outside_strings(text).translate(_ONE_KIND, _NOT_BRACKETS))


def _nest_too_deep(brackets: bytes) -> bool:
    """Return whether brackets of one kind are nested too deep; parsers stop at one that closes too much."""
    depth = 0
    for start in range(0, len(brackets), SCANNED_BYTES):
        opens = np.frombuffer(brackets, np.uint8, min(SCANNED_BYTES, len(brackets) - start), start) == _OPEN
        depths = depth + np.cumsum(np.where(opens, 1, -1))
        if depths.max() > MAX_JSON_DEPTH:
            return True
        depth = int(depths[-1])
    return False


def _diagnose(text: bytes, error: Exception) -> Quarantine:
    """Return the fault of a text that a parser refused."""
    message = str(error)
    if isinstance(error, msgspec.ValidationError):
        if message.startswith("Object missing required field"):
            return Quarantine("missing_field", message)
        if message.startswith("Number out of range"):
            return Quarantine("not_finite", message)
        bounded = message.startswith(("Expected", "Invalid enum", "Integer")) and " got " not in message
        return Quarantine("out_of_range" if bounded else "mistyped_field", _with_hint(message, text))
    constant = _NOT_FINITE.search(outside_strings(text))
    if constant:
        return Quarantine("not_finite", f"{constant[1].decode()} is not a JSON number")
    return Quarantine("not_json", _with_hint(message, text))


def _with_hint(message: str, payload: bytes) -> str:
    """Add what the payload seems to be instead, where its first bytes show that."""
    hint = hint_of(payload)
    return f"{message}; {hint}" if hint else message


def json_decoder(record_type: type[T]) -> msgspec.json.Decoder[T]:
    """Return a decoder of a pipeline's record type, to be made once per process."""
    return msgspec.json.Decoder(record_type)
