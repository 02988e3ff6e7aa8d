"""Corrections as CSV: read and written row by row, and kept in a file, for one machine and for people who edit it.

The header names the columns, in any order: `techniques`, with `alerts` (a text), `rule` (a rule's id) or both, and
`time`, `author`, `confidence` and `override` if wanted. The short form `alerts,techniques`, which exports of other
systems have, is one of these. Techniques are ids with semicolons, commas, bars or blanks between them, or a JSON list;
`none` or `[]` where there is none.

Reading goes line by line, so that a faulty row costs only itself: quotes that do not close swallow no neighbours, and
a line that is not UTF-8 is one rejected line.

A spreadsheet would run a text that begins with `=`, `+`, `-` or `@` as a formula. Such a text is refused; with an
apostrophe before it, it is accepted, and so it is written.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import re
from collections import deque
from typing import IO, TYPE_CHECKING

from app.budgets import MOST_FAULTS_KEPT
from app.domains.alerts.attack import AttackTable, attack_table
from app.domains.alerts.lookups.corrections import (
    LOOKUP_ROWS,
    Correction,
    CorrectionFault,
    RejectedRow,
    beyond,
    checked,
)
from app.errors import LocationError
from app.storage.files import locked_file, open_regular
from app.storage.objects import FolderObjects
from app.telemetry import logger
from app.text import csv_cell, is_formula, text_of_csv_cell

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

HEADER = ("alerts", "techniques")
FULL_HEADER = (*HEADER, "time", "author", "confidence", "rule", "override", "tenant")

LARGEST_ROW_BYTES = 65_536  # twice the longest text in UTF-8 if each character is a doubled quote
LARGEST_TABLE_BYTES = 128 * 1024 * 1024  # of a file that is a table, since all of it is in memory
MOST_READ = 5  # times the rows that a table keeps, of a file that somebody else has written
MOST_LINES = 64  # of one row, whose quoted text has line ends; with more, a quote was never closed

_TECHNIQUE = re.compile(r"[^\s;,|\"']+")
_YES, _NO = frozenset(("yes", "true", "1", "x")), frozenset(("", "no", "false", "0"))
_ANY_TIME = 253_402_300_800.0  # the year 10000: the times in the file were checked when they were accepted


class FileCorrections:
    """Corrections in a CSV file, at most `most` of them; all are in memory.

    A file without times has rows that are older than any correction, and of two rows for one text or rule the later one
    applies. A faulty row is ignored with a warning, but the file is not overwritten until it is mended.

    Attributes:
        most: How many are kept.
        rejected: The first faulty rows of the last reading; further ones are counted in a log line.
    """

    def __init__(self, path: Path, most: int = LOOKUP_ROWS, table: AttackTable | None = None) -> None:
        """Use a file, which is read when it is needed."""
        self.most = most
        self._path = path
        self._table = table or attack_table()
        self._version = ""
        self._rows: dict[str, Correction] = {}
        self.rejected: list[RejectedRow] = []

    def version(self) -> str:
        """Return the file's modification time, size and inode as a text.

        Raises:
            LocationError: The file does not exist.
        """
        try:
            found = self._path.stat()
        except OSError as error:
            raise LocationError(
                f"lookup table {self._path}: {error.strerror}; make it with the line alerts,techniques"
            ) from None
        return f"{found.st_mtime_ns}-{found.st_size}-{found.st_ino}"

    def tenants(self) -> frozenset[str]:
        """Return the tenants that have corrections of their own.

        Raises:
            LocationError: The file cannot be read, or its header is wrong.
        """
        return frozenset(each.tenant for each in self._read().values() if each.tenant)

    def load(self, keys: Iterable[str]) -> Mapping[str, Correction]:
        """Return the corrections of those keys that have one.

        Raises:
            LocationError: The file cannot be read, or its header is wrong.
        """
        rows = self._read()
        return {key: rows[key] for key in keys if key in rows}

    def store(self, corrections: Sequence[Correction]) -> frozenset[str]:
        """Add corrections and replace the file, in whole or not at all; create it if it does not exist.

        Args:
            corrections: Checked ones, each key once.

        Returns:
            The keys for which the file has a newer correction.

        Raises:
            LocationError: The file cannot be read, or it has a faulty row, which would be lost.
            CloudError: The file cannot be written.
        """
        with self._locked():
            rows = self._rows_to_replace() if self._path.exists() else {}
            outdated = set()
            for each in corrections:
                held = rows.get(each.key)
                if held is not None and held.outranks(each):
                    outdated.add(each.key)
                else:
                    rows[each.key] = each
            self._replace(rows)
        return frozenset(outdated)

    def remove(self, key: str) -> bool:
        """Remove the correction of a key; return whether there was one.

        Raises:
            LocationError: The file cannot be read, or it has a faulty row, which would be lost.
            CloudError: The file cannot be written.
        """
        with self._locked():
            rows = self._rows_to_replace()
            if rows.pop(key, None) is None:
                return False
            self._replace(rows)
        return True

    def _rows_to_replace(self) -> dict[str, Correction]:
        rows = dict(self._read())
        if self.rejected:
            about = f"line {self.rejected[0].line}: {self.rejected[0].message}"
            raise LocationError(f"lookup table {self._path}: {about}; mend or remove it")
        return rows

    def _replace(self, rows: Mapping[str, Correction]) -> None:
        gone = set(beyond(((each.tenant, (each.time, each.key)) for each in rows.values()), self.most))
        kept = sorted(rows.values(), key=lambda row: (row.time, row.key))
        kept = [each for each in kept if (each.time, each.key) not in gone]
        FolderObjects(self._path.parent).put(self._path.name, write_corrections(kept))

    def _checked(self, file: IO[bytes]) -> tuple[dict[str, Correction], list[RejectedRow], int]:
        """Return the rows of a file by key, the first of those that are refused, and how many are."""
        rows: dict[str, Correction] = {}
        rejected: list[RejectedRow] = []
        refused = 0
        for line, row in read_corrections(file, now=0.0):
            try:
                taken = row if isinstance(row, RejectedRow) else checked(row, self._table, _ANY_TIME)
            except CorrectionFault as fault:
                taken = RejectedRow(line, fault.reason, fault.message)
            if isinstance(taken, RejectedRow):
                refused += 1
                rejected += [taken] if refused <= MOST_FAULTS_KEPT else []
            elif taken.key not in rows or taken.time >= rows[taken.key].time:
                rows[taken.key] = taken
                if len(rows) > MOST_READ * self.most:
                    raise LocationError(self._too_large)
        return rows, rejected, refused

    @property
    def _too_large(self) -> str:
        return (
            f"lookup table {self._path}: more than {LARGEST_TABLE_BYTES} bytes or {MOST_READ * self.most} corrections: "
            f"leave the newest {self.most}, or name a DynamoDB table"
        )

    def _read(self) -> Mapping[str, Correction]:
        version = self.version()
        if version != self._version:
            try:
                with open_regular(self._path) as file:
                    if os.fstat(file.fileno()).st_size > LARGEST_TABLE_BYTES:
                        raise LocationError(self._too_large)
                    rows, rejected, refused = self._checked(file)
            except CorrectionFault as fault:
                raise LocationError(f"lookup table {self._path}: {fault.message}") from None
            except OSError as error:
                raise LocationError(f"lookup table {self._path}: {error.strerror}") from None
            self._rows, self._version, self.rejected = rows, version, rejected
            if rejected:
                about = {"rows": refused, "line": rejected[0].line, "reason": rejected[0].reason}
                logger.warning("rows of the lookup table are ignored", extra=about)
        return self._rows

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold a lock on the file: other processes must not write between our reading and writing."""
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(locked_file(self._path.with_name(f".{self._path.name}.lock")))
            except OSError as error:
                raise LocationError(f"lookup table {self._path}: cannot be written: {error.strerror}") from None
            yield


