"""A payload that cannot be read is told from its first bytes, and the quarantine record says how to mend it."""

from __future__ import annotations

import base64
import gzip

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.stream import hints
from app.stream.hints import hint_of
from app.stream.outcomes import Quarantine
from app.stream.payload import decode_payload, json_decoder

RECORD = b'{"features": {"t1": 2, "t2": 3, "hum": 50, "weather_code": 2}, "pred_id": 1}'
decoder = json_decoder(dict)


@pytest.mark.parametrize(
    ("payload", "hint"),
    [
        (RECORD.decode().encode("utf-16"), hints.UTF16),
        (RECORD.decode().encode("utf-16-le"), hints.UTF16),
        (RECORD.decode().encode("utf-16-be"), hints.UTF16),
        (b"\xef\xbb\xbf<html>", hints.MARKUP),
        (base64.b64encode(RECORD), hints.BASE64),
        (base64.b64encode(gzip.compress(RECORD)), hints.BASE64),
        (base64.b64encode(RECORD * 1000) + b"\n", hints.BASE64),
        (base64.b64encode(base64.b64encode(RECORD)), hints.BASE64_TWICE),
        (msgspec.json.encode(RECORD.decode()), hints.JSON_IN_STRING),
        (b"{'features': {}}", hints.PYTHON),
        (b"rides.jsonl", hints.FILE_NAME),
        (b"@data/rides.json", hints.FILE_NAME),
        (b"s3://bucket/rides", hints.FILE_NAME),
        (b"<html>", hints.MARKUP),
    ],
)
def test_the_quarantine_message_says_how_to_mend_it(payload: bytes, hint: str) -> None:
    found = decode_payload(payload, decoder)
    assert isinstance(found, Quarantine)
    assert found.message.endswith(f"; {hint}")


def test_compressed_bytes_are_named_where_nothing_inflates_them() -> None:
    assert "gzip" in hint_of(gzip.compress(RECORD))
    assert "Zstandard" in hint_of(b"\x28\xb5\x2f\xfd\x00")


@pytest.mark.parametrize(
    "payload", [b"", b"hello", b"not JSON at all", b"zzz", b'{"a": 1', b"deadbeef", b"1,2,3", b"\x7fELF" + bytes(60)]
)
def test_nothing_is_guessed_without_a_sign(payload: bytes) -> None:
    assert hint_of(payload) == ""


@given(st.binary(max_size=600))
def test_a_hint_is_a_fixed_sentence_for_any_bytes(payload: bytes) -> None:
    assert hint_of(payload) in {"", *(each for each in vars(hints).values() if isinstance(each, str))} | set(
        hints._COMPRESSED.values()
    )


@given(st.dictionaries(st.text(min_size=1, max_size=5), st.integers() | st.text(), min_size=1))
def test_json_gets_no_hint(value: dict[str, object]) -> None:
    assert hint_of(msgspec.json.encode(value)) == ""
