"""Apply the features and the solver to TRAM's reports: a report has the techniques of its surest sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from model.technique.data import Sample, read_reports
from model.technique.fit import Corpus, Options, Weighing, ridge, targets
from model.technique.measure import document_f1

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

FOLDS = 5
OPTIONS = Options(run_samples=4, ridge=1.0, rounds=4)
"""Sentences are short and many: rarer runs, and a stronger penalty."""
SECOND = 0.3
"""Share of the second surest sentence: a technique in two sentences is surer. Chosen like `OPTIONS`."""


def report_f1(data: Path) -> float:
    """Return the mean F1 of reports in folds by report; each fold's threshold is chosen on the other folds.

    Raises:
        SettingsError: The reports cannot be read.
    """
    sentences = read_reports(data)
    # One line each, so that a sentence is one text, and a row of the corpus.
    corpus = Corpus([Sample((" ".join(each.text.split()),), each.labels, "tram") for each in sentences])
    labels = sorted({label for each in sentences for label in each.labels})
    reports = sorted({each.report for each in sentences})
    report = np.array([reports.index(each.report) for each in sentences])
    Y = targets([each.labels for each in sentences], labels)
    truth = np.array([Y[report == each].any(axis=0) for each in range(len(reports))])
    fold = np.random.default_rng(0).permutation(len(reports)) % FOLDS
    scores = np.zeros(truth.shape, np.float32)
    for number in range(FOLDS):
        tested = fold[report] == number
        train = np.flatnonzero(~tested)
        weighing = Weighing.learn(corpus.spread(train), len(train), corpus.is_run, OPTIONS)
        X = weighing.texts(corpus)
        found = X[np.flatnonzero(tested)] @ ridge(X[train], Y[train], OPTIONS)
        for each in np.flatnonzero(fold == number):
            scores[each] = _surest(found[report[tested] == each])
    return _crossed(scores, truth, fold)


def _surest(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a report's scores from its sentences' scores, shape (sentences, labels)."""
    second, first = np.sort(scores, axis=0)[[-min(2, len(scores)), -1]]
    return np.asarray((1 - SECOND) * first + SECOND * second)


def _crossed(scores: NDArray[np.float32], truth: NDArray[np.bool_], fold: NDArray[np.int64]) -> float:
    """Return the F1 with each fold's threshold chosen on the other folds."""
    predicted = np.zeros(truth.shape, bool)
    candidates = np.quantile(scores, np.linspace(0.5, 0.995, 150))
    for number in range(FOLDS):
        rest = fold != number
        least = max(candidates, key=lambda each, rest=rest: document_f1(scores[rest] > each, truth[rest]))  # type: ignore[misc]
        predicted[~rest] = scores[~rest] > least
    return document_f1(predicted, truth)
