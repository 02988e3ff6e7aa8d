"""The outputs of one batch for one stream, and which of them the next call may take."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.stream.aggregation_writer import AGGREGATE_BYTES, Packer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(slots=True)
class Lane:
    """Outputs as columns, each addressed by its index: its entry.

    An entry becomes a record on the stream, or, where the lane aggregates, the first output of a record that holds
    several of its key.

    Attributes:
        stream: The stream's name.
        ordered: Whether an output waits until the earlier ones of its key have been accepted.
        aggregates: Whether outputs of a key travel together.
        refused: Whether an entry was ever refused.
        accepted: Number of outputs that were accepted.
    """

    stream: str
    ordered: bool = True
    aggregates: bool = False
    refused: bool = False
    accepted: int = 0
    rows: list[int] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    datas: list[bytes] = field(default_factory=list)
    ready: deque[int] = field(default_factory=deque)  # may be sent now; of an ordered lane at most one of a key
    busy: set[str] = field(default_factory=set)  # keys with an entry that is ready, in flight or paused
    held: dict[str, deque[int]] = field(default_factory=dict)  # waiting for a busy key, in order
    attempts: dict[int, int] = field(default_factory=dict)  # number of failures of an entry
    packed: dict[int, list[int]] = field(default_factory=dict)  # rows of the further outputs in an entry's record

    def add(self, rows: Sequence[int], keys: Sequence[str], datas: Sequence[bytes]) -> None:
        """Add outputs, each after the earlier ones of its key if the lane is ordered."""
        first = len(self.keys)
        self.rows += rows
        self.keys += keys
        self.datas += datas
        if not (self.ordered or self.aggregates):
            self.ready.extend(range(first, len(self.keys)))
            return
        fresh = set(keys)
        if len(fresh) == len(keys) and self.busy.isdisjoint(fresh):
            self.busy |= fresh
            self.ready.extend(range(first, len(self.keys)))
            return
        for entry, key in enumerate(keys, first):
            if key in self.busy:
                self.held.setdefault(key, deque()).append(entry)
            else:
                self.busy.add(key)
                self.ready.append(entry)

    def startable(self, before: int | None) -> int:
        """Return the number of entries that may be sent now; `before` is the first row that must wait, or None."""
        if before is None:
            return len(self.ready)
        return sum(self.rows[entry] < before for entry in self.ready)

    def next_call(self, most: int, most_bytes: int, before: int | None) -> tuple[list[int], list[str], list[bytes]]:
        """Remove the entries of the next call from the ready ones; return them, their keys and their data.

        Args:
            most: Largest number of records in a call.
            most_bytes: Largest size of a call.
            before: The first row that must wait: then older rows go first. None means that no row must.
        """
        if before is not None:
            self.ready = deque(sorted(self.ready, key=self.rows.__getitem__))
        if self.aggregates:
            entries = self._pack_next(most, before)
        else:
            entries = list(itertools.islice(self.ready, min(most, self.startable(before))))
            for _ in entries:
                self.ready.popleft()
        keys, datas = [self.keys[entry] for entry in entries], [self.datas[entry] for entry in entries]
        if size_of(keys, datas) > most_bytes:
            sizes = itertools.accumulate(map(size_of, zip(keys), zip(datas)))
            count = max(1, bisect_right(list(sizes), most_bytes))
            self.ready.extendleft(reversed(entries[count:]))
            entries, keys, datas = entries[:count], keys[:count], datas[:count]
        return entries, keys, datas

    def accept(self, entries: Sequence[int]) -> list[int]:
        """Free the keys of accepted entries, so that the next entry of each becomes ready; return their rows."""
        rows = [self.rows[entry] for entry in entries]
        if self.packed:
            for entry in entries:
                rows += self.packed.pop(entry, ())
        for entry in entries:
            self.datas[entry] = b""  # it is safe; free its memory
        if self.ordered:
            self._free([self.keys[entry] for entry in entries])
        self.accepted += len(rows)
        return rows

    @property
    def is_done(self) -> bool:
        """Return whether all outputs were accepted."""
        return self.accepted == len(self.rows)

    def _free(self, keys: Sequence[str]) -> None:
        """Make the next entry of each key ready."""
        if not self.held:
            self.busy.difference_update(keys)
            return
        for key in keys:
            waiting = self.held.get(key)
            if not waiting:
                self.busy.discard(key)
                continue
            self.ready.append(waiting.popleft())
            if not waiting:
                del self.held[key]

    def _pack_next(self, most: int, before: int | None) -> list[int]:
        """Remove ready entries, each with further outputs of its key."""
        entries: list[int] = []
        while self.ready and len(entries) < most and (before is None or self.rows[self.ready[0]] < before):
            entry = self.ready.popleft()
            if entry not in self.packed:
                self._pack(entry, before)
            entries.append(entry)
            if not self.ordered:
                self._free([self.keys[entry]])
        return entries

    def _pack(self, entry: int, before: int | None) -> None:
        """Pack as many outputs of an entry's key as fit into its record; one that does not fit travels as it is."""
        key = self.keys[entry]
        waiting, packer, limit = self.held.get(key), Packer(), AGGREGATE_BYTES - len(key.encode())
        if not waiting or not packer.add(key, self.datas[entry], limit=limit):
            return
        rows: list[int] = []
        while waiting and (before is None or self.rows[waiting[0]] < before):
            if not packer.add(key, self.datas[waiting[0]], limit=limit):
                break
            rows.append(self.rows[waiting[0]])
            self.datas[waiting.popleft()] = b""
        if not waiting:
            del self.held[key]
        if rows:
            self.datas[entry], self.packed[entry] = packer.pack(), rows


def size_of(keys: Iterable[str], datas: Iterable[bytes]) -> int:
    """Return an upper bound of records' size in a call, in bytes: a key's character has at most four."""
    return sum(map(len, datas)) + 4 * sum(map(len, keys))
