"""Whatever a request is, a handler answers it or says in one line why not; and its schema tells what it takes."""

from __future__ import annotations

import contextlib
import datetime as dt
import enum
import io
import json
import sys
import uuid  # noqa: TC003 - msgspec reads the annotations
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal
from unittest import mock

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from msgspec import Meta

from app.errors import LocationError, MillraceError, RequestError
from app.handlers.base import LambdaHandler
from app.handlers.request import read_source
from app.text import LONGEST_ID, sanitize_id
from tests.handlers_for_tests import log_everything

if TYPE_CHECKING:
    from app.handlers.invocation import Invocation

SECRET = "hunter2-4711"
LONGEST_MESSAGE = 1000


class Kind(enum.Enum):
    BIKE = "bike"
    TRAM = "tram"


class Point(msgspec.Struct):
    x: Annotated[float, Meta(ge=-180, le=180)]
    y: float = 0.0


class Circle(msgspec.Struct, tag="circle"):
    centre: Point
    radius: Annotated[int, Meta(gt=0)]


class Square(msgspec.Struct, tag="square", rename="camel"):
    corner_point: Point
    side_length: Annotated[int, Meta(gt=0)]


class Everything(msgspec.Struct, forbid_unknown_fields=True):
    """A field of each kind that a request may have."""

    number: int
    text: Annotated[str, Meta(max_length=20)] = ""
    flag: bool = False
    kind: Kind = Kind.BIKE
    side: Literal["left", "right"] = "left"
    maybe: int | None = None
    either: int | str = 0
    points: list[Point] = []
    pair: tuple[int, str] = (0, "")
    by_name: dict[str, Point] = {}
    by_number: dict[int, bool] = {}
    by_day: dict[dt.date, int] = {}
    shape: Circle | Square | None = None
    data: bytes = b""
    when: dt.datetime | None = None
    day: dt.date | None = None
    takes: dt.timedelta = dt.timedelta(0)
    key: uuid.UUID | None = None
    price: Decimal = Decimal(0)
    names: frozenset[str] = frozenset()
    anything: Any = None


class Plain(msgspec.Struct):
    """One that takes more than it names."""

    a: int
    b: list[str] = []


class Repeat(LambdaHandler[Everything, Everything]):
    """Gives back what it is given."""

    def handle(self, request: Everything, invocation: Invocation) -> Everything:  # noqa: ARG002
        return request


class Count(LambdaHandler[Plain, int]):
    """Counts."""

    def handle(self, request: Plain, invocation: Invocation) -> int:  # noqa: ARG002
        return len(request.b)


class Names(LambdaHandler[list[str], dict[str, int]]):
    """Numbers names; a request need not be an object."""

    def handle(self, request: list[str], invocation: Invocation) -> dict[str, int]:  # noqa: ARG002
        return {name: number for number, name in enumerate(request)}


HANDLERS: list[type[LambdaHandler[Any, Any]]] = [Repeat, Count, Names]

finite = st.floats(allow_nan=False, allow_infinity=False)
text = st.text(max_size=20)  # Hypothesis makes no lone surrogates, which no UTF-8 has
points = st.builds(Point, x=st.floats(-180, 180), y=finite)
positive = st.integers(1, 2**63)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | finite | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
requests = st.builds(
    Everything,
    number=st.integers(-(2**63), 2**64 - 1),
    text=text,
    flag=st.booleans(),
    kind=st.sampled_from(Kind),
    side=st.sampled_from(["left", "right"]),
    maybe=st.none() | st.integers(-(2**63), 2**63),
    either=st.integers(-(2**63), 2**63) | text,
    points=st.lists(points, max_size=3),
    pair=st.tuples(st.integers(-(2**63), 2**63), text),
    by_name=st.dictionaries(text, points, max_size=3),
    by_number=st.dictionaries(st.integers(-(2**63), 2**63), st.booleans(), max_size=3),
    by_day=st.dictionaries(st.dates(), st.integers(0, 9), max_size=3),
    shape=st.none()
    | st.builds(Circle, centre=points, radius=positive)
    | st.builds(Square, corner_point=points, side_length=positive),
    data=st.binary(max_size=20),
    when=st.none() | st.datetimes(timezones=st.just(dt.UTC)),
    day=st.none() | st.dates(),
    takes=st.timedeltas(dt.timedelta(-9999), dt.timedelta(9999)),
    key=st.none() | st.uuids(),
    price=st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**6), max_value=10**6),
    names=st.frozensets(text, max_size=3),
    anything=json_values,
)
validators = {handler: Draft202012Validator(handler.request_schema()) for handler in HANDLERS}

