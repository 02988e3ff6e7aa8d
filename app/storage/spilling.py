"""State too large for a DynamoDB item: the value is an object, and the item holds the object's name and digest.

The table still decides who writes. What happens when a step fails:

1. The object is not written: nothing was committed.
2. The process dies before the item is written, or another writer commits first: no item names the object, and it is
   never read. It is not deleted here, since a commit may have succeeded although its answer was lost.
3. A reader still holds the former item: it finds the former object, and its commit fails.

No object is deleted here: a table that is restored to a point in time names former ones. `collecting.py` removes them
when they are old enough. Their names begin with the table's, then a digest of the key: the collector of one table
leaves those of another alone, and those of a key that it cannot read.

Without a location only small values can be written, and a large one that exists is an error, never a loss.
"""

from __future__ import annotations

import hashlib
import uuid
from typing import TYPE_CHECKING

import msgspec

from app.errors import LocationError, StateConflictError, StateTooLargeError, UnreadableStateError
from app.storage.state import LARGEST_VALUE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from app.storage.objects import Objects
    from app.storage.state import StateStore, Stored

LARGEST_OBJECT_BYTES = 1024 * 1024 * 1024  # of a state whose size an earlier release did not note
_MARK = b"\x00millrace-state-object\x00"  # no JSON, msgpack map, zlib or gzip value begins like this


class _Pointer(msgspec.Struct, frozen=True):
    """The name, digest and size in bytes of the object that holds a value; earlier releases wrote no size."""

    name: str
    sha256: bytes
    size: int = 0


def object_of(key: str, value: bytes | None) -> str | None:
    """Return the name of the object that holds a key's state; None where the item's value is the state itself.

    Raises:
        UnreadableStateError: The item's value should name an object, and does not.
    """
    return _pointer_of(key, value).name if value is not None and value.startswith(_MARK) else None


def size_of(key: str, value: bytes) -> int:
    """Return the bytes of a key's state, in the item or in its object; 0 where an earlier release did not note them."""
    return _pointer_of(key, value).size if value.startswith(_MARK) else len(value)


def folder_of(key: str) -> str:
    """Return the part of an object's name that identifies its key; keys may be longer than names."""
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def _pointer_of(key: str, value: bytes) -> _Pointer:
    try:
        return msgspec.msgpack.decode(value[len(_MARK) :], type=_Pointer)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise UnreadableStateError(f"state of {key!r}: its item is damaged; restore its value") from None


def open_state(table: str, location: str) -> SpillingState:
    """Return the state in a table, with large values in a location; nothing is called yet.

    Args:
        table: The table of `STATE_TABLE`.
        location: A folder or `s3://bucket/prefix`; empty: there are small values only.

    Raises:
        SettingsError: The location is none.
    """
    from app.storage.objects import open_objects  # noqa: PLC0415 - a test kit has a table and objects of its own
    from app.storage.state_table import DynamoDbState  # noqa: PLC0415 - the same

    return SpillingState(DynamoDbState(table), open_objects(location) if location else None, owner=table)


class SpillingState:
    """A state store that keeps small values in its table and writes large ones as objects."""

    def __init__(
        self,
        table: StateStore,
        objects: Objects | None,
        largest_inline_bytes: int = LARGEST_VALUE_BYTES,
        unique: Callable[[], str] = lambda: uuid.uuid4().hex,
        *,
        owner: str = "state",
    ) -> None:
        """Take the parts.

        Args:
            table: The table, which decides who writes.
            objects: Where large values go; None: there are small ones only.
            largest_inline_bytes: The largest value that stays in the table.
            unique: Gives each object a name that no other has.
            owner: The table's name, with which the names of its objects begin.
        """
        self._table, self._objects, self._largest, self._unique = table, objects, largest_inline_bytes, unique
        self._owner = owner

    def load(self, keys: Iterable[str]) -> Mapping[str, Stored]:
        """Return the stored state of those keys that have one, read from objects where they hold it.

        An object that is lost, or is not the one that was written, is its key's fault; so is an item that names one
        where no location is set.

        Raises:
            StateConflictError: An object was replaced while its item was read.
        """
        found = dict(self._table.load(keys))
        for key, stored in found.items():
            if stored.value is not None and stored.value.startswith(_MARK):
                try:
                    found[key] = stored._replace(value=self._read(key, stored, stored.value))
                except UnreadableStateError as fault:
                    found[key] = stored._replace(value=None, fault=fault)
        return found

    def check_size(self, key: str, value: bytes) -> None:
        """Check that the table takes a value, if there is no location for large ones."""
        if self._objects is None:
            if value.startswith(_MARK):
                raise StateTooLargeError(f"state of {key!r} begins as the name of an object does: set STATE_LOCATION")
            self._table.check_size(key, value)

    def _read(self, key: str, stored: Stored, marked: bytes) -> bytes:
        """Read the object that an item names, and check its digest."""
        pointer = _pointer_of(key, marked)
        if self._objects is None:
            raise UnreadableStateError(
                f"state of {key!r} is an object: set STATE_LOCATION to the location it was written to"
            )
        if pointer.name.split("/")[-2:-1] != [folder_of(key)]:  # before it a table's name, perhaps a former one
            raise UnreadableStateError(f"state of {key!r}: its item names another key's object; restore its value")
        from app.storage.objects import read_up_to  # noqa: PLC0415 - a test kit has a table and objects of its own

        try:
            value = read_up_to(self._objects, pointer.name, (pointer.size or LARGEST_OBJECT_BYTES) + 1)
        except LocationError as archived:
            raise UnreadableStateError(f"state of {key!r}: {archived}") from None
        if value is None:
            if self._table.load([key]).get(key) != stored:
                raise StateConflictError(f"state of {key!r}: another writer was first")
            raise UnreadableStateError(
                f"{self._objects.root}/{pointer.name}: the state of {key!r} is not there: restore it, or set "
                "STATE_LOCATION to its location"
            )
        if hashlib.sha256(value).digest() != pointer.sha256:
            raise UnreadableStateError(
                f"{self._objects.root}/{pointer.name}: is not the state of {key!r} that was written: restore it"
            )
        return value

    def commit(self, key: str, staged: Stored, before: Stored | None) -> None:
        """Write a key's state under the table's condition; of a large one first the object.

        Raises:
            StateConflictError: Another writer was first; no item names our object.
        """
        value = staged.value
        if self._objects is not None and value is not None and (len(value) > self._largest or value.startswith(_MARK)):
            name = f"{self._owner}/{folder_of(key)}/{self._unique()}"
            self._objects.put(name, value)
            pointer = _Pointer(name, hashlib.sha256(value).digest(), len(value))
            staged = staged._replace(value=_MARK + msgspec.msgpack.encode(pointer))
        self._table.commit(key, staged, before)
