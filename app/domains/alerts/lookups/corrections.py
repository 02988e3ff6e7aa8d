"""Analysts' corrections of the techniques of an alert text or of a detection rule, and their checks.

A correction assigns techniques to one alert text, or to all alerts of one rule, of all tenants or of one. An empty list
means that it has none; then neither the catalogue nor the model assigns one. The alert's own techniques are used before
a correction, unless it overrides them. The checks refuse what would do harm for as long as the correction is kept: ids
unknown to ATT&CK, a text so general that it matches alerts of every kind, and a time ahead of the clock, which no later
correction could replace.
"""

from __future__ import annotations

import difflib
import itertools
import re
from typing import TYPE_CHECKING, TypeVar

import msgspec

from app.domains.alerts.alert import LONGEST_NAME
from app.domains.alerts.formats.values import LONGEST_TENANT
from app.domains.alerts.text import fold

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.domains.alerts.attack import AttackTable

Age = TypeVar("Age", bound="tuple[object, ...]")

LOOKUP_ROWS = 100_000
"""Corrections that a table keeps, the newest ones: about 20 MB in DynamoDB."""
MOST_TECHNIQUES = 32  # of one correction; no rule of the catalogue has more than 31
LONGEST_AUTHOR = 256  # characters
LONGEST_RULE = 256  # characters of a rule's id; the longest in use are ARNs of some 150
CLOCK_SKEW_S = 24 * 3600  # an analyst's clock may be ahead by a wrong time zone
_LONGEST_SHOWN = 40  # characters of a value in a message
_SIMILAR_IDS = 0.75  # of two ids: one of the five figures may differ, or two of the eight of a sub-technique

_PLACEHOLDER = re.compile(r"<[a-z]+>")
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
"""Characters that neither a CSV file nor DynamoDB can store."""


def rule_key(rule: str) -> str:
    """Return the key of a rule's corrections; no folded text has capitals, so it is no text's key."""
    return f"RULE {rule.strip().lower()}"


def tenant_key(tenant: str, key: str) -> str:
    """Return the key of a tenant's own correction; with the name's length in it, two tenants never share one."""
    return f"TENANT {len(tenant)} {tenant} {key}" if tenant else key


class Correction(msgspec.Struct, frozen=True):
    """The techniques that an analyst assigned to an alert text or to a rule.

    Attributes:
        text: The alert's name; folded, once checked. With a rule it is a note for people.
        techniques: Technique ids; empty for "none". Once checked, current ids, each once.
        time: When it was made, seconds since 1970; the newest correction of a key applies.
        author: The analyst.
        confidence: 0 to 1: confidence in the first technique.
        rule: The rule's id, as alerts carry it, for a correction of all its alerts; in lower case, once checked.
        override: Whether it replaces the techniques that an alert itself carries.
        tenant: The tenant for whose alerts it is; empty for all. A tenant's own is used before one for all.
    """

    text: str
    techniques: tuple[str, ...]
    time: float
    author: str = ""
    confidence: float = 1.0
    rule: str = ""
    override: bool = False
    tenant: str = ""

    @property
    def key(self) -> str:
        """Return the key that tables store a checked correction under: its tenant's, and its rule's, else its text."""
        return tenant_key(self.tenant, rule_key(self.rule) if self.rule else self.text)

    def techniques_json(self) -> str:
        """Return the techniques as a JSON list."""
        return msgspec.json.encode(self.techniques).decode()

    def outranks(self, other: Correction) -> bool:
        """Return whether this correction applies rather than another one of the same key.

        The newer one applies; at the same time, the one whose techniques sort last, so that the order of arrival does
        not matter.
        """
        return (self.time, self.techniques_json()) > (other.time, other.techniques_json())


class RejectedRow(msgspec.Struct, frozen=True):
    """A row that was refused.

    Attributes:
        line: Number of the row's first line in the file, or its position in a list, from 1.
        reason: A code in snake case.
        message: The fault and how to mend it. It may quote the row, so it is never logged.
    """

    line: int
    reason: str
    message: str


class Report(msgspec.Struct, frozen=True):
    """Result of an update; `taken`, `outdated`, `rejected` and `unreported` add up to all rows.

    Attributes:
        taken: Rows that apply now, including repeated ones.
        rejected: Refused rows with the reason, the first ones in order of their lines.
        unreported: Number of refused rows beyond those in `rejected`.
        outdated: Rows for whose text or rule the table had a newer correction.
    """

    taken: int
    rejected: tuple[RejectedRow, ...] = ()
    unreported: int = 0
    outdated: int = 0


