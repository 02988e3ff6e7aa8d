"""Detection rules that are known by id or by title, with the techniques that their authors gave them.

The catalogue is derived by `model/catalogue/derive.py`. Whose rules they are, under which licence, and each rule's
author stand in it, and what must be shown in `NOTICE`.
"""

from __future__ import annotations

import functools
from pathlib import Path

import msgspec

from app.domains.alerts.alert import Techniques
from app.domains.alerts.text import fold

TABLE = Path(__file__).parents[1] / "data" / "catalogue.json"

RULE_CONFIDENCE = 0.95
"""Of an answer by rule id: the author's own word. Not 1, since an author may be mistaken or have left something out."""
TITLE_CONFIDENCE = 0.89
"""Of an answer by title. Where two sources have a rule of one title, the first technique of the one agrees with the
other's in 89 of 100 cases (the same, its parent or its sub-technique); `model/catalogue/derive.py` prints it."""

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
"""What detectors put before a rule's title, folded; the first that fits is taken off, once."""
SUFFIXES = (" - rule",)
"""What they put behind it."""


class Source(msgspec.Struct, frozen=True):
    """Where rules come from."""

    name: str
    url: str
    licence: str
    licence_url: str
    holder: str


class Rule(msgspec.Struct, frozen=True, array_like=True):
    """A rule of the catalogue.

    Attributes:
        title: Its title, as its author wrote it.
        id: Its id, in lower case; empty when its source gives none.
        source: The place of its source among `Rules.sources`.
        author: The place of its author among `Rules.authors`.
        answer: The place of its techniques among `Rules.answers`.
        key: Its title as `title_key` has it: an empty string where that is the title in lower case; None where a title
            is too short to tell a rule by.
    """

    title: str
    id: str
    source: int
    author: int
    answer: int
    key: str | None = ""


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """Techniques, and of each the share of the rules that name it: 1 but where rules of one title disagree."""

    ids: tuple[str, ...]
    shares: tuple[float, ...]


class Rules(msgspec.Struct, frozen=True):
    """The catalogue as a file.

    Attributes:
        notice: What the licences ask to be shown.
        attack_version: The version of ATT&CK whose ids these are.
        sources: Where rules come from.
        authors: Names, as the rules have them.
        answers: Techniques.
        rules: Every rule.
        titles: What titles say that rules share and disagree about: the place among `answers`, -1 for nothing.
    """

    notice: str
    attack_version: str
    sources: tuple[Source, ...]
    authors: tuple[str, ...]
    answers: tuple[Answer, ...]
    rules: tuple[Rule, ...]
    titles: dict[str, int]


class Catalogue:
    """Known rules by id and by title."""

    def __init__(self, rules: Rules) -> None:
        """Takes the rules; `shipped_catalogue` reads those that Millrace ships."""
        by_rule = [_techniques(answer, RULE_CONFIDENCE) for answer in rules.answers]
        by_title = [_techniques(answer, TITLE_CONFIDENCE) for answer in rules.answers]
        self._ids = {rule.id: by_rule[rule.answer] for rule in rules.rules if rule.id}
        self._titles = {
            rule.key or rule.title.lower(): by_title[rule.answer] for rule in rules.rules if rule.key is not None
        }
        for key, answer in rules.titles.items():
            if answer < 0:
                del self._titles[key]
            else:
                self._titles[key] = by_title[answer]

    def by_rule(self, rule_id: str) -> Techniques | None:
        """The techniques of a rule by its id; case does not matter."""
        return self._ids.get(rule_id) or self._ids.get(rule_id.strip().lower())

    def by_title(self, folded: str) -> Techniques | None:
        """The techniques of a rule by its title.

        Args:
            folded: An alert's name, folded; a detector's prefix and a full stop at the end do not matter.
        """
        key = title_key(folded)
        found = self._titles.get(key)
        if found is not None:
            return found
        bare = without_detector(key)
        return self._titles.get(bare) if bare is not key else None


def title_key(folded: str) -> str:
    """A folded title as the catalogue has it: without a full stop at the end."""
    return folded.rstrip(" .")


def without_detector(name: str) -> str:
    """A folded name without the prefix and the suffix that detectors put around a rule's title."""
    for prefix in PREFIXES:
        if name.startswith(prefix):
            name = name[len(prefix) :]
            break
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    return name


@functools.cache
def shipped_catalogue() -> Catalogue:
    """The catalogue that Millrace ships, read once a process."""
    return Catalogue(msgspec.json.decode(TABLE.read_bytes(), type=Rules))


def key_of_title(title: str) -> str:
    """The key by which a rule's title is found."""
    return title_key(fold(title))


def _techniques(answer: Answer, confidence: float) -> Techniques:
    confidences = tuple([round(share * confidence, 4) for share in answer.shares])
    return Techniques(answer.ids, Techniques.CATALOGUE, confidences[0], confidences)
