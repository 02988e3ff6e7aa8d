"""Apply the features and the solver to TRAM's reports: a report has the techniques of its surest sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from app.domains.alerts.attack import attack_table
from model.technique.data import Sample, read_reports
from model.technique.fit import Corpus, Options, Weighing, ridge, targets
from model.technique.measure import document_f1

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from app.domains.alerts.techniques.model import TechniqueModel

FOLDS = 5
OPTIONS = Options(run_samples=4, ridge=1.0, rounds=4)
"""Sentences are short and many: rarer runs, and a stronger penalty."""
SECOND = 0.3
"""Share of the second surest sentence: a technique in two sentences is surer. Chosen like `OPTIONS`."""


class _Reports(NamedTuple):
    """TRAM's reports.

    Attributes:
        sentences: The text of each sentence, in one line, so that it is one text, and a row of a corpus.
        found: The techniques of each sentence.
        labels: All techniques, as TRAM names them.
        report: The index of each sentence's report.
        truth: Whether each report has each label.
        fold: The fold of each report.
    """

    sentences: list[str]
    found: list[tuple[str, ...]]
    labels: list[str]
    report: NDArray[np.int64]
    truth: NDArray[np.bool_]
    fold: NDArray[np.int64]


def _read(data: Path) -> _Reports:
    sentences = read_reports(data)
    labels = sorted({label for each in sentences for label in each.labels})
    names = {name: index for index, name in enumerate(sorted({each.report for each in sentences}))}
    report = np.array([names[each.report] for each in sentences])
    found = [each.labels for each in sentences]
    has = targets(found, labels)
    truth = np.array([has[report == each].any(axis=0) for each in range(len(names))])
    fold = np.random.default_rng(0).permutation(len(names)) % FOLDS
    return _Reports([" ".join(each.text.split()) for each in sentences], found, labels, report, truth, fold)


def report_f1(data: Path) -> float:
    """Return the mean F1 of reports in folds by report; each fold's threshold is chosen on the other folds.

    Raises:
        SettingsError: The reports cannot be read.
    """
    reports = _read(data)
    corpus = Corpus([Sample((text,), ids, "tram") for text, ids in zip(reports.sentences, reports.found, strict=True)])
    Y = targets(reports.found, reports.labels)
    scores = np.zeros(reports.truth.shape, np.float32)
    for number in range(FOLDS):
        tested = reports.fold[reports.report] == number
        train = np.flatnonzero(~tested)
        weighing = Weighing.learn(corpus.spread(train), len(train), corpus.is_run, OPTIONS)
        X = weighing.texts(corpus)
        found = X[np.flatnonzero(tested)] @ ridge(X[train], Y[train], OPTIONS)
        for each in np.flatnonzero(reports.fold == number):
            scores[each] = _surest(found[reports.report[tested] == each])
    return _crossed(scores, reports.truth, reports.fold)


def report_f1_of(model: TechniqueModel, data: Path) -> float:
    """Return the mean F1 of the reports by a model that was fitted on other texts; thresholds as in `report_f1`.

    Raises:
        SettingsError: The reports cannot be read.
    """
    reports, table = _read(data), attack_table()
    columns = [model.settings.labels.index(table.current(label) or label) for label in reports.labels]
    found = model.scores(reports.sentences)[:, columns]
    scores = np.array([_surest(found[reports.report == each]) for each in range(len(reports.truth))])
    return _crossed(scores, reports.truth, reports.fold)


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
