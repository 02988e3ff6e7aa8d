"""Turn the records of a batch that hold several into rows of their own: aggregates, and what `RECORD_SPLIT` splits.

The rows of a record share its shard, sequence number and arrival. Of an aggregate each has its own partition key, and
its index as sub-sequence number. Where records are split further, the sub-sequence number of a row is its record's
index, times `ROW_NUMBERS`, plus its index there: it grows along the record, and depends on nothing else. A shard can
only resume at a whole record, so one with a row that must wait is repeated from its first row, with the same ids.

A batch that holds more rows than fit the memory is cut: the first record that is not split is handed back.

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

from app.settings import KEEP, SKIP, SPLIT_NONE
from app.stream.aggregation import MAGIC, SubRecords, split
from app.stream.aggregation_ranges import ShardRanges, hash_key_of
from app.stream.batch import Batch
from app.stream.outcomes import Quarantine, Retry
from app.stream.record_rows import MAX_ROW_BYTES, MAX_ROWS, Rows, rows_of, too_large
from app.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


ROW_NUMBERS = 1_000_000  # sub-sequence numbers for the rows of one record of an aggregate: above MAX_ROWS
BATCH_ROWS = 2 * MAX_ROWS  # at 150 bytes for a row's columns 30 MB
BATCH_BYTES = 2 * MAX_ROW_BYTES


class Splitter:
    """Splits the records of batches into rows; one per process, since it caches shards' ranges."""

    def __init__(self, foreign: str = KEEP, ranges: ShardRanges | None = None, *, how: str = SPLIT_NONE) -> None:
        """Use values of `FOREIGN_RECORDS` and `RECORD_SPLIT`, and ranges of shards, which are not read yet."""
        self._foreign, self._how = foreign, how
        self._ranges = ranges or ShardRanges()

    def split(
        self, batch: Batch[None], faults: Mapping[int, Quarantine]
    ) -> tuple[Batch[None], Mapping[int, Quarantine | Retry], Counter[str]]:
        """Replace each record by its rows.

        Where nothing is to be split, the batch is returned unchanged, after a look at the start of each payload.

        Args:
            batch: The records as Kinesis has them.
            faults: Rows that could not be read.

        Returns:
            The batch in rows; its faults, including records that cannot be split; and counts for metrics:
            `aggregates`, `aggregates_empty` (of these, the ones without a record), `foreign_skipped`, and
            `split_empty` (records that `RECORD_SPLIT` leaves no row of: control messages, empty lists).

        Raises:
            CloudError: Ranges of shards are needed and cannot be read.
        """
        if self._how == SPLIT_NONE and not any(map(bytes.startswith, batch.payloads, itertools.repeat(MAGIC))):
            return batch, faults, Counter()
        made = _Columns(self._how)
        for row, payload in enumerate(batch.payloads):
            if made.is_full:
                logger.warning("the batch holds too many rows: set a smaller BatchSize", extra={"records_split": row})
                made.hand_back(row, batch.partition_keys[row], payload)
                break
            found = split(payload) if payload.startswith(MAGIC) and row not in faults else faults.get(row)
            if isinstance(found, SubRecords):
                self._add_aggregate(made, batch, row, found)
            else:
                made.add_record(row, [0], [batch.partition_keys[row]], [payload], {} if found is None else {0: found})
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
                made.add_record(row, indexes, keys, [found.datas[index] for index in indexes], {})
                return
            fault = Quarantine("foreign_record", f"its hash key is not among {held.first} to {held.last}, its shard's")
            aside = dict.fromkeys(foreign, fault)
        made.add_record(row, indexes, found.partition_keys, found.datas, aside)


@dataclass(slots=True)
class _Columns:
    """Builder of a batch."""

    how: str
    faults: dict[int, Quarantine | Retry] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    _sources: list[int] = field(default_factory=list)  # the row of the source that each row comes from
    _subs: list[int] = field(default_factory=list)
    _keys: list[str] = field(default_factory=list)
    _payloads: list[bytes] = field(default_factory=list)
    _bytes: int = 0  # of rows that records were split into

    @property
    def is_full(self) -> bool:
        """Return whether no further record may be read."""
        return len(self._sources) > BATCH_ROWS or self._bytes > BATCH_BYTES

    def add_record(
        self, row: int, subs: Sequence[int], keys: list[str], payloads: list[bytes], faults: Mapping[int, Quarantine]
    ) -> None:
        """Add the user records of a record of the source; `faults` are by their index among these."""
        if self.how == SPLIT_NONE:
            self._add(row, subs, keys, payloads, faults)
            return
        left_rows, left_bytes = MAX_ROWS, MAX_ROW_BYTES
        for index, (sub, key, payload) in enumerate(zip(subs, keys, payloads, strict=True)):
            fault = faults.get(index)
            found = rows_of(payload, self.how) if fault is None else Rows([payload], {0: fault})
            rows, size = len(found.payloads), sum(map(len, found.payloads))
            if rows > 1 and (rows > left_rows or size > left_bytes):
                found = too_large(payload)
                rows, size = 1, len(payload)
            left_rows, left_bytes = left_rows - rows, left_bytes - size
            self._bytes += size
            self.counts["split_empty"] += not rows
            first = sub * ROW_NUMBERS
            self._add(row, range(first, first + rows), [key] * rows, found.payloads, found.faults)

    def hand_back(self, row: int, key: str, payload: bytes) -> None:
        """Add a record of the source that is to come again."""
        self.faults[len(self._sources)] = Retry("too_many_rows")
        self._add(row, [0], [key], [payload], {})

    def _add(
        self, row: int, subs: Sequence[int], keys: list[str], payloads: list[bytes], faults: Mapping[int, Quarantine]
    ) -> None:
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
