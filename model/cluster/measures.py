"""Measure of a clustering against the attacks that are known.

There are two measures, which must not be compared with each other: ours, and the one that AlertBERT's authors publish
(https://arxiv.org/abs/2602.06534). They differ in two points:

| | ours | published |
|---|---|---|
| pairs inside an attack | of two alerts | also of an alert with itself |
| area under the Pareto front | trapezoids, between the trivial clusterings | steps: what the points dominate |

Equal alerts of one second are one unit with a weight, as in the engine; all measures count alerts, not units.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from model.cluster.data import DNSTEAL

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from model.cluster.data import Units

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rates:
    """The shares of correct pairs.

    Attributes:
        tpr: Of pairs of two alerts inside an attack, those that share a cluster.
        tpr_self: As `tpr`, but an alert is also a pair with itself, as published.
        tnr: Of pairs of one alert inside and one in another attack, those that do not.
        tnr_noise: As `tnr`, but the alert outside may also be noise.
    """

    tpr: float
    tpr_self: float
    tnr: float
    tnr_noise: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """The agreement of clusters with attacks, over the alerts of attacks.

    Attributes:
        ari: Adjusted Rand index.
        pair_precision: Of pairs that share a cluster, those of one attack.
        pair_recall: Of pairs of one attack, those that share a cluster.
        v_measure: The harmonic mean of homogeneity and completeness.
    """

    ari: float
    pair_precision: float
    pair_recall: float
    v_measure: float

    @property
    def pair_f1(self) -> float:
        """Return the harmonic mean of precision and recall over pairs."""
        both = self.pair_precision + self.pair_recall
        return 2 * self.pair_precision * self.pair_recall / both if both else 0.0


def instance_rates(units: Units, clusters: Ints) -> list[tuple[str, Rates]]:
    """Return each attack's label and rates; an attack of one alert has no pairs inside, and counts as right."""
    indexes = np.unique(clusters, return_inverse=True)[1]
    count = int(indexes.max()) + 1
    inside = units.inside.astype(np.float64)
    everything = np.bincount(indexes, units.weight, count)
    attacks = np.bincount(indexes, inside.sum(axis=0), count)
    found = []
    for label, mine in zip(units.attacks, inside, strict=True):
        held = np.bincount(indexes, mine, count)
        alerts = mine.sum()
        pairs = alerts * (alerts - 1)
        tpr = float((held * (held - 1)).sum() / pairs) if pairs else 1.0
        wrong, wrong_noise = ((held * (each - held)).sum() for each in (attacks, everything))
        others, others_noise = attacks.sum() - alerts, everything.sum() - alerts
        tpr_self = float((held * held).sum() / alerts**2)
        tnr, tnr_noise = _right(wrong, alerts * others), _right(wrong_noise, alerts * others_noise)
        found.append((label, Rates(tpr, tpr_self, tnr, tnr_noise)))
    return found


def mean_rates(instances: Iterable[tuple[str, Rates]]) -> tuple[Rates, dict[str, Rates]]:
    """Return the rates averaged over labels, each label's rates averaged over its attacks; and the rates of each label.

    The parts of `dnsteal` are averaged over their attacks, then to one label.
    """
    by_part: dict[str, list[Rates]] = {}
    for part, rates in instances:
        by_part.setdefault(part, []).append(rates)
    by_label: dict[str, list[Rates]] = {}
    for part, of_part in by_part.items():
        by_label.setdefault(DNSTEAL if part.startswith(DNSTEAL) else part, []).append(_mean(of_part))
    means = {label: _mean(of_label) for label, of_label in by_label.items()}
    return _mean(list(means.values())), means


def area(points: Iterable[tuple[float, float]]) -> float:
    """Return the area under the Pareto front of (TNR, TPR) by trapezoids, with the trivial clusterings as its ends."""
    tnrs, tprs = zip((0.0, 1.0), *_front(points), (1.0, 0.0), strict=True)
    return float(np.trapezoid(tprs, tnrs))


def published_area(points: Iterable[tuple[float, float]]) -> float:
    """Return the published area: of all (TNR, TPR) that are no better than a point in either, without added ends."""
    found = before = 0.0
    for tnr, tpr in _front(points):
        found += (tnr - before) * tpr
        before = tnr
    return found


def _front(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points that no other is better than in both rates, in order of TNR."""
    front: list[tuple[float, float]] = []
    for tnr, tpr in sorted(points, reverse=True):
        if not front or tpr > front[-1][1]:
            front.append((tnr, tpr))
    return front[::-1]


def agreement(units: Sequence[Units], clusters: Sequence[Ints]) -> Agreement:
    """Return the agreement over the attacks of the runs; noise, which has no known truth, is left out."""
    cells, rows, columns = _contingency(units, clusters)
    total = cells.sum()
    inside, truth, found = _pairs(cells), _pairs(rows), _pairs(columns)
    expected = truth * found / max(_pairs(np.array([total])), 1.0)
    ari = (inside - expected) / max((truth + found) / 2 - expected, 1e-12)
    mutual = _entropy(rows) + _entropy(columns) - _entropy(cells)
    homogeneity = mutual / _entropy(rows) if _entropy(rows) else 1.0
    completeness = mutual / _entropy(columns) if _entropy(columns) else 1.0
    both = homogeneity + completeness
    v_measure = 2 * homogeneity * completeness / both if both else 0.0
    return Agreement(float(ari), inside / max(found, 1.0), inside / max(truth, 1.0), float(v_measure))


def _contingency(units: Sequence[Units], clusters: Sequence[Ints]) -> tuple[Floats, Floats, Floats]:
    """Return the nonzero numbers of alerts by attack and cluster, by attack, and by cluster."""
    cells: list[Floats] = []
    rows: list[float] = []
    columns: list[Floats] = []
    for run, found in zip(units, clusters, strict=True):
        indexes = np.unique(found, return_inverse=True)[1]
        held = np.array([np.bincount(indexes, mine, indexes.max() + 1) for mine in run.inside.astype(np.float64)])
        cells.append(held[held > 0])
        rows += list(held.sum(axis=1))
        columns.append(held.sum(axis=0))
    every = np.concatenate(columns)
    return np.concatenate(cells), np.array(rows), every[every > 0]


def _pairs(counts: Floats) -> float:
    return float((counts * (counts - 1)).sum() / 2)


def _entropy(counts: Floats) -> float:
    share = counts / counts.sum()
    return float(-(share * np.log(share)).sum())


def _right(wrong: float, pairs: float) -> float:
    return 1.0 - float(wrong / pairs) if pairs else 1.0


def _mean(rates: Sequence[Rates]) -> Rates:
    values = np.array([(each.tpr, each.tpr_self, each.tnr, each.tnr_noise) for each in rates]).mean(axis=0)
    return Rates(*map(float, values))
