"""The column builder of outcomes: rows, outputs in order, and what is not one."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.stream.outcomes import Outcomes, Output, Quarantine, Retry, Skip
from app.stream.pipeline import StateWrites

ROWS = 6
calls = st.lists(st.tuples(st.sampled_from(["emit", "done", "skip", "retry"]), st.integers(0, ROWS - 1)), max_size=20)


def built(rows: list[int], made: list[tuple[str, int]]) -> Outcomes:
    """Outcomes of these rows, of the calls that concern them."""
    outcomes = Outcomes(len(rows))
    for number, (call, row) in enumerate(made):
        if row not in rows:
            continue
        arguments = {"emit": (f"k{number}", b"{}"), "skip": ("asked",), "retry": ("asked",)}.get(call, ())
        getattr(outcomes, call)(rows.index(row), *arguments)
    return outcomes


def test_each_row_has_its_outcome() -> None:
    outcomes = Outcomes(5)
    outcomes.emit(1, "b", b'{"n":1}', role="audit")
    outcomes.emit(0, "a", b'{"n":0}')
    outcomes.emit(1, "c", b'{"n":2}')
    outcomes.skip(2, "known")
    outcomes.quarantine(3, "too_old", "older than a day")
    outcomes.retry(4, "busy")
    assert outcomes.as_list() == [
        (Output("a", b'{"n":0}'),),
        (Output("b", b'{"n":1}', "audit"), Output("c", b'{"n":2}')),
        Skip("known"),
        Quarantine("too_old", "older than a day"),
        Retry("busy"),
    ]
    outputs = outcomes.outputs(start=10)
    assert (outputs.rows, outputs.ordinals, outputs.keys) == ([10, 11, 11], [0, 0, 1], ["a", "b", "c"])


def test_a_column_and_single_calls_go_together() -> None:
    outcomes = Outcomes(3)
    outcomes.emit_columns(["a", "b", "c"], [b"{}"] * 3)
    outcomes.emit_columns(["d", "e", "f"], [b"{}"] * 3, role="audit")
    outcomes.emit(0, "g", b"{}")
    outcomes.skip(1, "known")
    outputs = outcomes.outputs()
    assert list(zip(outputs.rows, outputs.ordinals, outputs.keys, strict=True)) == [
        (0, 0, "a"), (0, 1, "d"), (0, 2, "g"), (2, 0, "c"), (2, 1, "f"),
    ]  # fmt: skip


@pytest.mark.parametrize(("keys", "datas"), [(["a"], [b"{}", b"{}"]), (["a", "b"], [b"{}"]), (["a"], [b"{}"])])
def test_columns_have_a_value_for_each_row(keys: list[str], datas: list[bytes]) -> None:
    with pytest.raises(ValueError, match="for 2 rows"):
        Outcomes(2).emit_columns(keys, datas)


@pytest.mark.parametrize("row", [-1, 2])
@pytest.mark.parametrize("call", ["done", "skip", "retry", "emit", "quarantine"])
def test_a_row_that_the_batch_does_not_have_is_refused(call: str, row: int) -> None:
    arguments: Any = {"done": (), "emit": ("k", b"{}"), "quarantine": ("a", "b")}.get(call, ("asked",))
    with pytest.raises(IndexError, match="of a batch of 2"):
        getattr(Outcomes(2), call)(row, *arguments)


def test_staged_state_is_cut_at_any_row_and_written_in_order() -> None:
    staged = StateWrites(Outcomes(3))
    staged.write(0, "a", b"1")
    staged.write(1, "b", b"1")
    staged.write(1, "a", b"2")
    assert [staged.at(rows) for rows in range(4)] == [
        {}, {"a": b"1"}, {"a": b"2", "b": b"1"}, {"a": b"2", "b": b"1"},
    ]  # fmt: skip
    with pytest.raises(ValueError, match="row 0 after that of row 1"):
        staged.write(0, "a", b"3")
    for row in (-1, 3):
        with pytest.raises(IndexError, match="of a batch of 3"):
            staged.write(row, "a", b"3")


def test_columns_that_were_handed_over_are_never_changed() -> None:
    keys, datas, part = ["a", "b"], [b"{}", b"{}"], Outcomes(1)
    part.emit(0, "c", b"{}")
    emitted, extended = Outcomes(2), Outcomes(2)
    for outcomes in (emitted, extended):
        outcomes.emit_columns(keys, datas)  # `batch.partition_keys`, say
    emitted.emit(0, "c", b"{}", role="audit")
    extended.extend([1], part)
    assert (keys, datas) == (["a", "b"], [b"{}", b"{}"])
    assert (emitted.outputs().keys, extended.outputs().keys) == (["a", "c", "b"], ["a", "b", "c"])


@given(calls, st.lists(st.integers(0, ROWS), max_size=3))
def test_parts_put_together_are_the_whole(made: list[tuple[str, int]], cuts: list[int]) -> None:
    whole, joined = built(list(range(ROWS)), made), Outcomes(ROWS)
    edges = [0, *sorted(cuts), ROWS]
    for start, stop in itertools.pairwise(edges):
        rows = list(range(start, stop))
        joined.extend(rows, built(rows, made))
    assert joined.as_list() == whole.as_list()
    assert joined.rows_before_retry() == whole.rows_before_retry()
    whole.quarantine_invalid()
    joined.quarantine_invalid()
    assert joined.set_aside == whole.set_aside


@given(calls)
def test_a_row_is_emitted_or_set_aside_and_never_forgotten(made: list[tuple[str, int]]) -> None:
    outcomes = built(list(range(ROWS)), made)
    outcomes.quarantine_invalid()
    outputs = outcomes.outputs()
    assert sorted(outputs.rows) == list(outputs.rows)
    assert set(outputs.rows).isdisjoint(outcomes.set_aside)
    done = {row for call, row in made if call == "done"}
    assert set(outputs.rows) | set(outcomes.set_aside) | done == set(range(ROWS))
