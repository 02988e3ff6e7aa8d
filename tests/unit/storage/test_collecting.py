"""Objects that no item names are removed, but never one in use, a young one, or one that is just being committed."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from app.storage.collecting import DAY_S, Cleaned, clean_objects
from app.storage.objects import MemoryObjects
from app.storage.spilling import SpillingState
from app.storage.state import MemoryState, Stored

if TYPE_CHECKING:
    from collections.abc import Iterator

KEPT_DAYS = 7


class Place:
    """A table with its location, and a collector that runs when the test says so."""

    def __init__(self, objects: MemoryObjects | None = None, owner: str = "tenants") -> None:
        self.table, self.objects = MemoryState(), objects or MemoryObjects()
        self.state = SpillingState(self.table, self.objects, 10, owner=owner)
        self.owner, self.now_s = owner, 0.0

    def commit(self, key: str, value: bytes) -> None:
        before = self.table.stored.get(key)
        revision = before.revision + 1 if before else 1
        self.state.commit(key, Stored(value, revision=revision), before)

    def clean(self, *, dry_run: bool = False) -> Cleaned:
        items = iter(list(self.table.stored.items()))
        return clean_objects(self.objects, self.owner, items, now_s=self.now_s, days=KEPT_DAYS, dry_run=dry_run)

    @property
    def count(self) -> int:
        return sum(not name.endswith(".json") for name in self.objects.names())


def test_a_former_object_stays_for_some_days_and_is_removed_then() -> None:
    place = Place()
    for number in range(3):
        place.commit("a", b"large" * (10 + number))
    first = place.clean()
    assert (first.named, len(first.kept), first.removed) == (1, 2, [])
    place.now_s += KEPT_DAYS * DAY_S - 1
    assert place.clean().removed == []
    place.now_s += 1
    assert len(place.clean(dry_run=True).removed) == 2
    assert place.count == 3
    assert len(place.clean().removed) == 2
    assert place.count == 1
    assert place.state.load(["a"])["a"].value == b"large" * 12


def test_an_old_object_that_was_in_use_until_now_is_not_old() -> None:
    place = Place()
    place.commit("a", b"large" * 10)
    place.clean()
    place.now_s += 1000 * DAY_S
    restored = dict(place.table.stored)
    place.commit("a", b"large" * 11)
    assert place.clean().removed == []
    place.table.stored = restored
    assert place.state.load(["a"])["a"].value == b"large" * 10


def test_an_object_that_is_in_use_again_is_not_counted_from_before() -> None:
    place = Place()
    place.commit("a", b"large" * 10)
    restored = dict(place.table.stored)
    place.commit("a", b"large" * 11)
    place.clean()
    newer, place.table.stored = place.table.stored, restored
    place.now_s += 30 * DAY_S
    place.clean()
    place.table.stored = newer
    assert place.clean().removed == []


def test_what_a_crash_left_is_removed() -> None:
    place = Place()
    place.commit("a", b"large" * 10)
    place.objects.put(f"tenants/{'0' * 32}/left", b"by a process that ended before its commit")
    place.clean()
    place.now_s += KEPT_DAYS * DAY_S
    assert place.clean().removed == [f"tenants/{'0' * 32}/left"]


def test_the_objects_of_another_table_are_not_touched() -> None:
    objects = MemoryObjects()
    first, second = Place(objects), Place(objects, "tenants-2")
    for place in (first, second):
        place.commit("a", b"large" * 10)
        place.commit("a", b"large" * 11)
    for _ in range(2):
        first.clean()
        first.now_s += KEPT_DAYS * DAY_S
    left = [name.partition("/")[0] for name in objects.names() if not name.endswith(".json")]
    assert left == ["tenants-2", "tenants-2", "tenants"]


def test_the_objects_of_a_damaged_item_stay() -> None:
    place = Place()
    place.commit("a", b"large" * 10)
    place.commit("b", b"large" * 10)
    good = dict(place.table.stored)
    place.table.stored["a"] = Stored((good["a"].value or b"")[:40])
    for _ in range(2):
        place.clean()
        place.now_s += KEPT_DAYS * DAY_S
    place.table.stored = good
    assert place.state.load(["a"])["a"].value == b"large" * 10


def test_a_commit_while_the_collector_runs_keeps_its_object() -> None:
    place = Place()
    place.commit("a", b"large" * 10)

    def items() -> Iterator[tuple[str, Stored]]:
        yield from list(place.table.stored.items())
        place.commit("b", b"large" * 10)

    class Putting(MemoryObjects):
        """A writer puts its object while the names are listed."""

        def names(self, prefix: str = "") -> Iterator[str]:
            self.put(f"tenants/{'1' * 32}/soon-named", b"x")
            return super().names(prefix)

    place.objects = Putting(place.objects.objects)
    done = clean_objects(place.objects, "tenants", items(), now_s=0, days=KEPT_DAYS)
    assert done.removed == []
    assert f"tenants/{'1' * 32}/soon-named" in done.kept
    assert place.state.load(["b"])["b"].value == b"large" * 10


def test_a_damaged_ledger_begins_anew() -> None:
    place = Place()
    place.commit("a", b"large" * 10)
    place.commit("a", b"large" * 11)
    place.clean()
    place.objects.put("tenants/unnamed.json", b"{")
    place.now_s += KEPT_DAYS * DAY_S
    assert place.clean().removed == []
    place.now_s += KEPT_DAYS * DAY_S
    assert len(place.clean().removed) == 1


@given(st.integers())
def test_a_restore_to_any_point_within_the_days_finds_its_objects_and_the_rest_goes(seed: int) -> None:
    chance, place = Random(seed), Place()
    past: list[tuple[float, dict[str, Stored]]] = []
    for _ in range(chance.randint(1, 40)):
        place.now_s += chance.random() * 3 * DAY_S
        if chance.random() < 0.7:
            place.commit(chance.choice("abc"), b"v" * chance.choice([5, 20, 30]))
        if chance.random() < 0.2:
            place.objects.put(f"tenants/{'0' * 32}/{chance.random()}", b"left by a crash")
        if chance.random() < 0.5:
            place.clean()
        past.append((place.now_s, dict(place.table.stored)))
    for at_s, items in past:
        if at_s >= place.now_s - KEPT_DAYS * DAY_S:
            restored = MemoryState()
            restored.stored = items
            found = SpillingState(restored, place.objects, 10).load(items)
            assert all(stored.fault is None for stored in found.values())
    place.clean()
    place.now_s += KEPT_DAYS * DAY_S + 1
    place.clean()
    assert place.count == sum(len(stored.value or b"") > 30 for stored in place.table.stored.values())
