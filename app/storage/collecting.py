"""Removal of objects that no item of a state table names any more.

An object without an item that names it is one of three: the state before a later commit, which a table restored to an
earlier point in time names again; what a crash left behind; or the state of a commit under way. So none is removed
before it was found without a name by two runs, days apart. The first run notes it in a ledger beside the objects, the
second removes it. What happens when a run ends early, or several run at once:

1. Objects are listed, then the table is read. A commit in between names an object that was listed without a name: at
   worst it is noted, and the next run forgets it again.
2. Objects noted long enough ago are removed. If the run ends here, they are still in the ledger, and the next run
   forgets what is not there.
3. The ledger is written. If two runs overwrite each other's, a note is lost, and that object stays longer.

An item that is damaged does not say what it names: all objects of its key stay.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from app.errors import UnreadableStateError
from app.storage.spilling import folder_of, object_of
from app.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.storage.objects import Objects
    from app.storage.state import Stored

DAY_S = 86_400
LEDGER = "unnamed.json"

_ledger = msgspec.json.Decoder(dict[str, float])


@dataclass
class Cleaned:
    """The result of a run.

    Attributes:
        named: How many objects are in use.
        kept: Objects without an item that names them, which stay for now.
        removed: Objects that were removed, or would be.
    """

    named: int = 0
    kept: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)


def clean_objects(
    objects: Objects,
    owner: str,
    items: Iterable[tuple[str, Stored]],
    *,
    now_s: float,
    days: float,
    dry_run: bool = False,
) -> Cleaned:
    """Remove the objects of a table that were without a name for some days.

    Args:
        objects: The location of the table's large states.
        owner: The table's name.
        items: Every item, of each table whose items name objects of this one; read only after the objects are listed.
        now_s: The time, seconds since 1970.
        days: How long an object stays after it was first found without a name.
        dry_run: Change nothing.

    Raises:
        CloudError: The location or the table cannot be read, or an object cannot be removed.
    """
    ledger_name = f"{owner}/{LEDGER}"
    listed = [name for name in objects.names(f"{owner}/") if name != ledger_name]
    noted = _read_ledger(objects, ledger_name)
    named, folders = _names_in(items)
    done, ledger = Cleaned(), dict[str, float]()
    for name in listed:
        if name in named or name.split("/")[1] in folders:
            done.named += 1
            continue
        since_s = noted.get(name, now_s)
        if name in noted and now_s - since_s >= days * DAY_S:
            done.removed.append(name)
            if not dry_run:
                objects.delete(name)
        else:
            done.kept.append(name)
            ledger[name] = since_s
    if not dry_run and ledger != noted:
        objects.put(ledger_name, msgspec.json.encode(ledger))
    return done


def _read_ledger(objects: Objects, name: str) -> dict[str, float]:
    """Return when each object was first found without a name."""
    data = objects.get(name)
    try:
        return {} if data is None else _ledger.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):  # begun anew, it only makes objects stay longer
        logger.warning("ledger of unnamed objects is damaged; it begins anew", extra={"object": name})
        return {}


def _names_in(items: Iterable[tuple[str, Stored]]) -> tuple[set[str], set[str]]:
    """Return the objects that items name, and the folders of keys whose item does not say."""
    named, folders = set[str](), set[str]()
    for key, stored in items:
        try:
            name = object_of(key, stored.value)
        except UnreadableStateError:
            folders.add(folder_of(key))
            continue
        if stored.fault is not None:
            folders.add(folder_of(key))
        elif name is not None:
            named.add(name)
    return named, folders
