"""The local mapping's rules for filter criteria.

Quoted from https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html (FILTERING),
https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis-filtering.html (KINESIS) and
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html (OPERATORS).
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.errors import SettingsError
from app.stream.mapping.event import EventSource
from app.stream.mapping.filters import compile_criteria
from app.stream.mapping.settings import Filter, FilterCriteria
from tests.mapping_for_tests import ARN, SHARD, Bench


def criteria(*patterns: object) -> FilterCriteria:
    return FilterCriteria(tuple(Filter(each if isinstance(each, str) else json.dumps(each)) for each in patterns))


def passes(pattern: object, data: object, key: str = "1") -> bool:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    bench = Bench()
    bench.kinesis.put([raw], [key])
    [record] = bench.kinesis.shards[0].records
    return compile_criteria(criteria(pattern))(EventSource(ARN).envelope(SHARD, record), raw)


@pytest.mark.parametrize(
    ("rule", "yes", "no"),
    [
        # FILTERING, "Filter rule syntax", row by row.
        ([None], [{"f": None}], [{"f": ""}, {}]),
        ([""], [{"f": ""}], [{"f": None}, {"f": " "}]),
        (["Alice"], [{"f": "Alice"}], [{"f": "alice"}, {"f": "Alice "}, {"f": 1}]),
        ([{"equals-ignore-case": "alice"}], [{"f": "ALICE"}], [{"f": "Alicia"}]),
        (["Credit", "Debit"], [{"f": "Debit"}, {"f": "Credit"}], [{"f": "Cash"}]),
        ([{"anything-but": ["Raining"]}], [{"f": "Sunny"}, {"f": 5}], [{"f": "Raining"}, {}]),
        ([{"numeric": ["=", 100]}], [{"f": 100}, {"f": 1e2}], [{"f": "100"}, {"f": 101}]),
        ([{"numeric": [">", 10, "<=", 20]}], [{"f": 10.5}, {"f": 20}], [{"f": 10}, {"f": 21}]),
        ([{"exists": True}], [{"f": 0}, {"f": None}, {"f": ""}], [{}, {"g": 1}]),
        ([{"exists": False}], [{}, {"g": 1}], [{"f": 0}, {"f": None}]),
        ([{"prefix": "us-"}], [{"f": "us-east-1"}], [{"f": "eu-us-1"}, {"f": 5}]),
        ([{"suffix": ".png"}], [{"f": "a.png"}], [{"f": "a.PNG"}]),
        # OPERATORS has more of them, which pipes and mappings take too or nest.
        ([{"prefix": {"equals-ignore-case": "eventb"}}], [{"f": "EventBridge"}], [{"f": "Bridge"}]),
        ([{"suffix": {"equals-ignore-case": ".png"}}], [{"f": "a.PNG"}], [{"f": "a.gif"}]),
        ([{"anything-but": "initializing"}], [{"f": "up"}], [{"f": "initializing"}]),
        ([{"anything-but": {"prefix": "us-"}}], [{"f": "eu-1"}], [{"f": "us-1"}]),
        ([{"anything-but": {"equals-ignore-case": ["a", "b"]}}], [{"f": "c"}], [{"f": "A"}, {"f": "B"}]),
        ([{"anything-but": [1, 2]}], [{"f": 3}], [{"f": 1}]),
        ([True], [{"f": True}], [{"f": "true"}, {"f": 1}, {"f": False}]),
        # "matching arrays": a list matches if one of its members does.
        (["a"], [{"f": ["b", "a"]}], [{"f": ["b"]}, {"f": []}]),
    ],
    ids=lambda value: json.dumps(value)[:40],
)
def test_each_operator(rule: Any, yes: list[Any], no: list[Any]) -> None:
    for data in yes:
        assert passes({"data": {"f": rule}}, data), data
    for data in no:
        assert not passes({"data": {"f": rule}}, data), data


@pytest.mark.parametrize("text", ["300", "300.0", "3.0e2"])
def test_numbers_are_compared_as_they_are_written(text: str) -> None:
    """FILTERING: "For numbers, Lambda also uses string representation. For example, 300, 300.0, and 3.0e2 are not
    considered equal."
    """
    assert passes('{"data": {"n": [300]}}', f'{{"n": {text}}}'.encode()) is (text == "300")
    assert passes('{"data": {"n": [{"numeric": ["=", 300]}]}}', f'{{"n": {text}}}'.encode())


def test_all_fields_of_a_pattern_must_match() -> None:
    """FILTERING: "For Lambda to consider the event a match, the event must contain all the field names included in a
    filter. Lambda ignores the fields that aren't included in a filter."
    """
    pattern = {"data": {"Location": ["New York"], "Day": ["Monday"]}}
    assert passes(pattern, {"Location": "New York", "Day": "Monday", "Other": 1})
    assert not passes(pattern, {"Location": "New York"})


def test_or_takes_alternatives_of_several_fields() -> None:
    """OPERATORS: operators "only work on leaf nodes, with the exception of $or", which holds whole alternatives."""
    pattern = {"data": {"Year": [2026], "$or": [{"Location": ["New York"]}, {"Day": ["Monday"]}]}}
    assert passes(pattern, {"Year": 2026, "Day": "Monday"})
    assert passes(pattern, {"Year": 2026, "Location": "New York"})
    assert not passes(pattern, {"Year": 2026, "Day": "Friday"})
    assert not passes(pattern, {"Year": 2025, "Day": "Monday"})
    assert passes({"$or": [{"partitionKey": ["9"]}, {"data": {"a": [1]}}]}, {"a": 1})


def test_nested_fields_and_leaves() -> None:
    """OPERATORS: "Comparison operators only work on leaf nodes, with the exception of $or and anything-but." """
    assert passes({"data": {"a": {"b": {"c": ["x"]}}}}, {"a": {"b": {"c": "x"}}})
    assert not passes({"data": {"a": {"b": ["x"]}}}, {"a": "x"})
    assert not passes({"data": {"a": [{"exists": True}]}}, {"a": {"b": 1}})
    assert passes({"data": {"a": {"b": [{"exists": False}]}}}, {"c": 1})
    assert passes({"data": {"a": {"b": [2]}}}, {"a": [{"b": 1}, {"b": 2}]})


TWO = {"a": [{"b": 1}, {"c": "x"}]}


@pytest.mark.parametrize(
    ("rule", "data", "matches"),
    [
        # "any event which has no detail.c-count field": exists is said of the whole event, not of a list's member.
        ({"b": [{"exists": False}]}, TWO, False),
        ({"b": [{"exists": True}]}, TWO, True),
        ({"d": [{"exists": False}]}, TWO, True),
        ({"b": [{"exists": False}], "c": ["x"]}, TWO, False),
        ({"d": [{"exists": False}], "c": ["x"]}, TWO, True),
        ({"b": [{"exists": False}, 1]}, TWO, True),
        ({"b": [{"exists": False}, 2]}, TWO, False),
        ({"$or": [{"b": [{"exists": False}]}, {"c": ["x"]}]}, TWO, True),
        ({"$or": [{"b": [{"exists": False}]}, {"c": ["y"]}]}, TWO, False),
        ({"b": {"c": [{"exists": False}]}}, {"a": [{"b": [{"c": 1}]}, {"b": [{"d": 1}]}]}, False),
        ({"b": {"c": [{"exists": False}]}}, {"a": [{"b": [{"d": 1}]}, {"b": 1}, 1]}, True),
        # "only works on the leaf nodes": what is no leaf does not exist.
        ({"b": [{"exists": False}]}, {"a": [{"b": {"c": 1}}]}, True),
        ({"b": [{"exists": False}]}, {"a": [{"b": []}, {"b": {}}]}, True),
        ({"b": [{"exists": False}]}, {"a": [{"b": [{"c": 1}, None]}]}, False),
        ({"b": [{"exists": False}]}, {"a": []}, True),
        ({"b": [{"exists": False}]}, {"a": [1, "b"]}, True),
        ({"b": [{"exists": False}]}, {"a": None}, True),
        ({"b": [{"exists": False}]}, {}, True),
        # Lists in lists: "This works for multi-level arrays too".
        ({"b": [1]}, {"a": [[{"b": 2}], [[{"b": 1}]]]}, True),
        ({"b": [{"exists": False}]}, {"a": [[{"c": 2}], [[{"b": 1}]]]}, False),
        # "any two fields are within JSON objects that are in different elements of the same array": no match.
        ({"b": [1], "c": ["x"]}, TWO, False),
        ({"b": [1], "c": ["x"]}, {"a": [{"b": 1}, {"b": 1, "c": "x"}]}, True),
        ({"b": [1], "$or": [{"c": ["x"]}, {"d": [1]}]}, TWO, False),
        # Every other operator holds if it does for one member.
        ({"b": [None]}, {"a": [{"b": 1}, {"b": None}]}, True),
        ({"b": [None]}, {"a": [{"c": 1}]}, False),
        ({"b": [""]}, {"a": [{"b": "x"}, {"b": ["y", ""]}]}, True),
        ({"b": [""]}, {"a": [{"b": None}, {"b": []}]}, False),
        ({"b": [{"prefix": "us"}]}, {"a": [{"b": "eu-1"}, {"b": "us-1"}]}, True),
        ({"b": [{"suffix": "-1"}]}, {"a": [{"b": "eu-2"}, {"b": ["us-2", "us-1"]}]}, True),
        ({"b": [{"suffix": "-1"}]}, {"a": [{"b": "eu-2"}, {"c": "us-1"}]}, False),
        ({"b": [{"equals-ignore-case": "us"}]}, {"a": [{"b": 1}, {"b": "US"}]}, True),
        ({"b": [{"numeric": [">", 1, "<", 3]}]}, {"a": [{"b": 1}, {"b": 3}]}, False),
        ({"b": [{"numeric": [">", 1, "<", 3]}]}, {"a": [{"b": 1}, {"b": [3, 2]}]}, True),
        ({"b": [{"anything-but": [1, 2]}]}, {"a": [{"b": 1}, {"b": 3}]}, True),
        ({"b": [{"anything-but": [1, 2]}]}, {"a": [{"b": 1}, {"b": [2]}, {"c": 3}]}, False),
        ({"b": [{"anything-but": {"prefix": "us"}}]}, {"a": [{"b": "us-1"}, {"b": "us-2"}]}, False),
    ],
    ids=lambda value: json.dumps(value)[:60],
)
def test_each_operator_below_a_list(rule: Any, data: Any, matches: bool) -> None:
    """Quoted from https://github.com/aws/event-ruler, which AWS matches patterns with."""
    assert passes({"data": {"a": rule}}, data) is matches


