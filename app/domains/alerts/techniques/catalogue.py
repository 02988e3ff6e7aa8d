"""Catalogue of detection rules by id and by title, with the techniques that their authors assigned.

The shipped one is derived from public rules by `model/catalogue/derive.py`, and contains each rule's source, licence
and author; `NOTICE` has the notices that the licences ask for. One's own rules come before it: a bundle of the name
`rules` that `millrace model learn technique` writes.
"""

from __future__ import annotations

import functools
import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from app.domains.alerts.alert import LONGEST_NAME, Techniques
from app.domains.alerts.text import fold
from app.inference.bundle import find_bundle_if_any
from app.inference.manifest import decode_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.inference.bundle import Bundle

OWN_RULES, RULES_FILE = "rules", "catalogue.json"
"""The name of the bundle with one's own rules, and its file."""
TABLE = Path(__file__).parents[1] / "data" / "catalogue.json"

RULE_CONFIDENCE = 0.95
"""Confidence of a match by rule id. Not 1, since the author may be mistaken or have left something out."""
TITLE_CONFIDENCE = 0.89
"""Confidence of a match by title. Where two sources have a rule of the same title, their first techniques agree in 89
of 100 cases (the same one, its parent or its sub-technique); `model/catalogue/derive.py` prints it."""

PREFIXES = (
    "suricata: alert - ",  # AIT's data sets and others, before the signature's text
    "suricata: ",
    "snort: ",
    "wazuh: ",
    "sigma: ",
    "sigma rule: ",
    "malicious behavior detection alert: ",  # Elastic Endpoint, before the rule's name
    "malicious behavior prevention alert: ",
    "memory threat detection alert: ",
    "memory threat prevention alert: ",
    "malware detection alert: ",
    "malware prevention alert: ",
    "ransomware detection alert: ",
    "escu - ",  # Splunk's Enterprise Security content: "ESCU - <title> - Rule"
    "rir - ",
)
"""Folded texts that detectors put before a rule's title; the first that matches is removed, once."""
SUFFIXES = (" - rule",)
"""Texts that they put after it."""

SHARED_WORDS = 0.5
"""Of a rule's title, in an alert that has the rule's number. Numbers are given again by each product (5710 is a rule of
Wazuh and one of Snort), and titles change a little between versions of a rule."""
_SIGNATURE = re.compile(r"\d+:(\d+):\d+")  # generator, signature and revision, as Snort writes them together
_WORD = re.compile(r"[^\W_]+")


class Source(msgspec.Struct, frozen=True):
    """A source of rules."""

    name: str
    url: str
    licence: str
    licence_url: str
    holder: str


class Rule(msgspec.Struct, frozen=True, array_like=True):
    """A rule of the catalogue.

    Attributes:
        title: The title, as its author wrote it.
        id: The id in lower case; empty if the source has none.
        source: Index in `Rules.sources`.
        author: Index in `Rules.authors`.
        answer: Index in `Rules.answers`.
        key: The `title_key` of its title: empty if that is the title in lower case, None if the title is too short to
            identify a rule.
    """

    title: str
    id: str
    source: int
    author: int
    answer: int
    key: str | None = ""


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """Techniques, and for each the share of the rules that have it: below 1 where rules of one title disagree."""

    ids: tuple[str, ...]
    shares: tuple[float, ...]


class Rules(msgspec.Struct, frozen=True):
    """The catalogue's file.

    Attributes:
        notice: Notices that the licences ask for.
        attack_version: Version of ATT&CK that the ids belong to.
        sources: Sources of rules.
        authors: Authors' names.
        answers: Distinct sets of techniques.
        rules: All rules.
        titles: For titles on which several rules disagree, the index in `answers`, or -1 for none.
    """

    notice: str
    attack_version: str
    sources: tuple[Source, ...]
    authors: tuple[str, ...]
    answers: tuple[Answer, ...]
    rules: tuple[Rule, ...]
    titles: dict[str, int]


