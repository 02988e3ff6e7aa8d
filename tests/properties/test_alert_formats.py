"""What holds for every record that alerts may come in: no surprise, no loss on the way on, no harm to neighbours."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from app.domains.alerts.alert import LARGEST_ALERT_BYTES, Alert, AlertFault
from app.domains.alerts.aliases import is_alias
from app.domains.alerts.formats import (
    FORMATS,
    format_of,
    read_alert,
    read_alert_bytes,
    read_document,
    read_techniques_carried,
)
from app.domains.alerts.formats.recognise import _LINES, _OBJECTS
from tests.unit.domains.alerts.formats.examples import CEF_LINE, EXAMPLES, SNORT, TIME
from tests.unit.domains.alerts.formats.product_examples import LEEF, SNORT_SYSLOG

REASONS = frozenset(
    (
        *(
            "missing_id",
            "missing_time",
            "missing_src",
            "missing_dst",
            "missing_name",
            "bad_id",
            "bad_time",
            "bad_field",
        ),
        *(
            "alert_too_large",
            "unknown_format",
            "not_one_alert",
            "not_json",
            "not_utf8",
            "bad_tenant",
            "too_many_elements",
        ),
    )
)
OBJECTS = {name: each for name, each in EXAMPLES.items() if isinstance(each, dict)}

any_text = st.text(st.characters(exclude_categories=()), max_size=30)  # half characters too
words = st.sampled_from(["", "-", "T1059.001", "192.0.2.1", "2024-05-23T12:54:16Z", "May 23 12:00:00", "\ud800", "22"])
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(10**80), 10**80),
    st.floats(),
    any_text,
    words,
    st.floats(0, 2e9),
)
keys = st.one_of(
    any_text,
    st.sampled_from(
        ["id", "time", "src", "dst", "name", "tech", "node", "user", "user.name", "port", "host", "input", "detail"]
    ),
)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value within a value."""
    found = [at] if at else []
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        found += places(each, (*at, key))
    return found


@st.composite
def spoilt(draw: st.DrawFn) -> dict[str, Any]:
    """An example of some format with some of its fields gone, changed or added."""
    record = json.loads(json.dumps(draw(st.sampled_from(list(OBJECTS.values())))))
    for _ in range(draw(st.integers(0, 4))):
        where = draw(st.sampled_from(places(record) or [("id",)]))
        inner: Any = record
        for step in where[:-1]:
            inner = inner[step]
        if draw(st.booleans()) and isinstance(inner, dict):
            inner.pop(where[-1], None)
        elif where[-1] in inner or isinstance(inner, list):
            inner[where[-1]] = draw(values)
    for key, value in draw(st.dictionaries(keys, values, max_size=3)).items():
        record.setdefault(key, value)
    return dict(record)


spoilt_lines = st.builds(
    lambda line, at, gone, put: line[:at] + put + line[at + gone :],
    st.sampled_from([CEF_LINE, SNORT, LEEF, SNORT_SYSLOG]),
    st.integers(0, 200),
    st.integers(0, 40),
    st.one_of(any_text, st.sampled_from(["|", "\\", "=", " x=", "CEF:", "LEEF:", "^", "[**]", "->", "{}"])),
)


def read_or_reason(record: Any) -> Alert | str:
    try:
        return read_alert_bytes(record) if isinstance(record, bytes) else read_alert(record, received=TIME)
    except AlertFault as fault:
        assert fault.reason in REASONS
        assert fault.message
        return fault.reason


def reads_back(alert: Alert) -> None:
    """What holds of every alert that was read."""
    written = msgspec.json.encode(alert)
    assert len(written) <= LARGEST_ALERT_BYTES
    assert read_alert_bytes(written) == alert
    assert alert.src
    assert alert.dst
    assert alert.name
    assert all(is_alias(name, address) for name, address in alert.aliases)
    port = alert.other_attributes.get("port", 0)
    assert type(port) is int
    assert 0 <= port <= 65535
    for key in ("url", "user_agent", "cert", "description", "command_line", "rule_id", "product"):
        assert isinstance(alert.other_attributes.get(key, ""), str)
    for key in ("host", "user", "hash"):
        said = alert.other_attributes.get(key, "")
        assert isinstance(said, str) or all(isinstance(each, str) and each for each in said)


@given(st.binary(max_size=200) | st.builds(str.encode, st.text(max_size=200)))
@example(b'{"a":' * 5000)
@example(b"[" * 100_000)
def test_any_bytes_are_an_alert_or_have_a_reason(data: bytes) -> None:
    found = read_or_reason(data)
    if isinstance(found, Alert):
        reads_back(found)


@given(spoilt() | st.dictionaries(keys, values, max_size=6))
def test_any_object_is_an_alert_that_reads_back_the_same_or_has_a_reason(record: dict[str, Any]) -> None:
    found = read_or_reason(record)
    if isinstance(found, Alert):
        reads_back(found)
    read_techniques_carried(record)


