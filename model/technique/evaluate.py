"""Measure the technique model's method on unseen texts: `millrace model evaluate technique`.

Each figure comes from a model that is fitted here with the shipped options and code, without the tested texts, and that
answers through the code that serves. Both splits are shown: random folds share families of rules and are optimistic;
rules of a later year are closer to a user's.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path  # noqa: TC003 - the command line reads the annotations
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from app.domains.alerts.techniques.model import TechniqueModel
from app.inference.bundle import find_bundle
from app.inference.manifest import MANIFEST
from model.technique.calibrate import calibrate, served, unseen
from model.technique.data import SIGMA, read_samples
from model.technique.export import YEARS
from model.technique.fit import Corpus, Options, fit
from model.technique.measure import SPLITS, Score, Seen, score
from model.technique.tram import FOLDS as REPORT_FOLDS
from model.technique.tram import report_f1

if TYPE_CHECKING:
    from app.domains.alerts.techniques.decision import DecisionSettings

FOLDS = 5
AIMS = {"random": 0.66, "time": 0.50, "tram": 0.72, "precision": 0.80, "texts_a_second": 20_000}
_MEGABYTE = 1_000_000


class Report(msgspec.Struct, frozen=True):
    """The results of an evaluation.

    Attributes:
        random: Scores on Sigma rules in five random folds, by the view of a rule.
        time: Scores on the Sigma rules of each year from 2024, by a model of earlier samples; by year and view. Once
            without other sources' copies of the tested rules, which have no dates, and once with them.
        tram: Mean F1 of TRAM's reports, in folds by report.
        bundle_mb: Size of the shipped bundle.
        texts_a_second: Titles a second on one core through the shipped bundle, without remembered answers.
        aims: The aim of each figure.
    """

    random: dict[str, Score]
    time: dict[str, dict[str, Score]]
    tram: float
    bundle_mb: float
    texts_a_second: float
    aims: dict[str, float]


def evaluate(data: Path) -> Report:
    """Measure the technique model; this takes ten minutes on one core and 4 GB of memory.

    Args:
        data: The folder of the training texts.

    Raises:
        SettingsError: The texts cannot be read.
        ModelError: There is no bundle to measure size and speed of.
    """
    options = Options()
    corpus = Corpus(read_samples(data))
    last = YEARS[-1]
    _log(f"calibrating on the rules of {YEARS[0]} to {last - 1}")
    settings = calibrate([each for year in YEARS[:-1] for each in unseen(corpus, options, year)])
    found: dict[str, dict[str, Score]] = {}
    for year in sorted({each.year for each in corpus.samples if each.year >= last}):
        for copies in (False, True):
            name = f"{year}, copies {'in' if copies else 'out'}"
            _log(f"{name}: by what came before")
            seen = unseen(corpus, options, year, copies=copies)
            found[name] = {view: score(each, settings) for view, each in zip(SPLITS, seen, strict=True)}
    random = _random_folds(corpus, options, settings)
    _log(f"TRAM's reports in {REPORT_FOLDS} folds")
    tram = report_f1(data)
    size, speed = _shipped([each.views[0] for each in corpus.samples if each.source == SIGMA])
    return Report(random, found, tram, size, speed, dict(AIMS))


def print_report(report: Report) -> None:
    """Print the figures with their aims."""
    for name in SPLITS:
        print(f"Sigma, reading the {name}")
        print(f"  {f'{FOLDS} random folds':18} {report.random[name].line()}")
        for year, scores in report.time.items():
            print(f"  {year:18} {scores[name].line()}")
    aims = report.aims
    print(
        f"aims: F1 {aims['random']} in random folds, {aims['time']} in 2024, {aims['precision']} right at the threshold"
    )
    print(f"TRAM reports, {REPORT_FOLDS} folds by report: F1 {report.tram:.3f} (aim {aims['tram']})")
    print(
        f"shipped bundle: {report.bundle_mb:.1f} MB, {report.texts_a_second:,.0f} titles a second on one core", end=""
    )
    print(f" (aims: 12 MB, {aims['texts_a_second']:,.0f})")


def _random_folds(corpus: Corpus, options: Options, settings: DecisionSettings) -> dict[str, Score]:
    rules = np.array([index for index, each in enumerate(corpus.samples) if each.source == SIGMA])
    fold = np.random.default_rng(0).permutation(len(rules)) % FOLDS
    parts: list[list[tuple[Seen, int]]] = [[] for _ in SPLITS]
    for number in range(FOLDS):
        _log(f"random fold {number + 1} of {FOLDS}")
        tested = rules[fold == number]
        train = np.setdiff1d(np.arange(len(corpus.samples)), tested)
        model = served(fit(corpus, train, options))
        chosen = [corpus.samples[each] for each in tested]
        for view, into in enumerate(parts):
            scores = model.scores([each.views[view] for each in chosen])
            into.append((Seen(scores, model.settings.labels, [each.labels for each in chosen]), len(chosen)))
    return {
        name: _mean([(score(seen, settings), count) for seen, count in part])
        for name, part in zip(SPLITS, parts, strict=True)
    }


def _mean(parts: list[tuple[Score, int]]) -> Score:
    """Return one score of several folds; figures of answered texts are weighted by their number."""
    texts = np.array([count for _, count in parts], float)
    answered = texts * [each.coverage for each, _ in parts]
    values = {}
    for field in ("f1", "right", "coverage"):
        values[field] = float(np.average([getattr(each, field) for each, _ in parts], weights=texts))
    for field in ("precision", "credit", "confidence"):
        weights = answered if answered.any() else None
        values[field] = float(np.average([getattr(each, field) for each, _ in parts], weights=weights))
    return Score(texts=int(texts.sum()), **values)


def _shipped(titles: list[str]) -> tuple[float, float]:
    """Return the size of the shipped bundle in MB, and its texts a second."""
    bundle = find_bundle("technique")
    sizes = sum(each.size_bytes for each in bundle.manifest.files.values())
    sizes += len(bundle.objects.get(MANIFEST) or b"")
    texts = list(dict.fromkeys(titles))
    best = 0.0
    for _ in range(3):
        model = TechniqueModel.load(bundle)  # each time one that remembers no token
        start = time.perf_counter()
        model.predict(texts)
        best = max(best, len(texts) / (time.perf_counter() - start))
    return sizes / _MEGABYTE, best


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
