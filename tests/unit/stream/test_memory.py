"""Records made to fill the memory: each is set aside or waits for its turn, and its neighbours go on in order."""

from __future__ import annotations

import base64
import hashlib
import random
import time
import zlib
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from app.budgets import MOST_ELEMENTS
from app.storage.objects import MemoryObjects
from app.stream.aggregation import MAGIC, MAX_SUB_RECORDS, split
from app.stream.aggregation_rows import BATCH_ROWS, Splitter
from app.stream.event import read_event
from app.stream.outcomes import Outcomes, Quarantine
from app.stream.payload import CHUNK_TEXT_BYTES, decode_chunk, decode_column, decode_payload
from app.stream.quarantine import QuarantinedRecord
from app.stream.record_rows import MAX_ROWS, rows_of
from app.stream.testing import FakeStreams, MemorySpine, event_of, sequence_number
from tests.pipelines_for_tests import EchoPipeline, Order, orders

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.stream.batch import Batch

ANYTHING: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
BOMBS = {
    "lists": b'{"n":1,"x":[' + b"[]," * MOST_ELEMENTS + b"[]]}",
    "objects": b'{"n":1,"x":[' + b"{}," * MOST_ELEMENTS + b"{}]}",
    "fields": b'{"n":1,' + b'"a":0,' * MOST_ELEMENTS + b'"a":0}',
    "numbers behind a text": b'{"n":1,"a":"\\"[","x":[' + b"0.5," * (4 * MOST_ELEMENTS) + b"1]}",
}


class OwnDecoder:
    """A pipeline's own decoder, which trusts what it is given."""

    def decode(self, buf: bytes, /) -> Any:
        return msgspec.json.decode(buf)


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("decoder", [ANYTHING, OwnDecoder()], ids=["msgspec", "own"])
def test_a_record_of_many_elements_is_set_aside_before_it_becomes_objects(name: str, decoder: Any) -> None:
    found = decode_payload(BOMBS[name], decoder)
    assert isinstance(found, Quarantine)
    assert found.reason == "too_many_elements"
    assert str(MOST_ELEMENTS) in found.message


def test_a_record_of_many_elements_harms_no_neighbour() -> None:
    payloads = orders(6)
    payloads[2] = BOMBS["lists"]
    objects = MemoryObjects()  # a stream takes no record of this size
    spine = MemorySpine(EchoPipeline(), objects=objects)
    assert spine.run(payloads).resume_at is None
    assert [each["reason"] for each in spine.quarantined()] == ["too_many_elements"]
    [stored] = objects.objects.values()
    assert msgspec.json.decode(stored, type=QuarantinedRecord).data == BOMBS["lists"]
    assert [each["n"] for each in spine.outputs()] == [0, 1, 3, 4, 5]


def test_commas_and_brackets_in_texts_are_no_elements() -> None:
    text = b'{"n":1,"x":"' + b"[,{," * MOST_ELEMENTS + b'"}'
    assert decode_payload(text, ANYTHING) == msgspec.json.decode(text)


