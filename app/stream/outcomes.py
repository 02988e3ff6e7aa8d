"""The outcome of each record of a batch, held in columns: its outputs, or the reason why it has none."""

from __future__ import annotations

import itertools
import operator
import re
import zlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from app.settings import DEFAULT_ROLE

if TYPE_CHECKING:
    from collections.abc import Sequence

_FIRST, _LAST = operator.itemgetter(0), operator.itemgetter(-1)
_OPEN, _CLOSE = set(b"{"), set(b"}")
_BYTES = {bytes, bytearray}
_VERSION = re.compile(r"[A-Za-z0-9_.-]*")  # it stands in an id, between slashes and in quotes


class Output(msgspec.Struct, frozen=True, gc=False):
    """One record for an output stream.

    Attributes:
        partition_key: 1 to 256 characters; outputs of a key reach their stream in order.
        data: A JSON object without the fields `id` and `source`, which the spine adds: most JSON readers keep one
            field of a name.
        role: The stream role, as `OUTPUT_STREAMS` names it.
        version: What the output was computed with besides the records, as part of its id.
    """

    partition_key: str
    data: bytes
    role: str = DEFAULT_ROLE
    version: str = ""


class Skip(msgspec.Struct, frozen=True, gc=False):
    """The record needs nothing done."""

    reason: str


