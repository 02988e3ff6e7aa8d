"""Budgets for input from outside: counting elements without parsing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.budgets import MOST_ELEMENTS, is_over_elements

values = st.recursive(
    st.none() | st.integers() | st.text('ab,[{"\\', max_size=8),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text('k,[{"\\', max_size=3), inner, max_size=5),
    max_leaves=40,
)


def elements(value: Any) -> float:
    """A number in a list is a quarter of an element."""
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    numbers = sum(type(each) is int for each in inner) if isinstance(value, list) else 0
    return len(inner) - 0.75 * numbers + sum(map(elements, inner))


@given(values, st.integers(0, 60))
def test_no_value_has_more_elements_than_its_budget(value: Any, most: int) -> None:
    if not is_over_elements(json.dumps(value).encode(), most):
        assert elements(value) <= most


@pytest.mark.parametrize(
    ("text", "is_over"),
    [
        (b"[[],[],[]]", True),
        (b'{"a":{"a":{"a":{}}}}', True),
        (b'["a,b,c,d,e,[{", "x"]', False),
        (rb'["a\",b,c,d,e,[{", "x\\"]', False),
        (b"[]", False),
    ],
)
def test_separators_within_strings_are_no_elements(text: bytes, is_over: bool) -> None:
    assert is_over_elements(text, 3) is is_over


def test_a_record_of_ten_megabytes_may_be_one_list_of_numbers() -> None:
    features = json.dumps([-1 / (number + 3) for number in range(480_000)]).encode()
    assert len(features) > 10 * 1024 * 1024
    assert not is_over_elements(features)
    assert is_over_elements(b"[" + b"0," * (4 * MOST_ELEMENTS) + b"0]")
