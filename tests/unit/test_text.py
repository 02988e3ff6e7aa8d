from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domains.alerts.lookups.corrections import Correction
from app.domains.alerts.lookups.csv_file import write_corrections
from app.text import (
    csv_cell,
    is_formula,
    is_nested_deeper,
    json_text,
    one_line,
    printable,
    printable_json,
    quoted,
    sanitize_id,
    short_name,
    text_of_csv_cell,
    whole_line,
    without_credentials,
)

HERE = Path(__file__).parents[2]
ANY_TEXT = st.text(st.characters())  # halves of surrogate pairs too


def test_what_a_terminal_would_obey_is_replaced() -> None:
    evil = "\x1b[31mred\x1b[0m\r\nnext\u202eline"
    assert printable(evil, 100) == "?[31mred?[0m??next?line"
    assert one_line(evil) == "�[31mred�[0m next�line"
    assert one_line("x" * 300, 10) == "xxxxxxxxx…"


@pytest.mark.parametrize(
    ("value", "expected"),
    [("aws:kinesis", "aws:kinesis"), ("a\nb" * 40, "a?b" * 20), ({"deep": {}}, "a dict"), (None, "a NoneType")],
)
def test_a_name_from_an_event_is_short_whatever_it_is(value: object, expected: str) -> None:
    assert short_name(value) == expected


def test_a_quoted_name_is_escaped_and_cut() -> None:
    assert quoted("a\n") == r"'a\n'"
    assert len(quoted("x" * 1_000)) == 102


@given(st.text(max_size=300))
def test_shown_text_is_printable_and_no_longer_than_asked(text: str) -> None:
    for shown in (printable(text, 20), one_line(text, 20), short_name(text, 20), sanitize_id(text)):
        assert not shown or shown.isprintable()
    assert max(len(printable(text, 20)), len(one_line(text, 20)), len(short_name(text, 20))) <= 20


@given(
    st.recursive(
        st.none() | st.integers(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    )
)
def test_nesting_is_counted_in_levels_of_objects_and_arrays(value: Any) -> None:
    def levels(each: Any) -> int:
        children = each.values() if isinstance(each, dict) else each if isinstance(each, list) else None
        return 0 if children is None else 1 + max(map(levels, children), default=0)

    assert not is_nested_deeper(value, levels(value))
    assert levels(value) == 0 or is_nested_deeper(value, levels(value) - 1)


def test_nesting_of_any_depth_is_checked_without_recursion() -> None:
    value: Any = []
    for _ in range(100_000):
        value = [value]
    assert is_nested_deeper(value, 1_000)
    assert not is_nested_deeper(value, 100_001)


def test_json_is_safe_on_a_terminal_and_has_the_same_value() -> None:
    value = {"name": "\x7f\x9b31m é 漢 😀 \u202e\u2028\U000e0041 end", "plain": "a\nb"}
    for data in (msgspec.json.encode(value), msgspec.json.format(msgspec.json.encode(value))):
        shown = printable_json(data)
        assert msgspec.json.decode(shown) == value
        assert all(letter.isprintable() or letter == "\n" for letter in shown.decode())
        assert "é 漢 😀" in shown.decode()
    assert printable_json(b'{"a":1}') == b'{"a":1}'


@given(st.text())
def test_json_of_any_text_is_printable(text: str) -> None:
    data = printable_json(msgspec.json.encode(text))
    assert data.decode().isprintable()
    assert msgspec.json.decode(data) == text


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@a", " \t=1", "\uff1d1", "\r\n@x", "'=1", "''-1"])
def test_no_cell_is_a_formula(text: str) -> None:
    assert csv_cell(text).startswith("'")
    assert text_of_csv_cell(csv_cell(text)) == text


@given(st.text())
def test_a_cell_is_read_as_the_text_that_was_written(text: str) -> None:
    assert text_of_csv_cell(csv_cell(text)) == text
    assert not is_formula(csv_cell(text))


def test_one_module_writes_csv_and_no_text_in_it_is_a_formula() -> None:
    """A field of corrections that is added later is here by itself, a second module that writes CSV is named."""
    files = [path for folder in ("app", "devtools", "model", "scripts") for path in (HERE / folder).rglob("*.py")]
    writers = {path.name for path in files if re.search(r"csv\.(writer|DictWriter)|\.to_csv\(", path.read_text())}
    assert writers == {"csv_file.py", "text.py"}  # the second is the fuzzer of these functions
    evil = "=HYPERLINK(1)"
    texts: Any = {each.name: evil for each in msgspec.structs.fields(Correction) if each.type is str}
    written = write_corrections([Correction(techniques=(evil,), time=1.0, **texts)])
    header, row = csv.reader(written.decode().splitlines())
    assert len(header) == len(row) > len(texts) > 3
    assert not any(map(is_formula, row))


@given(ANY_TEXT, ANY_TEXT)
def test_any_text_is_printable_on_a_line_and_in_json(name: str, text: str) -> None:
    assert whole_line(text).isprintable()
    value = {name: [text, None, 1.5]}
    for indent in (None, 2):
        shown = json_text(value, indent=indent)
        assert shown.replace("\n", "").isprintable()
        assert json.loads(shown) == value
    assert json_text({"a": Path("b")}) == '{"a":"b"}'


@given(ANY_TEXT, st.text("abc/:@?#=&\"' ", max_size=30))
def test_what_is_left_out_once_stays_out(text: str, more: str) -> None:
    shown = without_credentials(f"http://ali:{more}{text}@host")
    assert without_credentials(shown) == shown
