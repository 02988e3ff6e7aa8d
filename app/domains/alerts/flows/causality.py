"""How much it says that a later step touches an entity which an earlier one touched, and in what words.

The strengths are judgement, not learned: there is no labelled data that says which alert caused which. They are
ordered by what an analyst would accept: first that a target became a source, then the same host, source, target.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from app.domains.alerts.flows.order import before

MENTIONED, SOURCE, TARGET, ITSELF = 0, 1, 2, 3
"""How a step touches an entity: not as an end (a user, a hash), as its source, its target, or both ends at once."""

_SHARED = (0.55, "same user or file {entity}")
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
}
SAME_CLUSTER = 0.3  # how probable an edge between neighbouring steps of one cluster is when they share no entity
_RARITIES = (1.0, 1.0, 0.85, 0.65, 0.45, 0.25)
"""What an entity counts by how many clusters have it: 1, 2, up to 4, 8, 16, more. In steps, so that one more cluster
seldom changes what others have been given."""
NOWHERE = frozenset({"", "-", "unknown", "none", "null", "n/a", "localhost", "127.0.0.1", "::1", "0.0.0.0", "::"})  # noqa: S104 - nothing is bound
"""Entities that say nothing of who it was."""

_LEAST, _MOST = 0.01, 0.99  # no edge is certain, and none that is drawn is impossible
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3_600, 86_400


class Touch(NamedTuple):
    """A step touches an entity.

    Attributes:
        start: Of the step.
        place: Where its technique usually stands in an attack: breaks ties of time.
        cluster: The step's cluster.
        step: The step's place in the cluster.
        end: Of the step.
        role: One of `MENTIONED`, `SOURCE`, `TARGET`, `ITSELF`.
    """

    start: float
    place: float
    cluster: int
    step: int
    end: float
    role: int


class Evidence(NamedTuple):
    """That one step led to another, by one entity.

    Attributes:
        strength: 0 to 1, before the entity's rarity is considered.
        source: The earlier step.
        target: The later step.
        entity: What they share; empty when they only share the cluster.
    """

    strength: float
    source: Touch
    target: Touch
    entity: str


def rarity(clusters: int) -> float:
    """What an entity counts that so many clusters have."""
    return _RARITIES[min((clusters - 1).bit_length(), len(_RARITIES) - 1)]


def strength(source: Touch, target: Touch, window_s: float, half_life_s: float) -> float:
    """How much one shared entity says, fading with the time between; 0 outside the window."""
    gap = target.start - source.end
    found = _EVIDENCE.get((source.role, target.role), _SHARED)[0]
    if gap <= 0.0:
        return found
    return found * 0.5 ** (gap / half_life_s) if gap <= window_s else 0.0


def nudged(probability: float, source: Touch, target: Touch, tactic_weight: float) -> float:
    """A probability moved by the usual order of the two techniques, and kept off certainty."""
    probability = min(max(probability, _LEAST), _MOST)
    if tactic_weight and source.place != target.place:
        usual = before(source.place, target.place)
        odds = math.log(probability / (1.0 - probability)) + tactic_weight * math.log(usual / (1.0 - usual))
        probability = min(max(1.0 / (1.0 + math.exp(-odds)), _LEAST), _MOST)
    return round(probability, 4)


def reason(evidence: Evidence) -> str:
    """Why, in words: `12 s later on the same host web1`."""
    source, target = evidence.source, evidence.target
    if target.start == source.start:
        when = "at the same time" if source.place == target.place else "at the same time, in the order of tactics"
    elif target.start <= source.end:
        when = "while it went on"
    else:
        when = f"{_span(target.start - source.end)} later"
    if not evidence.entity:
        return f"{when} in the same cluster"
    words = _EVIDENCE.get((source.role, target.role), _SHARED)[1].format(entity=evidence.entity)
    return f"{when} {words}" if words.startswith("on ") else f"{when}: {words}"


def _span(seconds: float) -> str:
    if seconds < 2 * _MINUTE_S:
        return f"{seconds:.0f} s" if seconds >= 1 else "less than 1 s"
    if seconds < 2 * _HOUR_S:
        return f"{seconds / _MINUTE_S:.0f} min"
    if seconds < 2 * _DAY_S:
        return f"{seconds / _HOUR_S:.0f} h"
    return f"{seconds / _DAY_S:.0f} d"
