"""What analysts say of alert texts, checked before it is believed.

A correction says of one alert text which techniques it has; an empty list says "none", and stands like any other, so
that neither the catalogue nor the model gives it one. What is checked is what would do harm for as long as the
correction stands: ids that ATT&CK does not know, a text so general that it would fit alerts of every kind, a time
ahead of the clock, which no later correction could overrule.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from app.domains.alerts.alert import LONGEST_NAME
from app.domains.alerts.text import fold

if TYPE_CHECKING:
    from app.domains.alerts.attack import AttackTable

LOOKUP_ROWS = 100_000
"""Corrections that a table keeps, the newest: as many as the system before it, about 20 MB of DynamoDB."""
MOST_TECHNIQUES = 32  # of one correction: the rule with the most has 31
LONGEST_AUTHOR = 256  # characters
CLOCKS_APART_S = 24 * 3600  # that an analyst's clock may be ahead of ours: a day also hides a wrong time zone
_LONGEST_SHOWN = 40  # characters of a value in a message

_PLACEHOLDER = re.compile(r"<[a-z]+>")
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
"""What neither a CSV nor DynamoDB can hold."""


class Correction(msgspec.Struct, frozen=True):
    """Which techniques an alert text has.

    Attributes:
        text: The alert's name; of a checked correction, folded.
        techniques: Ids; empty for "none". Of a checked correction they are current ones, each once.
        time: When it was said, seconds since 1970: of two about one text the newer one counts.
        author: Who said it.
        confidence: 0 to 1: how sure they are of the first technique.
    """

    text: str
    techniques: tuple[str, ...]
    time: float
    author: str = ""
    confidence: float = 1.0

    def written(self) -> str:
        """The techniques as a JSON list."""
        return msgspec.json.encode(self.techniques).decode()

    def outranks(self, other: Correction) -> bool:
        """Whether this one counts rather than another one of the same text.

        The newer one does; of two of one moment the one whose techniques sort last, so that the order in which they
        arrive does not matter.
        """
        return (self.time, self.written()) > (other.time, other.written())


class RejectedRow(msgspec.Struct, frozen=True):
    """A row that was not taken.

    Attributes:
        line: The line of the file on which it begins, or its place in a list, from 1.
        reason: A code in snake case.
        message: What is wrong and how to mend it; it may quote the row: never logged.
    """

    line: int
    reason: str
    message: str


class Report(msgspec.Struct, frozen=True):
    """What became of corrections: `taken`, `outdated`, `rejected` and `unreported` are all of them together.

    Attributes:
        taken: Those that hold now, a repeated one counted each time.
        rejected: Those that were not taken, with the reason; the first ones, by their lines.
        unreported: How many more were not taken than `rejected` shows.
        outdated: Those of whose text the table knew something newer.
    """

    taken: int
    rejected: tuple[RejectedRow, ...] = ()
    unreported: int = 0
    outdated: int = 0


class CorrectionFault(Exception):  # noqa: N818 - a fault of the data, not of the program: it ends as a RejectedRow
    """A correction that cannot be taken.

    Attributes:
        reason: A code in snake case.
        message: What is wrong and how to mend it.
    """

    def __init__(self, reason: str, message: str) -> None:
        """Takes the reason's code and the message."""
        super().__init__(message)
        self.reason, self.message = reason, message


def checked(correction: Correction, table: AttackTable, now: float) -> Correction:
    """A correction with its text folded and its techniques as current ids.

    Args:
        correction: As it was given.
        table: What ATT&CK knows.
        now: Seconds since 1970.

    Raises:
        CorrectionFault: It cannot be taken. The reasons: `text_too_long`, `not_text`, `empty_text`, `too_general`,
            `too_many_techniques`, `unknown_technique`, `bad_time`, `bad_confidence`.
    """
    if len(correction.text) > LONGEST_NAME:
        raise CorrectionFault("text_too_long", f"the alert text has more than {LONGEST_NAME} characters")
    text = fold(correction.text)
    if _NO_TEXT.search(text):
        raise CorrectionFault("not_text", "the alert text holds a NUL character or half of a surrogate pair")
    if not text:
        raise CorrectionFault("empty_text", "the alert text is empty")
    if not any(character.isalpha() for character in _PLACEHOLDER.sub("", text)):
        raise CorrectionFault("too_general", "the alert text has no word in it but what differs from alert to alert")
    if len(correction.techniques) > MOST_TECHNIQUES:
        raise CorrectionFault("too_many_techniques", f"more than {MOST_TECHNIQUES} techniques")
    if not 0 <= correction.time <= now + CLOCKS_APART_S:  # of NaN neither is true
        raise CorrectionFault("bad_time", "the time is to be seconds since 1970, and not ahead of the clock")
    if not 0 < correction.confidence <= 1:
        raise CorrectionFault("bad_confidence", "the confidence is to be over 0 and up to 1")
    techniques = tuple(dict.fromkeys(_current(each, table) for each in correction.techniques))
    author = " ".join(_NO_TEXT.sub("", correction.author).split())[:LONGEST_AUTHOR]
    return Correction(text, techniques, correction.time, author, correction.confidence)


def _current(technique: str, table: AttackTable) -> str:
    """The id of today; a mistyped one is not read as its parent here, since whoever wrote it can be asked."""
    written = technique.strip().upper()
    found = table.current(written) if table.knows(written) else None
    if found is None:
        raise CorrectionFault(
            "unknown_technique", f"ATT&CK {table.version} has no technique {technique[:_LONGEST_SHOWN]!r}"
        )
    return found
