"""Texts: folding, and what renders them."""

from __future__ import annotations

import csv
import html
import io
import json

from app.domains.alerts.text import fold
from app.text import (
    csv_cell,
    is_formula,
    json_text,
    one_line,
    printable_lines,
    text_of_csv_cell,
    whole_line,
    without_credentials,
)
from devtools.fuzz.target import promise

LONGEST = 4096  # characters


def text_of(data: bytes) -> str:
    """Return bytes as a text, in which halves of surrogate pairs stand for bytes that are not UTF-8."""
    return data.decode("utf-8", "surrogateescape")


def check_folding(data: bytes) -> None:
    """Fold a text: twice is as once, and it is one line."""
    folded = fold(text_of(data)[:LONGEST])
    promise(fold(folded) == folded, "folding a folded text changes it")
    promise(folded == " ".join(folded.split()), "a folded text is not one line of single blanks")


def check_renderers(data: bytes) -> None:
    """Render a text for a terminal, JSON, CSV and HTML: nothing in it is a control character, a formula or markup."""
    text = text_of(data)[:LONGEST]
    promise(one_line(text).isprintable(), "a line for a terminal has a character that it may obey")
    promise(whole_line(text).isprintable(), "a line of a log or an error has a character that a terminal may obey")
    left = without_credentials(text)
    promise(without_credentials(left) == left, "credentials are left after they were left out")
    lines = printable_lines(text)
    promise(all(each.isprintable() or each in "\n\t" for each in lines), "a text for HTML has a control character")
    promise("<" not in html.escape(lines), "a text for HTML has markup")
    written = json_text(text)
    promise(json.loads(written) == text, "JSON for a terminal has another value")
    promise(written.isprintable(), "JSON for a terminal has a character that it may obey")
    cell = csv_cell(text)
    promise(not is_formula(cell), "a cell is a formula")
    promise(text_of_csv_cell(cell) == text, "a cell is read as another text")
    if "\0" not in text:
        table = io.StringIO(newline="")
        csv.writer(table).writerow([cell, "next"])
        promise(next(csv.reader(io.StringIO(table.getvalue(), newline=""))) == [cell, "next"], "a cell breaks its row")
