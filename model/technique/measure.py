"""Measure answers: Cotool's hierarchical F1, and precision at the threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from app.domains.alerts.attack import parent_of
from app.domains.alerts.techniques.decision import Decider
from app.domains.alerts.techniques.features import FORMS, KINDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from app.domains.alerts.techniques.decision import DecisionSettings
    from app.domains.alerts.techniques.features import Form

PARENT_CREDIT = 0.75
BANDS = 10  # of confidence, each a tenth
SPLITS = ("title", "title description", "full")
"""The views of a rule."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Scores of texts that training had not seen, and their truth.

    Attributes:
        scores: Shape (texts, labels).
        labels: The technique of each column.
        truth: The techniques of each text.
        forms: The form of each text.
    """

    scores: NDArray[np.float32]
    labels: tuple[str, ...]
    truth: list[tuple[str, ...]]
    forms: list[Form]


def credit(found: str, true: str) -> float:
    """Return 1 for the true technique or a sub-technique of it, 0.75 for its parent, else 0."""
    if found == true or parent_of(found) == true:
        return 1.0
    return PARENT_CREDIT if parent_of(true) == found else 0.0


def is_right(found: str, truth: Sequence[str]) -> bool:
    """Return whether a technique is a true one or a sub-technique of one."""
    return any(credit(found, true) == 1 for true in truth)


def hierarchical_f1(found: Sequence[str], truth: Sequence[str]) -> float:
    """Return the F1 of one sample; each found technique matches at most one true one, best matches first."""
    if not found or not truth:
        return 0.0
    matches = sorted(
        ((credit(one, other), one == other, one, other) for one in found for other in truth),
        key=lambda match: (-match[0], not match[1]),
    )
    used: set[tuple[str, str]] = set()
    total = 0.0
    for worth, _, one, other in matches:
        if ("found", one) not in used and ("true", other) not in used:
            used |= {("found", one), ("true", other)}
            total += worth
    return 2 * total / (len(found) + len(truth))


def document_f1(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Return the mean F1 of documents that have labels; both of shape (documents, labels)."""
    labelled = truth.any(axis=1)
    found, truth = found[labelled], truth[labelled]
    return float(np.mean(2 * (found & truth).sum(axis=1) / (found.sum(axis=1) + truth.sum(axis=1))))


class Score(msgspec.Struct, frozen=True):
    """The quality of answers.

    Attributes:
        texts: The number of texts.
        f1: Mean hierarchical F1 if every text is answered.
        right: Share of texts whose best technique is a true one, or a sub-technique of one.
        coverage: Share of texts that are answered at the threshold.
        precision: Of the answered ones, the share whose first technique is a true one, or a sub-technique of one.
        credit: As `precision`, with 0.75 for a parent of a true one.
        confidence: The mean confidence of these first techniques, the precision that the model expects.
    """

    texts: int
    f1: float
    right: float
    coverage: float
    precision: float
    credit: float
    confidence: float

    def line(self) -> str:
        """Format the score as one line."""
        return (
            f"F1 {self.f1:.3f}   right {self.right:.3f}   at the threshold: {self.coverage:.1%} answered, "
            f"{self.precision:.3f} right, {self.credit:.3f} with parents, {self.confidence:.3f} mean confidence"
        )


def score(seen: Seen, settings: DecisionSettings) -> Score:
    """Return the quality of the settings' answers on scores of texts that training had not seen."""
    decider = Decider(settings)
    always, sure = (decider.decide(seen.scores, seen.forms, least) for least in (0.0, settings.threshold))
    pairs = list(zip(always, sure, seen.truth, strict=True))
    answered = [(each, truth) for _, each, truth in pairs if each.ids]
    best = [max((credit(each.ids[0], true) for true in truth), default=0.0) for each, truth in answered]
    return Score(
        texts=len(pairs),
        f1=float(np.mean([hierarchical_f1(each.ids, truth) for each, _, truth in pairs])),
        right=float(np.mean([bool(each.ids) and is_right(each.ids[0], truth) for each, _, truth in pairs])),
        coverage=len(answered) / len(pairs),
        precision=float(np.mean([each == 1 for each in best])) if best else 0.0,
        credit=float(np.mean(best)) if best else 0.0,
        confidence=float(np.mean([each.confidences[0] for each, _ in answered])) if best else 0.0,
    )


def metrics_of(scores: dict[str, Score]) -> dict[str, float]:
    """Return the figures by their names in the manifest."""
    return {
        f"sigma_2023_2024_{name.replace(' ', '_')}_{field}": round(getattr(each, field), 4)
        for name, each in scores.items()
        for field in ("f1", "right", "coverage", "precision")
    }


class Band(msgspec.Struct, frozen=True):
    """Answers of about one confidence: a point of a reliability curve.

    Attributes:
        texts: The number of texts.
        confidence: The mean confidence of their best techniques.
        right: The share of these that are right.
    """

    texts: int
    confidence: float
    right: float


def reliability(found: Sequence[Seen], settings: DecisionSettings) -> dict[str, list[Band]]:
    """Return the reliability curves of the best techniques, by form of text and by kind of source."""
    decider = Decider(settings)
    sures = np.concatenate([decider.confidences(seen.scores, seen.forms) for seen in found])
    right = np.concatenate([
        [is_right(seen.labels[best], truth) for best, truth in zip(seen.scores.argmax(axis=1), seen.truth, strict=True)]
        for seen in found
    ])  # fmt: skip
    forms = np.concatenate([np.array(seen.forms, np.int64).reshape(-1, 2) for seen in found])
    groups = [(name, forms[:, 0] == index) for index, name in enumerate(FORMS)]
    groups += [(name, forms[:, 1] == index) for index, name in enumerate(KINDS)]
    return {name: _bands(sures[chosen], right[chosen]) for name, chosen in groups if chosen.any()}


def _bands(sures: NDArray[np.float64], right: NDArray[np.bool_]) -> list[Band]:
    band = np.minimum((sures * BANDS).astype(int), BANDS - 1)
    chosen = [band == each for each in range(BANDS) if np.any(band == each)]
    return [Band(int(each.sum()), float(sures[each].mean()), float(right[each].mean())) for each in chosen]
