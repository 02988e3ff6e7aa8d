"""Text and JSON from outside, made safe for messages, log lines, terminals, spreadsheets and HTML.

Characters are unprintable as in `str.isprintable`: control characters, so line ends and terminal escape sequences,
bidirectional controls, halves of surrogate pairs, and blanks other than the space.

    a terminal       `one_line` cuts a name, `whole_line` keeps a message; `app/cli/terminal.py` prints nothing else
    JSON             `json_text`, or `printable_json` of JSON: the value as it is, unprintable characters escaped
    a CSV cell       `csv_cell`: no formula to a spreadsheet
    HTML             `printable_lines`, as the text or attribute of an element that escapes it
"""

from __future__ import annotations

import codecs
import json
import math
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

LONGEST_ID = 128  # characters: a client may send anything as its correlation id, and every log line repeats it
LARGEST_WHOLE = 2**53  # beyond it, a double no longer tells neighbouring whole numbers apart
_FOUND_FLOAT = re.compile(r"Expected `([^`]*)`, got `float`")  # msgspec's words, with the types it expected
LONGEST_QUOTED = 100  # characters of a name that comes from an event or a command line

_UNPRINTABLE = re.compile(r"[^ -~]+")
_FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]")
"""A formula to a spreadsheet, blanks before it or not; some take the full-width signs for the plain ones."""
_ESCAPED_FORMULA = re.compile(rf"'+{_FORMULA.pattern}")

_SLASHES = r"(?:\\{0,3}/){2}"  # also as JSON may escape them
_USER_INFO = re.compile(
    rf"({_SLASHES})(?:(?:\\[^\s/]|[^\s/?#@\"\\]){{0,2000}}@)+"  # a registry's token has 1,500
    rf"|(?<=:)({_SLASHES})[^\s/?#@:\"\\]{{0,50}}:(?![0-9]{{0,5}}(?:[\s/?#\"'\\]|$))[^\s\"']{{0,100}}@"
)
"""The second is for a password with a slash, or the like. None passes by a double quote: a log line is JSON."""
_PRIVATE_KEY = re.compile(r"(BEGIN [A-Z ]{0,20}PRIVATE KEY-----)(?:[\w+/=\s-]|\\[^\"'])+")  # PEM, maybe quoted
_CREDENTIAL = re.compile(
    r"((?:"
    r"(?:authorization|cookie|x-api-key|x-amz-security-token|password)\s?[:=]\s{0,3}"  # a header, or a line of YAML
    r"|(?:authorization|cookie|token|passw(?:or)?d|secret|(?:api|access)[_-]?key|signature|credentials?|\bsig)"
    r"(?:=|\\?[\"']\s?[:=,]\s?(?=b?\\?[\"']))"  # a query or a variable, or a name in quotes before its value
    r"|(?-i:Bearer)\s(?=[\w.~+/=-]{12})"
    r")(?:b?\\?[\"'])?(?:(?:basic|bearer|token|apikey)\s{1,9})?+)"
    r"(?:[^\s&\"',;…\\]|\\[^\"']){6,5000}",
    re.IGNORECASE,
)
"""Fewer than six letters are `None`, `true` and the like."""
_WORDS_OF_CREDENTIALS = (
    "authorization", "cookie", "api", "access", "token", "sig", "credential", "passw", "secret", "bearer"
)  # fmt: skip


def printable(text: str, longest: int, replacement: str = "?") -> str:
    """Return the first `longest` characters of a text, with unprintable ones replaced."""
    return "".join(letter if letter.isprintable() else replacement for letter in text[:longest])


def one_line(text: str, longest: int = 200) -> str:
    """Return a text for a terminal: one line, without unprintable characters, with `…` where it is cut."""
    line = " ".join(text.split())
    return printable(line, longest, "�") if len(line) <= longest else f"{printable(line, longest - 1, '�')}…"


def whole_line(text: str) -> str:
    """Return a text whole for a terminal or a log: one line, without unprintable characters."""
    return text if text.isprintable() else printable(" ".join(text.splitlines()), len(text), "�")


def without_credentials(text: str) -> str:
    """Return a text with `…` for the credentials in it: those of URLs, headers and named values, and private keys.

    JSON on one line stays JSON.
    """
    if "@" in text:
        text = _USER_INFO.sub(lambda found: f"{found[1] or found[2]}…@", text)
    if "PRIVATE KEY" in text:
        text = _PRIVATE_KEY.sub(r"\1…", text)
    lowered = text.lower()
    if any(word in lowered for word in _WORDS_OF_CREDENTIALS):  # which most lines have none of, and are read no further
        return _CREDENTIAL.sub(r"\1…", text)
    return text


def printable_lines(text: str, longest: int | None = None) -> str:
    """Return a text, or its first `longest` characters: unprintable ones replaced, line ends and tabs kept."""
    text = text[:longest]
    if text.replace("\n", "").isprintable():  # the usual case, without a loop
        return text
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "�" for letter in text)


