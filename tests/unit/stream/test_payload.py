from __future__ import annotations

import gzip
import random
import time
import zlib

import msgspec
import pytest

from app.stream.outcomes import Quarantine
from app.stream.payload import MAX_JSON_BYTES, MAX_JSON_DEPTH, decode_payload, json_decoder


class Weather(msgspec.Struct):
    t1: float
    code: int = 0
    humidity: float = msgspec.field(default=0.0)


class Record(msgspec.Struct):
    features: Weather


decoder = json_decoder(Record)
GOOD = b'{"features": {"t1": 2}}'


@pytest.mark.parametrize(
    "payload",
    [
        GOOD,
        gzip.compress(GOOD),
        zlib.compress(GOOD),
        zlib.compress(GOOD, 9),
        gzip.compress(b"  ") + gzip.compress(GOOD),
    ],
    ids=["plain", "gzip", "zlib", "zlib, level 9", "gzip of two members"],
)
def test_plain_and_compressed_records_decode_alike(payload: bytes) -> None:
    assert decode_payload(payload, decoder) == Record(Weather(2.0))


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "empty"),
        (gzip.compress(GOOD)[:-9], "bad_compression"),
        (b"\x1f\x8b not gzip", "bad_compression"),
        (gzip.compress(GOOD) + b"tail", "bad_compression"),
        (gzip.compress(bytes(30_000_000)), "inflate_bomb"),
        (zlib.compress(bytes(30_000_000)), "inflate_bomb"),
        (b'{"features": {"t1": 2}, "x": "' + b"x" * MAX_JSON_BYTES + b'"}', "too_large"),
        (b'{"features": {"t1": 2}, "x": "\xff"}', "not_utf8"),
        (b'{"features": {"t1": 2}, "x": "\xc0\xaf"}', "not_utf8"),
        (b"\x80abc", "not_utf8"),
        (b"[" * 100_000, "too_deep"),
        (b'{"features": {"t1": 2}, "x": ' + b"[" * 65 + b"]" * 65 + b"}", "too_deep"),
        (b"hello", "not_json"),
        (b"x^2 + 1 = 0", "not_json"),
        (b'{"features": {"t1": 2}} tail', "not_json"),
        (b'{"features": {"t1": 2', "not_json"),
        (b"\xef\xbb\xbfhello", "not_json"),
        (b'{"features": {"t1": NaN}}', "not_finite"),
        (b'{"features": {"t1": Infinity}}', "not_finite"),
        (b'{"features": {"t1": -Infinity}}', "not_finite"),
        (b'{"features": {"t1": 1e999}}', "not_finite"),
        (b'{"features": {}}', "missing_field"),
        (b'{"features": {"t1": "2"}}', "mistyped_field"),
        (b'{"features": {"t1": null}}', "mistyped_field"),
        (b'{"features": {"t1": true}}', "mistyped_field"),
        (b'{"features": []}', "mistyped_field"),
        (b"[]", "mistyped_field"),
    ],
)
def test_each_fault_has_its_own_reason(payload: bytes, reason: str) -> None:
    found = decode_payload(payload, decoder)
    assert isinstance(found, Quarantine)
    assert found.reason == reason
    assert found.message


def test_a_fault_in_a_field_names_the_path_to_it() -> None:
    found = decode_payload(b'{"features": {"t1": "2"}}', decoder)
    assert isinstance(found, Quarantine)
    assert "$.features.t1" in found.message


def test_brackets_within_strings_are_not_depth() -> None:
    text = b'{"features": {"t1": 2}, "x": "' + b"[{" * MAX_JSON_DEPTH + b'\\""}'
    assert decode_payload(text, decoder) == Record(Weather(2.0))


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 65 + b'"' + b'\\"' * 200_000,
        b'{"a": "' + b"{" * 70 + b"a" * 4_000_000,
        b'{"features": {"t1": 2}, "x": "' + b"{" * 70 + b"a" * 4_000_000 + b'"}',
        b"[],{}" * 1_000_000 + b"x",
        b'"' * 2_000_000,
    ],
    ids=["an open string of escapes", "an open string", "a long string", "many pairs", "many quotes"],
)
def test_the_time_for_a_payload_grows_with_its_length_alone(text: bytes) -> None:
    def seconds(payload: bytes) -> float:
        began = time.process_time()
        decode_payload(payload, decoder)
        return time.process_time() - began

    # Sixteen times the time for eight times the length still is linear, with room for a busy machine.
    assert seconds(text) < 16 * max(seconds(text[: len(text) // 8]), 0.02)


def test_a_string_of_members_is_a_bomb_too() -> None:
    member = gzip.compress(bytes(60_000))
    for payload in (member * 20, gzip.compress(b" ") * 1000):
        found = decode_payload(payload, decoder)
        assert isinstance(found, Quarantine)
        assert found.reason == "inflate_bomb"


def test_neither_cap_alone_is_enough() -> None:
    noise = random.Random(0).randbytes(400_000)
    for payload in (zlib.compress(noise + bytes(17_000_000)), zlib.compress(noise[:20_000] + bytes(12_000_000))):
        found = decode_payload(payload, decoder)
        assert isinstance(found, Quarantine)
        assert found.reason == "inflate_bomb"


def test_small_payloads_may_compress_as_well_as_they_like() -> None:
    text = b'{"features": {"t1": 2}, "x": "' + b" " * 60_000 + b'"}'
    packed = zlib.compress(text, 9)
    assert len(text) / len(packed) > 200
    assert decode_payload(packed, decoder) == Record(Weather(2.0))
