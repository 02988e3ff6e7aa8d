"""A handler's response as an output of the spine: a JSON object with room for `id` and `source`.

A response goes as it is where its type says that it is an object without these two fields; else it stands under
`response`. The type decides, not the value, so that all outputs of a handler have one form.
"""

from __future__ import annotations

from typing import Any

import msgspec

SEALED = frozenset({"id", "source"})
"""The fields that the spine adds to every output."""

WRAPPED = "response"


def goes_whole(response_type: Any) -> bool:  # noqa: ANN401 - a type expression
    """Whether every response of a type is an object without the fields that the spine adds; None is no response."""
    try:
        kind = msgspec.inspect.type_info(response_type)
    except (TypeError, NameError):  # what msgspec does not know, `encode` makes JSON of
        return False
    kinds = kind.types if isinstance(kind, msgspec.inspect.UnionType) else (kind,)
    return all(_is_free(each) for each in kinds if not isinstance(each, msgspec.inspect.NoneType))


def output_of(value: object, *, whole: bool) -> bytes:
    """An encoded response as an output's JSON."""
    fits = whole and isinstance(value, dict) and SEALED.isdisjoint(value)
    return msgspec.json.encode(value if fits else {WRAPPED: value})


def _is_free(kind: msgspec.inspect.Type) -> bool:
    """Whether a type is an object whose fields are known, and none is the spine's."""
    if isinstance(kind, msgspec.inspect.StructType):
        tag = {kind.tag_field} if kind.tag_field else set()
        return not kind.array_like and SEALED.isdisjoint({field.encode_name for field in kind.fields} | tag)
    objects = (msgspec.inspect.DataclassType, msgspec.inspect.TypedDictType)
    return isinstance(kind, objects) and SEALED.isdisjoint(field.encode_name for field in kind.fields)
