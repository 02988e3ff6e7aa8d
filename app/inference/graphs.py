"""Check an ONNX graph before ONNX Runtime reads it: what it may refer to, and how much it may ask for.

A graph may name files and addresses in memory for its weights, operators from libraries, functions that call each other
until they are millions of nodes, and sparse weights that are few bytes and a large matrix. None of it is in the models
that Millrace makes or imports, so it is refused. What is left takes memory in proportion to its size.

The graph is walked on the wire (https://protobuf.dev/programming-guides/encoding/) by the messages of
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto. A parser would build its objects first, a hundred bytes for two;
and where two parsers could read a byte in two ways (a longer form of a number, a group), the graph is refused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NoReturn

from app.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_PARTS = 100_000  # fields of nodes, values and tensors: about 10,000 nodes; ONNX Runtime takes kilobytes for each
_MOST_LEVELS = 16  # of graphs within nodes
_DOMAINS = {b"", b"ai.onnx", b"ai.onnx.ml"}
_ELEMENTS_A_BYTE = 4  # of the smallest type of a tensor

# Messages by field number: only fields that hold a message which is looked into.
_MESSAGES = {
    "model": {7: "graph", 8: "opset", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 11: "value", 12: "value", 13: "value", 15: "sparse tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse tensor", 23: "sparse tensor"},
    "opset": {},
    "value": {},
    "tensor": {13: "external data"},
}
_REFUSED = {
    "domain": "has operators that are not ONNX's own: export it with standard ones",
    "training": "is trained further: export it for inference",
    "function": "has functions: inline them first (onnx.inliner.inline_local_functions)",
    "sparse tensor": "has sparse weights: write them as dense ones",
    "external data": "has weights in files beside it: save it with all of them inside",
}
_DOMAIN = {"node": 7, "opset": 1}  # the field that names a domain
_DIMENSION, _DATA_LOCATION = 1, 14  # of a tensor

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types
_FIXED_BYTES = {_FIXED64: 8, _FIXED32: 4}
_TAG = re.compile(rb"[\x08-\x7f]|[\x80-\xff][\x01-\x7f]")
_NUMBER = re.compile(rb"[\x80-\xff]{0,9}[\x00-\x7f]")
_LONGEST_LENGTH = 5  # bytes of a length
# Lists of an attribute, most of a forest: one tag an element. What stands for its nodes' modes is short texts.
_RUN = re.compile(
    rb"(?:\x3d[\s\S]{4}){2,4096}|(?:\x40[\x80-\xff]{0,9}[\x00-\x7f]){2,4096}|(?:\x4a(?:"
    + rb"|".join(b"\\x%02x[\\s\\S]{%d}" % (length, length) for length in range(17))
    + rb")){2,4096}"
)


def check_graph(data: bytes) -> None:
    """Refuse a graph that refers to what is not in it, or asks for more than its size explains.

    Args:
        data: A serialized `ModelProto`.

    Raises:
        ModelError: The reason, and how to mend it.
    """
    parts = 0
    waiting = [("model", 0, len(data), 0)]
    while waiting:
        kind, begin, end, level = waiting.pop()
        elements = 1
        for field, wire, start, stop in _fields(data, kind, begin, end):
            parts += 1
            if parts > MOST_PARTS:
                _refuse(f"has more than {MOST_PARTS:,} parts")
            if kind == "tensor" and field == _DIMENSION:
                elements = _times(elements, data, start, stop)
                if elements > _ELEMENTS_A_BYTE * (end - begin):
                    _refuse("has a tensor of more elements than it holds")
            inner = _inner(data, kind, field, start, stop)
            if inner is not None and wire == _BYTES:
                waiting.append((inner, start, stop, level + (inner == "graph")))
                if waiting[-1][-1] > _MOST_LEVELS:
                    _refuse(f"has more than {_MOST_LEVELS} graphs within each other")


def _inner(data: bytes, kind: str, field: int, start: int, stop: int) -> str | None:
    """Return the kind of message that a field holds, if it is one to look into; refuse what no graph may hold."""
    inner = _MESSAGES[kind].get(field)
    if kind == "tensor" and field == _DATA_LOCATION and data[start:stop] != b"\0":
        inner = "external data"
    if field == _DOMAIN.get(kind) and data[start:stop] not in _DOMAINS:
        inner = "domain"
    if inner in _REFUSED:
        _refuse(_REFUSED[inner])
    return inner


def _fields(data: bytes, kind: str, position: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield each field of a message: its number, its wire type, and where its value begins and ends."""
    while position < end:
        if kind == "attribute" and (run := _RUN.match(data, position, end)):
            position = run.end()
            continue
        field, wire, start = _tag(data, position, end)
        start, position = _value(data, start, end, wire)
        yield field, wire, start, position


def _tag(data: bytes, position: int, end: int) -> tuple[int, int, int]:
    """Return a field's number, its wire type, and the position after them."""
    found = _TAG.match(data, position, end)
    if found is None:
        _refuse("is damaged")
    tag = found[0][0] if len(found[0]) == 1 else found[0][0] & 0x7F | found[0][1] << 7
    return tag >> 3, tag & 7, found.end()


def _value(data: bytes, position: int, end: int, wire: int) -> tuple[int, int]:
    """Return where a field's value begins and ends."""
    if wire in _FIXED_BYTES:
        start, stop = position, position + _FIXED_BYTES[wire]
    else:
        found = _NUMBER.match(data, position, end)
        if found is None or wire not in {_VARINT, _BYTES} or (wire == _BYTES and len(found[0]) > _LONGEST_LENGTH):
            _refuse("is damaged")
        start, stop = (position, found.end()) if wire == _VARINT else (found.end(), found.end() + _decoded(found[0]))
    if stop > end:
        _refuse("is cut off")
    return start, stop


def _decoded(varint: bytes) -> int:
    number = 0
    for shift, byte in enumerate(varint):
        number |= (byte & 0x7F) << 7 * shift
    return number


def _times(elements: int, data: bytes, start: int, stop: int) -> int:
    """Return a number times those in a field, a zero counted as one; beyond 2^64 it need not be exact."""
    for each in _NUMBER.finditer(data, start, stop):
        elements = min(elements * max(_decoded(each[0]), 1), 1 << 64)
    return elements


def _refuse(why: str) -> NoReturn:
    raise ModelError(f"the ONNX graph {why}")
