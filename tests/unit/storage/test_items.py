"""Items of a table that come in several answers, as DynamoDB gives them."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from app import aws
from app.errors import MillraceError, UnreadableStateError
from app.storage import items
from app.storage.items import from_attributes, get_items, to_attributes
from app.storage.state_table import DynamoDbState

if TYPE_CHECKING:
    from collections.abc import Callable

KEYS = [{"state_key": f"t{number}"} for number in range(250)]


class Table:
    """A table whose answers hold so many items and no more."""

    def __init__(self, answered: int) -> None:
        self.answered, self.calls = answered, 0

    def batch_get_item(self, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803 - AWS's name
        self.calls += 1
        [(table, wanted)] = RequestItems.items()
        keys = wanted["Keys"]
        left = {table: {"Keys": keys[self.answered :]}} if keys[self.answered :] else {}
        return {"Responses": {table: keys[: self.answered]}, "UnprocessedKeys": left}


def asked(table: Table, monkeypatch: pytest.MonkeyPatch, read: Callable[[], Any]) -> tuple[Any, list[int]]:
    """What is read of a table, and its pauses; why it could not be read as the error itself."""
    pauses: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(aws, "client", lambda _service: table)
        patch.setattr(items, "pause", pauses.append)
        try:
            return read(), pauses
        except MillraceError as error:
            return error, pauses


def all_items() -> list[dict[str, Any]]:
    return list(get_items("states", KEYS, "state table states"))


def test_values_are_python_s_own_both_ways() -> None:
    values = {"text": "a", "count": 5, "time": Decimal("1769860800.123"), "data": b"\x00", "there": True, "none": None}
    item = to_attributes(values)
    assert item["count"] == {"N": "5"}
    assert item["data"] == {"B": b"\x00"}
    assert from_attributes(item) == values
    assert type(from_attributes(item)["data"]) is bytes


def test_a_float_is_no_number_of_dynamodb_s() -> None:
    with pytest.raises(TypeError, match="Decimal"):
        to_attributes({"time": 0.1})


def test_large_items_that_do_not_fit_one_answer_are_no_throttling(monkeypatch: pytest.MonkeyPatch) -> None:
    found, pauses = asked(Table(answered=20), monkeypatch, all_items)  # states of 400 KB: an answer has 16 MB at most
    assert sorted(each["state_key"] for each in found) == sorted(each["state_key"] for each in KEYS)
    assert pauses == []


def test_a_table_that_gives_nothing_is_asked_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table(answered=0)
    error, pauses = asked(table, monkeypatch, all_items)
    assert "state table states: throttled" in str(error)
    assert (table.calls, pauses) == (7, [1, 2, 3, 4, 5, 6])


def test_an_answer_without_its_fields_is_not_an_empty_table(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table(100)
    table.batch_get_item = lambda **_: {}  # type: ignore[method-assign]  # as another service's address gives
    found, _ = asked(table, monkeypatch, lambda: list(get_items("t", KEYS, "table t")))
    assert isinstance(found, MillraceError)
    assert "AWS_ENDPOINT_URL" in str(found)


def test_an_item_of_something_else_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = asked(Table(answered=100), monkeypatch, lambda: DynamoDbState("states").load(["t1"]))

    assert isinstance(found["t1"].fault, UnreadableStateError)
    assert "state of 't1' in states: no item of a state" in str(found["t1"].fault)