def json_text(value: object, enc_hook: Callable[[Any], object] = str, *, indent: int | None = None) -> str:
    """Return a value as JSON without unprintable characters, on one line.

    Args:
        value: Any value that msgspec encodes.
        enc_hook: Makes something that JSON has of a value of another type.
        indent: Blanks a level, for several lines.
    """
    try:
        data = msgspec.json.encode(value, enc_hook=enc_hook)
    except UnicodeEncodeError:  # half of a surrogate pair, as in a file's name that is no UTF-8
        return json.dumps(msgspec.to_builtins(value, str_keys=True, enc_hook=enc_hook), indent=indent)  # all in ASCII
    return printable_json(data if indent is None else msgspec.json.format(data, indent=indent)).decode()


def printable_json(data: bytes) -> bytes:
    """Return JSON with the unprintable characters of its texts escaped, so that it is safe on a terminal.

    Args:
        data: JSON in UTF-8 on one line or indented.
    """
    if data.isascii() and b"\x7f" not in data:  # other control characters are escaped in JSON anyway
        return data
    return _UNPRINTABLE.sub(_escaped_letters, data.decode()).encode()


def _escaped_letters(found: re.Match[str]) -> str:
    return "".join(
        letter if letter.isprintable() or letter == "\n" else escaped_in_json(letter) for letter in found.group()
    )


def escaped_in_json(letters: str) -> str:
    """Return letters as JSON may have them in a text: all in ASCII."""
    units = letters.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))


def is_formula(text: str) -> bool:
    """Return whether a spreadsheet would take a text for a formula."""
    return bool(_FORMULA.match(text))


def csv_cell(text: str) -> str:
    """Return a text as a CSV cell that no spreadsheet takes for a formula: with an apostrophe before it if need be."""
    return f"'{text}" if is_formula(text) or _ESCAPED_FORMULA.match(text) else text


def text_of_csv_cell(cell: str) -> str:
    """Return the text that `csv_cell` made a cell of."""
    return cell[1:] if _ESCAPED_FORMULA.match(cell) else cell


def short_name(value: object, longest: int = 60) -> str:
    """Return a name from parsed JSON, printable and cut, or the type of a value that is not a text."""
    return printable(value if isinstance(value, str) else f"a {type(value).__name__}", longest)


def quoted(name: object) -> str:
    """Return a name in quotes, escaped and cut."""
    return repr(str(name)[:LONGEST_QUOTED])


def sanitize_id(text: str) -> str:
    """Return an id from outside as one word of printable ASCII, at most `LONGEST_ID` characters."""
    text = text[:LONGEST_ID]
    if text.isascii() and text.isprintable() and " " not in text:  # the usual case, without a loop
        return text
    return "".join(letter for letter in text if "!" <= letter <= "~")


def seconds_of(time: object) -> float | None:
    """Return a time from parsed JSON in seconds since 1970: a number, a number as text, or ISO 8601 (UTC by default).

    None is returned for anything else.
    """
    if isinstance(time, bool) or not isinstance(time, int | float | str):
        return None
    try:
        seconds = float(time)
    except OverflowError:
        return None
    except ValueError:  # a text that is no number
        try:
            moment = datetime.fromisoformat(str(time))
            seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            return None
    return seconds if math.isfinite(seconds) else None


def without_bom(text: bytes) -> bytes:
    """Return a text without the byte order mark of UTF-8, which editors and Windows tools write before it.

    Every reader of text from outside ignores the mark, as RFC 8259 (section 8.1) allows for JSON.
    """
    return text.removeprefix(codecs.BOM_UTF8)


def decode_json(text: bytes | str, decode: Callable[[Any], T]) -> T:
    """Return the value of a JSON text, in which a whole number may be written `1.0`: JSON Schema calls it an integer.

    Args:
        text: The text.
        decode: The decoder of msgspec for a type; it is called again where it refused such a number.

    Raises:
        msgspec.MsgspecError: It is not what the decoder takes.
    """
    try:
        return decode(text)
    except msgspec.ValidationError as error:
        if not _wants_whole(error):
            raise
        return decode(msgspec.json.encode(_with_whole_numbers(msgspec.json.decode(text))))


def convert_json(value: Any, convert: Callable[[Any], T]) -> T:  # noqa: ANN401 - any JSON
    """Return the value of parsed JSON, in which a whole number may be 1.0; as `decode_json` does for a text."""
    try:
        return convert(value)
    except msgspec.ValidationError as error:
        if not _wants_whole(error):
            raise
        return convert(_with_whole_numbers(value))


def _wants_whole(error: msgspec.ValidationError) -> bool:
    found = _FOUND_FLOAT.match(str(error))
    return found is not None and "int" in found[1].split()


def _with_whole_numbers(value: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) <= LARGEST_WHOLE else value
    if isinstance(value, dict):
        return {name: _with_whole_numbers(each) for name, each in value.items()}
    return [_with_whole_numbers(each) for each in value] if isinstance(value, list) else value


def is_nested_deeper(value: Any, levels: int) -> bool:  # noqa: ANN401 - any JSON
    """Return whether parsed JSON has more than `levels` levels of objects and arrays; found without recursion."""
    containers = [value] if isinstance(value, dict | list) else []
    for _ in range(levels):
        containers = [
            child
            for each in containers
            for child in (each.values() if isinstance(each, dict) else each)
            if isinstance(child, dict | list)
        ]
        if not containers:
            return False
    return bool(containers)
