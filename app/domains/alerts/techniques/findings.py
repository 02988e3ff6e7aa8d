"""Techniques that the finding types of Amazon GuardDuty and the notices of Zeek imply.

A type is one of a fixed list and states what was seen, where a title names instances; so the type decides.
`data/findings.toml` lists them with their sources.
"""

from __future__ import annotations

import functools
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from app.domains.alerts.alert import RULE_ID, Techniques, texts_of

if TYPE_CHECKING:
    from collections.abc import Mapping

TABLE = Path(__file__).parents[1] / "data" / "findings.toml"

TYPE_CONFIDENCE = 0.9
"""Confidence of the techniques of a listed type: a type such as `AnomalousBehavior` covers several calls."""
PURPOSE_CONFIDENCE = 0.6
"""Confidence of the techniques of a type's purpose alone, for types that are newer than the table."""

_KEYS = (RULE_ID, "Types", "finding_info.types")
"""Attributes with the type: of GuardDuty's own findings, of Security Hub's and of OCSF's."""
_TYPE = re.compile(r"(?:[^/:]{1,64}/){0,3}([A-Za-z]{1,32}):([A-Za-z0-9]{1,32})[/-]([A-Za-z0-9&.!]{1,128})")
"""`Purpose:Resource/Name`; Security Hub writes `TTPs/Command and Control/Purpose:Resource-Name`."""


class TypeGroup(msgspec.Struct, frozen=True):
    """Types that imply the same techniques, the surest first; none if they imply none."""

    techniques: tuple[str, ...]
    types: tuple[str, ...]


class FindingTypes(msgspec.Struct, frozen=True, dict=True):
    """The file of finding types.

    Attributes:
        purposes: Techniques by the purpose of a type that is not listed.
        types: Listed types by their techniques.
        notices: Techniques by the name of a notice of Zeek.
    """

    purposes: dict[str, tuple[str, ...]]
    types: tuple[TypeGroup, ...]
    notices: dict[str, tuple[str, ...]]

    def by_type(self, text: str) -> Techniques | None:
        """Return the techniques of a finding's type, or None if the text is no type that is known.

        Args:
            text: `Backdoor:EC2/C&CActivity.B!DNS`, in the form of GuardDuty or of Security Hub, or
                `SSH::Password_Guessing`, a notice of Zeek.
        """
        if "::" in text:
            return self._notices.get(text)
        found = _TYPE.fullmatch(text)
        if found is None:
            return None
        purpose, resource, name = (part.lower() for part in found.groups())
        return (
            self._listed.get((purpose, resource, name))
            or self._alike.get((purpose, name))
            or self._purposes.get(purpose)
        )

    @functools.cached_property
    def _notices(self) -> dict[str, Techniques]:
        return {name: _answer(ids, TYPE_CONFIDENCE) for name, ids in self.notices.items()}

    @functools.cached_property
    def _listed(self) -> dict[tuple[str, str, str], Techniques]:
        found: dict[tuple[str, str, str], Techniques] = {}
        for group in self.types:
            answer = _answer(group.techniques, TYPE_CONFIDENCE)
            for each in group.types:
                purpose, _, rest = each.lower().partition(":")
                resource, _, name = rest.partition("/")
                found[purpose, resource, name] = answer
        return found

    @functools.cached_property
    def _alike(self) -> dict[tuple[str, str], Techniques]:
        """Answers by purpose and name, of names that have the same one for each resource."""
        found: dict[tuple[str, str], set[Techniques]] = {}
        for (purpose, _, name), answer in self._listed.items():
            found.setdefault((purpose, name), set()).add(answer)
        return {key: answers.pop() for key, answers in found.items() if len(answers) == 1}

    @functools.cached_property
    def _purposes(self) -> dict[str, Techniques]:
        return {purpose.lower(): _answer(ids, PURPOSE_CONFIDENCE) for purpose, ids in self.purposes.items()}


@functools.cache
def shipped_finding_types() -> FindingTypes:
    """Return the table that Millrace ships, read once a process, with the first finding."""
    return msgspec.convert(tomllib.loads(TABLE.read_text(encoding="utf-8")), FindingTypes)


def techniques_of_finding(attributes: Mapping[str, Any]) -> Techniques | None:
    """Return the techniques of the finding type that an alert's attributes have, or None if they have none."""
    for key in _KEYS:
        for text in texts_of(attributes, key) if key in attributes else ():
            if ":" in text and (found := shipped_finding_types().by_type(text)) is not None:
                return found
    return None


def _answer(ids: tuple[str, ...], confidence: float) -> Techniques:
    if not ids:
        return Techniques((), Techniques.UNKNOWN, 0.0)
    return Techniques(ids, Techniques.CATALOGUE, confidence, (confidence,) * len(ids))
