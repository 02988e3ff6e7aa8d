"""State that is too large for a DynamoDB item: the value as an object, and in the item where it lies.

The condition stays the table's. What happens when a step fails:

1. The object is not written: nothing was committed.
2. The process dies before the item is written: the object belongs to nobody and is never read.
3. Another writer commits first: its item names its own object; ours is deleted, once the item was read again, for a
   commit may have arrived whose answer was lost.
4. The process dies before the former object is deleted: it belongs to nobody.
5. A reader still holds the former item: it finds no object and is told of the conflict, so its batch comes again.
"""

from __future__ import annotations

import hashlib
import uuid
from typing import TYPE_CHECKING

import msgspec

from app.errors import CloudError, StateConflictError
from app.storage.state import LARGEST_VALUE_BYTES, Stored
from app.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from app.storage.objects import Objects
    from app.storage.state import Position, StateStore

_MARK = b"\x00millrace-state-object\x00"  # no JSON, msgpack map, zlib or gzip value begins like this


class _Pointer(msgspec.Struct, frozen=True):
    """Where a value lies, and its digest."""

    name: str
    sha256: bytes


class SpillingState:
    """A state store that puts large values below a location and keeps the small ones in its table."""

    def __init__(self, table: StateStore, objects: Objects, largest_inline_bytes: int = LARGEST_VALUE_BYTES) -> None:
        """Takes the table, the location, and how large a value may be that stays in the table."""
        self._table, self._objects, self._largest = table, objects, largest_inline_bytes
        self._named: dict[str, str] = {}  # the object of each key, as this process last saw it

    def load(self, keys: Iterable[str]) -> Mapping[str, Stored]:
        """The stored state of those keys that have one, with the objects that hold it.

        Raises:
            StateConflictError: An object was replaced while its item was read.
            CloudError: An object is not what was written.
        """
        found = dict(self._table.load(keys))
        for key, stored in found.items():
            self._named.pop(key, None)
            if not stored.value.startswith(_MARK):
                continue
            pointer = msgspec.msgpack.decode(stored.value[len(_MARK) :], type=_Pointer)
            value = self._objects.get(pointer.name)
            if value is None:
                raise StateConflictError(f"state of {key!r}: another writer was first")
            if hashlib.sha256(value).digest() != pointer.sha256:
                raise CloudError(f"{self._objects.root}/{pointer.name}: is not the state that was written; restore it")
            self._named[key] = pointer.name
            found[key] = Stored(value, stored.last)
        return found

    def commit(self, key: str, staged: Stored, expected: Position | None) -> None:
        """Writes a key's state under the table's condition, its object first where it is large.

        Raises:
            StateConflictError: Another writer was first; nothing of ours is left.
        """
        former = self._named.pop(key, None)
        if len(staged.value) <= self._largest and not staged.value.startswith(_MARK):
            self._table.commit(key, staged, expected)
        else:
            name = f"{hashlib.sha256(key.encode()).hexdigest()[:32]}/{uuid.uuid4().hex}"
            self._objects.put(name, staged.value)
            pointer = _Pointer(name, hashlib.sha256(staged.value).digest())
            marked = _MARK + msgspec.msgpack.encode(pointer)
            try:
                self._table.commit(key, Stored(marked, staged.last), expected)
            except StateConflictError:
                stored = self._table.load([key]).get(key)
                if stored is None or stored.value != marked:
                    self._discard(name)
                raise
            self._named[key] = name
        if former is not None:
            self._discard(former)

    def _discard(self, name: str) -> None:
        """Deletes an object that no item names; that it is left is no reason to fail."""
        try:
            self._objects.delete(name)
        except CloudError as error:
            logger.warning("former state not deleted", extra={"object": name, "exception": type(error).__name__})
