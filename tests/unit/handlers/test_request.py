"""What a request may come as, and what is said of one that is not right: where, and never what was there."""

from __future__ import annotations

import datetime as dt
import enum
import io
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID  # noqa: TC003 - msgspec reads the annotations

import msgspec
import pytest
from msgspec import Meta

from app.errors import LocationError, RequestError
from app.handlers.request import decode, read_source

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "hunter2"


class Speed(enum.Enum):
    SLOW = "slow"
    FAST = "fast"


class Line(msgspec.Struct):
    count: Annotated[int, Meta(ge=0, le=10)]


class Order(msgspec.Struct, forbid_unknown_fields=True):
    number: int
    speed: Speed = Speed.SLOW
    lines: list[Line] = []
    by_name: dict[str, Line] = {}
    by_number: dict[int, str] = {}
    by_day: dict[dt.date, str] = {}
    code: Annotated[str, Meta(pattern="^[a-z]+$", max_length=8)] = "a"
    side: Literal["left", "right"] = "left"
    size: tuple[int, float] = (0, 0.0)
    day: dt.date | None = None
    key: UUID | None = None
    data: bytes = b""
    line: Line | None = None
    anything: Any = None


class Nested(msgspec.Struct):
    inner: Nested | None = None


FAULTS: list[tuple[str, str, str]] = [
    # the request, the field at fault, what is said of it
    ("{}", "$.number", "object missing required field `number`"),
    ('{"number": "hunter2"}', "$.number", "expected `int`, got `str`"),
    ('{"number": "1"}', "$.number", "expected `int`, got `str`"),
    ('{"number": 1.5}', "$.number", "expected `int`, got `float`"),
    ('{"number": true}', "$.number", "expected `int`, got `bool`"),
    ('{"number": null}', "$.number", "expected `int`, got `null`"),
    ('{"number": 1, "hunter": 2}', "$.hunter", "object contains unknown field `hunter`"),
    ('{"number": 1, "speed": "hunter2"}', "$.speed", "invalid enum value"),
    ('{"number": 1, "speed": "hunter2` - at `$.x"}', "$.speed", "invalid enum value"),
    ('{"number": 1, "side": "hunter2"}', "$.side", "invalid enum value"),
    ('{"number": 1, "lines": [{"count": 1}, {"count": "hunter2"}]}', "$.lines[1].count", "expected `int`, got `str`"),
    ('{"number": 1, "lines": [{"count": 11}]}', "$.lines[0].count", "expected `int` <= 10"),
    ('{"number": 1, "lines": [{}]}', "$.lines[0].count", "object missing required field `count`"),
    ('{"number": 1, "by_name": {"hunter2": {"count": -1}}}', "$.by_name[...].count", "expected `int` >= 0"),
    ('{"number": 1, "by_number": {"hunter2": ""}}', "$.by_number", "expected `int`, got `str`"),
    ('{"number": 1, "by_number": {"1": 2}}', "$.by_number[...]", "expected `str`, got `int`"),
    ('{"number": 1, "by_day": {"hunter2": ""}}', "$.by_day", "invalid RFC3339 encoded date"),
    ('{"number": 1, "code": "hunter2"}', "$.code", "expected `str` matching regex '^[a-z]+$'"),
    ('{"number": 1, "code": "hunterhunter"}', "$.code", "expected `str` of length <= 8"),
    ('{"number": 1, "size": [1]}', "$.size", "expected `array` of length 2"),
    ('{"number": 1, "size": ["hunter2", 1]}', "$.size[0]", "expected `int`, got `str`"),
    ('{"number": 1, "day": "hunter2"}', "$.day", "invalid RFC3339 encoded date"),
    ('{"number": 1, "key": "hunter2"}', "$.key", "invalid UUID"),
    ('{"number": 1, "data": "hunter2"}', "$.data", "invalid base64 encoded string"),
    ('{"number": 1, "line": []}', "$.line", "expected `object | null`, got `array`"),
    ('"hunter2"', "", "expected `object`, got `str`"),
    ("null", "", "expected `object`, got `null`"),
]


@pytest.mark.parametrize(("text", "field", "fault"), FAULTS)
def test_says_where_and_what_kind_but_no_value(text: str, field: str, fault: str) -> None:
    events = [text, text.encode()]
    if not isinstance(json.loads(text), str):  # a string is taken for JSON
        events.append(json.loads(text))
    for event in events:
        with pytest.raises(RequestError) as raised:
            decode(event, Order)
        assert raised.value.field == field
        assert str(raised.value).startswith(f"{field or 'request'}: {fault}")  # msgspec may add a length
        assert SECRET not in str(raised.value)


def test_a_whole_number_may_be_written_with_a_fraction_of_zero() -> None:
    text = '{"number": 1.0, "by_number": {"2": "x"}, "size": [3e0, 4.0], "data": "aGk=", "anything": 1.5}'
    for event in (text, text.encode(), json.loads(text)):
        found = decode(event, Order)
        assert (found.number, found.size, found.data, found.anything) == (1, (3, 4.0), b"hi", 1.5)
        assert type(found.number) is int
    for number in ("1.5", "1e300", "-9007199254740994.0"):
        with pytest.raises(RequestError, match=r"\$\.number: expected `int`, got `float`"):
            decode(f'{{"number": {number}}}', Order)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("hunter2", "request: not JSON: invalid character (byte 0)"),
        ('{"number": 1', "request: not JSON: Input data was truncated"),
        ('{"number": 1} hunter2', "request: not JSON: trailing characters (byte 15)"),
        ("", "request: not JSON: Input data was truncated"),
        (b"\xff\xfe", "request: not JSON: invalid character (byte 0); it looks like UTF-16: write it as UTF-8"),
        (b'{"number": 1, "code": "hunter2\xff"}', "request: not JSON: not text in UTF-8"),
        ('"hunter2 \udcff"', "request: not JSON: not text in UTF-8"),
        ('{"number": 1, "anything": ' + "[" * 100_000, "request: nested too deeply"),
        ('{"number": 1e400}', "$.number: number out of range"),
        ('{"number": ' + "9" * 5000 + "}", "$.number: integer value out of range"),
    ],
)
def test_says_what_is_wrong_with_the_text(text: Any, told: str) -> None:
    with pytest.raises(RequestError) as raised:
        decode(text, Order)
    assert str(raised.value) == told