# Anything that has to do with a request: the right names with wrong values, and wrong names.
FIELDS = [*Everything.__struct_fields__, *Plain.__struct_fields__, *Point.__struct_fields__, "type", "centre", "radius"]
near_leaves = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        1.5,
        10**30,
        "",
        "bike",
        "circle",
        "right",
        "2026-01-31",
        "AAAA",
        "P1D",
        "NaN",
        "Infinity",
        SECRET,
    ]
)
near_values = st.recursive(
    near_leaves | json_values,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*FIELDS, SECRET]) | text, inner, max_size=5)
    ),
    max_leaves=12,
)
near_requests = st.dictionaries(st.sampled_from(FIELDS), near_values, max_size=5).map(
    lambda fields: {"number": 1, "a": 1} | fields
)
nearly_right = st.builds(  # a right one, in which one thing has been changed
    lambda request, name, value: {**json.loads(msgspec.json.encode(request)), name: value},
    requests,
    st.sampled_from([*Everything.__struct_fields__, "unknown"]),
    near_values,
)
parsed = near_values | near_requests | nearly_right
events = st.one_of(
    parsed,
    parsed.map(json.dumps),
    parsed.map(lambda value: json.dumps(value).encode()),
    parsed.map(lambda value: json.dumps(value).encode("utf-16")),
    st.binary(),
    st.text(st.characters()),  # with lone surrogates
    st.builds(lambda value, cut: json.dumps(value)[:cut], parsed, st.integers(0, 50)),
)


@given(requests)
def test_a_request_survives_json(request: Everything) -> None:
    encoded = msgspec.json.encode(request)
    for event in (encoded, encoded.decode(), json.loads(encoded), Repeat.encode(request), request):
        assert Repeat.decode(event) == request


@given(requests)
def test_a_request_keeps_to_its_schema(request: Everything) -> None:
    validators[Repeat].validate(json.loads(msgspec.json.encode(request)))


def test_schemas_are_json_schema_2020_12() -> None:
    for handler in HANDLERS:
        for schema in (handler.request_schema(), handler.response_schema()):
            Draft202012Validator.check_schema(schema)


@given(st.sampled_from(HANDLERS), parsed)
def test_what_the_schema_refuses_the_handler_refuses(handler: type[LambdaHandler[Any, Any]], event: Any) -> None:
    if validators[handler].is_valid(event):
        return  # the handler may refuse more: a date, say, that there is not
    for form in (event, json.dumps(event), json.dumps(event).encode()):
        if isinstance(event, str) and form is event:
            continue  # a string is taken for JSON
        try:
            handler.decode(form)
        except RequestError:
            continue
        raise AssertionError(f"{handler.__name__} takes {form!r}")


@given(st.sampled_from(HANDLERS), events)
@example(Repeat, "[" * 100_000)
@example(Repeat, b'{"number": 1, "anything": ' + b'{"a":' * 100_000)
@example(Repeat, {"number": 1, "price": "sNaN"})
@example(Repeat, '{"number": 1, "price": "1e99999999999"}')
@example(Repeat, '{"number": 1, "text": "\\ud800"}')
@example(Repeat, {"number": 1, "text": "\ud800", "anything": {"\ud800": float("nan")}})
@example(Count, "s3://")
@example(Count, "s3://bucket")
@example(Count, "-")
@example(Count, "/etc/passwd")
def test_any_event_gives_a_response_or_an_error_of_ours(handler: type[LambdaHandler[Any, Any]], event: Any) -> None:
    log_everything()
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        try:
            answer = handler.get_handler()(event)
        except MillraceError as error:
            assert isinstance(error, (RequestError, LocationError)), repr(error)
            assert len(str(error)) <= LONGEST_MESSAGE
            assert str(error).isprintable()
        else:
            json.dumps(answer)  # as Lambda's runtime client does
    lines = [json.loads(line) for line in said.getvalue().splitlines()]
    assert lines
    assert "_aws" in lines[-1]
    assert not any("frames" in line for line in lines)
    assert SECRET not in said.getvalue()


@given(parsed)
def test_what_is_said_of_a_request_quotes_no_value(event: Any) -> None:
    named = SECRET in json.dumps(list(_keys(event)))  # an unknown field is told by its name
    try:
        Repeat.decode(json.dumps(event))
    except RequestError as error:
        assert named or SECRET not in str(error)
        assert SECRET not in error.known


def _keys(value: Any) -> Any:
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _keys(each)
    if isinstance(value, dict):
        yield from value


class _NoObjects:
    """S3 with nothing in it."""

    def get(self, _key: str) -> None:
        return None


@given(
    st.text(st.characters(), max_size=40)
    | st.builds(
        "{}{}".format,
        st.sampled_from(["s3://", "file://", "file:///", "http://", "~", "./", "/", "-", "{", "[", '"', "\0"]),
        st.text(st.characters(), max_size=20),
    )
)
@example("file://[/")
@example("file://\u2100/")
@example("~nobody-of-this-name/")
@example("\ud800")
@example("s3://bucket/\ud800")
@example("a" * 5000)
@example("-")
def test_any_source_gives_bytes_or_an_error_of_ours(source: str) -> None:
    with (
        mock.patch("app.storage.objects.open_objects", return_value=_NoObjects()),
        mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"{}"))),
    ):
        try:
            found = read_source(source)
        except MillraceError as error:
            assert str(error)
        else:
            assert isinstance(found, bytes)


@given(st.text(st.characters(), max_size=2 * LONGEST_ID))
def test_an_id_from_outside_cannot_break_a_line(sent: str) -> None:
    kept = sanitize_id(sent)
    assert kept.isascii()
    assert kept.isprintable()
    assert " " not in kept
    assert len(kept) <= LONGEST_ID
    assert sanitize_id(kept) == kept
