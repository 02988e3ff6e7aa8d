"""Formats that are stated as data: features to recognize them by, and a table of paths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.domains.alerts.formats.format import Format
from app.domains.alerts.formats.mapping import FieldReader, Table
from app.domains.alerts.formats.marks import AnyOf, Marks, in_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.domains.alerts.alert import Alert


def closing(title: str, *states: str) -> dict[str, str]:
    """Return the states that close an alert, each with its words: "TheHive stage Closed"."""
    return {state.lower(): f"{title} {state}" for state in states}


def declared(
    name: str,
    title: str,
    marks: tuple[Marks, ...],
    table: Table,
    *,
    prepare: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    notes: tuple[str, ...] = (),
) -> Format:
    """Return a format of JSON objects.

    Args:
        name: The short name: `falco`.
        title: The usual name.
        marks: Sets of features, one of which a record has.
        table: Paths of its fields.
        prepare: Returns a record in the form that the table reads, such as with JSON in a text parsed; it never raises.
        notes: Remarks for the documentation.
    """
    reader = FieldReader(title, name, table)

    def read(record: dict[str, Any], tenant: str = "", received: float | None = None) -> Alert:
        return reader.read(prepare(record) if prepare else record, tenant, received)

    matches, known_by = AnyOf(marks).match, in_words(marks)
    return Format(
        name=name, title=title, known_by=known_by, matches=matches, read=read, tables=(("", table),), notes=notes
    )
