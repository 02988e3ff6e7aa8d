"""State of pipelines by state key, written under a condition so that a repeated batch changes nothing.

A state key (a tenant, say) carries its value and, for each shard that it had records of, the position of the last one
applied. A record is compared only with a record of its own shard and stream, created once: anything else says nothing
about whether it was applied. Each commit counts the key's revision up and names the revision that it started from; when
another writer was there first it fails and writes nothing. A key whose value cannot be read, or became too large, is
marked as parked, and its value is left as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from app.errors import StateConflictError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from app.errors import UnreadableStateError

LARGEST_VALUE_BYTES = 375_000  # an item takes 400 KB with its names, its key, its positions and its mark
LONGEST_KEY_BYTES = 2048  # DynamoDB's own limit for a partition key, in UTF-8
FAULT_CHARACTERS = 500  # it names a key of up to 2 KB, and stands in the item beside the value
BEGUN_ANEW = "begun anew; it was: "  # before the fault of a key whose value was removed: it is not removed again
LONGEST_HOLD_S = 600  # a mark that says more is of a clock that is wrong
MOST_SHARDS = 100  # positions of a key, 12 KB; a key has more only if producers spread it by explicit hash keys


class Position(NamedTuple):
    """A record's position in its shard: its sequence number, and its index in an aggregated record (0 otherwise)."""

    sequence_number: int
    sub_sequence_number: int = 0

    def __str__(self) -> str:
        """Return the text that is stored; a sequence number has up to 56 digits, too many for DynamoDB's numbers."""
        return f"{self.sequence_number}/{self.sub_sequence_number}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """Return the position that `str` wrote.

        Raises:
            ValueError: It is none.
        """
        sequence_number, _, sub_sequence_number = text.partition("/")
        return cls(int(sequence_number), int(sub_sequence_number))


class ShardOrigin(NamedTuple):
    """A shard of a stream that was created at a given time; only within it can positions be compared.

    Attributes:
        stream_arn: The stream's ARN.
        created_ms: When the stream was created, milliseconds since 1970: one made anew has the same ARN.
        shard: The shard's id.
    """

    stream_arn: str
    created_ms: int
    shard: str

    def __str__(self) -> str:
        """Return the text that is stored."""
        return f"{self.stream_arn}@{self.created_ms}/{self.shard}"

    @classmethod
    def parse(cls, text: str) -> ShardOrigin:
        """Return the shard that `str` wrote.

        Raises:
            ValueError: It is none.
        """
        stream, _, shard = text.rpartition("/")
        stream_arn, _, created_ms = stream.rpartition("@")
        return cls(stream_arn, int(created_ms), shard)


class Waiting(NamedTuple):
    """The records of a key in one shard that wait: those behind one position, up to and with another."""

    behind: Position
    last: Position


class Parked(NamedTuple):
    """A parked key's records that wait in the quarantine.

    Only records in these bounds were confirmed: each stood in the quarantine before the mark said so, and all of the
    key before it as well. A record that is in the quarantine and not in the bounds comes again, or was replayed.

    Attributes:
        fault: Why the key is parked; the line says how to mend it.
        since: When it was parked, ISO 8601, UTC.
        shards: The records that wait, by shard.
        records: How many they are.
        held_until_s: Until when further records are handed back in place of being set aside, seconds since 1970, so
            that a resumption comes to an end although records keep coming.
    """

    fault: str
    since: str
    shards: Mapping[ShardOrigin, Waiting] = {}
    records: int = 0
    held_until_s: int = 0

    @property
    def begun_anew(self) -> bool:
        """Return whether the key's value was removed, so that it begins without its state."""
        return self.fault.startswith(BEGUN_ANEW)

    def is_held(self, now_s: float) -> bool:
        """Return whether further records are handed back; a command that was killed holds them for minutes at most."""
        return now_s < self.held_until_s <= now_s + LONGEST_HOLD_S

    def has(self, origin: ShardOrigin, position: Position) -> bool:
        """Return whether a record waits."""
        waiting = self.shards.get(origin)
        return waiting is not None and waiting.behind < position <= waiting.last

    def with_records(self, places: Iterable[tuple[ShardOrigin, Position]]) -> Parked:
        """Return the mark after these records, in order, were set aside; some may have been before."""
        shards, records = dict(self.shards), self.records
        for origin, position in places:
            before = position._replace(sub_sequence_number=position.sub_sequence_number - 1)
            waiting = shards.get(origin, Waiting(before, before))
            if position > waiting.last:
                shards[origin] = waiting._replace(last=position)
                records += 1
        return self._replace(shards=shards, records=records)

    def without_records(self, places: Iterable[tuple[ShardOrigin, Position]]) -> Parked | None:
        """Return the mark after these records were replayed; None when no other one waits."""
        shards, records = dict(self.shards), self.records
        for origin, position in places:
            waiting = shards.get(origin)
            if waiting is not None and waiting.behind < position <= waiting.last:
                shards[origin] = waiting._replace(behind=position)
                records -= 1
        return self._replace(shards=shards, records=records) if records > 0 else None


