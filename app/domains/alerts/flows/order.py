"""Which of two techniques usually comes first: a weak prior, learned from published attack flows.

It tells the direction of about two pairs in three (`model/flow/README.md`). So it only breaks ties between steps of
the same time, and nudges probabilities; time and shared entities carry what a flow says.
"""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from app.domains.alerts.attack import parent_of

if TYPE_CHECKING:
    from app.domains.alerts.attack import AttackTable

ORDER = Path(__file__).parents[1] / "data" / "attack_order.json"


class TechniqueOrder(msgspec.Struct, frozen=True, dict=True):
    """Where in an attack techniques usually stand.

    Attributes:
        notice: Where it was learned from.
        tactics: A place for each tactic by its short name: smaller is earlier; 0 is the middle.
        techniques: What a technique (never a sub-technique) adds to the mean place of its tactics.
    """

    notice: str
    tactics: dict[str, float]
    techniques: dict[str, float]

    def place(self, technique: str, table: AttackTable) -> float:
        """Where a technique usually stands; 0, the middle, when it is not known."""
        found = self._places.get(technique)
        if found is None:
            tactics = [self.tactics.get(each, 0.0) for each in table.tactics_of(technique)]
            found = (math.fsum(tactics) / len(tactics) if tactics else 0.0) + (
                self.techniques.get(parent_of(technique), 0.0) if tactics else 0.0
            )
            if technique in table.techniques:  # no others: the memory stays as small as the table
                self._places[technique] = found
        return found

    @functools.cached_property
    def _places(self) -> dict[str, float]:
        return {}


def before(first: float, second: float) -> float:
    """How probable it is that what stands at the first place comes before what stands at the second."""
    return 1.0 / (1.0 + math.exp(first - second))


@functools.cache
def technique_order() -> TechniqueOrder:
    """The order that Millrace ships, read once a process."""
    return msgspec.json.decode(ORDER.read_bytes(), type=TechniqueOrder)
