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

from app.domains.alerts.alert import Alert
from app.domains.alerts.techniques.catalogue import shipped_catalogue
from app.domains.alerts.techniques.model import TechniqueModel
from app.domains.alerts.techniques.resolver import TechniqueResolver
from app.domains.alerts.techniques.signatures import shipped_signatures
from app.inference.bundle import find_bundle
from app.inference.manifest import MANIFEST
from model.technique.calibrate import calibrate, see, served, unseen, unseen_vendors
from model.technique.data import SIGMA, read_samples, read_titles
from model.technique.export import WINDOWS
from model.technique.fit import Corpus, Options, fit
from model.technique.measure import SPLITS, Band, Score, is_right, reliability, score
from model.technique.tram import FOLDS as REPORT_FOLDS
from model.technique.tram import report_f1, report_f1_of

if TYPE_CHECKING:
    from app.domains.alerts.techniques.decision import DecisionSettings
    from app.inference.bundle import Bundle

FOLDS = 5
TIME_VIEWS = (*SPLITS, "description alone")
AIMS = {"random": 0.66, "time": 0.55, "tram": 0.72, "precision": 0.80, "answered": 0.30, "texts_a_second": 20_000}
_MEGABYTE = 1_000_000


class Report(msgspec.Struct, frozen=True):
    """The results of an evaluation.

    Attributes:
        random: Scores on Sigma rules in five random folds, by the view of a rule.
        time: Scores on the Sigma rules of the last years, by a model of earlier samples, by the view of a rule. Once
            without other sources' copies of the tested rules, which have no dates, and once with them.
        curves: Reliability of the best techniques by form of text and by kind of source, on these rules without copies.
        titles: Scores of our own titles in the style of other detectors, through signatures, catalogue and model; by
            detector.
        tram: Mean F1 of TRAM's reports in folds by report: of the method, trained on TRAM's sentences.
        tram_shipped: Mean F1 of the same reports by the shipped bundle, which has not learned TRAM's sentences.
        bundle_mb: Size of the shipped bundle.
        texts_a_second: Titles a second on one core through the shipped bundle, without remembered answers.
        aims: The aim of each figure.
    """

    random: dict[str, Score]
    time: dict[str, dict[str, Score]]
    curves: dict[str, list[Band]]
    titles: dict[str, dict[str, float]]
    tram: float
    tram_shipped: float
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
    last = WINDOWS[-1]
    _log(f"calibrating on the rules before {last[0]}, and on other vendors'")
    years = [each for window in WINDOWS[:-1] for each in unseen(corpus, options, window)]
    settings = calibrate(years, unseen_vendors(corpus, options, last[0]))
    found: dict[str, dict[str, Score]] = {}
    curves: dict[str, list[Band]] = {}
    for copies in (False, True):
        name = f"{last[0]} to {last[-1]}, copies {'in' if copies else 'out'}"
        _log(f"{name}: by earlier samples")
        seen = unseen(corpus, options, last, copies=copies)
        found[name] = {view: score(each, settings) for view, each in zip(TIME_VIEWS, seen, strict=True)}
        curves = curves or reliability(seen, settings)
    random = _random_folds(corpus, options, settings)
    _log(f"TRAM's reports in {REPORT_FOLDS} folds")
    tram = report_f1(data)
    bundle = find_bundle("technique")
    shipped = report_f1_of(TechniqueModel.load(bundle), data)
    size, speed = _shipped(bundle, [each.views[0] for each in corpus.samples if each.source == SIGMA])
    return Report(random, found, curves, _titles(bundle), tram, shipped, size, speed, dict(AIMS))


def _titles(bundle: Bundle) -> dict[str, dict[str, float]]:
    resolver = TechniqueResolver(
        None, shipped_catalogue(), TechniqueModel.load(bundle), signatures=shipped_signatures()
    )  # fmt: skip
    results = {}
    for name, titles in read_titles().items():
        alerts = [Alert(id=0, time=0.0, src="", dst="", name=title) for title in titles]
        pairs = [pair for pair in zip(resolver.resolve(alerts), titles.values(), strict=True) if pair[0].ids]
        right = sum(is_right(each.ids[0], truth) for each, truth in pairs)
        results[name] = {
            "titles": len(titles),
            "with_techniques": sum(map(bool, titles.values())),
            "answered": len(pairs),
            "precision": right / max(len(pairs), 1),
            "confidence": sum(each.confidence for each, _ in pairs) / max(len(pairs), 1),
        }
    return results


def print_report(report: Report) -> None:
    """Print the figures with their aims."""
    for name in TIME_VIEWS:
        print(f"Sigma, reading the {name}")
        if name in report.random:
            print(f"  {f'{FOLDS} random folds':24} {report.random[name].line()}")
        for year, scores in report.time.items():
            print(f"  {year:24} {scores[name].line()}")
    aims = report.aims
    print(
        f"aims: F1 {aims['random']} in random folds, {aims['time']} of later years, "
        f"{aims['precision']} right at the threshold, {aims['answered']} answered with description"
    )
    print("reliability: mean confidence / right (texts)")
    for name, bands in report.curves.items():
        print(f"  {name:10} " + "  ".join(f"{each.confidence:.2f}/{each.right:.2f} ({each.texts})" for each in bands))
    for name, each in report.titles.items():
        print(
            f"{name} titles of our own: {each['titles']:.0f}, {each['with_techniques']:.0f} with techniques, "
            f"{each['answered']:.0f} answered, {each['precision']:.3f} right, {each['confidence']:.3f} mean confidence"
        )
    print(f"TRAM reports, {REPORT_FOLDS} folds by report: F1 {report.tram:.3f} (aim {aims['tram']})")
    print(f"TRAM reports by the shipped bundle, which has not learned them: F1 {report.tram_shipped:.3f}")
    print(
        f"shipped bundle: {report.bundle_mb:.1f} MB, {report.texts_a_second:,.0f} titles a second on one core", end=""
    )
    print(f" (aims: 12 MB, {aims['texts_a_second']:,.0f})")


def _random_folds(corpus: Corpus, options: Options, settings: DecisionSettings) -> dict[str, Score]:
    rules = np.array([index for index, each in enumerate(corpus.samples) if each.source == SIGMA])
    fold = np.random.default_rng(0).permutation(len(rules)) % FOLDS
    parts: list[list[tuple[Score, int]]] = [[] for _ in SPLITS]
    for number in range(FOLDS):
        _log(f"random fold {number + 1} of {FOLDS}")
        tested = rules[fold == number]
        model = served(fit(corpus, np.setdiff1d(np.arange(len(corpus.samples)), tested), options))
        for view, into in enumerate(parts):
            into.append((score(see(model, [corpus.samples[each] for each in tested], view), settings), len(tested)))
    return {name: _mean(part) for name, part in zip(SPLITS, parts, strict=True)}


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


def _shipped(bundle: Bundle, titles: list[str]) -> tuple[float, float]:
    """Return the size of the shipped bundle in MB, and its texts a second."""
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
