"""Decide which techniques a text has from the scores of the model, and how confident each one is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from app.domains.alerts.attack import parent_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


class DecisionSettings(msgspec.Struct, frozen=True):
    """Calibration and thresholds, learned in training; part of the model bundle.

    Attributes:
        labels: Technique of each column of scores.
        scores: Rising scores of the best technique, with `confidences` at each; interpolated linearly in between.
        confidences: How often a best technique of that score was right, on rules held out of training.
        other_scores: Like `scores`, for techniques after the best one.
        other_confidences: How often such a technique was right.
        family_scores: Like `scores`, for the summed scores of a technique and its sub-techniques where the best
            technique was below the threshold.
        family_confidences: How often the technique or one of its sub-techniques was right.
        threshold: Least confidence of the best technique.
        family_threshold: Least confidence of its parent, which is used instead.
        alone: Factor on the scores of a text of one line. Texts of several lines have means, which are lower for the
            same confidence.
        relative: Share of the best score that a further technique needs.
        most: Largest number of techniques of a text.
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
    """The model's techniques for one text.

    Attributes:
        ids: Current technique ids, the surest first; empty below the threshold.
        confidences: For each id, how often such a prediction is right, 0 to 1.
        best: The highest confidence, even below the threshold.
    """

    ids: tuple[str, ...]
    confidences: tuple[float, ...]
    best: float


_NOTHING = Prediction((), (), 0.0)


class Decider:
    """Turns scores into predictions."""

    def __init__(self, settings: DecisionSettings) -> None:
        """Use settings with sorted labels."""
        self._settings = settings
        parents = [parent_of(label) for label in settings.labels]
        self._families = [index for index, each in enumerate(parents) if not index or each != parents[index - 1]]
        self._parents = [parents[index] for index in self._families]

    def decide(self, scores: NDArray[np.float32], least: float) -> list[Prediction]:
        """Return the predictions for scores of shape (texts, labels).

        Args:
            scores: Scores of the texts.
            least: Confidence that the best technique needs, 0 to 1.
        """
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
            for index, parent, sure in zip(low.tolist(), *self._parent(scores[low]), strict=True):
                if sure >= least:
                    found[index] = Prediction((parent,), (sure,), sure)
        return found

    def candidates(self, scores: NDArray[np.float32], count: int) -> list[Prediction]:
        """Return the `count` best techniques of each text, the surest first, for scores of shape (texts, labels)."""
        settings = self._settings
        order = np.argsort(-scores, axis=1, kind="stable")[:, :count]
        ranked = np.take_along_axis(scores, order, 1)
        sures = np.interp(ranked, settings.other_scores, settings.other_confidences)
        sures[:, 0] = np.interp(ranked[:, 0], settings.scores, settings.confidences)
        sures = np.minimum.accumulate(sures, axis=1)
        found = []
        for row, values, confidences in zip(order.tolist(), ranked.tolist(), sures.tolist(), strict=True):
            known = sum(value > 0 for value in values)
            ids = tuple(settings.labels[each] for each in row[:known])
            found.append(Prediction(ids, tuple(confidences[:known]), confidences[0] if known else 0.0))
        return found

    def _best(self, row: NDArray[np.float32], top: float, sure: float) -> Prediction:
        """Return the best technique, and those with scores near enough to the best."""
        settings = self._settings
        near = np.flatnonzero(row >= top * settings.relative)
        if len(near) == 1:
            return Prediction((settings.labels[near[0]],), (sure,), sure)
        order = near[np.argsort(-row[near], kind="stable")][: settings.most]
        others = np.interp(row[order[1:]], settings.other_scores, settings.other_confidences).tolist()
        return Prediction(
            tuple(settings.labels[index] for index in order), (sure, *(min(each, sure) for each in others)), sure
        )

    def _parent(self, scores: NDArray[np.float32]) -> tuple[list[str], list[float]]:
        """Return for each row the technique with the highest sum of its own and its sub-techniques' scores."""
        settings = self._settings
        sums = np.add.reduceat(np.maximum(scores, 0), self._families, axis=1)
        best = sums.argmax(axis=1)
        sures = np.interp(sums[np.arange(len(best)), best], settings.family_scores, settings.family_confidences)
        return [self._parents[each] for each in best.tolist()], sures.tolist()
