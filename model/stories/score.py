"""Compare incidents with the truth of a story."""

from __future__ import annotations

from collections import Counter
from statistics import fmean
from typing import TYPE_CHECKING

import msgspec

from model.stories.network import DAY_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from model.stories.engine import Found, Incident
    from model.stories.story import Story


class AttackScore(msgspec.Struct, frozen=True):
    """How well one attack was found.

    Attributes:
        found: Share of its alerts in the incident that has most of them.
        foreign: Share of that incident's alerts that are of no attack or of another.
        pieces: Number of incidents with alerts of it.
        right: Share of edges between its steps that lead from the earlier to the later one; None without edges.
        clustered: Share of its alerts in clusters of two or more.
    """

    found: float
    foreign: float
    pieces: int
    right: float | None
    clustered: float


class StoryScore(msgspec.Struct, frozen=True):
    """How well one story was understood.

    Attributes:
        attacks: Each attack's score.
        incidents: Number of incidents.
        false: Incidents with alerts of no attack at all.
        false_per_1000: Those for each thousand everyday alerts.
        false_per_day: Those for each day.
    """

    attacks: tuple[AttackScore, ...]
    incidents: int
    false: int
    false_per_1000: float
    false_per_day: float


def score_story(story: Story, found: Found) -> StoryScore:
    """Return the score of what was found in a story."""
    of = [label.attack for label in story.labels]
    false = sum(not any(of[at] for at in incident.alerts) for incident in found.incidents)
    noise = sum(not attack for attack in of)
    return StoryScore(
        tuple(_score_attack(truth.id, story, found) for truth in story.attacks if truth.id in of),
        len(found.incidents),
        false,
        1_000 * false / max(noise, 1),
        false / max(story.span_s / DAY_S, 1.0),
    )


def _score_attack(attack: str, story: Story, found: Found) -> AttackScore:
    mine = {at for at, label in enumerate(story.labels) if label.attack == attack}
    shares = [(len(mine.intersection(each.alerts)), each) for each in found.incidents]
    pieces = [(count, each) for count, each in shares if count]
    count, best = max(pieces, key=lambda piece: piece[0], default=(0, None))
    return AttackScore(
        count / len(mine),
        1 - count / len(best.alerts) if best else 0.0,
        len(pieces),
        _right_edges(attack, story, [each for _, each in pieces]),
        len(mine.intersection(found.clustered)) / len(mine),
    )


def _right_edges(attack: str, story: Story, incidents: Sequence[Incident]) -> float | None:
    """Return the share of edges that lead forwards; edges within one step have no direction to judge."""
    judged: Counter[bool] = Counter()
    for incident in incidents:
        for source, target, _ in incident.edges:
            first, second = story.labels[source], story.labels[target]
            if first.attack == second.attack == attack and first.step != second.step:
                judged[first.step < second.step] += 1
    return judged[True] / judged.total() if judged else None


class SetScore(msgspec.Struct, frozen=True):
    """Scores of a set of stories: medians, and the value that the worst tenth does not reach."""

    stories: int
    attacks: int
    found: float | None
    found_worst_tenth: float | None
    foreign: float | None
    foreign_worst_tenth: float | None
    pieces: float | None
    right: float | None
    clustered: float | None
    false_per_1000: float
    false_per_day: float
    incidents: float


def score_set(scores: Sequence[StoryScore]) -> SetScore:
    """Return the score of a set of stories; rates of false incidents are means, all others medians."""
    attacks = [attack for each in scores for attack in each.attacks]
    rights = [each.right for each in attacks if each.right is not None]
    return SetScore(
        len(scores),
        len(attacks),
        _at([each.found for each in attacks], 0.5),
        _at([each.found for each in attacks], 0.1),
        _at([each.foreign for each in attacks], 0.5),
        _at([each.foreign for each in attacks], 0.9),
        _at([float(each.pieces) for each in attacks], 0.5),
        _at(rights, 0.5),
        _at([each.clustered for each in attacks], 0.5),
        fmean(each.false_per_1000 for each in scores),
        fmean(each.false_per_day for each in scores),
        fmean(each.incidents for each in scores),
    )


def _at(values: Sequence[float], share: float) -> float | None:
    """Return the value below which a share of the values lies, between neighbours; None without values."""
    if not values:
        return None
    ordered = sorted(values)
    index = share * (len(ordered) - 1)
    low = int(index)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (index - low)
