"""The aggregated records of a batch as rows of their own, and what becomes of those that belong to another shard.

The rows of an aggregate share its shard, sequence number and arrival; each has its own partition key, and its place as
sub-sequence number. A shard can only resume at a whole record, so an aggregate of which one row must wait comes again
from its first row on, with the same ids.

After a reshard a producer may go on for a while with the old shards in mind: its aggregates then hold records whose
hash key another shard holds. `FOREIGN_RECORDS` says what becomes of these (`docs/decisions/0012-aggregation.md`):

    keep        they are processed like all others: at least once whoever produced them, and no call is made; for a
                pipeline with state the same as `quarantine`
    skip        they are left out, and counted: for the Kinesis Producer Library alone, which puts them again itself
    quarantine  they are set aside as `foreign_record`
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.settings import KEEP, SKIP
from app.stream.aggregation import MAGIC, SubRecords, split
from app.stream.aggregation_ranges import ShardRanges, hash_key_of
from app.stream.batch import Batch
from app.stream.outcomes import Quarantine

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Splitter:
    """Splits the aggregates of batches; one a process, since it remembers shards' ranges."""

    def __init__(self, foreign: str = KEEP, ranges: ShardRanges | None = None) -> None:
        """Takes what `FOREIGN_RECORDS` may be, and where ranges are known from; asks nothing yet."""
        self._foreign = foreign
        self._ranges = ranges or ShardRanges()

    def split(
        self, batch: Batch[None], faults: Mapping[int, Quarantine]
    ) -> tuple[Batch[None], Mapping[int, Quarantine], Counter[str]]:
        """Puts the records of each aggregate in its place.

        A batch without aggregates comes back as it is, after one glance at each payload.

        Args:
            batch: The records as Kinesis has them.
            faults: Rows that could not be read.

        Returns:
            The batch in rows; its faults, among them each aggregate that cannot be split; and counts for metrics:
            `aggregates`, and of these those without a record as `aggregates_empty`, and `foreign_skipped`.

        Raises:
            CloudError: Ranges of shards are needed and cannot be had.
        """
        if not any(map(bytes.startswith, batch.payloads, itertools.repeat(MAGIC))):
            return batch, faults, Counter()
        made = _Columns()
        for row, payload in enumerate(batch.payloads):
            found = split(payload) if payload.startswith(MAGIC) and row not in faults else faults.get(row)
            if isinstance(found, SubRecords):
                self._add_aggregate(made, batch, row, found)
            else:
                made.add(row, [0], [batch.partition_keys[row]], [payload], {} if found is None else {0: found})
        return made.batch(batch), made.faults, made.counts

    def _add_aggregate(self, made: _Columns, batch: Batch[None], row: int, found: SubRecords) -> None:
        """Adds the records of one aggregate, as the policy for those of another shard has it."""
        made.counts["aggregates"] += 1
        made.counts["aggregates_empty"] += not found.datas
        places: Sequence[int] = range(len(found.datas))
        aside: dict[int, Quarantine] = {}
        held = None if self._foreign == KEEP else self._ranges.of(batch.stream, batch.shards[row])
        if held is not None:
            foreign = [place for place in places if not held.holds(_hash_key(found, place))]
            if foreign and self._foreign == SKIP:
                made.counts["foreign_skipped"] += len(foreign)
                places = sorted(set(places) - set(foreign))
                keys = [found.partition_keys[place] for place in places]
                made.add(row, places, keys, [found.datas[place] for place in places], {})
                return
            fault = Quarantine("foreign_record", f"its hash key is not among {held.first} to {held.last}, its shard's")
            aside = dict.fromkeys(foreign, fault)
        made.add(row, places, found.partition_keys, found.datas, aside)


@dataclass(slots=True)
class _Columns:
    """A batch in the making."""

    faults: dict[int, Quarantine] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    _sources: list[int] = field(default_factory=list)  # the row that each row was or came out of
    _subs: list[int] = field(default_factory=list)
    _keys: list[str] = field(default_factory=list)
    _payloads: list[bytes] = field(default_factory=list)

    def add(
        self, row: int, subs: Sequence[int], keys: list[str], payloads: list[bytes], faults: Mapping[int, Quarantine]
    ) -> None:
        """Adds what came out of a row of the source; `faults` by the place among these."""
        start = len(self._sources)
        self.faults.update((start + place, fault) for place, fault in faults.items())
        self._sources += [row] * len(subs)
        self._subs += subs
        self._keys += keys
        self._payloads += payloads

    def batch(self, source: Batch[None]) -> Batch[None]:
        """The batch."""
        rows = self._sources
        shards, numbers, arrivals_s = source.shards, source.sequence_numbers, source.arrivals_s
        return Batch(
            source.stream,
            [shards[row] for row in rows],
            [numbers[row] for row in rows],
            self._subs,
            self._keys,
            [arrivals_s[row] for row in rows],
            self._payloads,
            [],
        )


def _hash_key(found: SubRecords, place: int) -> int:
    explicit = found.hash_keys[place]
    return hash_key_of(found.partition_keys[place]) if explicit is None else explicit
