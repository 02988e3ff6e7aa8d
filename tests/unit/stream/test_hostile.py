"""Records and pipelines made to stop a shard: each is set aside, and its neighbours go on."""

from __future__ import annotations

import base64
import random
import threading
import tracemalloc
import zlib
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from app.errors import DeadlineError
from app.storage.objects import FolderObjects
from app.stream.outcomes import Outcomes, Quarantine
from app.stream.payload import decode_column, decode_payload
from app.stream.pipeline import Pipeline
from app.stream.testing import FakeStreams, MemorySpine
from tests.pipelines_for_tests import EchoPipeline, Order, orders

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from app.stream.batch import Batch

MEGABYTE = 1024 * 1024


def test_a_record_of_many_brackets_does_not_use_up_the_time_of_its_neighbours() -> None:
    padding = base64.b64encode(random.Random(1).randbytes(190_000))  # so that it inflates by less than the cap's ratio
    payloads = orders(8)
    payloads[3] = zlib.compress(b'["' + padding + b'",' + b"[" * 8_000_000 + b"]" * 8_000_000, 9)
    spine = MemorySpine(EchoPipeline())
    result = spine.run(payloads, seconds=2)
    assert result.acknowledged == 8
    assert [each["reason"] for each in spine.quarantined()] == ["too_deep"]


@pytest.mark.parametrize("text", [b'"ab"ab', b'"\\"', b"[]"])
def test_looking_at_a_large_record_takes_a_few_times_its_size(text: bytes) -> None:
    large = b"[" * 70 + text * (8 * MEGABYTE // len(text))
    decoder: msgspec.json.Decoder[object] = msgspec.json.Decoder()
    tracemalloc.start()
    try:
        assert isinstance(decode_payload(large, decoder), Quarantine)
        assert tracemalloc.get_traced_memory()[1] < 8 * len(large)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("depth", [65, 200, 400])
def test_brackets_in_strings_do_not_hide_how_deep_a_record_nests(depth: int) -> None:
    hidden = b'["]",' * depth + b"1" + b',"["]' * depth
    decoder: msgspec.json.Decoder[object] = msgspec.json.Decoder()
    for neighbours in ([], [b"not JSON"]):
        found = decode_column([b'{"x":' + hidden + b"}", *neighbours], decoder)[0]
        assert isinstance(found, Quarantine)
        assert found.reason == "too_deep"


class Given(Pipeline[Order]):
    """A pipeline that is one function."""

    name = "given"
    record_type = Order

    def __init__(self, process: Callable[[Batch[Order]], Any]) -> None:
        self._process = process

    def process(self, batch: Batch[Order]) -> Any:
        return self._process(batch)

    def explain(self, record: Order) -> Mapping[str, object]:
        return {"n": record.n}


def test_a_chunk_of_which_nothing_can_be_read_does_not_reach_the_pipeline() -> None:
    def process(batch: Batch[Order]) -> Outcomes:
        assert len(batch)
        return Outcomes(len(batch))

    spine = MemorySpine(Given(process))
    assert spine.run([b"not json", b"nor this"]).acknowledged == 2
    assert [each["reason"] for each in spine.quarantined()] == ["not_json", "not_json"]


@pytest.mark.parametrize(
    "add",
    [
        lambda outcomes, row: outcomes.emit(row, "k", b'{"a":1}', role=None),
        lambda outcomes, row: outcomes.emit(row, "k", memoryview(b'{"a":1}')),
        lambda outcomes, row: outcomes.quarantine(row, "r", ValueError("x")),
        lambda outcomes, row: outcomes.emit(row, "k", b'"text"'),
        lambda _outcomes, _row: None,
    ],
)
def test_an_outcome_that_is_none_harms_no_other(add: Callable[[Outcomes, int], object]) -> None:
    def process(batch: Batch[Order]) -> Outcomes:
        outcomes = Outcomes(len(batch))
        for row, order in enumerate(batch.records):
            if order.n == 2:
                add(outcomes, row)
            else:
                outcomes.emit(row, "k", b'{"a":1}')
        return outcomes

    spine = MemorySpine(Given(process))
    assert spine.run(orders(4)).acknowledged == 4
    assert len(spine.outputs()) == 3
    assert [each["reason"] for each in spine.quarantined()] == ["bad_outcome"]


def test_a_column_with_a_value_that_cannot_be_sent_sets_that_row_aside() -> None:
    def process(batch: Batch[Order]) -> Outcomes:
        outcomes = Outcomes(len(batch))
        datas: list[Any] = [b'{"a":1}'] * len(batch)
        datas[1] = None
        outcomes.emit_columns(["k"] * len(batch), datas)
        return outcomes

    spine = MemorySpine(Given(process))
    assert spine.run(orders(4)).acknowledged == 4
    assert len(spine.outputs()) == 3
    assert [each["reason"] for each in spine.quarantined()] == ["bad_outcome"]


@pytest.mark.parametrize("returned", [None, [], "outcomes"])
def test_a_pipeline_that_returns_something_else_quarantines_its_records(returned: Any) -> None:
    spine = MemorySpine(Given(lambda _batch: returned))
    assert spine.run(orders(2)).acknowledged == 2
    assert [each["reason"] for each in spine.quarantined()] == ["pipeline_error"] * 2


def test_what_waits_behind_calls_that_hang_comes_again_with_one_line(tmp_path: Path) -> None:
    freed = threading.Event()

    class Hanging(FakeStreams):
        def put(self, stream: str, keys: Sequence[str], datas: Sequence[bytes]) -> Mapping[int, str]:
            freed.wait(10)
            return super().put(stream, keys, datas)

    payloads = orders(9000)
    payloads[3] = b"not json"
    spine = MemorySpine(EchoPipeline(), Hanging(), quarantine_stream="", objects=FolderObjects(tmp_path))
    with pytest.raises(DeadlineError, match="not written in the time"):
        spine.run(payloads, seconds=1)
    freed.set()
