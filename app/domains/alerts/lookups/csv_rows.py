"""Corrections as CSV: `alerts,techniques`, the techniques a JSON list, as the system before this one has them.

Read line by line, so that a row that is wrong costs itself alone: quotes that do not close swallow no neighbours, and
a line that is no UTF-8 is one rejected line. A longer form, `alerts,techniques,time,author,confidence`, is what the
table in a file is kept in.

A spreadsheet would run a text that begins with `=`, `+`, `-` or `@` as a formula. Such a text is refused; written with
an apostrophe before it, it is taken, and so it is written here.
"""

from __future__ import annotations

import csv
import io
import re
from collections import deque
from typing import IO, TYPE_CHECKING

import msgspec

from app.domains.alerts.lookups.corrections import Correction, CorrectionFault, RejectedRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HEADER = ("alerts", "techniques")
FULL_HEADER = (*HEADER, "time", "author", "confidence")

LARGEST_ROW_BYTES = 65_536  # the longest text in UTF-8 with every character a doubled quote is half of it
MOST_LINES = 64  # of one row: a text with line ends in quotes; more are quotes that were never closed

_FORMULA = re.compile(r"\s*[=+\-@]")
_ESCAPED = re.compile(r"'+\s*[=+\-@]")
_TECHNIQUES = msgspec.json.Decoder(list[str])


def read_corrections(file: IO[bytes], now: float, author: str = "") -> Iterator[tuple[int, Correction | RejectedRow]]:
    """The rows of a file, each with the line that it begins on; they are not checked further than their form.

    Args:
        file: Opened for reading bytes.
        now: The time of rows that have none.
        author: The author of rows that have none.

    Raises:
        CorrectionFault: The header is wrong (`bad_header`): nothing was read. It is raised by the first row asked for.
    """
    rows = _rows(_Lines(file))
    _, header = next(rows, (1, []))
    names = tuple(name.strip().lower() for name in header) if isinstance(header, list) else ()
    if names not in {HEADER, FULL_HEADER}:
        raise CorrectionFault("bad_header", f"the first line is to be {','.join(HEADER)} or {','.join(FULL_HEADER)}")
    for line, fields in rows:
        if isinstance(fields, CorrectionFault):
            yield line, RejectedRow(line, fields.reason, fields.message)
            continue
        try:
            yield line, _correction(fields, len(names), now, author)
        except CorrectionFault as fault:
            yield line, RejectedRow(line, fault.reason, fault.message)


def write_corrections(corrections: Iterable[Correction]) -> bytes:
    """Corrections as a file of the longer form; read again, they are the same."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(FULL_HEADER)
    writer.writerows(
        (_escaped(each.text), each.written(), repr(each.time), _escaped(each.author), repr(each.confidence))
        for each in corrections
    )
    return text.getvalue().encode()


class _Lines:
    """The lines of a file with their numbers; some can be put back."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._number = 0
        self._back: deque[tuple[int, bytes]] = deque()

    def next(self) -> tuple[int, bytes] | None:
        """The next line; of one that is too long as much as shows it."""
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
            lines.put_back(taken[1:])  # what follows a row that does not end may be right
            fields = None if len(first[1]) > LARGEST_ROW_BYTES else _OPEN
        if fields is None:
            yield first[0], CorrectionFault("row_too_large", f"the row has more than {LARGEST_ROW_BYTES} bytes")
        elif fields:
            yield first[0], fields


_OPEN = CorrectionFault("unbalanced_quotes", "a quote is opened and not closed; double a quote within a text")


def _fields(row: bytes) -> list[str] | CorrectionFault:
    """The fields of one row; none for an empty line."""
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
        return CorrectionFault("bad_quotes", "quotes stand where none may; double a quote within a text")


def _correction(fields: list[str], columns: int, now: float, author: str) -> Correction:
    if len(fields) != columns:
        raise CorrectionFault("wrong_columns", f"{len(fields)} columns, not {columns}; a comma in a text needs quotes")
    if _FORMULA.match(fields[0]):
        raise CorrectionFault("formula", "the text begins like a formula; write an apostrophe before it")
    text = _plain(fields[0])
    try:
        techniques = tuple(_TECHNIQUES.decode(fields[1]))
    except msgspec.DecodeError:
        raise CorrectionFault("bad_techniques", 'techniques are a JSON list: ["T1071"], or [] for none') from None
    if columns == len(HEADER):
        return Correction(text, techniques, now, author)
    time = _number(fields[2], now, "bad_time")
    return Correction(text, techniques, time, _plain(fields[3]) or author, _number(fields[4], 1.0, "bad_confidence"))


def _number(field: str, default: float, reason: str) -> float:
    try:
        return float(field) if field.strip() else default
    except ValueError:
        raise CorrectionFault(reason, "is to be a number") from None


def _escaped(text: str) -> str:
    return f"'{text}" if _FORMULA.match(text) or _ESCAPED.match(text) else text


def _plain(text: str) -> str:
    return text[1:] if _ESCAPED.match(text) else text
