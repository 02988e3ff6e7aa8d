"""Parked state keys: one whose state cannot be read, or became too large, while the others of its shard go on.

The records of a parked key are set aside in the quarantine, in place of being processed, until a person has mended
the fault; `resuming.py` then processes them in their order. The key's item carries a mark (`Parked`) that says which
records wait. What happens, step by step, and when the process dies after it:

1. The records of the batch are put into the quarantine, under ids that a repeated batch gives again. Nothing else knows
   of them: the batch comes again. A key is not parked before this is done.
2. The item is marked, under the condition on its revision, with the positions of these records: from here on they wait.
   They are acknowledged after it; where that fails, they come again, are set aside under the same ids, and the mark
   stays as it is. A record is confirmed only with all before it, so the order in the quarantine does not matter.
3. A later record of the key finds the mark and takes the same two steps. It cannot overtake: the mark is removed only
   under the condition that its revision did not move, that is, that nothing was set aside meanwhile; and a batch that
   set records aside while the mark was removed fails at step 2 and comes again.
4. `millrace state resume` reads the item, and then the quarantine, which has all records that wait (step 1 before 2).
   It runs them through the processor: outputs, then in one write the state and the mark without them. If it ends
   between the two, the next run gives the same outputs with the same ids. The last of these writes removes the mark.
   Where records were set aside meanwhile it begins again, and first notes in the mark that further ones are to be
   handed back, for a minute or twice as long as it took: else it would never catch up with a key that always has some.

A key is not parked without a quarantine, and not for a record of a stream that does not exist: then it holds its shard.
"""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING

from app.storage.state import FAULT_CHARACTERS, Parked
from app.stream.outcomes import Quarantine, Retry
from app.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from app.errors import MillraceError
    from app.storage.state import Stored
    from app.stream.batch import Place
    from app.stream.deadline import Clock
    from app.stream.origin import BatchOrigins
    from app.stream.pipeline_faults import RaisedInARow

KEY_PARKED = "key_parked"  # the reason of a record that waits for its state key
KEY_RESUMES = "key_resumes"  # the reason of one that is handed back until those before it are processed


class BatchParking:
    """The parked keys of one batch, and their records."""

    def __init__(self, origins: BatchOrigins, faults: RaisedInARow, clock: Clock, *, can_park: bool) -> None:
        """Take the parts; no key is parked yet.

        Args:
            origins: Say which records' positions mean something.
            faults: Tells a key's fault from one of all keys.
            clock: Says when a key is parked.
            can_park: Whether there is a quarantine, and these are not records that are replayed.
        """
        self.keys: dict[str, Parked] = {}
        """The parked keys, each with the mark that it had before this batch."""
        self._origins, self._faults, self._clock, self._can_park = origins, faults, clock, can_park
        self._key_at: dict[Place, str] = {}
        self._held: set[str] = set()  # keys that are being resumed

    def load(self, found: Mapping[str, Stored | None]) -> None:
        """Take the keys that were parked before."""
        parked = {key: stored.parked for key, stored in found.items() if stored and stored.parked}
        self.keys.update(parked)
        self._held.update(key for key, mark in parked.items() if mark.is_held(self._clock.time()))

    def park(self, key: str, fault: MillraceError) -> bool:
        """Set the records of a key aside from now on; return False if that is impossible."""
        if not self._can_park or key in self.keys or not self._faults.may_park(key):
            return False
        if not self._origins.exist():
            return False
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._clock.time()))
        self.keys[key] = Parked(fault.line[:FAULT_CHARACTERS], since)
        return True

    def set_aside(self, place: Place, key: str, stored_key: str) -> Quarantine | Retry:
        """Return the outcome of a record whose key is parked; `stored_key` is the key as it is in the table."""
        shard, _ = place
        if self._origins.of(shard) is None:  # nothing could say that it waits
            return Retry(KEY_PARKED)
        if key in self._held:
            return Retry(KEY_RESUMES)
        self._key_at[place] = key
        return Quarantine(KEY_PARKED, self.keys[key].fault, stored_key)

    def places(self) -> Iterable[tuple[Place, str]]:
        """Return where records were set aside, and their keys."""
        return self._key_at.items()

    def mark_after(self, key: str, places: Iterable[Place]) -> Parked | None:
        """Return a key's mark after the records at some places; None if none of them was set aside."""
        waiting = self._origins.located(place for place in places if self._key_at.get(place) == key)
        return self.keys[key].with_records(waiting) if waiting else None


def log_parked(stored_key: str, parked: Parked) -> None:
    """Log that a key was parked, with its fault and the way to mend it."""
    logger.error(
        f"{parked.fault}; its records wait in the quarantine: mend it, then run `millrace state resume "
        f"{shlex.quote(stored_key)}` (with --anew to begin without its state)",
        extra={"state_key": stored_key, "records": parked.records},
    )