def read_corrections(file: IO[bytes], now: float, author: str = "") -> Iterator[tuple[int, Correction | RejectedRow]]:
    """Yield the rows of a file, each with the number of its first line; their content is not checked.

    Args:
        file: A file opened in binary mode.
        now: Time of rows without one, seconds since 1970.
        author: Author of rows without one.

    Raises:
        CorrectionFault: The header is wrong (`bad_header`); raised when the first row is requested.
    """
    rows = _rows(_Lines(file))
    _, header = next(rows, (1, []))
    names = tuple(name.strip().lower() for name in header) if isinstance(header, list) else ()
    is_known = len(set(names)) == len(names) and set(FULL_HEADER).issuperset(names)
    if not is_known or "techniques" not in names or {"alerts", "rule"}.isdisjoint(names):
        raise CorrectionFault(
            "bad_header",
            f"the first line must be {','.join(HEADER)}, or name more of the columns {','.join(FULL_HEADER)}",
        )
    for line, fields in rows:
        if isinstance(fields, CorrectionFault):
            yield line, RejectedRow(line, fields.reason, fields.message)
            continue
        try:
            yield line, _correction(fields, names, now, author)
        except CorrectionFault as fault:
            yield line, RejectedRow(line, fault.reason, fault.message)


def write_corrections(corrections: Iterable[Correction]) -> bytes:
    """Return corrections as a file with all columns; reading it gives the same corrections.

    The column of tenants is there only if one has corrections of its own: earlier releases do not read it.
    """
    corrections = list(corrections)
    columns = len(FULL_HEADER) - (not any(each.tenant for each in corrections))
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(FULL_HEADER[:columns])
    writer.writerows(
        (
            csv_cell(each.text),
            each.techniques_json(),
            repr(each.time),
            csv_cell(each.author),
            repr(each.confidence),
            csv_cell(each.rule),
            "yes" if each.override else "",
            csv_cell(each.tenant),
        )[:columns]
        for each in corrections
    )
    return text.getvalue().encode()


