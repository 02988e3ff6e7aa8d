"""The records of one event as columns, and the four outcomes that a pipeline gives them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from app.settings import DEFAULT_ROLE
from app.storage.state import Position

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")
U = TypeVar("U")


class Output(msgspec.Struct, frozen=True, gc=False):
    """One record for an output stream.

    Attributes:
        partition_key: 1 to 256 characters; outputs of a key reach their stream in order.
        data: A JSON object. The spine adds `id` and `source` to it, so a pipeline cannot forget or mistake them.
        role: The stream role, as `OUTPUT_STREAMS` names it.
    """

    partition_key: str
    data: bytes
    role: str = DEFAULT_ROLE


class Emit(msgspec.Struct, frozen=True, gc=False):
    """The record gave these outputs, none or more."""

    outputs: tuple[Output, ...]


class Skip(msgspec.Struct, frozen=True, gc=False):
    """The record needs nothing done."""

    reason: str


class Quarantine(msgspec.Struct, frozen=True, gc=False):
    """The record can never succeed: it goes aside with its raw bytes, and the shard goes on.

    Attributes:
        reason: A code in snake case, one for each kind of fault; it is counted and logged.
        message: What is wrong and where. It may quote the payload, so it is stored but never logged.
    """

    reason: str
    message: str


class Retry(msgspec.Struct, frozen=True, gc=False):
    """The record may succeed later: the shard resumes at it."""

    reason: str


NoOutput = Skip | Quarantine | Retry
Outcome = Emit | NoOutput


@dataclass(frozen=True, slots=True)
class EmitColumns:
    """One output a record, in columns: what a list of `Emit` says, without three objects a record.

    Attributes:
        partition_keys: The output's key for each record.
        datas: The output's JSON object for each record.
        others: What became of the records that gave no output, by row; their key and data are not read.
        role: The stream role of all outputs.
    """

    partition_keys: list[str]
    datas: list[bytes]
    others: dict[int, NoOutput] = field(default_factory=dict)
    role: str = DEFAULT_ROLE

    def __post_init__(self) -> None:
        """Holds the columns together."""
        rows = len(self.datas)
        if len(self.partition_keys) != rows or not all(0 <= row < rows for row in self.others):
            raise ValueError("columns of different lengths")

    def __len__(self) -> int:
        """How many records."""
        return len(self.datas)

    def outcomes(self) -> list[Outcome]:
        """The same, an outcome a record."""
        return [
            self.others[row] if row in self.others else Emit((Output(key, data, self.role),))
            for row, (key, data) in enumerate(zip(self.partition_keys, self.datas, strict=True))
        ]


Outcomes = list[Outcome] | EmitColumns


def listed(outcomes: Outcomes) -> list[Outcome]:
    """Outcomes as a list, which may be the one that was given."""
    return outcomes.outcomes() if isinstance(outcomes, EmitColumns) else outcomes


@dataclass(frozen=True, slots=True)
class Batch(Generic[T]):
    """Records of one stream, a list a column, all of the same length.

    Attributes:
        stream: The stream's name.
        shards: Shard ids.
        sequence_numbers: Sequence numbers, as Kinesis writes them.
        sub_sequence_numbers: Places in an aggregated record; 0 for a record of its own.
        partition_keys: Partition keys.
        arrivals_s: Approximate arrival times, seconds since 1970.
        payloads: The raw bytes, as they came.
        records: What was decoded from the payloads; empty until they have been.
    """

    stream: str
    shards: list[str]
    sequence_numbers: list[str]
    sub_sequence_numbers: list[int]
    partition_keys: list[str]
    arrivals_s: list[float]
    payloads: list[bytes]
    records: list[T]

    def __len__(self) -> int:
        """How many records."""
        return len(self.sequence_numbers)

    def take(self, rows: Sequence[int], records: list[U]) -> Batch[U]:
        """A batch of these rows, with what was decoded from them."""
        return Batch(
            self.stream,
            [self.shards[row] for row in rows],
            [self.sequence_numbers[row] for row in rows],
            [self.sub_sequence_numbers[row] for row in rows],
            [self.partition_keys[row] for row in rows],
            [self.arrivals_s[row] for row in rows],
            [self.payloads[row] for row in rows],
            records,
        )

    def cut(self, start: int, stop: int, records: list[U]) -> Batch[U]:
        """A batch of the rows from `start` up to `stop`, with what was decoded from them."""
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
        )

    def first_row_of(self, row: int) -> int:
        """The first row of the Kinesis record that a row came out of: a shard resumes at whole records only."""
        numbers = self.sequence_numbers
        while 0 < row < len(numbers) and numbers[row - 1] == numbers[row]:
            row -= 1
        return row

    def position(self, row: int) -> Position:
        """A record's place in its shard, comparable along a partition key."""
        return Position(int(self.sequence_numbers[row]), self.sub_sequence_numbers[row])

    def output_id(self, row: int, stage: str, ordinal: int) -> str:
        """The id of a record's output: the same for every replay, and legible.

        The parts are stream, shard, sequence number, sub-sequence number, stage and the output's ordinal; none of
        them can hold a slash.
        """
        return (
            f"{self.stream}/{self.shards[row]}/{self.sequence_numbers[row]}/{self.sub_sequence_numbers[row]}"
            f"/{stage}/{ordinal}"
        )

    def seal(self, rows: Sequence[int], ordinals: Sequence[int], stage: str, datas: Sequence[bytes]) -> list[bytes]:
        """Adds the deterministic `id` and the `source` to JSON objects, each an output of the row beside it.

        The id is `output_id`'s, written out here because this runs for every output there is.
        """
        stream, shards, numbers, subs = self.stream, self.shards, self.sequence_numbers, self.sub_sequence_numbers
        usual = b"{}" not in datas and not any(ordinals) and not any(_at(subs, rows))
        if usual and len(found := set(_at(shards, rows))) == 1:
            # Only the sequence number differs from row to row.
            [shard] = found
            head, middle = f',"id":"{stream}/{shard}/', f'/0/{stage}/0","source":{{"stream":"{stream}","shard":"'
            middle += f'{shard}","sequence_number":"'
            return [
                data[:-1] + f'{head}{number}{middle}{number}"}}}}'.encode()
                for number, data in zip(_at(numbers, rows), datas, strict=True)
            ]
        return [
            data[:-1]
            + (
                f'{"" if data == b"{}" else ","}"id":"{stream}/{(shard := shards[row])}/{(number := numbers[row])}'
                f'/{subs[row]}/{stage}/{ordinal}",'
                f'"source":{{"stream":"{stream}","shard":"{shard}","sequence_number":"{number}"}}}}'
            ).encode()
            for row, ordinal, data in zip(rows, ordinals, datas, strict=True)
        ]


def _at(column: Sequence[T], rows: Sequence[int]) -> Sequence[T]:
    """A column's values at these rows."""
    return column[rows.start : rows.stop : rows.step] if isinstance(rows, range) else [column[row] for row in rows]
