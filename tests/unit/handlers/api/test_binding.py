"""Path, query and body as one typed request."""

from __future__ import annotations

import datetime as dt
import enum
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar

import msgspec
import pytest

from app.errors import MillraceError, RequestError
from app.handlers.api.binding import Binder, parse_route
from app.handlers.api.handler import ApiLambdaHandler

T = TypeVar("T")


class Gear(enum.Enum):
    LOW = "low"
    HIGH = "high"


class Trip(msgspec.Struct, rename="kebab"):
    trip_id: int | str
    price: Decimal = Decimal(0)
    at: dt.datetime | None = None
    gear: Gear = Gear.LOW
    seats: Annotated[int, msgspec.Meta(ge=1, le=8)] = 1
    legs: list[int] = []
    either: int | list[int] = 0
    names: tuple[str, ...] | None = None
    kind: Literal["work", "fun"] = "fun"
    notes: dict[str, str] = {}
    anything: Any = None


def binder(request_type: Any = Trip, method: str = "POST", route: str = "/trips/<trip_id>") -> Binder[Any, Any]:
    kind = type("TripHandler", (ApiLambdaHandler,), {"request_type": request_type, "route": route})
    return Binder(kind, parse_route(route, "test"), method)


def bind(body: bytes = b"", trip: str = "t1", **query: list[str]) -> Trip:
    found: Trip = binder().bind(
        body, {"trip_id": trip}, lambda: {name.replace("_", "-"): each for name, each in query.items()}
    )
    return found


def fault(body: bytes = b"", trip: str = "t1", **query: list[str]) -> tuple[str, str]:
    with pytest.raises(RequestError) as refused:
        bind(body, trip, **query)
    return refused.value.field, str(refused.value)


def test_text_becomes_what_the_type_says() -> None:
    found = bind(
        price=["1.10"],
        at=["2026-11-21T07:00:00Z"],
        gear=["high"],
        seats=["4"],
        legs=["1", "2"],
        names=["a"],
        kind=["work"],
    )
    assert found == Trip(
        "t1", Decimal("1.10"), dt.datetime(2026, 11, 21, 7, tzinfo=dt.UTC), Gear.HIGH, 4, [1, 2], 0, ("a",), "work"
    )


def test_text_stays_text_where_the_type_takes_text() -> None:
    assert bind(trip="7").trip_id == "7"
    assert bind(anything=["7"]).anything == "7"


def test_one_value_is_a_list_of_one_where_only_a_list_will_do() -> None:
    assert (bind(legs=["5"]).legs, bind(either=["5"]).either, bind(either=["5", "6"]).either) == ([5], 5, [5, 6])


def test_a_value_sent_twice_is_one_value_and_two_are_a_fault() -> None:
    assert bind(seats=["4", "4"]).seats == 4
    assert fault(seats=["4", "5"]) == ("query.seats", "query.seats: given 2 times, with different values")


def test_the_body_may_say_again_what_path_and_query_say_but_nothing_else() -> None:
    assert bind(b'{"trip-id": "t1", "seats": 2, "price": "2.50"}', seats=["2"], price=["2.5"]).seats == 2
    assert fault(b'{"trip-id": "t2"}') == ("path.trip_id", "path.trip_id: given twice, with two values")
    assert fault(b'{"seats": 3}', seats=["2"]) == ("query.seats", "query.seats: given twice, with two values")
    assert fault(b'{"seats": "2"}', seats=["2"]) == ("$.seats", "$.seats: expected `int`, got `str`")
    assert fault(trip_id=["t2"])[0] == "query.trip-id"  # the path has said t1


def test_the_body_is_as_strict_as_ever() -> None:
    assert fault(b'{"seats": "2"}')[0] == "$.seats"
    assert fault(b'{"seats": 9}') == ("$.seats", "$.seats: expected `int` <= 8")
    assert fault(b'{"legs": [1, "2"]}') == ("$.legs[1]", "$.legs[1]: expected `int`, got `str`")
    assert fault(b"[]") == ("", "request: expected `object`, got `array`")
    assert fault(b'{"legs": [}')[0] == ""
    assert bind(b'{"unknown": 1}').trip_id == "t1"
    assert bind(b'\xef\xbb\xbf{"seats": 2}').seats == 2  # a byte order mark is none of it