@pytest.mark.parametrize("name", OBJECTS)
@pytest.mark.parametrize("value", [10**5000, [[]], {"a": [{}]}, "\x1b[31m" * 9000, True], ids=lambda _: "")
def test_no_value_at_any_place_is_a_surprise(name: str, value: Any) -> None:
    for where in places(OBJECTS[name]):
        record: Any = json.loads(json.dumps(OBJECTS[name]))
        inner = record
        for step in where[:-1]:
            inner = inner[step]
        inner[where[-1]] = value
        read_or_reason(record)


@given(spoilt())
def test_an_object_and_its_bytes_are_the_same_alert(record: dict[str, Any]) -> None:
    try:
        data = json.dumps(record, allow_nan=False).encode()
    except ValueError:
        assume(False)  # no JSON can say what is not finite
    try:
        of_bytes: Alert | str = read_alert_bytes(data, received=TIME)
    except AlertFault as fault:
        of_bytes = fault.reason
    assert of_bytes == read_or_reason(record) == read_or_reason(json.loads(data))


@given(spoilt_lines)
def test_any_line_is_an_alert_that_reads_back_the_same_or_has_a_reason(line: str) -> None:
    found = read_or_reason(line)
    assert found == read_or_reason(line)
    if isinstance(found, Alert):
        reads_back(found)


@pytest.mark.parametrize("line", [CEF_LINE, SNORT, LEEF, SNORT_SYSLOG])
def test_a_line_that_ends_anywhere_or_lacks_a_character_is_an_alert_or_has_a_reason(line: str) -> None:
    for at in range(len(line)):
        read_or_reason(line[:at])
        read_or_reason(line[:at] + line[at + 1 :])


@pytest.mark.parametrize("name", EXAMPLES)
def test_no_other_format_takes_an_example_for_its_own(name: str) -> None:
    example = EXAMPLES[name]
    takers = [each.name for each in (_LINES if isinstance(example, str) else _OBJECTS) if each.matches(example)]
    assert takers == ([name] if name != "millrace" else ["millrace", "seed"])


@pytest.mark.parametrize("name", OBJECTS)
@given(unknown=st.dictionaries(st.text(max_size=8).map("x-{}".format), values, max_size=4), order=st.randoms())
def test_what_is_beside_an_alert_changes_neither_its_format_nor_its_identity(
    name: str, unknown: dict[str, Any], order: Any
) -> None:
    items = [*OBJECTS[name].items(), *unknown.items()]
    order.shuffle(items)
    record, plain = dict(items), OBJECTS[name]
    assert format_of(record).name == name
    alert, expected = read_alert(record), read_alert(plain)
    assert (alert.id, alert.time, alert.src, alert.dst, alert.name, alert.tech) == (
        (expected.id, expected.time, expected.src, expected.dst, expected.name, expected.tech)
    )


@given(
    st.lists(st.sampled_from(list(EXAMPLES.values())) | spoilt() | spoilt_lines | values, max_size=8),
    st.dictionaries(st.sampled_from(["192.0.2.10", "198.51.100.7", "other"]), values, max_size=3),
)
def test_a_bad_alert_never_changes_what_becomes_of_its_neighbours(records: list[Any], nodes: dict[str, Any]) -> None:
    document = read_document({"input": records, "node_feature": nodes}, received=TIME)
    assert sorted([*document.indexes, *(index for index, _ in document.faults)]) == list(
        range(len(document.alerts) + len(document.faults))
    )
    apart = [read_document({"input": [each], "node_feature": nodes}, received=TIME) for each in records]
    assert document.alerts == [alert for each in apart for alert in each.alerts]
    assert [fault.reason for _, fault in document.faults] == [
        fault.reason for each in apart for _, fault in each.faults
    ]
    for alert in document.alerts:
        reads_back(alert)


@given(
    (st.floats(0, 7_258_118_400.0) | st.integers(0, 7_258_118_400)).filter(
        lambda time: not 19_800_000 <= time < 21_500_000  # a date, YYYYMMDD: as seconds, of August 1970
    )
)
def test_seconds_stay_what_they_are(time: float) -> None:
    alert = read_alert({"id": 1, "time": time, "src": "a", "dst": "b", "name": "n"})
    assert alert.time == time
    assert read_alert_bytes(msgspec.json.encode(alert)) == alert


@given(st.floats(1.2e9, 7_258_118_400.0), st.sampled_from([1e3, 1e6, 1e9]))
def test_finer_units_are_told_by_their_size(seconds: float, unit: float) -> None:
    alert = read_alert({"id": 1, "time": int(seconds * unit), "src": "a", "dst": "b", "name": "n"})
    assert alert.time == pytest.approx(seconds, abs=2e-3)


def test_every_format_has_an_example_here() -> None:
    assert {each.name for each in FORMATS} == set(EXAMPLES)
