"""Evidence that one step led to a later one: its strength, its wording, and the usual order of techniques.

The strengths are judgement, not learned: there is no labelled data on which alert caused which. They are ordered by
what an analyst would accept: first a target that became a source, then the same host, source, target.

The usual order of tactics is learned from published attack flows. It is a weak prior: it gives the right direction of
about two pairs of techniques in three (`model/flow/README.md`).
"""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from app.domains.alerts.entities import label

if TYPE_CHECKING:
    from app.domains.alerts.attack import AttackTable

ORDER = Path(__file__).parents[1] / "data" / "attack_order.json"

MENTIONED, SOURCE, TARGET, ITSELF, CLUSTER, PROBED = 0, 1, 2, 3, 4, 5
"""Role of an entity in a step: neither end (a user, a hash), its source, its target, both at once; its cluster; the
target of an address outside."""

_SHARED = (0.4, "same user or file {entity}")
_SHARED_HALF_LIFE = 1 / 6  # of the half-life of others: accounts are used everywhere
_EVIDENCE = {
    (TARGET, SOURCE): (0.9, "{entity} was the target, then the source"),
    (TARGET, ITSELF): (0.85, "{entity} was the target, then showed activity of its own"),
    (ITSELF, SOURCE): (0.85, "after activity on {entity}, from it"),
    (ITSELF, ITSELF): (0.75, "on the same host {entity}"),
    (SOURCE, SOURCE): (0.6, "same source {entity}"),
    (TARGET, TARGET): (0.5, "same target {entity}"),
    (ITSELF, TARGET): (0.5, "same target {entity}"),
    (SOURCE, ITSELF): (0.5, "on the earlier source {entity}"),
    (SOURCE, TARGET): (0.35, "back to the earlier source {entity}"),
    (PROBED, SOURCE): (0.9, "{entity} was the target, then the source"),
    (PROBED, ITSELF): (0.85, "{entity} was the target, then showed activity of its own"),
    (PROBED, PROBED): (0.4, "same target {entity}"),
    (PROBED, TARGET): (0.4, "same target {entity}"),
    (TARGET, PROBED): (0.2, "same target {entity}"),
    (ITSELF, PROBED): (0.2, "same target {entity}"),
    (SOURCE, PROBED): (0.2, "back to the earlier source {entity}"),
    (CLUSTER, CLUSTER): (0.3, "in the same {entity}"),
}
"""Strength and wording by the entity's role in the earlier and in the later step."""
_WEIGHTS = (1.0, 1.0, 1.0, 1.0, 0.7, 0.4, 0.2, 0.1)
"""Weight of an entity at which 1, 2, up to 4, 8, 16, 32, 64 or more different others meet. In steps, so that one more
seldom changes the links between others."""

_LEAST, _MOST = 0.01, 0.99  # no edge is certain, and no drawn edge is impossible
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3_600, 86_400


class TechniqueOrder(msgspec.Struct, frozen=True, dict=True):
    """Usual positions of techniques in an attack.

    Attributes:
        notice: The source that it was learned from.
        tactics: Position of each tactic by its short name: smaller is earlier; 0 is the middle.
    """

    notice: str
    tactics: dict[str, float]

    def position(self, technique: str, table: AttackTable) -> float:
        """Return the mean position of a technique's tactics; 0, the middle, for an unknown one."""
        found = self._positions.get(technique)
        if found is None:
            tactics = [self.tactics.get(each, 0.0) for each in table.tactics_of(technique)]
            found = math.fsum(tactics) / len(tactics) if tactics else 0.0
            if technique in table.techniques:  # only those, so that the cache is no larger than the table
                self._positions[technique] = found
        return found

    @functools.cached_property
    def _positions(self) -> dict[str, float]:
        return {}


def before(first: float, second: float) -> float:
    """Return the probability that a technique at the first position precedes one at the second (Bradley-Terry)."""
    return 1.0 / (1.0 + math.exp(first - second))


@functools.cache
def technique_order() -> TechniqueOrder:
    """Return the order that Millrace ships, read once a process."""
    return msgspec.json.decode(ORDER.read_bytes(), type=TechniqueOrder)


class Touch(NamedTuple):
    """An entity's part in a step; touches sort by time, then by the usual order of techniques.

    Attributes:
        start: Start of the step.
        position: Usual position of its technique, which breaks ties of time.
        number: The step's number.
        end: End of the step.
        role: One of `MENTIONED`, `SOURCE`, `TARGET`, `ITSELF`, `CLUSTER`.
    """

    start: float
    position: float
    number: int
    end: float
    role: int


class Evidence(NamedTuple):
    """Evidence by one entity that one step led to another.

    Attributes:
        strength: 0 to 1, before the entity's rarity is considered.
        source: The earlier step.
        target: The later step.
        entity: The shared entity.
    """

    strength: float
    source: Touch
    target: Touch
    entity: str


def weight_of(others: int) -> float:
    """Return the weight of an entity at which this many different others meet."""
    return _WEIGHTS[min(max(others - 1, 0).bit_length(), len(_WEIGHTS) - 1)]


def strength(source: Touch, target: Touch, window_s: float, half_life_s: float) -> float:
    """Return the strength of one shared entity, halved every `half_life_s` of the gap; 0 outside the window."""
    gap = target.start - source.end
    found = _EVIDENCE.get((source.role, target.role), _SHARED)[0]
    if MENTIONED in (source.role, target.role):
        half_life_s *= _SHARED_HALF_LIFE
    if gap <= 0.0:
        return found
    return found * 0.5 ** (gap / half_life_s) if gap <= window_s else 0.0


def nudged(probability: float, source: Touch, target: Touch, tactic_weight: float) -> float:
    """Return a probability moved by the usual order of the two techniques in log-odds, and kept off certainty."""
    probability = min(max(probability, _LEAST), _MOST)
    if tactic_weight and source.position != target.position:
        usual = before(source.position, target.position)
        odds = math.log(probability / (1.0 - probability)) + tactic_weight * math.log(usual / (1.0 - usual))
        probability = min(max(1.0 / (1.0 + math.exp(-odds)), _LEAST), _MOST)
    return round(probability, 4)


def reason(evidence: Evidence) -> str:
    """Return the evidence in words: `12 s later on the same host web1`."""
    source, target = evidence.source, evidence.target
    if target.start == source.start:
        when = "at the same time" if source.position == target.position else "at the same time, in the order of tactics"
    elif target.start <= source.end:
        when = "while it went on"
    else:
        when = f"{_span(target.start - source.end)} later"
    words = _EVIDENCE.get((source.role, target.role), _SHARED)[1].format(entity=label(evidence.entity))
    return f"{when} {words}" if words.startswith(("on ", "in ")) else f"{when}: {words}"


def _span(seconds: float) -> str:
    if seconds < 2 * _MINUTE_S:
        return f"{seconds:.0f} s" if seconds >= 1 else "less than 1 s"
    if seconds < 2 * _HOUR_S:
        return f"{seconds / _MINUTE_S:.0f} min"
    if seconds < 2 * _DAY_S:
        return f"{seconds / _HOUR_S:.0f} h"
    return f"{seconds / _DAY_S:.0f} d"
