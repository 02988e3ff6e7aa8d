"""Turn the aggregated records of a batch into rows of their own.

The rows of an aggregate share its shard, sequence number and arrival; each has its own partition key, and its index as
sub-sequence number. A shard can only resume at a whole record, so an aggregate with one row that must wait is repeated
from its first row, with the same ids.

After a reshard a producer may use the old shards for a while: its aggregates then contain records with hash keys of
another shard. `FOREIGN_RECORDS` selects what happens to these (`docs/decisions/0012-aggregation.md`):

    keep        process them like all others: at least once, whoever produced them, without a call to AWS
    skip        leave them out and count them: only for the Kinesis Producer Library, which puts them again itself
    quarantine  set them aside as `foreign_record`
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
    """Splits the aggregates of batches; one per process, since it caches shards' ranges."""

    def __init__(self, foreign: str = KEEP, ranges: ShardRanges | None = None) -> None:
        """Use a value of `FOREIGN_RECORDS`, and ranges of shards, which are not read yet."""
        self._foreign = foreign
        self._ranges = ranges or ShardRanges()

    def split(
        self, batch: Batch[None], faults: Mapping[int, Quarantine]
    ) -> tuple[Batch[None], Mapping[int, Quarantine], Counter[str]]:
        """Replace each aggregate by its records.

        A batch without aggregates is returned unchanged, after a look at the start of each payload.

        Args:
            batch: The records as Kinesis has them.
            faults: Rows that could not be read.

        Returns:
            The batch in rows; its faults, including aggregates that cannot be split; and counts for metrics:
            `aggregates`, `aggregates_empty` (of these, the ones without a record), and `foreign_skipped`.

        Raises:
            CloudError: Ranges of shards are needed and cannot be read.
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
        """Add the records of one aggregate, and apply the policy for records of another shard."""
        made.counts["aggregates"] += 1
        made.counts["aggregates_empty"] += not found.datas
        indexes: Sequence[int] = range(len(found.datas))
        aside: dict[int, Quarantine] = {}
        held = None if self._foreign == KEEP else self._ranges.of(batch.stream, batch.shards[row])
        if held is not None:
            foreign = [index for index in indexes if not held.holds(_hash_key(found, index))]
            if foreign and self._foreign == SKIP:
                made.counts["foreign_skipped"] += len(foreign)
                indexes = sorted(set(indexes) - set(foreign))
                keys = [found.partition_keys[index] for index in indexes]
                made.add(row, indexes, keys, [found.datas[index] for index in indexes], {})
                return
            fault = Quarantine("foreign_record", f"its hash key is not among {held.first} to {held.last}, its shard's")
            aside = dict.fromkeys(foreign, fault)
        made.add(row, indexes, found.partition_keys, found.datas, aside)


@dataclass(slots=True)
class _Columns:
    """Builder of a batch."""

    faults: dict[int, Quarantine] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    _sources: list[int] = field(default_factory=list)  # the row of the source that each row comes from
    _subs: list[int] = field(default_factory=list)
    _keys: list[str] = field(default_factory=list)
    _payloads: list[bytes] = field(default_factory=list)

    def add(
        self, row: int, subs: Sequence[int], keys: list[str], payloads: list[bytes], faults: Mapping[int, Quarantine]
    ) -> None:
        """Add the records of a row of the source; `faults` are by their index among these."""
        start = len(self._sources)
        self.faults.update((start + index, fault) for index, fault in faults.items())
        self._sources += [row] * len(subs)
        self._subs += subs
        self._keys += keys
        self._payloads += payloads

    def batch(self, source: Batch[None]) -> Batch[None]:
        """Return the batch."""
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
            source.stream_arn,
        )


def _hash_key(found: SubRecords, index: int) -> int:
    explicit = found.hash_keys[index]
    return hash_key_of(found.partition_keys[index]) if explicit is None else explicit
