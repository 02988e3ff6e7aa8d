"""Whatever a record holds, decoding gives a value or a reason, and never raises."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from typing import Any

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from app.errors import EventError
from app.handlers.request import TextDecoder
from app.stream.event import read_event
from app.stream.outcomes import Quarantine
from app.stream.payload import MAX_JSON_DEPTH, decode_column, decode_payload, json_decoder, plain
from app.stream.testing import MemorySpine
from tests.pipelines_for_tests import EchoPipeline, Order, orders
from tests.unit.stream.test_event import with_data

decoder: msgspec.json.Decoder[Any] = json_decoder(Order)
anything: msgspec.json.Decoder[Any] = json_decoder(object)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
payloads = st.one_of(
    st.binary(),
    json_values.map(lambda value: json.dumps(value).encode()),
    st.binary().map(gzip.compress),
    st.binary().map(zlib.compress),
    st.binary().map(lambda tail: b"\x1f\x8b" + tail),
    st.binary().map(lambda tail: b"\x78\x9c" + tail),
)


@given(payloads)
@example(b"[" * 10_000)
@example(b'{"n":' * 10_000)
@example(b'{"n":' + b"9" * 10_000 + b"}")
@example(b'{"n": 1e400}')
def test_decoding_never_raises(payload: bytes) -> None:
    for each in (decoder, anything):
        found = decode_payload(payload, each)
        if isinstance(found, Quarantine):
            assert found.reason
            assert found.message


@given(json_values)
def test_what_is_json_is_read_as_json(value: object) -> None:
    text = json.dumps(value).encode()
    found: Any = decode_payload(text, anything)
    assert json.loads(json.dumps(found)) == json.loads(text)


COMPRESSIONS: list[Any] = [gzip.compress, zlib.compress]


@given(json_values, st.sampled_from(COMPRESSIONS))
def test_compression_changes_nothing(value: object, compress: Any) -> None:
    text = json.dumps(value).encode()
    assert plain(compress(text)) == text


@given(st.integers(1, 2 * MAX_JSON_DEPTH))
def test_the_depth_cap_is_exact(depth: int) -> None:
    found: Any = decode_payload(b"[" * depth + b"]" * depth, anything)
    assert isinstance(found, Quarantine) == (depth > MAX_JSON_DEPTH)


class Text:
    """Decoder of a pipeline that takes any text."""

    def decode(self, buf: bytes, /) -> bytes:
        return buf


brackets = st.sampled_from("[]{}").flatmap(lambda each: st.integers(1, 2 * MAX_JSON_DEPTH).map(lambda n: each * n))
ALL_DECODERS: list[Any] = [decoder, anything, Text(), TextDecoder(str), TextDecoder(bytes), TextDecoder(Any)]


@given(st.lists(st.one_of(payloads, st.lists(brackets, max_size=3).map(lambda parts: "".join(parts).encode()))))
@example([b"[" * (MAX_JSON_DEPTH + 1)])
@example([b"]" * 100, b"[" * 100 + b"]" * 100])
@example([b"[" * (MAX_JSON_DEPTH + 1), gzip.compress(b"{}")])
def test_a_record_is_read_like_one_that_is_alone(mixed: list[bytes]) -> None:
    for each in ALL_DECODERS:
        alone = [decode_column([payload, b"\xff"], each)[0] for payload in mixed]
        assert list(map(repr, decode_column(mixed, each))) == list(map(repr, alone))


@given(st.lists(st.one_of(st.text(), st.binary().map(lambda data: base64.b64encode(data).decode())), max_size=8))
def test_every_record_of_an_event_gets_exactly_one_place(datas: list[str]) -> None:
    event = with_data(*datas)
    for form in (event, json.dumps(event).encode()):
        batch, faults = read_event(form)
        assert len(batch) == len(datas)
        for row, text in enumerate(datas):
            if row in faults:
                assert faults[row].reason == "bad_base64"
            else:
                assert base64.b64decode(text, validate=True) == batch.payloads[row]


@given(st.one_of(st.binary(), json_values, st.dictionaries(st.just("Records"), st.lists(json_values, max_size=3))))
def test_an_event_is_read_or_refused_in_one_line(event: Any) -> None:
    try:
        read_event(event)
    except EventError as refused:
        assert "\n" not in str(refused)


@given(st.lists(payloads, max_size=12))
def test_no_payload_blocks_a_shard(mixed: list[bytes]) -> None:
    spine = MemorySpine(EchoPipeline())
    result = spine.run([*mixed, *orders(1)])
    assert result.resume_at is None
    assert len(spine.outputs()) + len(spine.quarantined()) == len(mixed) + 1
    raw = sorted(base64.b64decode(each["data"]) for each in spine.quarantined())
    good = [payload for payload in mixed if not isinstance(decode_payload(payload, decoder), Quarantine)]
    rest = list(mixed)
    for payload in good:
        rest.remove(payload)
    assert raw == sorted(rest)
    assert msgspec.json.encode(result.counts["quarantined"]) == str(len(rest)).encode()
