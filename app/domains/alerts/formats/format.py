"""Description of a format: its name, how to recognize it, the paths of its fields, and its reader."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from app.domains.alerts.alert import Alert
from app.domains.alerts.formats.mapping import Table  # noqa: TC001 - msgspec reads the annotation

Read = Callable[[Any, str, float | None], Alert]
"""Reader of a record (an object or a line of text), with the tenant if it names none, and its arrival."""


class Format(msgspec.Struct, frozen=True, kw_only=True):
    """A format of alerts.

    Attributes:
        name: The short name: `suricata`.
        title: The usual name.
        known_by: Its distinguishing features, in words.
        matches: Returns whether a record (an object, or a line of a line format) has this format.
        read: Reads the alert; raises `AlertFault`.
        tables: Paths of its fields, by the case that a table applies to.
        notes: Remarks for the documentation.
    """

    name: str
    title: str
    known_by: str
    matches: Callable[[Any], bool]
    read: Read
    tables: tuple[tuple[str, Table], ...]
    notes: tuple[str, ...] = ()
