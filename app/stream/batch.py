"""The records of one event as columns, and the ids and sources of their outputs."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

from app.storage.state import Position

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.stream.outcomes import OutputColumns

T = TypeVar("T")
U = TypeVar("U")

Place: TypeAlias = tuple[str, Position]
"""A record's shard and its position there."""

_SECOND = operator.itemgetter(1)
_QUOTE = set(b'"')  # begins the first name in an object; without one it may be empty, or begin with white space

STREAM, SHARD = "direct", "direct-000000000000"  # the names that a pipeline sees where there is no stream


@dataclass(frozen=True, slots=True)
class Batch(Generic[T]):
    """Records of one stream as columns of equal length.

    Attributes:
        stream: The stream's name.
        shards: Shard ids.
        sequence_numbers: Sequence numbers, as Kinesis writes them.
        sub_sequence_numbers: Numbers within an aggregated record; 0 for a record that is not in one.
        partition_keys: Partition keys.
        arrivals_s: Approximate arrival times, seconds since 1970.
        payloads: The raw bytes, as they came.
        records: The values decoded from the payloads; empty before decoding.
        stream_arn: The stream's ARN; empty if the records come from none.
    """

    stream: str
    shards: list[str]
    sequence_numbers: list[str]
    sub_sequence_numbers: list[int]
    partition_keys: list[str]
    arrivals_s: list[float]
    payloads: list[bytes]
    records: list[T]
    stream_arn: str = ""

    @classmethod
    def of(cls, records: list[T]) -> Batch[T]:
        """Return records that come from no stream; their indexes stand for sequence numbers and partition keys."""
        rows = len(records)
        numbers = [str(row) for row in range(rows)]
        return cls(STREAM, [SHARD] * rows, numbers, [0] * rows, numbers, [0.0] * rows, [b""] * rows, records)

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.sequence_numbers)

    def take(self, rows: Sequence[int], records: list[U]) -> Batch[U]:
        """Return a batch of these rows, with the records decoded from them."""
        return Batch(
            self.stream,
            [self.shards[row] for row in rows],
            [self.sequence_numbers[row] for row in rows],
            [self.sub_sequence_numbers[row] for row in rows],
            [self.partition_keys[row] for row in rows],
            [self.arrivals_s[row] for row in rows],
            [self.payloads[row] for row in rows],
            records,
            self.stream_arn,
        )

    def cut(self, start: int, stop: int, records: list[U]) -> Batch[U]:
        """Return a batch of the rows from `start` up to `stop`, with the records decoded from them."""
        rows = slice(start, stop)
        return Batch(
            self.stream,
            self.shards[rows],
            self.sequence_numbers[rows],
            self.sub_sequence_numbers[rows],
            self.partition_keys[rows],
            self.arrivals_s[rows],
            self.payloads[rows],
            records,
            self.stream_arn,
        )

    def first_row_of(self, row: int) -> int:
        """Return the first row of the Kinesis record that holds a row: a shard resumes at whole records only."""
        numbers = self.sequence_numbers
        while 0 < row < len(numbers) and numbers[row - 1] == numbers[row]:
            row -= 1
        return row

    def places(self) -> list[Place]:
        """Return each record's shard and its position there."""
        positions = map(Position, map(int, self.sequence_numbers), self.sub_sequence_numbers)
        return list(zip(self.shards, positions, strict=True))

    def output_id(self, row: int, stage: str, ordinal: int) -> str:
        """Return the id of a record's output without a version, which is equal at every replay.

        Its parts are stream, shard, sequence number, sub-sequence number, stage and the output's ordinal; none of
        them can hold a slash.
        """
        return (
            f"{self.stream}/{self.shards[row]}/{self.sequence_numbers[row]}/{self.sub_sequence_numbers[row]}"
            f"/{stage}/{ordinal}"
        )

    def stamp(self, outputs: OutputColumns, stage: str) -> list[bytes]:
        """Add the deterministic `id` and the `source` to the outputs of rows.

        The id is `output_id`'s, and the version behind a slash where an output has one; it is written out here because
        this runs for every output.

        Args:
            outputs: The outputs.
            stage: The pipeline's name.
        """
        rows, ordinals, datas, versions = outputs.rows, outputs.ordinals, outputs.datas, outputs.versions
        stream, shards, numbers, subs = self.stream, self.shards, self.sequence_numbers, self.sub_sequence_numbers
        usual = set(map(_SECOND, datas)) <= _QUOTE and not any(ordinals) and not any(_at(subs, rows))
        if usual and len(found := set(_at(shards, rows))) == len(different := set(versions)) == 1:
            # Only the sequence number differs from row to row.
            [shard], [version] = found, different
            head, middle = f',"id":"{stream}/{shard}/', f'/0/{stage}/0{"/" * bool(version)}{version}",'
            middle += f'"source":{{"stream":"{stream}","shard":"{shard}","sequence_number":"'
            return [
                data[:-1] + f'{head}{number}{middle}{number}"}}}}'.encode()
                for number, data in zip(_at(numbers, rows), datas, strict=True)
            ]
        return [
            data[:-1]
            + (
                f'{"," if data[1:-1].strip() else ""}"id":"{stream}/{(shard := shards[row])}/{(number := numbers[row])}'
                f'/{subs[row]}/{stage}/{ordinal}{"/" * bool(version)}{version}",'
                f'"source":{{"stream":"{stream}","shard":"{shard}","sequence_number":"{number}"}}}}'
            ).encode()
            for row, ordinal, data, version in zip(rows, ordinals, datas, versions, strict=True)
        ]


def _at(column: Sequence[T], rows: Sequence[int]) -> Sequence[T]:
    """Return a column's values at these rows."""
    return column[rows.start : rows.stop : rows.step] if isinstance(rows, range) else [column[row] for row in rows]
