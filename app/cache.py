"""A dictionary of limited size that forgets the entries that were not used lately."""

from __future__ import annotations

from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class RecentCache(Generic[Key, Value]):
    """Cache of at least the last `size` keys that were read or put, and at most twice as many.

    It has two dictionaries, a young and an old one: when the young one is full, it becomes the old one, and the former
    old one is dropped. An entry that is read from the old one becomes young. A hit costs one look-up, where an ordered
    dictionary would move the entry each time.

    Attributes:
        size: Largest number of entries in the young dictionary.
    """

    def __init__(self, size: int) -> None:
        """Start empty."""
        self.size = size
        self._young: dict[Key, Value] = {}
        self._old: dict[Key, Value] = {}

    def __len__(self) -> int:
        """Return the number of entries; one that is both young and old counts twice."""
        return len(self._young) + len(self._old)

    def get(self, key: Key) -> Value | None:
        """Return the value of a key, or None."""
        found = self._young.get(key)
        if found is None:
            found = self._old.get(key)
            if found is not None:
                self.put(key, found)
        return found

    def put(self, key: Key, value: Value) -> None:
        """Store a value, which must not be None."""
        if len(self._young) >= self.size:
            self._old, self._young = self._young, {}
        self._young[key] = value

    def clear(self) -> None:
        """Remove all entries."""
        self._young, self._old = {}, {}
