"""Techniques that the names of network signatures imply: by phrase, class, classtype and sid.

A signature's name is too short and too regular for the technique model: `ET SCAN …` states a technique by its class,
and `GPL ICMP_INFO PING …` none. `data/signatures.toml` lists which words imply which technique.
"""

from __future__ import annotations

import bisect
import functools
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from app.domains.alerts.alert import RULE_ID, Techniques
from app.domains.alerts.techniques.catalogue import without_detector

if TYPE_CHECKING:
    from collections.abc import Mapping

TABLE = Path(__file__).parents[1] / "data" / "signatures.toml"

SIGNATURE_CONFIDENCE = 0.85
"""Confidence of a technique that a signature's name, class or sid implies: `model/technique/README.md` has how often
such an answer is right."""
CLASSTYPE_KEYS = ("alert.category", "classification")
"""Attributes with the classtype's words: Suricata's, Snort's."""

_PREFIXED = re.compile(r"(?:et|etpro|gpl) (?P<class>[a-z0-9_]+):? (?P<words>.+)")
_TALOS = re.compile(r"(?P<class>[a-z]+(?:-[a-z]+)+) (?P<words>.+)")
NO_TECHNIQUE = Techniques((), Techniques.UNKNOWN, 0.0)
"""The answer for a signature that implies no technique; the model is not asked."""


class Phrase(msgspec.Struct, frozen=True):
    """Words that imply techniques.

    Attributes:
        words: A regular expression on the folded name behind its class.
        techniques: Ids, the surest first.
        classes: The only classes in which it counts; empty for all.
        then: A regular expression on what is behind the words; empty for none.
    """

    words: str
    techniques: tuple[str, ...]
    classes: frozenset[str] = frozenset()
    then: str = ""


class SignatureTable(msgspec.Struct, frozen=True):
    """The file of network signatures.

    Attributes:
        without: Regular expressions at the beginning of any detector's name that imply no technique.
        phrases: Tried in order.
        classes: Techniques of a class for names without such a phrase.
        classtypes: Techniques by the words of a classification.
        sids: Techniques by `first` or `first-last`; ranges do not overlap.
    """

    without: tuple[str, ...]
    phrases: tuple[Phrase, ...]
    classes: dict[str, tuple[str, ...]]
    classtypes: dict[str, tuple[str, ...]]
    sids: dict[str, tuple[str, ...]]


class Signatures:
    """Network signatures by name, classtype and sid."""

    def __init__(self, table: SignatureTable) -> None:
        """Index a table; `shipped_signatures` reads the one that Millrace ships."""
        self._without = re.compile("|".join(table.without))
        self._phrases = [
            (re.compile(each.words), re.compile(each.then), each.classes, _answer(each.techniques))
            for each in table.phrases
        ]
        self._classes = {name: _answer(ids) for name, ids in table.classes.items()}
        self._classtypes = {name: _answer(ids) for name, ids in table.classtypes.items()}
        spans = sorted((*_span(each), _answer(ids)) for each, ids in table.sids.items())
        self._firsts = [first for first, _, _ in spans]
        self._spans = spans

    def by_name(self, folded: str) -> Techniques | None:
        """Return the techniques that a folded name implies, `NO_TECHNIQUE`, or None if it says nothing about them."""
        name = without_detector(folded)
        if self._without.match(name):
            return NO_TECHNIQUE
        found = _PREFIXED.match(name) or _TALOS.match(name)
        if found is None:
            return None
        own, words = found["class"], found["words"]
        if "-" in own and own not in self._classes:
            return None  # an ordinary word with a dash
        for pattern, then, classes, techniques in self._phrases:
            if classes and own not in classes:
                continue
            first = pattern.search(words)
            if first and then.search(words, first.end()):
                return techniques
        return self._classes.get(own)

    def by_attributes(self, attributes: Mapping[str, Any]) -> Techniques | None:
        """Return the techniques that an alert's sid or classtype implies, `NO_TECHNIQUE`, or None."""
        found = self._by_sid(attributes.get(RULE_ID))
        if found is not None:
            return found
        for key in CLASSTYPE_KEYS:
            text = attributes.get(key)
            if text and isinstance(text, str) and (found := self._classtypes.get(text.strip().lower())) is not None:
                return found
        return None

    def _by_sid(self, rule_id: object) -> Techniques | None:
        text = str(rule_id) if isinstance(rule_id, int | str) else ""
        if len(text) != _SID_DIGITS or not text.isascii() or not text.isdigit():
            return None
        sid = int(text)
        place = bisect.bisect_right(self._firsts, sid) - 1
        return self._spans[place][2] if place >= 0 and sid <= self._spans[place][1] else None


_SID_DIGITS = 7  # of Emerging Threats' and GPL's ids; rule ids of other products are shorter, or no numbers


@functools.cache
def shipped_signatures() -> Signatures:
    """Return the signatures that Millrace ships, read once a process."""
    return Signatures(msgspec.convert(tomllib.loads(TABLE.read_text("utf-8")), SignatureTable))


def _answer(ids: tuple[str, ...]) -> Techniques:
    if not ids:
        return NO_TECHNIQUE
    return Techniques(ids, Techniques.CATALOGUE, SIGNATURE_CONFIDENCE, (SIGNATURE_CONFIDENCE,) * len(ids))


def _span(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    return int(first), int(last or first)