def test_metadata() -> None:
    """FILTERING: "In the Kinesis event example, Metadata1 could refer to a field such as partitionKey." (KINESIS says
    by now that mappings "only support filtering on the data key": docs/local-mapping.md.)
    """
    assert passes({"partitionKey": ["1"]}, b"not JSON", key="1")
    assert not passes({"partitionKey": ["1"]}, {}, key="2")
    assert passes({"partitionKey": ["1"], "data": {"Location": ["Los Angeles"]}}, {"Location": "Los Angeles"})
    assert passes({"eventName": ["aws:kinesis:record"], "approximateArrivalTimestamp": [{"numeric": [">", 5]}]}, {})


@pytest.mark.parametrize(
    "data", [b"plain", b"\xff", b"{", b'{"a": NaN}', b"[" * 100_000], ids=lambda data: repr(data[:9])
)
def test_data_that_is_not_json_is_dropped_where_the_pattern_is_about_data(data: bytes) -> None:
    """KINESIS' table: incoming data non-JSON, pattern valid JSON: "Lambda drops the record."; no pattern for data
    properties: "Lambda filters (on the other metadata properties only) based on your filter criteria."
    """
    assert not passes({"data": {"a": [{"exists": False}]}}, data)
    assert passes({"partitionKey": ["1"]}, data)


