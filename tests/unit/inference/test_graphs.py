"""ONNX graphs, written by hand on the wire: what may be run, and what is refused before ONNX Runtime sees it."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import ModelError
from app.inference import graphs
from app.inference.bundle import find_bundle
from app.inference.graphs import MOST_PARTS, check_graph
from app.inference.models import OnnxModel

if TYPE_CHECKING:
    from collections.abc import Sequence


def varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def field(number: int, value: int | str | bytes) -> bytes:
    """A number, or a text or message with its length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def value(name: str) -> bytes:
    """A matrix of float32 with 8 columns."""
    shape = field(1, field(2, "N")) + field(1, field(1, 8))
    return field(1, name) + field(2, field(1, field(1, 1) + field(2, shape)))


def node(kind: str, takes: Sequence[str], gives: str, more: bytes = b"") -> bytes:
    return b"".join(field(1, name) for name in takes) + field(2, gives) + field(4, kind) + more


def tensor(name: str, kind: int, content: bytes, *sides: int, more: bytes = b"") -> bytes:
    return b"".join(field(1, side) for side in sides) + field(2, kind) + field(8, name) + field(9, content) + more


def graph(*nodes: bytes, weights: Sequence[bytes] = (), more: bytes = b"") -> bytes:
    parts = [*(field(1, each) for each in nodes), field(2, "g"), *(field(5, each) for each in weights)]
    return b"".join([*parts, field(11, value("X")), field(12, value("Y")), more])


def model(body: bytes, opset: bytes = field(2, 13), more: bytes = b"") -> bytes:
    return field(1, 8) + field(7, body) + field(8, opset) + more


RELU = node("Relu", ["X"], "Y")
BIAS = tensor("b", 1, struct.pack("<8f", *range(8)), 8)
ADD = node("Add", ["X", "b"], "Y")


def with_graph_in_node(inner: bytes) -> bytes:
    return graph(node("If", ["X"], "Y", field(5, field(1, "then_branch") + field(6, inner) + field(20, 5))))


def nested(levels: int) -> bytes:
    body = graph(RELU)
    for _ in range(levels):
        body = with_graph_in_node(body)
    return body


def bomb(rows: int) -> bytes:
    """A hundred bytes that ask for rows x 1000 numbers."""
    shape = tensor("s", 7, struct.pack("<2q", rows, 1000), 2)
    keep = field(5, field(1, "keepdims") + field(3, 0) + field(20, 2))
    nodes = (node("ConstantOfShape", ["s"], "a"), node("ReduceSum", ["a"], "b", keep), ADD)
    return model(graph(*nodes, weights=[shape]))


def test_a_graph_of_standard_operators_runs() -> None:
    rows = np.ones((2, 8), np.float32)
    assert OnnxModel(model(graph(RELU))).predict(rows).shape == (2, 8)
    assert OnnxModel(model(graph(ADD, weights=[BIAS]))).predict(rows)[1].tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    told = model(graph(ADD, weights=[BIAS + field(14, 0)]), field(1, "ai.onnx") + field(2, 13))  # "it is in here"
    assert OnnxModel(told).predict(rows).shape == (2, 8)


