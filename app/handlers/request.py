"""Requests: JSON from an event, a file or a command line, decoded strictly to a type."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args, get_origin

import msgspec

from app.budgets import MOST_ELEMENTS, is_over_elements
from app.errors import LocationError, MillraceError, RequestError, TooLargeError
from app.storage.location import STANDARD, read_location
from app.stream.hints import hint_of
from app.text import convert_json, decode_json, printable, without_bom

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)
"""The errors that msgspec may raise for any text at all."""

_TEXT = (bytes, bytearray, memoryview, str)
_json = msgspec.json.Encoder(decimal_format="number")  # DynamoDB's numbers are no texts

# msgspec's own words: the path comes last, and the value of an enumeration is quoted.
_AT = (" - at `$", " - at `key` in `$")
_QUOTED = re.compile(r"^(Invalid (?:enum )?value) .*$", re.DOTALL)
_NAMED = re.compile(r"^Object (?:missing required|contains unknown) field `(?P<name>.*)`$", re.DOTALL)
_SHOWN_CHARACTERS = 200  # a name in a request may be as long as the request
_UNPRINTABLE = "\N{REPLACEMENT CHARACTER}"  # it may hold line ends, and what a terminal obeys
_PATH_CHARACTERS = 4096  # no longer path can exist: it is JSON that went wrong


def decode(payload: Any, kind: Any, dec_hook: Callable[[type, Any], Any] | None = None) -> Any:  # noqa: ANN401 - kind says what it is
    """Decode a payload as a value of a type; nothing is guessed, so a number in quotes is no number, but 1.0 is 1.

    Where the type is `str`, `bytes`, or anything at all (`Any`, `object`), a text that is not JSON of it is the value
    itself: `hello`, and for `str` and `bytes` also `{"n": 1}`, whether it comes as text or parsed.

    Args:
        payload: A value of the type already; JSON, or text, in bytes or in a string; or parsed JSON.
        kind: The type: a `msgspec.Struct`, or any other type that msgspec decodes.
        dec_hook: A decoder for types that msgspec does not know.

    Raises:
        RequestError: It is not JSON, or not of the type; `field` has the path of the field at fault.
        TooLargeError: It has too many values and fields.
    """
    if isinstance(payload, msgspec.Struct) and isinstance(kind, type) and isinstance(payload, kind):
        return payload
    try:
        if not isinstance(payload, _TEXT) and _without_bounds(kind) in _TEXT:
            payload = _json.encode(payload)
        if isinstance(payload, _TEXT):
            text = json_text(payload)
            check_elements(text)
            if takes_text(kind):
                return TextDecoder(kind).decode(text)
            return decode_json(text, lambda given: msgspec.json.decode(given, type=kind, dec_hook=dec_hook))
        # In JSON every key is a string, also where the type has numbers for keys: parsed or not, it is one request.
        return convert_json(payload, lambda given: msgspec.convert(given, kind, str_keys=True, dec_hook=dec_hook))
    except (*UNREADABLE, TypeError) as error:
        raise refused(error, payload) from None


def takes_text(kind: Any) -> bool:  # noqa: ANN401 - a type expression
    """Return whether a type takes a text that is not JSON: `str`, `bytes`, `Any` or `object`, also with bounds."""
    return any(_without_bounds(kind) is each for each in (str, bytes, Any, object))


class TextDecoder:
    """Decodes a text to a type that takes one: JSON of the type becomes its value, any other text is the value."""

    def __init__(self, kind: Any) -> None:  # noqa: ANN401 - a type expression
        """Take a type for which `takes_text` is true."""
        self._kind, self._decode = kind, msgspec.json.Decoder(kind).decode
        self._is_bytes = _without_bounds(kind) is bytes

    def decode(self, buf: bytes | str, /) -> Any:  # noqa: ANN401 - the kind says what it is
        """Return the value of a text.

        Raises:
            msgspec.ValidationError: It exceeds the type's bounds.
            ValueError: It is not UTF-8.
            RecursionError: It is JSON that is nested too deeply.
        """
        try:
            return self._decode(buf)
        except RecursionError:
            raise
        except UNREADABLE:
            text = buf if isinstance(buf, str) else buf.decode()
            return msgspec.convert(text.encode() if self._is_bytes else text, self._kind)


def _without_bounds(kind: Any) -> Any:  # noqa: ANN401 - a type expression
    return _without_bounds(get_args(kind)[0]) if get_origin(kind) is Annotated else kind


def json_text(payload: bytes | bytearray | memoryview | str) -> bytes | str:
    """Return JSON without a byte order mark."""
    return payload.removeprefix("\ufeff") if isinstance(payload, str) else without_bom(bytes(payload))


def check_elements(text: bytes | str, name: str = "request", error: type[MillraceError] = TooLargeError) -> None:
    """Refuse a JSON text, by its name in messages, that would become too many objects, before it is parsed.

    Raises:
        TooLargeError: It would; or the error that is given in its place.
    """
    if is_over_elements(text.encode("utf-8", "replace") if isinstance(text, str) else text):
        raise error(f"{name}: more than {MOST_ELEMENTS} values and fields: send less in one")


def refused(error: Exception, payload: object = b"") -> RequestError:
    """Return a fault that msgspec found as one line, with the path of the field and without its value.

    Args:
        error: The error that msgspec raised.
        payload: The request, where it came as bytes or text: for a hint at what it is instead of JSON.
    """
    if isinstance(error, RecursionError):
        return RequestError("request: nested too deeply")
    if not isinstance(error, msgspec.ValidationError):
        text = payload.encode("utf-8", "replace") if isinstance(payload, str) else payload
        hint = hint_of(bytes(text)) if isinstance(text, (bytes, bytearray, memoryview)) else ""
        utf8 = not isinstance(error, UnicodeError)
        fault = str(error).removeprefix("JSON is malformed: ") if utf8 else "not text in UTF-8"
        return RequestError(f"request: not JSON: {fault}{f'; {hint}' if hint else ''}")
    fault, field = _without_path(str(error))
    fault = _QUOTED.sub(r"\1", fault)
    named = _NAMED.match(fault)
    if named:
        field = f"{field or '$'}.{named['name']}"
    known = "$" if fault.startswith("Object contains") else field  # an unknown name is the request's own
    field, fault = (printable(each, _SHOWN_CHARACTERS, _UNPRINTABLE) for each in (field, fault))
    return RequestError(f"{field or 'request'}: {fault[:1].lower()}{fault[1:]}", field, known)


def _without_path(text: str) -> tuple[str, str]:
    """Return msgspec's words and the path behind them, or none; the last one, since a value may look like a path."""
    at, mark = max((text.rfind(each), each) for each in _AT)
    if at < 0 or not text.endswith("`"):
        return text, ""
    return text[:at], text[at + len(mark) - 1 : -1]


def read_source(source: str) -> bytes:
    """Read a request's JSON from the source that a person names.

    Args:
        source: JSON itself, a path, `file://…`, `s3://bucket/key`, or `-` for standard input.

    Raises:
        RequestError: It is none of these.
        LocationError: The file or object cannot be read.
    """
    text = source.strip()
    if text == STANDARD or "://" in text.split("{", 1)[0].split('"', 1)[0]:
        return read_location(text, named=True)
    if text[:1] not in {"{", "[", '"'} and _is_file(text):
        return read_location(text, named=True)
    try:
        encoded = text.encode("utf-8", "surrogateescape")
        msgspec.json.decode(encoded, type=msgspec.Raw)
    except UNREADABLE as error:
        if text[:1] in {"{", "[", '"'} or not text:
            raise refused(error, encoded) from None
        raise LocationError(f"{text[:100]!r}: neither JSON nor an existing file") from None
    return encoded


def _is_file(text: str) -> bool:
    try:
        return 0 < len(text) <= _PATH_CHARACTERS and Path(text).expanduser().exists()
    except (OSError, ValueError, RuntimeError):
        return False
