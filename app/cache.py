"""A dictionary that forgets what was not asked for lately, so that it stays small however many keys go through it."""

from __future__ import annotations

from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class RecentCache(Generic[Key, Value]):
    """Remembers at least the last `size` keys that were asked for or put, and never more than twice as many.

    Two dictionaries, a young and an old one: when the young one is full, it becomes the old one, and what was in that
    is forgotten. An entry that is asked for while it is old becomes young. A hit costs one look-up, where an ordered
    dictionary would move the entry each time.

    Attributes:
        size: How many entries the young dictionary has at the most.
    """

    def __init__(self, size: int) -> None:
        """Starts empty."""
        self.size = size
        self._young: dict[Key, Value] = {}
        self._old: dict[Key, Value] = {}

    def __len__(self) -> int:
        """How many entries there are, one that is both young and old counted twice."""
        return len(self._young) + len(self._old)

    def get(self, key: Key) -> Value | None:
        """The value of a key, or None where it is not remembered."""
        found = self._young.get(key)
        if found is None:
            found = self._old.get(key)
            if found is not None:
                self.put(key, found)
        return found

    def put(self, key: Key, value: Value) -> None:
        """Remembers a value, which may not be None."""
        if len(self._young) >= self.size:
            self._old, self._young = self._young, {}
        self._young[key] = value

    def clear(self) -> None:
        """Forgets everything."""
        self._young, self._old = {}, {}