@pytest.mark.parametrize(
    ("text", "together"),
    [(b'{"x":"' + b"ab" * 150_000 + b'"}', 4), (b'{"x":"' + b"ab" * 1_000_000 + b'"}', 1), (b'{"x":1}', 12)],
)
def test_a_chunk_takes_little_more_memory_than_one_record_may(text: bytes, together: int) -> None:
    payloads = [text] * 12
    sizes: list[int] = []
    while sum(sizes) < len(payloads):
        sizes.append(len(decode_chunk(payloads[sum(sizes) :], ANYTHING)))
    assert sizes == [together] * (12 // together)
    assert decode_column(payloads[:4], ANYTHING) == [msgspec.json.decode(text)] * 4


def test_records_that_inflate_to_much_together_are_processed_in_parts_and_in_order() -> None:
    class Watching(EchoPipeline):
        def process(self, batch: Batch[Order]) -> Outcomes:
            sizes.append(sum(len(zlib.decompress(each)) for each in batch.payloads))
            return super().process(batch)

    sizes: list[int] = []
    padding = base64.b64encode(random.Random(1).randbytes(2000)).decode()
    payloads = [zlib.compress(msgspec.json.encode({"n": n, "x": padding + "x" * 90_000})) for n in range(60)]
    spine = MemorySpine(Watching())
    assert spine.run(payloads, ["one"] * 60).resume_at is None
    assert [each["n"] for each in spine.outputs()] == list(range(60))
    assert sum(sizes) > 5 * CHUNK_TEXT_BYTES
    assert max(sizes) <= CHUNK_TEXT_BYTES + sizes[0] // 10


def test_outputs_that_wait_are_sent_before_more_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wide(EchoPipeline):
        def process(self, batch: Batch[Order]) -> Outcomes:
            made.append(len(batch))
            outcomes = Outcomes(len(batch))
            outcomes.emit_columns(batch.partition_keys, [b'{"x":"' + b"x" * 1000 + b'"}'] * len(batch))
            return outcomes

    def count(_stream: str, keys: Sequence[str]) -> Mapping[int, str]:
        sent.append(len(keys))
        waiting.append(sum(made) - sum(sent))
        return {}

    monkeypatch.setattr("app.stream.routing.UNSENT_BYTES", 40_000)
    made: list[int] = []
    sent: list[int] = []
    waiting: list[int] = []
    spine = MemorySpine(Wide(), FakeStreams(count))
    assert spine.run(orders(500), ["one"] * 500).resume_at is None  # one key: one call for each
    assert len(spine.outputs()) == 500
    assert max(waiting) < 500


def aggregate_of(body: bytes) -> bytes:
    return MAGIC + body + hashlib.md5(body, usedforsecurity=False).digest()


@pytest.mark.parametrize("entry", [b"\x0a\x03abc", b"\x12\x03abc", b"\x0a\x83\x00abc"])
def test_an_aggregate_with_more_keys_than_records_may_be_is_refused_soon(entry: bytes) -> None:
    payload = aggregate_of(entry * (5 * MAX_SUB_RECORDS))
    began = time.process_time()
    found = split(payload)
    assert time.process_time() - began < 1
    assert isinstance(found, Quarantine)
    assert found.reason == "aggregate_too_many"


def test_a_batch_of_aggregates_with_more_rows_than_fit_the_memory_is_cut_at_a_record() -> None:
    aggregate = aggregate_of(b"\x0a\x01a" + b"\x1a\x04\x08\x00\x1a\x00" * MAX_SUB_RECORDS)
    batch, faults, _ = Splitter().split(*read_event(event_of([aggregate] * 5)))
    assert len(batch) <= BATCH_ROWS + MAX_SUB_RECORDS + 1
    assert [(row, fault.reason) for row, fault in faults.items()] == [(len(batch) - 1, "too_many_rows")]
    assert batch.sequence_numbers[-1] == sequence_number(3)


def test_the_names_of_a_log_group_do_not_multiply_a_record() -> None:
    names = b'"owner":"1","logGroup":"' + b"g" * 1900 + b'"'
    text = b'{"messageType":"DATA_MESSAGE",' + names + b',"logEvents":[' + b"{}," * (MAX_ROWS - 1) + b"{}]}"
    assert rows_of(text, "log-events").faults[0].reason == "split_too_large"


@pytest.mark.parametrize("how", ["list", "lines"])
def test_rows_are_counted_one_by_one_where_a_record_is_split(how: str) -> None:
    row = b"[" + b"[]," * 900 + b"[]]"
    text = b"[" + b",".join([row] * 600) + b"]" if how == "list" else b"\n".join([row] * 600)
    assert isinstance(decode_payload(text, ANYTHING), Quarantine)
    rows = rows_of(text, how)
    assert (len(rows.payloads), rows.faults) == (600, {})
    [fault] = rows_of(b"[" + BOMBS["lists"] + b"]" if how == "list" else BOMBS["lists"], how).faults.values() or [None]
    assert fault is None  # it is decoded, and set aside, as a record of its own