@pytest.mark.parametrize(
    "pattern",
    [
        "not JSON",
        "[]",
        "{}",
        {"data": ["plain"]},
        {"data": "plain"},
        {"data": {"a": "buy"}},
        {"data": {"a": []}},
        {"data": {"a": [{"greater": 5}]}},
        {"data": {"a": [{"numeric": [">"]}]}},
        {"data": {"a": [{"numeric": [">", "5"]}]}},
        {"data": {"a": [{"prefix": 5}]}},
        {"data": {"a": [{"exists": "yes"}]}},
        {"data": {"a": [{"anything-but": {"numeric": ["=", 5]}}]}},
        {"data": {"$or": {"a": [1]}}},
        {"data": {"$or": [{"a": [1]}]}},
        {"data": {"a": [{"anything-but": [1, "1"]}]}},
        {"data": {"a": [{"anything-but": None}]}},
        {"data": {"a": [{"anything-but": []}]}},
    ],
    ids=str,
)
def test_a_pattern_that_cannot_be_is_refused_at_the_start(pattern: object) -> None:
    """KINESIS' table: "Lambda throws an exception at the time of the event source mapping creation or update." """
    with pytest.raises(SettingsError, match="filter 1"):
        compile_criteria(criteria(pattern))


def test_one_filter_of_several_is_enough_and_what_is_left_out_is_done() -> None:
    """FILTERING: "If an event satisfies any one of these five filters, Lambda sends the event to your function." and
    "Once your filter criteria processes an Kinesis or DynamoDB record, the streams iterator advances past this record."
    """
    bench = Bench()
    bench.kinesis.put([{"n": n} for n in range(20)])
    chosen = criteria({"data": {"n": [{"numeric": ["<", 3]}]}}, {"data": {"n": [17]}})
    mapping = bench.drain(filter_criteria=chosen)
    assert bench.batches == [[{"n": 0}, {"n": 1}, {"n": 2}, {"n": 17}]]
    assert (mapping.acknowledged, mapping.filtered) == (4, 16)


def test_filters_choose_what_goes_into_a_batch() -> None:
    """FILTERING: "Lambda applies your filter criteria to each new event to determine whether to add it to the current
    batch."
    """
    bench = Bench()
    bench.kinesis.put([{"n": n} for n in range(100)])
    bench.drain(filter_criteria=criteria({"data": {"n": [{"numeric": [">=", 90]}]}}), batch_size=10)
    assert bench.sizes == [10]


def test_data_may_nest_deeper_than_python_calls() -> None:
    nested = b'{"f":' + b"[" * 600 + b'"a"' + b"]" * 600 + b"}"
    assert passes({"data": {"f": ["a"]}}, nested)
    assert not passes({"data": {"f": ["b"]}}, nested)