@pytest.mark.parametrize(
    ("query", "field", "text"),
    [
        ({"seats": ["nine"]}, "query.seats", "query.seats: expected `int`, got `str`"),
        ({"seats": ["9"]}, "query.seats", "query.seats: expected `int` <= 8"),
        ({"seats": [""]}, "query.seats", "query.seats: expected `int`, got `str`"),
        ({"seats": ["9" * 5000]}, "query.seats", "query.seats: integer value out of range"),
        ({"legs": ["1", "two"]}, "query.legs[1]", "query.legs[1]: expected `int`, got `str`"),
        ({"gear": ["reverse"]}, "query.gear", "query.gear: invalid enum value"),
        ({"at": ["noon"]}, "query.at", "query.at: "),
        ({"notes": ["{}"]}, "query.notes", "query.notes: expected `object`, got `str`"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_the_place_at_fault_is_named(query: dict[str, list[str]], field: str, text: str) -> None:
    with pytest.raises(RequestError) as refused:
        binder().bind(b"", {"trip_id": "t1"}, lambda: query)
    assert refused.value.field == field
    assert str(refused.value).startswith(text)


def test_numbers_of_the_body_are_not_rounded_on_their_way() -> None:
    found = bind(b'{"price": 0.1000000000000000055511151231257827021181583404541015625}', seats=["2"])
    assert found.price == Decimal("0.1000000000000000055511151231257827021181583404541015625")


def test_a_path_may_name_a_field_as_python_or_as_json_does() -> None:
    class Short(msgspec.Struct, rename={"trip_id": "id"}):
        trip_id: int

    for route, name in (("/<id>", "id"), ("/<trip_id>", "trip_id")):
        assert binder(Short, route=route).bind(b"", {name: "5"}, dict) == Short(5)


def test_an_unknown_parameter_is_a_fault_where_unknown_fields_are() -> None:
    class Exact(msgspec.Struct, forbid_unknown_fields=True):
        a: int = 0

    exact = binder(Exact, route="/")
    assert exact.bind(b"", {}, lambda: {"a": ["1"]}) == Exact(1)
    with pytest.raises(RequestError) as refused:
        exact.bind(b"", {}, lambda: {"b\n": ["1"]})
    assert (refused.value.field, refused.value.known) == ("query.b?", "query")
    assert "\n" not in str(refused.value)


def test_without_a_body_a_request_is_made_of_text_alone() -> None:
    class Empty(msgspec.Struct):
        a: int = 5

    assert binder(Empty, "GET", "/").bind(b"", {}, dict) == Empty(5)
    assert binder(None, "GET", "/").bind(b"", {}, dict) is None
    assert binder(Empty, "POST", "/").bind(b"", {}, dict) == Empty(5)


def test_any_other_type_is_the_body_alone() -> None:
    many = binder(list[int], route="/")
    assert many.bind(b"[1]", {}, lambda: {"x": ["1"]}) == [1]
    with pytest.raises(RequestError, match="body: missing"):
        many.bind(b"", {}, dict)

    class Pair(msgspec.Struct, array_like=True):
        a: int

    assert binder(Pair, route="/").bind(b"[1]", {}, lambda: {"a": ["2"]}) == Pair(1)


def test_a_generic_struct_is_the_body_alone() -> None:
    assert binder(Box[int], route="/").bind(b'{"content": 5}', {}, lambda: {"content": ["6"]}) == Box(5)
    with pytest.raises(MillraceError, match="which its request has not"):
        binder(Box[int], route="/<content>")


class Box(msgspec.Struct, Generic[T]):
    """Holds one thing."""

    registry: ClassVar[int] = 0
    content: T
