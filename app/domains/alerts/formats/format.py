"""What a format is: its name, how it is known, where its fields are, and what reads it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from app.domains.alerts.alert import Alert
from app.domains.alerts.formats.mapping import Table  # noqa: TC001 - msgspec reads the annotation

Read = Callable[[Any, str, float | None], Alert]
"""A record (an object, or a line of text), the tenant where it names none, when it was received."""


class Format(msgspec.Struct, frozen=True, kw_only=True):
    """A format that alerts come in.

    Attributes:
        name: Short: `suricata`.
        title: As people call it.
        known_by: What tells it from others, in words.
        matches: Whether a record is of it: an object, or for a format of lines a line.
        read: Makes the alert; raises `AlertFault`.
        tables: Where its fields are; several with the case that each is for.
        notes: What a table cannot say.
    """

    name: str
    title: str
    known_by: str
    matches: Callable[[Any], bool]
    read: Read
    tables: tuple[tuple[str, Table], ...]
    notes: tuple[str, ...] = ()
