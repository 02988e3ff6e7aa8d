"""From scores to answers: which techniques are given, and how sure they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from app.domains.alerts.attack import parent_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Settings(msgspec.Struct, frozen=True):
    """How scores become answers.

    Attributes:
        labels: The technique of each column of scores.
        scores: Scores of a best technique, rising, at which `confidences` are given; between them is a straight line.
        confidences: How often such a best technique was right, on rules that training had not seen.
        other_scores: The same for techniques beside the best one.
        other_confidences: How often such a technique was right.
        family_scores: The same for a technique's score with those of its sub-techniques added, where the best one was
            below the threshold.
        family_confidences: How often the technique or one of its sub-techniques was right.
        threshold: The confidence below which the best technique is not given.
        family_threshold: The confidence below which its parent is not given in its place.
        alone: What the scores of a text of one line count beside the means that texts of several lines have: these are
            lower for being as sure.
        relative: The share of the best score that it needs.
        most: The most techniques of a text.
    """

    labels: tuple[str, ...]
    scores: tuple[float, ...]
    confidences: tuple[float, ...]
    other_scores: tuple[float, ...]
    other_confidences: tuple[float, ...]
    family_scores: tuple[float, ...]
    family_confidences: tuple[float, ...]
    threshold: float
    family_threshold: float
    alone: float
    relative: float
    most: int


class Prediction(msgspec.Struct, frozen=True):
    """What the model says of one text.

    Attributes:
        ids: Techniques of the current ATT&CK, the surest first; empty below the threshold.
        confidences: One for each id: how often such an answer is right.
        best: The best confidence, also when it was not enough.
    """

    ids: tuple[str, ...]
    confidences: tuple[float, ...]
    best: float


_NOTHING = Prediction((), (), 0.0)


class Decider:
    """Turns scores into answers."""

    def __init__(self, settings: Settings) -> None:
        """Takes the settings, whose labels are sorted."""
        self._settings = settings
        parents = [parent_of(label) for label in settings.labels]
        self._families = [place for place, each in enumerate(parents) if not place or each != parents[place - 1]]
        self._parents = [parents[place] for place in self._families]

    def decide(self, scores: NDArray[np.float32], least: float) -> list[Prediction]:
        """The answers to texts of these scores; the best technique needs a confidence of `least`."""
        settings = self._settings
        tops = scores.max(axis=1)
        sures = np.interp(tops, settings.scores, settings.confidences)
        found: list[Prediction] = []
        for row, top, sure in zip(scores, tops.tolist(), sures.tolist(), strict=True):
            if top <= 0:
                found.append(_NOTHING)
            else:
                found.append(self._best(row, top, sure) if sure >= least else Prediction((), (), sure))
        low = np.flatnonzero((tops > 0) & (sures < least))
        if len(low):
            least = max(least, settings.family_threshold)
            for place, parent, sure in zip(low.tolist(), *self._parent(scores[low]), strict=True):
                if sure >= least:
                    found[place] = Prediction((parent,), (sure,), sure)
        return found

    def _best(self, row: NDArray[np.float32], top: float, sure: float) -> Prediction:
        """The best technique, and those beside it whose scores are near enough."""
        settings = self._settings
        near = np.flatnonzero(row >= top * settings.relative)
        if len(near) == 1:
            return Prediction((settings.labels[near[0]],), (sure,), sure)
        order = near[np.argsort(-row[near], kind="stable")][: settings.most]
        others = np.interp(row[order[1:]], settings.other_scores, settings.other_confidences).tolist()
        return Prediction(
            tuple(settings.labels[place] for place in order), (sure, *(min(each, sure) for each in others)), sure
        )

    def _parent(self, scores: NDArray[np.float32]) -> tuple[list[str], list[float]]:
        """Of each row the technique whose own score and sub-techniques' are highest together, and how sure it is."""
        settings = self._settings
        sums = np.add.reduceat(np.maximum(scores, 0), self._families, axis=1)
        best = sums.argmax(axis=1)
        sures = np.interp(sums[np.arange(len(best)), best], settings.family_scores, settings.family_confidences)
        return [self._parents[each] for each in best.tolist()], sures.tolist()
