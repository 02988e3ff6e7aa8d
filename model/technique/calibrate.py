"""Calibrate scores: measure their precision on Sigma rules of years that training had not seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
from sklearn.isotonic import IsotonicRegression

from app.domains.alerts.attack import parent_of
from app.domains.alerts.techniques.decision import DecisionSettings
from app.domains.alerts.techniques.model import TechniqueModel
from model.technique.data import SIGMA
from model.technique.fit import fit
from model.technique.measure import Seen, is_right

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from model.technique.data import Sample
    from model.technique.fit import Corpus, Fitted, Options

WANTED_PRECISION = 0.83  # of the best technique at the threshold: the aim of 0.80, with a margin for later years
FAMILY_PRECISION = 0.85  # of a parent instead of its sub-technique: it is less specific, so it has to be surer
VIEWS = 3
ALONE = 0.85  # of a title: so the same score is as sure of a title as of a longer text, in 2022 and 2023
RELATIVE = 0.75  # of the best score; README.md has the results of other shares
MOST = 5  # techniques of a text
ALIKE = 0.5  # of the tokens of two texts together
_KNOTS = 24

_LINE = (0.0, 1.0)
PLAIN = DecisionSettings((), _LINE, _LINE, _LINE, _LINE, _LINE, _LINE, 0.0, 0.0, ALONE, RELATIVE, MOST)
"""Settings that use raw scores, for before the calibration."""


def served(fitted: Fitted, settings: DecisionSettings = PLAIN) -> TechniqueModel:
    """Return the fitted model in the class that serves it."""
    return TechniqueModel(fitted.arrays, msgspec.structs.replace(settings, labels=fitted.labels))


def before(corpus: Corpus, year: int, *, copies: bool = False) -> NDArray[np.int64]:
    """Return the samples without the Sigma rules since a year and without other sources' copies of that year's rules.

    The other sources' texts have no usable dates, and copy rules from each other: a sample is left out if its title, or
    its title with the description, shares half of its tokens with a rule of that year.
    """
    dated = np.array([sample.source == SIGMA for sample in corpus.samples])
    year_of = np.array([sample.year for sample in corpus.samples])
    tested, others = np.flatnonzero(dated & (year_of == year)), np.flatnonzero(~dated)
    copied = np.zeros(len(corpus.samples), bool)
    for described in (False, True):
        copied[others] |= _alike(corpus, _rows(corpus, others, described), _rows(corpus, tested, described))
    return np.flatnonzero(np.where(dated, year_of < year, ~copied | copies))


def _rows(corpus: Corpus, chosen: NDArray[np.int64], described: bool) -> NDArray[np.int64]:
    """Return the row of each sample's title, or of its first two lines, which follow the single lines."""
    count = corpus.first[chosen + 1] - corpus.first[chosen]
    return np.asarray(corpus.first[chosen] + np.where(described & (count > 1), (count + 1) // 2, 0), np.int64)


def _alike(corpus: Corpus, rows: NDArray[np.int64], tested: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which texts share at least `ALIKE` of their joint tokens with one of the tested texts."""
    ours, theirs = corpus.text_tokens[rows], corpus.text_tokens[tested]
    shared = (ours @ theirs.T).toarray()
    both = np.asarray(ours.sum(axis=1)) + np.asarray(theirs.sum(axis=1)).T - shared
    return np.asarray((shared >= ALIKE * both).any(axis=1))


def rules_of(corpus: Corpus, year: int) -> list[Sample]:
    """Return the Sigma rules of a year."""
    return [sample for sample in corpus.samples if sample.source == SIGMA and sample.year == year]


def unseen(corpus: Corpus, options: Options, year: int, *, copies: bool = False) -> list[Seen]:
    """Return the scores of each view of a year's Sigma rules, by a model of earlier samples.

    Args:
        corpus: All samples.
        options: The options of the fit.
        year: The year of the tested rules.
        copies: Whether to train on other sources' copies of that year's rules.
    """
    model, rules = served(fit(corpus, before(corpus, year, copies=copies), options)), rules_of(corpus, year)
    return [see(model, rules, view) for view in range(VIEWS)]


def see(model: TechniqueModel, rules: Sequence[Sample], view: int) -> Seen:
    """Return the scores of one view of some rules."""
    labels = model.settings.labels
    return Seen(model.scores([rule.views[view] for rule in rules]), labels, [rule.labels for rule in rules])


def calibrate(found: Sequence[Seen]) -> DecisionSettings:
    """Return settings, without the labels, from scores of texts that training had not seen."""
    tops, rights, other_tops, other_rights = [], [], [], []
    for seen in found:
        order = np.argsort(-seen.scores, axis=1, kind="stable")[:, :MOST]
        ranked = np.take_along_axis(seen.scores, order, 1)
        right = np.array(
            [[is_right(seen.labels[each], truth) for each in row] for row, truth in zip(order, seen.truth, strict=True)]
        )
        tops.append(ranked[:, 0])
        rights.append(right[:, 0])
        near = ranked[:, 1:] >= RELATIVE * ranked[:, :1]
        other_tops.append(ranked[:, 1:][near])
        other_rights.append(right[:, 1:][near])
    top, right = np.concatenate(tops), np.concatenate(rights)
    scores, confidences = _table(top, right)
    other_scores, other_confidences = _table(np.concatenate(other_tops), np.concatenate(other_rights))
    order = np.argsort(-top)
    precision = np.cumsum(right[order]) / np.arange(1, len(top) + 1)
    enough = np.flatnonzero(precision >= WANTED_PRECISION)
    least = top[order[enough[-1]]] if len(enough) else top.max()
    threshold = round(float(np.interp(least, scores, confidences)), 4)
    families = _table(*_families(found, float(least)))
    return DecisionSettings(
        (), scores, confidences, other_scores, other_confidences, *families,
        threshold, max(threshold, FAMILY_PRECISION), ALONE, RELATIVE, MOST,
    )  # fmt: skip


def _families(found: Sequence[Seen], least: float) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the best family's score of each text with no technique above the threshold, and whether it was right."""
    scores, right = [], []
    for seen in found:
        parents = [parent_of(label) for label in seen.labels]
        names, starts = np.unique(parents, return_index=True)
        low = np.flatnonzero(seen.scores.max(axis=1) < least)
        sums = np.add.reduceat(np.maximum(seen.scores[low], 0), starts, axis=1)
        scores.append(sums.max(axis=1))
        true = [{parent_of(label) for label in seen.truth[each]} for each in low]
        right.append([names[best] in each for best, each in zip(sums.argmax(axis=1), true, strict=True)])
    return np.concatenate(scores), np.concatenate(right).astype(bool)


def _table(scores: NDArray[np.float32], right: NDArray[np.bool_]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return scores and their precision, both strictly increasing, so that a threshold is unambiguous."""
    if not len(scores):
        return (0.0,), (0.0,)  # without a known label there is no precision to measure
    knots = np.unique(np.quantile(scores, np.linspace(0, 1, _KNOTS)).round(5))
    smooth = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(scores, right)
    # An isotonic fit is a staircase: means between knots, with a slight slope where it is flat.
    fine = np.linspace(knots[0], knots[-1], 1000)
    steps = smooth.predict(fine)
    smoothed = np.interp(knots, fine, np.convolve(np.pad(steps, 25, mode="edge"), np.ones(51) / 51, "valid"))
    rising = np.clip(smoothed + np.arange(len(knots)) * 1e-4, 0, 0.99)
    return tuple(knots.tolist()), tuple(rising.round(4).tolist())
