"""DynamoDB's attribute values, `{"N": "1"}`, as plain values, with nothing lost.

The format: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_AttributeValue.html

    S      text                      SS   list of text
    N      int, or Decimal           NS   list of int and Decimal
    B      bytes                     BS   list of bytes
    BOOL   bool                      L    list
    NULL   None                      M    dict

A number has up to 38 digits, and a double about 16: so a whole one is an int, any other a Decimal, and the request's
type says what it becomes (a field `float` takes either and rounds, `int` and `Decimal` keep every digit). Sets are
lists, since JSON has no sets; a field `set[str]` takes one.
"""

from __future__ import annotations

import base64
import binascii
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from app.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_DEPTH = 32  # DynamoDB's own limit on nesting
MAX_EXPONENT = 130  # DynamoDB's numbers end at 9.9e125 and begin at 1e-130; a larger exponent would fill the memory
MAX_NUMBER_CHARACTERS = 200  # 38 digits written out, with up to 130 zeros before or behind them
_NUMBER = re.compile(r"-?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,4})?", re.ASCII)


def item_of(image: Mapping[str, Any], place: str = "$") -> dict[str, Any]:
    """An item, or an image of one, as plain values.

    Raises:
        RequestError: A value is not of DynamoDB's format; `field` has its path.
    """
    return {name: value_of(value, f"{place}.{name}") for name, value in image.items()}


def value_of(attribute: object, place: str = "$", depth: int = 0) -> Any:  # noqa: ANN401 - one of the table's
    """One attribute value as a plain value.

    Raises:
        RequestError: It is not of DynamoDB's format; `field` has its path.
    """
    if not isinstance(attribute, dict) or len(attribute) != 1:
        raise _fault(place, "not an attribute value of one type")
    if depth > MAX_DEPTH:
        raise _fault(place, f"nested deeper than {MAX_DEPTH}")
    [(kind, value)] = attribute.items()
    if kind == "M" and isinstance(value, dict):
        return {name: value_of(each, f"{place}.{name}", depth + 1) for name, each in value.items()}
    if kind == "L" and isinstance(value, list):
        return [value_of(each, f"{place}[{row}]", depth + 1) for row, each in enumerate(value)]
    if kind in _SETS and isinstance(value, list):
        return [_SETS[kind](each, f"{place}[{row}]") for row, each in enumerate(value)]
    if kind in _SCALARS:
        return _SCALARS[kind](value, place)
    raise _fault(place, "of no type that DynamoDB has")


def _text(value: object, place: str) -> str:
    if not isinstance(value, str):
        raise _fault(place, "not text")
    return value


def _number(value: object, place: str) -> int | Decimal:
    text = value if isinstance(value, str) and len(value) <= MAX_NUMBER_CHARACTERS else ""
    if not _NUMBER.fullmatch(text):
        raise _fault(place, "not a number")
    number = Decimal(text)
    if abs(number.adjusted()) > MAX_EXPONENT:
        raise _fault(place, "a number that DynamoDB cannot hold")
    return int(number) if number == number.to_integral_value() else number


def _bytes(value: object, place: str) -> bytes:
    try:
        return base64.b64decode(_text(value, place).encode(), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise _fault(place, "not base64") from None


def _flag(value: object, place: str) -> bool:
    if not isinstance(value, bool):
        raise _fault(place, "not a boolean")
    return value


def _null(value: object, place: str) -> None:
    if value is not True:
        raise _fault(place, "not NULL")


_SCALARS: Mapping[str, Callable[[object, str], Any]] = {
    "S": _text, "N": _number, "B": _bytes, "BOOL": _flag, "NULL": _null,
}  # fmt: skip
_SETS: Mapping[str, Callable[[object, str], Any]] = {"SS": _text, "NS": _number, "BS": _bytes}


def _fault(place: str, fault: str) -> RequestError:
    return RequestError(f"{place}: {fault}", place, "$")  # the names on the way are the item's own