class Stored(NamedTuple):
    """A state key's value, and what was applied to it.

    Attributes:
        value: The value. Read as None: there is none, or it cannot be read. Committed as None: it stays as it is.
        applied: The position of the last record applied, by shard.
        revision: The number of commits; 0 for an item of an earlier release, whose position named no shard.
        former: The position in such an item, which stands for its revision.
        parked: The mark of a parked key; None: its records are processed.
        fault: Why the value cannot be read.
    """

    value: bytes | None
    applied: Mapping[ShardOrigin, Position] = {}
    revision: int = 1
    former: tuple[str, int] | None = None
    parked: Parked | None = None
    fault: UnreadableStateError | None = None

    def has_applied(self, origin: ShardOrigin | None, position: Position) -> bool:
        """Return whether a record was applied; False where it cannot be compared with any that was."""
        last = self.applied.get(origin) if origin else None
        return last is not None and position <= last

    def after(self, value: bytes | None, applied: Mapping[ShardOrigin, Position]) -> Stored:
        """Return the state after further records: their value, and the last position of each of their shards."""
        latest = {**self.applied, **applied}
        created = {origin.stream_arn: 0 for origin in latest}
        for origin in latest:
            created[origin.stream_arn] = max(created[origin.stream_arn], origin.created_ms)
        latest = {each: last for each, last in latest.items() if each.created_ms == created[each.stream_arn]}
        while len(latest) > MOST_SHARDS:
            del latest[min(latest.keys() - applied.keys(), key=latest.__getitem__, default=next(iter(latest)))]
        return Stored(value, latest, self.revision + 1, parked=self.parked)


class StateStore(Protocol):
    """Keeps state between batches."""

    def load(self, keys: Iterable[str]) -> Mapping[str, Stored]:
        """Return the stored state of those keys that have one, read consistently.

        A key whose value cannot be read has a `fault`; it never keeps others from being read.
        """

    def check_size(self, key: str, value: bytes) -> None:
        """Check that a value can be committed.

        Raises:
            StateTooLargeError: It is larger than the store takes.
        """

    def commit(self, key: str, staged: Stored, before: Stored | None) -> None:
        """Write a key's state if it still has the revision of `before` (None: the key has no state yet).

        With `staged.value` None only its mark and its revision are written.

        Raises:
            StateConflictError: The revision is another one now; nothing was written.
            StateTooLargeError: The value is larger than the store takes.
        """


class MemoryState:
    """State in a dictionary, for tests and for one process on a laptop; it is lost with the process."""

    def __init__(self) -> None:
        """Start empty."""
        self.stored: dict[str, Stored] = {}

    def load(self, keys: Iterable[str]) -> Mapping[str, Stored]:
        """Return the stored state of those keys that have one."""
        return {key: self.stored[key] for key in keys if key in self.stored}

    def check_size(self, key: str, value: bytes) -> None:
        """Take a value of any size."""

    def commit(self, key: str, staged: Stored, before: Stored | None) -> None:
        """Write a key's state under the condition."""
        now = self.stored.get(key)
        if (now and now.revision) != (before and before.revision):
            raise StateConflictError(f"state of {key!r}: another writer was first")
        if staged.value is None and now is not None:
            staged = now._replace(revision=staged.revision, former=None, parked=staged.parked)
        self.stored[key] = staged
