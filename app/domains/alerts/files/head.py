"""A tenant's head: which state of its clusters is the newest, and what of the runs under way was applied to it.

The state itself is an object of the bucket, since it is larger than an item of a table. The head names it, and is
committed under a condition on its version: of two writers that started from one version, one wins, and the other starts
again from what the winner has left.
"""

from __future__ import annotations

import fcntl
import hashlib
from typing import TYPE_CHECKING

import msgspec

from app.domains.alerts.files import layout
from app.errors import CloudError, StateConflictError, UnreadableStateError
from app.storage.objects import FolderObjects
from app.storage.state import Position, StateStore, Stored

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

KEY = "alerts-files"


class Applied(msgspec.Struct, frozen=True, array_like=True):
    """How far a run's chunks are in the state: how many, the version that the last has made, and of how many."""

    chunks: int
    version: int
    of: int


class Head(msgspec.Struct, frozen=True):
    """What the newest version of a tenant's clusters is.

    Attributes:
        version: Grows by one with each chunk, of whatever run.
        state: The name of the object that holds it; None before the first chunk.
        before: The same of the version before it, which a job may just be reading.
        runs: The runs that are not yet known to have ended.
    """

    version: int = 0
    state: str | None = None
    before: str | None = None
    runs: dict[str, Applied] = {}


def state_key(root: str, tenant: str) -> str:
    """The key of a tenant's head: each bucket has its own, since the state stands in it.

    A tenant's slug has no slash, so no tenant of one prefix has the key of another prefix's.
    """
    return f"{KEY}/{root}/{layout.tenant_slug(tenant)}"


def load_head(store: StateStore, key: str) -> Head:
    """A tenant's head as it is now.

    Raises:
        CloudError: It cannot be read.
        UnreadableStateError: It is not of this form.
    """
    stored = store.load([key]).get(key)
    if stored is None:
        return Head()
    try:
        return msgspec.json.decode(stored.value, type=Head)
    except msgspec.MsgspecError:
        raise UnreadableStateError(
            f"state of {key!r}: not a head of alert files: was the table given to something else?"
        ) from None


def commit_head(store: StateStore, key: str, head: Head) -> None:
    """Writes a head, if the one before it is still the newest.

    Raises:
        StateConflictError: It is not; nothing was written.
    """
    value = msgspec.json.encode(head, order="deterministic")
    before = Position(head.version - 1) if head.version > 1 else None
    store.commit(key, Stored(value, Position(head.version)), before)


class FolderState:
    """State in files of a folder, changed under a lock: for processes of one machine."""

    def __init__(self, folder: Path) -> None:
        """Opens a folder, which need not exist yet."""
        self._folder = folder

    def load(self, keys: Iterable[str]) -> Mapping[str, Stored]:
        """The stored state of those keys that have one."""
        loaded: dict[str, Stored] = {}
        for key in keys:
            stored = _read(self._place(key))
            if stored is not None:
                loaded[key] = stored
        return loaded

    def commit(self, key: str, staged: Stored, expected: Position | None) -> None:
        """Writes a key's state under the condition; who reads meanwhile gets the one before, or this one."""
        place = self._place(key)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.with_suffix(".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                now = _read(place)
                if (now.last if now else None) != expected:
                    raise StateConflictError(f"state of {key!r}: another writer was first")
                last = f"{staged.last.sequence_number} {staged.last.sub_sequence_number}\n"
                FolderObjects(place.parent).put(place.name, last.encode() + staged.value)
        except OSError as error:
            raise CloudError(f"{place}: cannot be written: {error.strerror}") from error

    def _place(self, key: str) -> Path:
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()}.state"


def _read(place: Path) -> Stored | None:
    """What a file of a folder's store holds."""
    try:
        first, _, value = place.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CloudError(f"{place}: cannot be read: {error.strerror}") from error
    sequence_number, _, sub_sequence_number = first.partition(b" ")
    return Stored(value, Position(int(sequence_number), int(sub_sequence_number)))