OUTSIDE = field(13, field(1, "location") + field(2, "/etc/passwd"))
SPARSE = field(1, BIAS) + field(2, tensor("", 7, bytes(8), 1)) + field(3, 2**40)
TENSOR_ATTRIBUTE = field(1, "value") + field(5, tensor("", 1, b"", 2**40)) + field(20, 4)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (model(graph(ADD, weights=[tensor("b", 1, b"", 8, more=OUTSIDE + field(14, 1))])), "weights in files"),
        (model(graph(ADD, weights=[BIAS + OUTSIDE])), "weights in files"),
        (model(graph(ADD, weights=[BIAS + field(14, 1)])), "weights in files"),
        (model(with_graph_in_node(graph(ADD, weights=[BIAS + OUTSIDE]))), "weights in files"),
        (model(graph(RELU + field(7, "com.evil"))), "not ONNX's own"),
        (model(graph(RELU), field(1, "com.microsoft") + field(2, 1)), "not ONNX's own"),
        (model(with_graph_in_node(graph(RELU + field(7, "x")))), "not ONNX's own"),
        (model(graph(RELU), more=field(25, field(1, "f"))), "has functions"),
        (model(graph(RELU), more=field(20, field(1, graph(RELU)))), "is trained further"),
        (model(graph(ADD, more=field(15, SPARSE))), "sparse weights"),
        (model(graph(node("Constant", [], "b", field(5, field(22, SPARSE))), ADD)), "sparse weights"),
        (model(graph(ADD, weights=[tensor("b", 1, bytes(8), 2**40)])), "more elements than it holds"),
        (model(graph(ADD, weights=[field(1, varint(2**20) * 3) + BIAS])), "more elements than it holds"),
        (model(graph(ADD, weights=[field(1, 2**64 - 1) + BIAS])), "more elements than it holds"),
        (model(graph(node("Constant", [], "b", field(5, TENSOR_ATTRIBUTE)), ADD)), "more elements than it holds"),
        (model(nested(17)), "more than 16 graphs"),
        (model(graph(RELU))[:-1], "is cut off"),
        (model(graph(RELU)) + b"\x0b\x0c", "is damaged"),  # a group
        (model(graph(RELU)) + b"\xba\x00\x00", "is damaged"),  # a longer form of a tag
        (model(graph(RELU)) + b"\x3a" + b"\x80" * 5 + b"\x01", "is damaged"),
        (b"\x20\x00\x00\x00ORTM" + bytes(100), "is damaged"),  # ONNX Runtime's own format
    ],
)
def test_what_a_graph_may_not_do_is_refused_by_us(data: bytes, why: str) -> None:
    with pytest.raises(ModelError, match=f"^the ONNX graph .*{why}"):
        OnnxModel(data)


def test_a_graph_has_so_many_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "MOST_PARTS", 100)
    check_graph(model(graph(*[node("Relu", [], "")] * 20)))
    for data in (
        model(graph(*[field(4, "")] * 100)),
        model(field(1, b"") * 100),
        model(graph(more=field(13, b"") * 99)),
    ):
        with pytest.raises(ModelError, match="has more than 100 parts"):
            check_graph(data)


def test_a_graph_in_the_runtimes_own_format_is_read_as_onnx() -> None:
    data = b"\x3a\x62\x00\x00ORTM" + bytes(92)  # a field of a model to the walk
    with pytest.raises(ModelError):
        OnnxModel(data)


def test_memory_is_bounded_while_a_graph_runs() -> None:
    asks = OnnxModel(bomb(10**6))  # 4 GB; it loads, since nothing is computed then
    with pytest.raises(Exception, match="smaller than requested"):
        asks.predict(np.ones((1, 8), np.float32))
    assert OnnxModel(model(graph(RELU))).predict(np.ones((1, 8), np.float32)).shape == (1, 8)


def test_the_numbers_of_a_forest_are_no_parts() -> None:
    check_graph(find_bundle("bike").read("ratio.onnx"))
    numbers = b"\x3d" + struct.pack("<f", 0.5)
    whole = b"\x40\x96\x01"
    modes = field(9, "BRANCH_LEQ")
    attribute = field(1, "nodes") + (numbers + whole + modes) * 3 + numbers * MOST_PARTS + whole * MOST_PARTS
    check_graph(model(graph(node("TreeEnsembleRegressor", ["X"], "Y", field(5, attribute + modes * MOST_PARTS)))))


@given(st.binary(max_size=64) | st.lists(st.sampled_from([RELU, ADD, BIAS, b"\x3a\x04", b"\x0a"])).map(b"".join))
@settings(max_examples=100)
def test_any_bytes_are_a_graph_or_refused(data: bytes) -> None:
    for each in (data, model(data), model(graph(data))):
        try:
            check_graph(each)
        except ModelError as refused:
            assert str(refused).startswith("the ONNX graph ")
