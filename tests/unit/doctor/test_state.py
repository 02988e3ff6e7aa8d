"""What is found among stored states, one by one and of a table that is too large to be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.doctor.state import LOOKED_AT_BYTES, Items, examine_items, look_at
from app.errors import UnreadableStateError
from app.storage.objects import FolderObjects
from app.storage.spilling import SpillingState
from app.storage.state import LARGEST_VALUE_BYTES, MemoryState, Parked, Stored

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def found(items: Items, *, has_location: bool = False) -> list[tuple[str, str]]:
    return [(each.severity, each.what) for each in examine_items(items, "state table t", has_location=has_location)]


def test_small_states_of_this_release_have_no_findings() -> None:
    items = look_at([("a", Stored(b"1")), ("b", Stored(b"22"))], None)
    assert (items.count, items.largest, items.whole) == (2, (2, "b"), True)
    assert found(items) == []


def test_a_state_close_to_the_limit_is_fine_once_there_is_a_location() -> None:
    items = look_at([("large", Stored(bytes(LARGEST_VALUE_BYTES * 3 // 4)))], None)
    assert [severity for severity, _ in found(items)] == ["warning"]
    assert found(items, has_location=True) == []


def test_states_that_cannot_be_read_or_are_parked() -> None:
    damaged = Stored(None, {}, 0, fault=UnreadableStateError("state of 'b': no item of a state"))
    parked = Stored(None, parked=Parked("state of 'a b' is damaged", "2026-11-30T12:00:00Z", {}, 3))
    items = look_at([("b", damaged), ("a b", parked), ("begun anew", Stored(None))], None)
    assert found(items) == [
        ("error", "1 state(s) cannot be read: 'b': state of 'b': no item of a state"),
        ("warning", "1 key(s) are parked: 'a b': state of 'a b' is damaged"),
    ]
    _, finding = examine_items(items, "state table t", has_location=False)
    assert finding.why.startswith("3 record(s) wait in the quarantine")
    assert finding.mend.endswith("millrace state resume 'a b'")


def test_the_object_of_a_state_has_to_be_there(tmp_path: Path) -> None:
    table, objects = MemoryState(), FolderObjects(tmp_path)
    SpillingState(table, objects, largest_inline_bytes=10).commit("tenant", Stored(bytes(20)), None)
    states = list(table.stored.items())
    assert found(look_at(states, objects)) == []
    [(_, what)] = found(look_at(states, None))
    assert what.endswith("'tenant': is an object, and STATE_LOCATION is not set or cannot be used")
    next(path for path in tmp_path.rglob("*") if path.is_file()).unlink()
    [(_, what)] = found(look_at(states, objects))
    assert what.endswith(" is not there")


def test_states_of_an_earlier_release_are_told_where_there_are_newer_ones() -> None:
    former, current = Stored(b"1", {}, 0, ("1", 0)), Stored(b"1")
    assert found(look_at([("a", former)], None)) == []
    [(severity, what)] = found(look_at([("a", former), ("b", current)], None))
    assert (severity, what) == ("warning", "has states in two forms: 1 of an earlier release, 1 of this release")


def test_a_large_table_is_not_read_to_its_end() -> None:
    read = 0

    def states() -> Iterator[tuple[str, Stored]]:
        nonlocal read
        for read in range(1, 1_000):
            yield str(read), Stored(bytes(100_000))

    items = look_at(states(), None)
    assert not items.whole
    assert read == LOOKED_AT_BYTES // 100_000 + 1