class _Lines:
    """Lines of a file with their numbers; lines can be put back."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._number = 0
        self._back: deque[tuple[int, bytes]] = deque()

    def next(self) -> tuple[int, bytes] | None:
        """Return the next line with its number, cut if it is too long; None at the end."""
        if self._back:
            return self._back.popleft()
        line = self._file.readline(LARGEST_ROW_BYTES + 1)
        if not line:
            return None
        self._number += 1
        rest = line
        while len(rest) > LARGEST_ROW_BYTES and not rest.endswith(b"\n"):
            rest = self._file.readline(LARGEST_ROW_BYTES + 1)
        return self._number, line

    def put_back(self, lines: list[tuple[int, bytes]]) -> None:
        self._back.extendleft(reversed(lines))


def _rows(lines: _Lines) -> Iterator[tuple[int, list[str] | CorrectionFault]]:
    while (first := lines.next()) is not None:
        taken = [first]
        size, quotes = len(first[1]), first[1].count(b'"')
        while quotes % 2 and len(taken) < MOST_LINES and size <= LARGEST_ROW_BYTES:
            more = lines.next()
            if more is None:
                break
            taken.append(more)
            size += len(more[1])
            quotes += more[1].count(b'"')
        fields = _fields(b"".join(data for _, data in taken)) if size <= LARGEST_ROW_BYTES else None
        if len(taken) > 1 and not isinstance(fields, list):
            lines.put_back(taken[1:])  # the lines after an unclosed quote may be valid rows
            fields = None if len(first[1]) > LARGEST_ROW_BYTES else _OPEN
        if fields is None:
            yield first[0], CorrectionFault("row_too_large", f"the row has more than {LARGEST_ROW_BYTES} bytes")
        elif fields:
            yield first[0], fields


_OPEN = CorrectionFault("unbalanced_quotes", "a quote is opened and not closed; double a quote within a text")


def _fields(row: bytes) -> list[str] | CorrectionFault:
    """Return the fields of one row; none for an empty line."""
    if row.count(b'"') % 2:
        return _OPEN
    try:
        text = row.decode("utf-8").removeprefix("\ufeff").rstrip("\r\n")
    except UnicodeDecodeError:
        return CorrectionFault("not_utf8", "the row is not UTF-8; save the file in that encoding")
    if "\0" in text:
        return CorrectionFault("nul", "the row holds a NUL character")
    if not text:
        return []
    try:
        return next(csv.reader([text], strict=True))
    except csv.Error:
        return CorrectionFault("bad_quotes", "a quote is misplaced; double a quote within a text")


def _correction(fields: list[str], names: Sequence[str], now: float, author: str) -> Correction:
    if len(fields) != len(names):
        raise CorrectionFault(
            "wrong_columns", f"{len(fields)} columns, not {len(names)}; a comma in a text or list needs quotes"
        )
    row = dict(zip(names, fields, strict=True))
    text, rule, tenant = row.get("alerts", ""), row.get("rule", ""), row.get("tenant", "")
    if is_formula(text) or is_formula(rule) or is_formula(tenant):
        raise CorrectionFault("formula", "the text begins like a formula; write an apostrophe before it")
    return Correction(
        text_of_csv_cell(text),
        techniques_of(row["techniques"]),
        _number(row.get("time", ""), now, "bad_time"),
        text_of_csv_cell(row.get("author", "")) or author,
        _number(row.get("confidence", ""), 1.0, "bad_confidence"),
        text_of_csv_cell(rule).strip(),
        _is_yes(row.get("override", "")),
        text_of_csv_cell(tenant),
    )


def techniques_of(cell: str) -> tuple[str, ...]:
    """Return the ids of a cell as they are written; their spelling is checked later.

    Raises:
        CorrectionFault: The cell is empty or has no list of ids (`bad_techniques`).
    """
    listed = cell.strip()
    if listed.startswith("[") and listed.endswith("]"):
        listed = listed[1:-1]
        if not listed.strip():
            return ()
    found = tuple(_TECHNIQUE.findall(listed))
    if found == ("none",):
        return ()
    if not found or any(mark in listed for mark in "[]{}"):
        raise CorrectionFault(
            "bad_techniques", 'techniques must be ids, as in T1071.001;T1573 or ["T1071"], or none where there are none'
        )
    return found


def _is_yes(cell: str) -> bool:
    word = cell.strip().lower()
    if word not in _YES | _NO:
        raise CorrectionFault("bad_override", "override must be yes or no")
    return word in _YES


def _number(field: str, default: float, reason: str) -> float:
    try:
        return float(field) if field.strip() else default
    except ValueError:
        raise CorrectionFault(reason, f"{reason.removeprefix('bad_')} must be a number") from None
