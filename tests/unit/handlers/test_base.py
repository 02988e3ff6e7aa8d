"""A typed handler: its types, its name, what it takes, what it gives."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec
import pytest

from app.errors import LocationError, RequestError
from app.handlers.base import LambdaHandler
from app.handlers.invocation import Invocation, run
from app.settings import Settings
from tests.handlers_for_tests import Parcel, Postage, WeighParcelHandler

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")
U = TypeVar("U")

# The base is paid for at every cold start. What the standard library adds differs from one Python to another.
MODULES_AT_MOST = 18
HEAVY = {
    "aws_lambda_powertools", "boto3", "botocore", "numpy", "onnxruntime", "pydantic", "rich", "typer", "asyncio",
}  # fmt: skip


class Page(msgspec.Struct, Generic[T]):
    items: list[T]


class Each(LambdaHandler[list[T], U], Generic[T, U]):
    """Between the base and a handler."""


class Paged(Each[T, Page[T]], Generic[T]):
    """Between that and a handler."""


class CountParcels(Each[Parcel, int]):
    """Counts."""

    def handle(self, request: list[Parcel], invocation: Invocation) -> int:  # noqa: ARG002
        return len(request)


class PageParcels(Paged[Parcel]):
    """Pages."""

    def handle(self, request: list[Parcel], invocation: Invocation) -> Page[Parcel]:  # noqa: ARG002
        return Page(request)


class Sorted(Each[Parcel, Iterator[T]], Generic[T]):
    """Between the base and a handler that yields."""


class SortParcels(Sorted[Parcel]):
    """Sorts."""

    def handle(self, request: list[Parcel], invocation: Invocation) -> Iterator[Parcel]:  # noqa: ARG002
        yield from sorted(request, key=lambda parcel: parcel.grams)


def test_what_is_yielded_is_a_list_through_generic_classes_too() -> None:
    assert (SortParcels.yields, SortParcels.response_type) == (True, list[Parcel])
    assert not CountParcels.yields
    answer = SortParcels.get_handler()([{"grams": 2}, {"grams": 1}])
    assert [each["grams"] for each in answer] == [1, 2]


class WeighTwice(WeighParcelHandler):
    """Says it twice."""


def test_one_class_is_a_lambda_function() -> None:
    lambda_handler = WeighParcelHandler.get_handler()
    assert lambda_handler({"grams": 250}, None) == {"cents": 250}


def test_and_a_plain_object_in_a_test(invocation: Invocation) -> None:
    assert WeighParcelHandler().handle(Parcel(250), invocation) == Postage(250)


@pytest.fixture
def invocation() -> Invocation:
    """An invocation, as a test makes one: run the work, and keep what it was given."""
    return run("test", lambda invocation: invocation, settings=Settings())


@pytest.mark.parametrize(
    ("handler", "request_type", "response_type"),
    [
        (WeighParcelHandler, Parcel, Postage),
        (WeighTwice, Parcel, Postage),
        (CountParcels, list[Parcel], int),
        (PageParcels, list[Parcel], Page[Parcel]),
    ],
)
def test_the_types_are_those_in_the_brackets(handler: Any, request_type: Any, response_type: Any) -> None:
    assert handler.request_type == request_type
    assert handler.response_type == response_type


def test_a_generic_class_between_decodes_as_strictly() -> None:
    assert CountParcels.decode('[{"grams": 1}]') == [Parcel(1)]
    with pytest.raises(RequestError, match=r"^\$\[0\].grams: expected `int`, got `str`$"):
        CountParcels.decode([{"grams": "1"}])


@pytest.mark.parametrize(
    ("class_name", "name"),
    [
        ("WeighParcelHandler", "weigh-parcel"),
        ("GetJSONFromFileHandler", "get-json-from-file"),
        ("PutJSON", "put-json"),
        ("S3EventHandler", "s3-event"),
        ("Handler", "handler"),
    ],
)
def test_a_name_is_the_classs_in_kebab_case(class_name: str, name: str) -> None:
    made: Any = type(class_name, (WeighParcelHandler,), {})
    assert made.name == name


def test_a_name_can_be_given_and_is_not_inherited() -> None:
    class Named(WeighParcelHandler):
        name = "scales"

    class Heir(Named):
        pass

    assert (Named.name, Heir.name) == ("scales", "heir")


def test_says_what_it_is() -> None:
    assert WeighParcelHandler.summary() == "Says what a parcel costs."
    assert WeighParcelHandler.qualified_name() == "tests.handlers_for_tests.WeighParcelHandler"
    assert WeighParcelHandler.request_schema()["$defs"]["Parcel"]["required"] == ["grams"]
    assert WeighParcelHandler.response_schema()["$defs"]["Postage"]["properties"] == {"cents": {"type": "integer"}}


@pytest.mark.parametrize(
    "payload",
    [
        Parcel(5, "a"),
        {"grams": 5, "label": "a"},
        '{"grams": 5, "label": "a"}',
        b'{"grams": 5, "label": "a"}',
        memoryview(b'{"grams": 5, "label": "a", "more": null}'),
    ],
)
def test_takes_a_request_in_any_form(payload: Any) -> None:
    assert WeighParcelHandler.decode(payload) == Parcel(5, "a")


def test_an_event_cannot_name_a_file(tmp_path: Path) -> None:
    """Whoever may invoke a function need not be allowed to read its files."""
    path = tmp_path / "request.json"
    path.write_text('{"grams": 5}')
    for event in (str(path), path.as_uri(), json.dumps(str(path)), "-"):
        with pytest.raises(RequestError):
            WeighParcelHandler.decode(event)


def test_an_event_that_names_no_object_is_one_line() -> None:
    with pytest.raises(LocationError, match=r"^s3://parcels: give s3://bucket/key$"):
        WeighParcelHandler.decode("s3://parcels")


def test_a_response_becomes_what_json_is_made_of() -> None:
    assert PageParcels.encode(Page([Parcel(5)])) == {"items": [{"grams": 5, "label": ""}]}
    assert CountParcels.encode(3) == 3


def test_is_made_once_from_the_settings() -> None:
    made: list[Settings] = []

    class Scales(WeighParcelHandler):
        @classmethod
        def open(cls, settings: Settings) -> Scales:
            made.append(settings)
            return cls()

    function = Scales.get_handler()
    assert made == []
    opened = function.open()
    assert [function({"grams": grams})["cents"] for grams in (1, 2)] == [1, 2]
    assert function.open() is opened
    assert len(made) == 1


def test_cannot_be_made_without_handle() -> None:
    class Forgotten(LambdaHandler[Parcel, Postage]):
        """Has no `handle`."""

    with pytest.raises(TypeError, match="abstract"):
        Forgotten()  # type: ignore[abstract]


def test_the_base_imports_little() -> None:
    program = (
        "import sys, msgspec; before = set(sys.modules); import app.handlers.base; print(*(set(sys.modules) - before))"
    )
    modules: set[str] = set()
    for _ in range(2):  # the first may have to compile, which imports more
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        modules = set(done.stdout.split())
    assert "app.handlers.base" in modules
    assert not {name.partition(".")[0] for name in modules} & HEAVY
    own = {name for name in modules if name.partition(".")[0] not in sys.stdlib_module_names}
    assert len(own) <= MODULES_AT_MOST, sorted(own)
