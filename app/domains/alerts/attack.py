"""ATT&CK's techniques and tactics: ids, names, which retired id became which, and the kill chain's order.

The table is derived by `model/attack/derive.py`; its notice stands in it and in `NOTICE`.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

import msgspec

TABLE = Path(__file__).parent / "data" / "attack.json"
TECHNIQUE_ID = re.compile(r"(?<![0-9A-Z])T[0-9]{4}(?:[./][0-9]{3})?(?![0-9])")
"""An id in capitals, wherever it stands in a text; a sub-technique's with a slash is the form of ATT&CK's addresses."""
LONGEST_ID_TEXT = 512  # characters that are searched for an id: an address of ATT&CK's has about 60


class Tactic(msgspec.Struct, frozen=True):
    """A tactic: `TA0004`, `privilege-escalation`, `Privilege Escalation`."""

    id: str
    short_name: str
    name: str


class Technique(msgspec.Struct, frozen=True):
    """A technique or sub-technique.

    Attributes:
        id: `T1059`, or `T1059.001` for a sub-technique.
        name: Its name; a sub-technique's own, without its parent's.
        tactics: Short names of the tactics that it serves.
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
        notice: What its terms ask to be shown.
        tactics: In the order of the kill chain.
        techniques: By id.
        retired: The id that took a retired one's place; empty when none did.
    """

    version: str
    notice: str
    tactics: tuple[Tactic, ...]
    techniques: dict[str, Technique]
    retired: dict[str, str]

    def current(self, technique: str) -> str | None:
        """The id that is valid now: itself, what took its place, the parent where a sub-technique is not known.

        Args:
            technique: As a sender wrote it: case, blanks and text around it do not matter (`attack.t1059.001`,
                `https://attack.mitre.org/techniques/T1059/001/`); the first id in it counts.

        Returns:
            None when ATT&CK has no such technique, or retired it and put nothing in its place.
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
        """Whether this very id, as it stands, is a technique of this version, or one that it says what became of."""
        return technique in self.techniques or bool(self.retired.get(technique))

    def tactics_of(self, technique: str) -> tuple[str, ...]:
        """Short names of a technique's tactics; none when it is not known."""
        found = self.techniques.get(technique)
        return found.tactics if found else ()

    def stage_of(self, tactic: str) -> int:
        """A tactic's place in the kill chain, 0 for reconnaissance.

        Raises:
            KeyError: There is no such tactic.
        """
        return self._stages[tactic]

    def tactic(self, short_name: str) -> Tactic:
        """A tactic by its short name.

        Raises:
            KeyError: There is no such tactic.
        """
        return self.tactics[self._stages[short_name]]

    @functools.cached_property
    def _stages(self) -> dict[str, int]:
        return {tactic.short_name: stage for stage, tactic in enumerate(self.tactics)}


def parent_of(technique: str) -> str:
    """The technique of a sub-technique; a technique is its own."""
    return technique.partition(".")[0]


@functools.cache
def attack_table() -> AttackTable:
    """The table that Millrace ships, read once a process."""
    return msgspec.json.decode(TABLE.read_bytes(), type=AttackTable)
