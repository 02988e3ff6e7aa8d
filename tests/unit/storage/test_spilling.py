from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from app.errors import LocationError, StateConflictError, StateTooLargeError, UnreadableStateError
from app.storage.objects import FolderObjects
from app.storage.spilling import SpillingState
from app.storage.state import MemoryState, Stored

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

LARGE, LARGER = b"x" * 100, b"y" * 200


@pytest.fixture
def objects(tmp_path: Path) -> FolderObjects:
    return FolderObjects(tmp_path)


def fault_of(state: SpillingState) -> str:
    """Return why the state of key `a` cannot be read; that of another key can be, all the same."""
    found = state.load(["a", "b"])
    assert found["a"].value is None
    assert isinstance(found["a"].fault, UnreadableStateError)
    return str(found["a"].fault)


def test_a_small_value_stays_in_the_table(objects: FolderObjects) -> None:
    table = MemoryState()
    SpillingState(table, objects, 50).commit("a", Stored(b"small"), None)

    assert table.stored["a"].value == b"small"
    assert list(objects.names()) == []


def test_a_large_value_is_an_object_and_comes_back(objects: FolderObjects) -> None:
    table = MemoryState()
    SpillingState(table, objects, 50).commit("a", Stored(LARGE), None)

    assert len(table.stored["a"].value or b"") < 150
    assert SpillingState(table, objects, 50).load(["a", "b"]) == {"a": Stored(LARGE)}


def test_a_table_restored_to_an_earlier_item_still_has_its_object(objects: FolderObjects) -> None:
    table = MemoryState()
    state = SpillingState(table, objects, 50)
    state.commit("a", Stored(LARGE), None)
    restored = dict(table.stored)
    state.commit("a", Stored(LARGER, revision=2), Stored(b""))
    state.commit("a", Stored(b"small", revision=3), Stored(b"", revision=2))

    table.stored = restored
    assert state.load(["a"])["a"].value == LARGE


def test_the_writer_that_comes_second_leaves_the_first_ones_state(objects: FolderObjects) -> None:
    table = MemoryState()
    first, second = SpillingState(table, objects, 50), SpillingState(table, objects, 50)
    first.load(["a"])
    second.load(["a"])
    first.commit("a", Stored(LARGE), None)

    with pytest.raises(StateConflictError):
        second.commit("a", Stored(LARGER), None)

    assert second.load(["a"])["a"].value == LARGE


def test_a_commit_whose_answer_was_lost_keeps_its_object(objects: FolderObjects) -> None:
    class AnswerLost(MemoryState):
        """Its client tries again by itself, and is told of a conflict with its own first try."""

        def commit(self, key: str, staged: Stored, before: Stored | None) -> None:
            super().commit(key, staged, before)
            super().commit(key, staged, before)

    table = AnswerLost()
    with pytest.raises(StateConflictError):
        SpillingState(table, objects, 50).commit("a", Stored(LARGE), None)

    assert SpillingState(table, objects, 50).load(["a"])["a"].value == LARGE


def test_a_damaged_object_is_told(objects: FolderObjects) -> None:
    state = SpillingState(MemoryState(), objects, 50)
    state.commit("a", Stored(LARGE), None)
    [name] = objects.names()
    objects.put(name, LARGER)

    assert "is not the state of 'a' that was written" in fault_of(state)


def test_an_object_that_is_lost_is_told(objects: FolderObjects) -> None:
    state = SpillingState(MemoryState(), objects, 50)
    state.commit("a", Stored(LARGE), None)
    [name] = objects.names()
    objects.delete(name)

    assert "the state of 'a' is not there: restore it" in fault_of(state)


def test_an_object_that_is_gone_with_its_item_is_a_conflict(objects: FolderObjects) -> None:
    class Quicker(MemoryState):
        """Another writer commits after the item was read, and its former object is removed."""

        def load(self, keys: Iterable[str]) -> Mapping[str, Stored]:
            found = super().load(keys)
            if not self.quick:
                self.quick = True
                SpillingState(self, objects, 50).commit("a", Stored(LARGER, revision=2), Stored(b""))
                objects.delete(first)
            return found

        quick = True

    table = Quicker()
    SpillingState(table, objects, 50).commit("a", Stored(LARGE), None)
    [first] = objects.names()
    table.quick = False
    with pytest.raises(StateConflictError):
        SpillingState(table, objects, 50).load(["a"])


def test_an_archived_object_is_its_keys_fault(objects: FolderObjects, monkeypatch: pytest.MonkeyPatch) -> None:
    state = SpillingState(MemoryState(), objects, 50)
    state.commit("a", Stored(LARGE), None)
    state.commit("b", Stored(b"small"), None)

    def archived(name: str) -> bytes:
        raise LocationError(f"{name}: is archived: restore it")

    monkeypatch.setattr(objects, "blocks", archived)
    assert "is archived: restore it" in fault_of(state)


def test_without_a_location_a_large_state_is_not_taken_for_a_bad_one(objects: FolderObjects) -> None:
    table = MemoryState()
    SpillingState(table, objects, 50).commit("a", Stored(LARGE), None)
    without = SpillingState(table, None, 50)
    without.commit("b", Stored(b"small"), None)

    assert without.load(["b"]) == {"b": Stored(b"small")}
    assert "set STATE_LOCATION" in fault_of(without)


def test_a_damaged_pointer_is_told(objects: FolderObjects) -> None:
    table = MemoryState()
    SpillingState(table, objects, 50).commit("a", Stored(LARGE), None)
    table.stored["a"] = Stored((table.stored["a"].value or b"")[:40])

    assert "its item is damaged" in fault_of(SpillingState(table, objects, 50))


def test_a_value_that_looks_like_a_pointer_is_kept_apart(objects: FolderObjects) -> None:
    table = MemoryState()
    state = SpillingState(table, objects, 500)
    state.commit("a", Stored(LARGE * 9), None)
    pointer = table.stored["a"].value

    state.commit("b", Stored(pointer), None)

    assert state.load(["b"])["b"].value == pointer


def test_an_item_cannot_name_another_keys_object(objects: FolderObjects) -> None:
    table = MemoryState()
    state = SpillingState(table, objects, 50)
    state.commit("a", Stored(LARGE), None)
    state.commit("b", Stored(LARGE * 2), None)
    table.stored["a"] = table.stored["b"]
    assert "its item names another key's object" in fault_of(state)


def test_an_object_is_read_no_further_than_its_item_says(objects: FolderObjects) -> None:
    state = SpillingState(MemoryState(), objects, 50)
    state.commit("a", Stored(LARGE), None)
    [name] = objects.names()
    with (objects.folder / name).open("ab") as file:
        file.truncate(2**40)  # a hole
    assert "is not the state of 'a' that was written" in fault_of(state)


def test_without_a_location_a_value_that_looks_like_a_pointer_is_no_pointer(objects: FolderObjects) -> None:
    table = MemoryState()
    SpillingState(table, objects, 50).commit("a", Stored(LARGE), None)
    pointer = table.stored["a"].value or b""
    with pytest.raises(StateTooLargeError, match="set STATE_LOCATION"):
        SpillingState(table, None, 50).check_size("b", pointer)
