"""Decide which techniques a text has from the scores of the model, and how confident each one is.

A confidence is the share of right answers among answers like it, on rules that training had not seen: a logistic
function of the technique's score, of its lead over the best other technique, of the technique's own record, and of the
text's form. Equal scores mean less for a title than for a title with its description, and less for a cloud's event than
for a host's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from app.domains.alerts.attack import parent_of
from app.domains.alerts.techniques.features import FORMS, KINDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from app.domains.alerts.techniques.features import Form


class Curve(msgspec.Struct, frozen=True):
    """Log-odds of being right: `intercept + score * (a score) + lead * (its lead over the best other score)`."""

    intercept: float
    score: float
    lead: float = 0.0


class Calibration(msgspec.Struct, frozen=True):
    """Confidences of texts of one form.

    Attributes:
        best: Of the technique of the highest score.
        other: Of the techniques after it; their lead is negative.
        family: Of a technique and its sub-techniques, by the sum of their scores, where the best technique is below the
            threshold.
    """

    best: Curve
    other: Curve
    family: Curve


class DecisionSettings(msgspec.Struct, frozen=True):
    """Calibration and thresholds, learned in training; part of the model bundle.

    Attributes:
        labels: Technique of each column of scores.
        records: Log-odds by which answers of each label are right more often than others of equal score.
        forms: Calibration by form of text, with the names of `features.FORMS`.
        kinds: Log-odds by which answers of a kind of source are right more often than others, with the names of
            `features.KINDS`.
        threshold: Least confidence of the best technique.
        family_threshold: Least confidence of a parent that is used instead of its sub-technique.
        relative: Share of the best score that a further technique needs.
        most: Largest number of techniques of a text.
    """

    labels: tuple[str, ...]
    records: tuple[float, ...]
    forms: dict[str, Calibration]
    kinds: dict[str, float]
    threshold: float
    family_threshold: float
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
        self._records = np.array(settings.records, np.float64)
        self._kinds = np.array([settings.kinds[name] for name in KINDS])
        calibrations = [settings.forms[name] for name in FORMS]
        self._best, self._other, self._family = (
            np.array([(curve.intercept, curve.score, curve.lead) for curve in curves])
            for curves in zip(*((each.best, each.other, each.family) for each in calibrations), strict=True)
        )
        parents = [parent_of(label) for label in settings.labels]
        self._families = [index for index, each in enumerate(parents) if not index or each != parents[index - 1]]
        self._parents = [parents[index] for index in self._families]

    def decide(self, scores: NDArray[np.float32], forms: Sequence[Form], least: float) -> list[Prediction]:
        """Return the predictions for scores of shape (texts, labels).

        Args:
            scores: Scores of the texts.
            forms: The form of each text.
            least: Confidence that the best technique needs, 0 to 1.
        """
        form = [each.form for each in forms]
        sures = self.confidences(scores, forms)
        tops = scores.max(axis=1)
        found: list[Prediction] = []
        for row, top, sure, curve in zip(scores, tops.tolist(), sures.tolist(), self._other[form], strict=True):
            if top <= 0:
                found.append(_NOTHING)
            else:
                found.append(self._answer(row, top, sure, curve) if sure >= least else Prediction((), (), sure))
        low = np.flatnonzero((tops > 0) & (sures < least))
        if len(low):
            least = max(least, self._settings.family_threshold)
            parents, sums = self.families(scores[low])
            family_sures = share_of(
                _odds(self._family[form][low], sums.astype(np.float64), 0.0) + self._shifts(forms)[low]
            )
            for index, parent, sure in zip(low.tolist(), parents, family_sures.tolist(), strict=True):
                if sure >= least:
                    found[index] = Prediction((parent,), (sure,), sure)
        return found

    def confidences(self, scores: NDArray[np.float32], forms: Sequence[Form]) -> NDArray[np.float64]:
        """Return the confidence of the best technique of each text, 0 to 1, shape (texts,)."""
        curves = self._best[[each.form for each in forms]]
        odds = _odds(curves, *lead_of_best(scores)) + self._records[scores.argmax(axis=1)] + self._shifts(forms)
        return share_of(odds)

    def _shifts(self, forms: Sequence[Form]) -> NDArray[np.float64]:
        return np.asarray(self._kinds[[each.kind for each in forms]])

    def candidates(self, scores: NDArray[np.float32], forms: Sequence[Form], count: int) -> list[Prediction]:
        """Return the `count` best techniques of each text, the surest first, for scores of shape (texts, labels)."""
        order = np.argsort(-scores, axis=1, kind="stable")[:, :count]
        ranked = np.take_along_axis(scores, order, 1).astype(np.float64)
        curves = self._other[[each.form for each in forms]]
        sures = share_of(_odds(curves[:, None], ranked, ranked - ranked[:, :1]))
        sures[:, 0] = self.confidences(scores, forms)
        sures = np.minimum.accumulate(sures, axis=1)
        found = []
        for row, values, confidences in zip(order.tolist(), ranked.tolist(), sures.tolist(), strict=True):
            known = sum(value > 0 for value in values)
            ids = tuple(self._settings.labels[each] for each in row[:known])
            found.append(Prediction(ids, tuple(confidences[:known]), confidences[0] if known else 0.0))
        return found

    def families(self, scores: NDArray[np.float32]) -> tuple[list[str], NDArray[np.float32]]:
        """Return for each row the technique with the highest sum of scores with its sub-techniques, and the sum."""
        sums = np.add.reduceat(np.maximum(scores, 0), self._families, axis=1)
        best = sums.argmax(axis=1)
        return [self._parents[each] for each in best.tolist()], sums[np.arange(len(best)), best]

    def _answer(self, row: NDArray[np.float32], top: float, sure: float, curve: NDArray[np.float64]) -> Prediction:
        """Return the best technique, and those with scores near enough to the best."""
        settings = self._settings
        near = np.flatnonzero(row >= top * settings.relative)
        if len(near) == 1:
            return Prediction((settings.labels[near[0]],), (sure,), sure)
        order = near[np.argsort(-row[near], kind="stable")][: settings.most]
        values = row[order[1:]].astype(np.float64)
        others = share_of(_odds(curve, values, values - top)).tolist()
        return Prediction(
            tuple(settings.labels[index] for index in order), (sure, *(min(each, sure) for each in others)), sure
        )


def lead_of_best(scores: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the best score of each text and its lead over the second best, each of shape (texts,)."""
    rows = np.arange(len(scores))
    best = scores.argmax(axis=1)
    top = scores[rows, best].astype(np.float64)
    rest = scores.copy()  # a partial sort takes five times as long
    rest[rows, best] = 0 if scores.shape[1] == 1 else -np.inf
    return top, top - rest.max(axis=1)


def share_of(odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return probabilities from log-odds."""
    return np.asarray(1 / (1 + np.exp(-np.clip(odds, -30, 30))))


def _odds(
    curves: NDArray[np.float64], score: NDArray[np.float64], lead: NDArray[np.float64] | float
) -> NDArray[np.float64]:
    """Return log-odds by curves, whose last axis has the intercept and both factors."""
    return np.asarray(curves[..., 0] + curves[..., 1] * score + curves[..., 2] * lead)