class CorrectionFault(Exception):  # noqa: N818 - a fault of the data, not of the program: it ends as a RejectedRow
    """A correction is refused.

    Attributes:
        reason: A code in snake case.
        message: The fault and how to mend it.
    """

    def __init__(self, reason: str, message: str) -> None:
        """Set the reason code and the message."""
        super().__init__(message)
        self.reason, self.message = reason, message


def checked(correction: Correction, table: AttackTable, now: float) -> Correction:
    """Return a correction with its text folded and its techniques as current ids.

    Args:
        correction: The correction as it was given.
        table: ATT&CK.
        now: Seconds since 1970.

    Raises:
        CorrectionFault: It is refused. Its reason is one of `text_too_long`, `rule_too_long`, `not_text`, `empty_text`,
            `too_general`, `too_many_techniques`, `unknown_technique`, `bad_time`, `bad_confidence`,
            `bad_tenant`.
    """
    if len(correction.text) > LONGEST_NAME:
        raise CorrectionFault("text_too_long", f"the alert text has more than {LONGEST_NAME} characters")
    text, rule = fold(correction.text), " ".join(correction.rule.lower().split())
    if len(rule) > LONGEST_RULE:
        raise CorrectionFault("rule_too_long", f"the rule's id has more than {LONGEST_RULE} characters")
    if _NO_TEXT.search(text) or _NO_TEXT.search(rule):
        raise CorrectionFault("not_text", "the alert text holds a NUL character or half of a surrogate pair")
    if not text and not rule:
        raise CorrectionFault("empty_text", "the alert text is empty")
    if not rule and not any(character.isalpha() for character in _PLACEHOLDER.sub("", text)):
        raise CorrectionFault("too_general", "the alert text has no words, only numbers, addresses and the like")
    if len(correction.techniques) > MOST_TECHNIQUES:
        raise CorrectionFault("too_many_techniques", f"more than {MOST_TECHNIQUES} techniques")
    if not 0 <= correction.time <= now + CLOCK_SKEW_S:  # false for NaN too
        raise CorrectionFault("bad_time", "the time must be in seconds since 1970, and not ahead of the clock")
    if not 0 < correction.confidence <= 1:
        raise CorrectionFault("bad_confidence", "the confidence must be above 0 and at most 1")
    techniques = tuple(dict.fromkeys(_current(each, table) for each in correction.techniques))
    if len(correction.tenant) > LONGEST_TENANT or not correction.tenant.isprintable():
        raise CorrectionFault(
            "bad_tenant", f"a tenant has at most {LONGEST_TENANT} characters, none of them unprintable"
        )
    author = " ".join(_NO_TEXT.sub("", correction.author).split())[:LONGEST_AUTHOR]
    tenant = correction.tenant if correction.tenant.strip() else ""
    rest = correction.confidence, rule, correction.override, tenant
    return Correction(text, techniques, correction.time, author, *rest)


def beyond(rows: Iterable[tuple[str, Age]], most: int) -> list[Age]:
    """Return which rows of a table go when it has more than it keeps: the oldest, of the tenants that have the most.

    So one tenant's corrections, however many, push out no other's.

    Args:
        rows: The tenant and the age of each row, which sorts the oldest first.
        most: How many the table keeps.
    """
    of_tenant: dict[str, list[Age]] = {}
    for tenant, age in rows:
        of_tenant.setdefault(tenant, []).append(age)
    gone: list[Age] = []
    for left, ages in zip(
        itertools.count(len(of_tenant), -1), sorted(of_tenant.values(), key=len), strict=False
    ):  # who has few leaves its share to the others
        kept = min(len(ages), -(-most // left))
        most -= kept
        gone += sorted(ages)[: len(ages) - kept]
    return gone


def similar_techniques(written: str, table: AttackTable) -> list[str]:
    """Return up to three technique ids that may be meant by one that ATT&CK does not have, or by a name."""
    ids = difflib.get_close_matches(written.strip().upper(), table.techniques, cutoff=_SIMILAR_IDS)
    names = {each.name.lower(): each.id for each in table.techniques.values()}
    return ids or [names[name] for name in difflib.get_close_matches(written.strip().lower(), names)]


def _current(technique: str, table: AttackTable) -> str:
    """Return the current id. Unlike in alerts, a mistyped sub-technique is refused: its author can correct it."""
    written = technique.strip().upper()
    found = table.current(written) if table.knows(written) else None
    if found is None:
        raise CorrectionFault(
            "unknown_technique", f"ATT&CK {table.version} has no technique {technique[:_LONGEST_SHOWN]!r}"
        )
    return found
