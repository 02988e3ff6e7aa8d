"""ATT&CK's techniques and tactics: ids, names, successors of retired ids, and the order of the kill chain.

The table is derived by `model/attack/derive.py`; it contains its notice, as `NOTICE` does.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

import msgspec

TABLE = Path(__file__).parent / "data" / "attack.json"
TECHNIQUE_ID = re.compile(r"(?<![0-9A-Z])T[0-9]{4}(?:[./][0-9]{3})?(?![0-9])")
"""An id in capitals anywhere in a text; URLs of ATT&CK write a sub-technique with a slash."""
LONGEST_ID_TEXT = 512  # characters that are searched for an id: a URL of ATT&CK has about 60


class Tactic(msgspec.Struct, frozen=True):
    """A tactic: `TA0004`, `privilege-escalation`, `Privilege Escalation`."""

    id: str
    short_name: str
    name: str


class Technique(msgspec.Struct, frozen=True):
    """A technique or sub-technique.

    Attributes:
        id: `T1059`, or `T1059.001` for a sub-technique.
        name: Its name; a sub-technique's is without its parent's.
        tactics: Short names of its tactics.
        stix_id: Its id in ATT&CK's own STIX bundle.
    """

    id: str
    name: str
    tactics: tuple[str, ...]
    stix_id: str


class AttackTable(msgspec.Struct, frozen=True, dict=True):
    """The enterprise matrix of one version of ATT&CK.

    Attributes:
        version: ATT&CK's version.
        notice: The notice that its terms of use ask for.
        tactics: In the order of the kill chain.
        techniques: By id.
        retired: The successor of each retired id; empty if it has none.
    """

    version: str
    notice: str
    tactics: tuple[Tactic, ...]
    techniques: dict[str, Technique]
    retired: dict[str, str]

    def current(self, technique: str) -> str | None:
        """Return the current id: itself, its successor, or the parent of an unknown sub-technique.

        Args:
            technique: Text from a sender with an id in any case (`attack.t1059.001`,
                `https://attack.mitre.org/techniques/T1059/001/`); the first id in it is used.

        Returns:
            None if ATT&CK has no such technique, or retired it without a successor.
        """
        if technique in self.techniques:
            return technique
        found = TECHNIQUE_ID.search(technique[:LONGEST_ID_TEXT].upper())
        if found is None:
            return None
        written = found[0].replace("/", ".")
        for wanted in (written, parent_of(written)):
            now = self.retired.get(wanted, wanted)
            if now in self.techniques:
                return now
        return None

    def knows(self, technique: str) -> bool:
        """Return whether exactly this id is a technique of this version, or a retired one with a successor."""
        return technique in self.techniques or bool(self.retired.get(technique))

    def named(self, name: str) -> str | None:
        """Return the id of a technique by its name in any case, or None; a technique precedes sub-techniques."""
        return self._names.get(name.strip().lower())

    def tactics_of(self, technique: str) -> tuple[str, ...]:
        """Return the short names of a technique's tactics; none if it is unknown."""
        found = self.techniques.get(technique)
        return found.tactics if found else ()

    def stage_of(self, tactic: str) -> int:
        """Return a tactic's position in the kill chain, 0 for reconnaissance.

        Raises:
            KeyError: The tactic is unknown.
        """
        return self._stages[tactic]

    def tactic(self, short_name: str) -> Tactic:
        """Return a tactic by its short name.

        Raises:
            KeyError: The tactic is unknown.
        """
        return self.tactics[self._stages[short_name]]

    @functools.cached_property
    def _names(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for each in sorted(self.techniques, key=lambda id_: ("." in id_, id_)):
            found.setdefault(self.techniques[each].name.lower(), each)
        return found

    @functools.cached_property
    def _stages(self) -> dict[str, int]:
        return {tactic.short_name: stage for stage, tactic in enumerate(self.tactics)}


def parent_of(technique: str) -> str:
    """Return the technique of a sub-technique, or a technique itself."""
    return technique.partition(".")[0]


@functools.cache
def attack_table() -> AttackTable:
    """Return the table that Millrace ships, read once a process."""
    return msgspec.json.decode(TABLE.read_bytes(), type=AttackTable)