class Quarantine(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The record can never succeed: it is put aside with its raw bytes, and the shard goes on.

    Attributes:
        reason: A code in snake case, one for each kind of fault; it is counted and logged.
        message: What is wrong and where. It may quote the payload, so it is stored but never logged.
        parked_key: The parked state key, as it is in the table, of a record that can succeed once the key is mended.
    """

    reason: str
    message: str
    parked_key: str = ""


class Retry(msgspec.Struct, frozen=True, gc=False):
    """The record may succeed later: the shard resumes at it."""

    reason: str


NoOutput: TypeAlias = Skip | Quarantine | Retry
Outcome: TypeAlias = tuple[Output, ...] | NoOutput


class Outcomes:
    """Builds the outcome of each row of a batch.

    Give every row an outcome: outputs, `done`, `skip`, `quarantine` or `retry`. A row without one is quarantined as
    `bad_outcome`, so that a forgotten record is not lost. A row that is skipped, quarantined or retried emits nothing,
    even if outputs were given for it; of two such calls the later one counts.

        outcomes = Outcomes(len(batch))
        for row, record in enumerate(batch.records):
            outcomes.emit(row, record.sensor, encode(record))

    Attributes:
        set_aside: The rows that are skipped, quarantined or handed back, with the reason.
    """

    def __init__(self, rows: int) -> None:
        """Start without any outcome for a batch of so many rows."""
        self.set_aside: dict[int, NoOutput] = {}
        self._size = rows
        self._rows: range | list[int] = []
        self._keys: list[str] = []
        self._datas: list[bytes] = []
        self._roles: list[str] = []
        self._versions: list[str] = []
        self._done: set[int] = set()

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._size

    def emit(self, row: int, partition_key: str, data: bytes, *, role: str = DEFAULT_ROLE, version: str = "") -> None:
        """Add an output of a row; the outputs of one row are numbered in the order of the calls.

        Args:
            row: The record's index in the batch.
            partition_key: 1 to 256 characters; outputs of a key reach their stream in order.
            data: A JSON object; the spine adds `id` and `source`, so it must not have them.
            role: The stream role, as `OUTPUT_STREAMS` names it.
            version: What the output was computed with besides the records: a model's run id, or `digest_of` the data
                where tables change between two attempts. It becomes part of the output's id, so that one id never
                stands for two contents. Letters, digits, `_`, `.` and `-`.

        Raises:
            IndexError: The batch has no such row; so too for the other methods.
        """
        self._check(row)
        if isinstance(self._rows, range):  # the columns are the caller's lists
            self._rows, self._keys, self._datas = list(self._rows), list(self._keys), list(self._datas)
        self._rows.append(row)
        self._keys.append(partition_key)
        self._datas.append(data)
        self._roles.append(role)
        self._versions.append(version)

    def emit_columns(
        self, partition_keys: list[str], datas: list[bytes], *, role: str = DEFAULT_ROLE, version: str = ""
    ) -> None:
        """Add one output for every row, which is faster than a call for each; set rows aside afterwards.

        The lists are used as they are, not copied: do not change them afterwards.

        Args:
            partition_keys: The output's key, row by row.
            datas: The output's JSON object, row by row; for a row that is set aside it is not read.
            role: The stream role of all outputs.
            version: As in `emit`, of all outputs.

        Raises:
            ValueError: The columns do not have one value for each row.
        """
        if not len(partition_keys) == len(datas) == self._size:
            raise ValueError(f"columns of {len(partition_keys)} keys and {len(datas)} datas for {self._size} rows")
        if not self._rows:
            self._rows, self._keys, self._datas = range(self._size), partition_keys, datas
        else:
            self._rows = [*self._rows, *range(self._size)]
            self._keys, self._datas = [*self._keys, *partition_keys], [*self._datas, *datas]
        self._roles += [role] * self._size
        self._versions += [version] * self._size

    def done(self, row: int) -> None:
        """Accept a row that gives no output; unlike `skip` it is not counted."""
        self._check(row)
        self._done.add(row)

    def skip(self, row: int, reason: str) -> None:
        """Skip a row that needs no work; it is counted."""
        self._put_aside(row, Skip(reason))

    def quarantine(self, row: int, reason: str, message: str) -> None:
        """Put a row aside that can never succeed.

        Args:
            row: The record's index in the batch.
            reason: A code in snake case, one for each kind of fault; it is counted and logged.
            message: What is wrong and where. It may quote the payload, so it is stored but never logged.
        """
        self._put_aside(row, Quarantine(reason, message))

    def retry(self, row: int, reason: str) -> None:
        """Hand a row back that may succeed later: the shard resumes at it, and no row after it is emitted."""
        self._put_aside(row, Retry(reason))

    def retry_from(self, row: int, reason: str) -> None:
        """Hand back a row and all after it."""
        self.set_aside.update(dict.fromkeys(range(row, self._size), Retry(reason)))

    def extend(self, rows: Sequence[int], part: Outcomes) -> None:
        """Take over the outcomes of a part of the batch; `rows` are the part's rows, as indexes of this batch."""
        if len(rows) != len(part):
            raise ValueError(f"{len(part)} outcomes for {len(rows)} rows")
        self._rows = [*self._rows, *[rows[row] for row in part._rows]]
        self._keys, self._datas = [*self._keys, *part._keys], [*self._datas, *part._datas]
        self._roles += part._roles
        self._versions += part._versions
        self._done.update(rows[row] for row in part._done)
        self.set_aside.update((rows[row], outcome) for row, outcome in part.set_aside.items())

    def rows_before_retry(self) -> int:
        """Return the number of rows before the first one that is handed back."""
        return min((row for row, each in self.set_aside.items() if isinstance(each, Retry)), default=self._size)

    def as_list(self) -> list[Outcome]:
        """Return the outcomes row by row, for tests and for people to read."""
        outputs = self.outputs()
        by_row: dict[int, list[Output]] = {}
        columns = outputs.keys, outputs.datas, outputs.roles, outputs.versions
        for row, *output in zip(outputs.rows, *columns, strict=True):
            by_row.setdefault(row, []).append(Output(*output))  # type: ignore[arg-type]  # mypy joins the columns' types
        return [self.set_aside.get(row) or tuple(by_row.get(row, ())) for row in range(self._size)]

    def outputs(self, start: int = 0) -> OutputColumns:
        """Return the outputs of the rows that are not set aside, ordered by row.

        Args:
            start: Number to add to each row's index: the index of this batch's first row in a larger batch.
        """
        rows, keys, datas, roles, versions = self._rows, self._keys, self._datas, self._roles, self._versions
        if not self.set_aside and (isinstance(rows, range) or rows == list(range(self._size))):  # as is usual
            return OutputColumns(range(start, start + len(rows)), [0] * len(rows), keys, datas, roles, versions)
        order = [index for index, row in enumerate(rows) if row not in self.set_aside]
        order.sort(key=rows.__getitem__)  # stable: outputs of a row keep the order of their calls
        rows = [rows[index] for index in order]
        return OutputColumns(
            [start + row for row in rows],
            _ordinals(rows),
            [keys[index] for index in order],
            [datas[index] for index in order],
            [roles[index] for index in order],
            [versions[index] for index in order],
        )

    def quarantine_invalid(self) -> None:
        """Quarantine each row whose outcome cannot be used: nothing, or a value of a wrong type or form.

        A pipeline's values are checked here, a column at a time, since a wrong one must harm no other record.
        """
        for row, outcome in self.set_aside.items():
            message = outcome.message if isinstance(outcome, Quarantine) else ""
            if not isinstance(outcome.reason, str) or not isinstance(message, str):
                self.set_aside[row] = _bad("a reason or message that is no text")
        if not isinstance(self._rows, range):
            missing = set(range(self._size)).difference(self._rows, self.set_aside, self._done)
            self.set_aside.update((row, _bad("none was given")) for row in missing)
        columns = self._keys, self._datas, self._roles, self._versions
        if not _are_valid(*columns):
            for row, *output in zip(self._rows, *columns, strict=True):
                if row not in self.set_aside and not _are_valid(*([value] for value in output)):  # type: ignore[arg-type]  # as above
                    self.set_aside[row] = _bad("an output that is not a key, a JSON object in bytes, a role, a version")

    def _put_aside(self, row: int, outcome: NoOutput) -> None:
        self._check(row)
        self.set_aside[row] = outcome

    def _check(self, row: int) -> None:
        if not 0 <= row < self._size:
            raise IndexError(f"row {row} of a batch of {self._size}")


@dataclass(frozen=True, slots=True)
class OutputColumns:
    """Outputs as columns of equal length, ordered by row.

    Attributes:
        rows: The row in the batch that each belongs to.
        ordinals: Its number among the outputs of its row, from 0.
        keys: Partition keys.
        datas: JSON objects.
        roles: Stream roles.
        versions: What each was computed with besides the records, as part of its id.
    """

    rows: Sequence[int]
    ordinals: Sequence[int]
    keys: list[str]
    datas: list[bytes]
    roles: list[str]
    versions: list[str]

    def take(self, indexes: Sequence[int]) -> OutputColumns:
        """Return these outputs only."""
        return OutputColumns(
            [self.rows[index] for index in indexes],
            [self.ordinals[index] for index in indexes],
            [self.keys[index] for index in indexes],
            [self.datas[index] for index in indexes],
            [self.roles[index] for index in indexes],
            [self.versions[index] for index in indexes],
        )


def digest_of(data: bytes) -> str:
    """Return a short digest of an output's data, for its version."""
    return f"{zlib.crc32(data):08x}"


def readable(data: bytes) -> object:
    """Return an output for people to read: its JSON value, or its text where it is not quite JSON."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return data.decode("utf-8", "replace")


def _ordinals(rows: list[int]) -> list[int]:
    """Return the number of each output among those of its row; the rows are sorted."""
    if len(set(rows)) == len(rows):
        return [0] * len(rows)
    return list(itertools.chain.from_iterable(map(range, Counter(rows).values())))


def _are_valid(keys: list[str], datas: list[bytes], roles: list[str], versions: list[str]) -> bool:
    """Return whether all of them can be sent, but for the sizes."""
    try:
        "".join(keys).encode()
        different_roles, different_versions = set(roles), set(versions)
    except (TypeError, ValueError):  # no text, or text with a lone surrogate; a role that cannot be hashed
        return False
    if not all(isinstance(version, str) and _VERSION.fullmatch(version) for version in different_versions):
        return False
    if not (set(map(type, datas)) <= _BYTES and set(map(type, different_roles)) <= {str}):
        return False
    try:
        return set(map(_FIRST, datas)) <= _OPEN and set(map(_LAST, datas)) <= _CLOSE
    except IndexError:  # empty data
        return False


def _bad(fault: str) -> Quarantine:
    return Quarantine("bad_outcome", f"the pipeline's outcome is not one: {fault}")