def test_parsed_json_nested_too_deeply_is_refused_too() -> None:
    deep: Any = None
    for _ in range(100_000):
        deep = {"inner": deep}
    with pytest.raises(RequestError, match="nested too deeply"):
        decode(deep, Nested)


def test_parsed_and_not_it_is_the_same_request() -> None:
    """Lambda parses events, the command line does not."""
    text = """{"number": 1, "by_number": {"1": "one"}, "by_day": {"2026-01-31": "last"}, "size": [1, 2],
               "key": "12345678-1234-5678-1234-567812345678", "data": "aGVsbG8=", "day": "2026-01-31"}"""
    order = decode(text, Order)
    assert order.by_number == {1: "one"}
    assert order.by_day == {dt.date(2026, 1, 31): "last"}
    assert order.data == b"hello"
    assert decode(json.loads(text), Order) == order


@pytest.mark.parametrize("parsed", [{"n": 1}, [1, None], 12, 1.5, True, None, {"price": Decimal("1.50")}])
def test_a_handler_of_texts_takes_parsed_json_as_the_text_that_it_came_from(parsed: Any) -> None:
    text = json.dumps(parsed, separators=(",", ":"), default=float).replace("1.5}", "1.50}")
    assert (decode(parsed, str), decode(parsed, bytes)) == (text, text.encode())
    assert (decode(text, str), decode(text, bytes)) == (text, text.encode())
    with pytest.raises(RequestError):
        decode(object(), str)


def test_no_part_of_a_request_breaks_the_line() -> None:
    with pytest.raises(RequestError) as raised:
        decode('{"number": 1, "a\\nb\\u001b[31m": 2}', Order)
    assert str(raised.value).isprintable()
    with pytest.raises(RequestError) as raised:
        decode({"number": 1, "x" * 100_000: 2}, Order)
    assert len(str(raised.value)) < 1000


def test_what_a_log_may_name_is_known_from_the_type() -> None:
    with pytest.raises(RequestError) as raised:
        decode({"number": 1, "hunter2": 2}, Order)
    assert (raised.value.field, raised.value.known) == ("$.hunter2", "$")
    with pytest.raises(RequestError) as raised:
        decode({"number": 1, "lines": [{}]}, Order)
    assert raised.value.known == "$.lines[0].count"


@pytest.mark.parametrize("source", ['{"number": 1}', ' {"number": 1}\n', "[]", '"text"', "12", "null"])
def test_a_person_gives_json(source: str) -> None:
    assert json.loads(read_source(source)) == json.loads(source)


def test_or_a_file_by_its_path_or_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a request.json").write_text('{"number": 1}')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for source in (
        str(tmp_path / "a request.json"), "a request.json", "./a request.json", "~/a request.json",
        (tmp_path / "a request.json").as_uri(), f"file://localhost{tmp_path}/a%20request.json",
    ):  # fmt: skip
        assert read_source(source) == b'{"number": 1}'


def test_or_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'{"number": 1}')))
    assert read_source("-") == b'{"number": 1}'


@pytest.mark.parametrize(
    ("source", "error", "told"),
    [
        ("", RequestError, "request: not JSON: Input data was truncated"),
        ('{"number": ', RequestError, "request: not JSON: Input data was truncated"),
        ("nowhere.json", LocationError, "'nowhere.json': neither JSON nor an existing file"),
        ("file:///nowhere.json", LocationError, "file:///nowhere.json: cannot be read: No such file or directory"),
        ("https://example.com/x", LocationError, "https://example.com/x: give a path, file://… or s3://bucket/key"),
        ("s3://bucket", LocationError, "s3://bucket: give s3://bucket/key"),
        ("~nobody-of-this-name/x", LocationError, "'~nobody-of-this-name/x': neither JSON nor an existing file"),
        ("\ud800", LocationError, r"'\ud800': neither JSON nor an existing file"),
        ("/", LocationError, "/: cannot be read: Is a directory"),
    ],
)
def test_or_is_told_what_to_give(source: str, error: type[Exception], told: str) -> None:
    with pytest.raises(error) as raised:
        read_source(source)
    assert str(raised.value) == told


def test_json_that_holds_an_address_is_json() -> None:
    assert read_source('{"path": "s3://bucket/key"}') == b'{"path": "s3://bucket/key"}'
    assert read_source('"s3://bucket/key"') == b'"s3://bucket/key"'


@pytest.mark.parametrize("piece", ["x - at `$", "x - at `key` in `$a", "` - at `$.b", "$"])
def test_a_value_or_a_name_that_looks_like_a_path_is_none_however_often_it_does(piece: str) -> None:
    """A pattern that looks for the path behind the value would take half a minute for each of these."""
    with pytest.raises(RequestError) as refused:
        decode(json.dumps({"number": 1, "speed": piece * 20_000}), Order)
    assert (str(refused.value), refused.value.field) == ("$.speed: invalid enum value", "$.speed")
    with pytest.raises(RequestError) as refused:
        decode(json.dumps({"number": 1, piece * 20_000: 1}), Order)
    assert refused.value.known == "$"
