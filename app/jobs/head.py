"""A tenant's head: the newest version of its state, and how far the runs under way were applied to it.

The state itself is an object, since it is larger than an item of a table. The head names it, and is committed under a
condition on its version: of two writers that started from one version one wins, and the other starts again from the
state that the winner has left.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from app.errors import DiskError, StateConflictError, UnreadableStateError
from app.jobs import layout
from app.storage.files import locked_file, read_regular
from app.storage.objects import FolderObjects
from app.storage.state import StateStore, Stored

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


class Applied(msgspec.Struct, frozen=True, array_like=True):
    """How far a run's chunks are in the state: how many, the version that the last one made, and of how many."""

    chunks: int
    version: int
    of: int


class Head(msgspec.Struct, frozen=True):
    """The newest version of a tenant's state.

    Attributes:
        version: Grows by one with each chunk, of whatever run.
        state: The name of the object that holds it; None before the first chunk.
        before: The name of the version before it, which another step may just be reading.
        runs: The runs that are not yet known to have ended.
    """

    version: int = 0
    state: str | None = None
    before: str | None = None
    runs: dict[str, Applied] = {}


def state_key(job: str, root: str, tenant: str) -> str:
    """Return the key of a tenant's head: each root has its own, since the state stands below it.

    A tenant's slug has no slash, so no tenant of one prefix has the key of another prefix's.
    """
    return f"{job}/{root}/{layout.tenant_slug(tenant)}"


def load_head(store: StateStore, key: str) -> Head:
    """Return a tenant's head as it is now.

    Raises:
        CloudError: It cannot be read.
        UnreadableStateError: It is not of this form.
    """
    return _head_in(key, store.load([key]).get(key))


def _head_in(key: str, stored: Stored | None) -> Head:
    if stored is None:
        return Head()
    if stored.fault is not None:
        raise stored.fault
    try:
        return msgspec.json.decode(stored.value or b"", type=Head)
    except (msgspec.MsgspecError, ValueError, RecursionError):  # ValueError: a text that is not UTF-8
        raise UnreadableStateError(
            f"state of {key!r}: not a head of a job: was the table given to something else?"
        ) from None


def commit_head(store: StateStore, key: str, head: Head) -> None:
    """Write a head, if the one before it is still the newest.

    Raises:
        StateConflictError: It is not; nothing was written.
    """
    value = msgspec.json.encode(head, order="deterministic")
    before = store.load([key]).get(key)
    if _head_in(key, before).version != head.version - 1:
        raise StateConflictError(f"state of {key!r}: another writer was first")
    store.commit(key, Stored(value, revision=head.version), before)


class FolderState:
    """State in files of a folder, changed under a lock: for processes of one machine; it keeps no positions."""

    def __init__(self, folder: Path) -> None:
        """Open a folder, which need not exist yet."""
        self._folder = folder

    def load(self, keys: Iterable[str]) -> Mapping[str, Stored]:
        """Return the stored state of those keys that have one."""
        loaded: dict[str, Stored] = {}
        for key in keys:
            stored = _read(self._path(key))
            if stored is not None:
                loaded[key] = stored
        return loaded

    def check_size(self, key: str, value: bytes) -> None:
        """Take a value of any size."""

    def commit(self, key: str, staged: Stored, before: Stored | None) -> None:
        """Write a key's state under the condition; who reads meanwhile gets the one before, or this one."""
        path = self._path(key)
        try:
            with locked_file(path.with_suffix(".lock")):
                now = _read(path)
                if (now and now.revision) != (before and before.revision):
                    raise StateConflictError(f"state of {key!r}: another writer was first")
                FolderObjects(path.parent).put(path.name, f"{staged.revision} 0\n".encode() + (staged.value or b""))
        except OSError as error:
            raise DiskError(f"{path}: cannot be written: {error.strerror}") from error

    def _path(self, key: str) -> Path:
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()}.state"


def _read(path: Path) -> Stored | None:
    """Return the state in a file.

    Raises:
        DiskError: It cannot be read.
        UnreadableStateError: Its first line has no revision, so that `FolderState` has not written it.
    """
    try:
        first, _, value = read_regular(path).partition(b"\n")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DiskError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        return Stored(value, revision=int(first.split()[0]))  # behind it a zero, of an earlier form
    except (IndexError, ValueError):
        raise UnreadableStateError(f"{path}: no state that a step wrote: restore or delete it") from None