class Catalogue:
    """Detection rules by id and by title."""

    def __init__(self, rules: Rules, after: Catalogue | None = None) -> None:
        """Index rules.

        Args:
            rules: The rules; `shipped_catalogue` reads those that Millrace ships.
            after: The catalogue that is asked where these have no answer.
        """
        self._after = after
        by_rule = [_techniques(answer, RULE_CONFIDENCE) for answer in rules.answers]
        by_title = [_techniques(answer, TITLE_CONFIDENCE) for answer in rules.answers]
        self._ids = {rule.id: by_rule[rule.answer] for rule in rules.rules if rule.id and not rule.id.isdecimal()}
        self._numbers: defaultdict[str, list[tuple[str, Techniques]]] = defaultdict(list)
        for rule in rules.rules:
            if rule.id.isdecimal():
                self._numbers[rule.id].append((rule.title, by_rule[rule.answer]))
        self._titles = {
            rule.key or rule.title.lower(): by_title[rule.answer] for rule in rules.rules if rule.key is not None
        }
        for key, answer in rules.titles.items():
            if answer < 0:
                del self._titles[key]
            else:
                self._titles[key] = by_title[answer]

    def by_rule(self, rule_id: str, name: str = "") -> Techniques | None:
        """Return the techniques of a rule by its id in any case, or None.

        Args:
            rule_id: The id in an alert.
            name: The alert's name. A rule whose id is a number must share words with it.
        """
        found = self._ids.get(rule_id) or self._ids.get(rule_id.strip().lower())
        if found is None and self._numbers:
            found = self._by_number(rule_id.strip(), name[:LONGEST_NAME])
        return self._after.by_rule(rule_id, name) if found is None and self._after else found

    def _by_number(self, rule_id: str, name: str) -> Techniques | None:
        """Return the techniques of the numbered rule with the title most like the name; None if none is like it."""
        signature = _SIGNATURE.fullmatch(rule_id)
        numbered = self._numbers.get(signature[1] if signature else rule_id)
        if numbered is None:
            return None
        alike = max(numbered, key=lambda rule: _shared(rule[0], name))
        return alike[1] if _shared(alike[0], name) >= SHARED_WORDS else None

    def by_title(self, folded: str) -> Techniques | None:
        """Return the techniques of a rule by its title, or None.

        Args:
            folded: An alert's folded name, with or without a detector's prefix and a full stop.
        """
        key = title_key(folded)
        found = self._titles.get(key)
        if found is not None:
            return found
        bare = without_detector(key)
        found = self._titles.get(bare) if bare is not key else None
        return self._after.by_title(folded) if found is None and self._after else found


def title_key(folded: str) -> str:
    """Return a folded title without a full stop at the end, as the catalogue has it."""
    return folded.rstrip(" .")


def without_detector(name: str) -> str:
    """Return a folded name without a detector's prefix and suffix."""
    for prefix in PREFIXES:
        if name.startswith(prefix):
            name = name[len(prefix) :]
            break
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    return name


@functools.cache
def shipped_catalogue() -> Catalogue:
    """Return the catalogue that Millrace ships, read once a process."""
    return Catalogue(msgspec.json.decode(TABLE.read_bytes(), type=Rules))


def open_catalogue(run_id: str, location: str, keys: Sequence[str] = ()) -> Catalogue:
    """Return one's own rules before the shipped ones; the shipped ones alone if there are no others.

    Args:
        run_id: The run id of one's own rules; empty stands for the newest.
        location: The location of bundles; empty stands for this repository's.
        keys: `MODEL_KEYS`, of which one must have signed the bundle; without any, no signature is asked for.

    Raises:
        ModelError: There is no such run, or its bundle cannot be read.
    """
    bundle = find_bundle_if_any(OWN_RULES, run_id, location, keys)
    if bundle is None:
        return shipped_catalogue()
    return bundle.load(_own_rules)


def _own_rules(bundle: Bundle) -> Catalogue:
    return Catalogue(decode_json(bundle.read(RULES_FILE), Rules, RULES_FILE), shipped_catalogue())


def key_of_title(title: str) -> str:
    """Return the key of a rule's title."""
    return title_key(fold(title))


def _techniques(answer: Answer, confidence: float) -> Techniques:
    confidences = tuple([round(share * confidence, 4) for share in answer.shares])
    return Techniques(answer.ids, Techniques.CATALOGUE, confidences[0], confidences)


def _shared(title: str, name: str) -> float:
    """Return the share of a title's words that a name has."""
    if title == name:
        return 1.0
    words = set(_WORD.findall(fold(title)))
    return len(words & set(_WORD.findall(fold(name)))) / len(words) if words else 0.0
