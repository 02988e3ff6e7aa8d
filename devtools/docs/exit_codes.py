"""Make the page `docs/exit-codes.md`: every error with its exit code and its HTTP status."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app import errors
from app.errors import MillraceError
from devtools.docs.schema_tables import table

if TYPE_CHECKING:
    from collections.abc import Iterator

INTRODUCTION = """\
# Exit codes and statuses

A command that cannot go on prints one line, which says what happened and how to mend it, and ends with the exit code of
its error. The API answers with the status; below 500 the response has the line too, from 500 on only the log has it.
Whatever else a handler raises becomes a `HandlerFailedError`, and the log has its type and where it was raised.

This page is made from `app/errors.py` by `python -m devtools.docs`; a test compares the two.
"""

CUSTOMS = (
    ("0", "success"),
    ("2", "a wrong command line"),
    ("3", "`millrace cloud status`: a part of the local cloud does not run"),
    ("60", "`millrace doctor`: it found an error"),
    ("130", "Ctrl-C"),
)


def exit_codes() -> str:
    """Make the page."""
    kinds = sorted(_below(MillraceError), key=lambda kind: kind.exit_code)
    rows = [
        [str(kind.exit_code), f"`{kind.__name__}`", str(kind.status), (kind.__doc__ or "").partition("\n")[0]]
        for kind in kinds
        if kind.__module__ == errors.__name__
    ]
    return "\n".join(
        [
            INTRODUCTION,
            "## Errors\n",
            table(["exit code", "error", "status", "when"], rows),
            "## Other exit codes\n",
            table(["exit code", "when"], [list(row) for row in CUSTOMS]),
        ]
    )


def _below(kind: type[MillraceError]) -> Iterator[type[MillraceError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _below(each)
