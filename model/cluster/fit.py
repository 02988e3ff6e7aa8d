"""Learn which alert types occur together, without labels.

Two types that are raised by one action come within the same second, again and again. Two values are computed for
each pair of types: how much more often than by chance they share a second (positive pointwise mutual information, whose
rows are then compared by cosine, so that types with the same neighbours are alike), and the share of the rarer type's
seconds that contain the other. The affinity is the mean of the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from app.domains.alerts.text import fold

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from model.cluster.data import Columns

    Floats = NDArray[np.float64]


_DAY_S = 86_400


def fit(scenarios: Sequence[Columns]) -> tuple[list[str], Floats, Floats]:
    """Return the types' folded names, the affinity of each pair, and in how many seconds of a day each type occurs."""
    names: dict[str, int] = {}
    bins, kinds = [], []
    offset = 0
    for scenario in scenarios:
        index = np.array([names.setdefault(fold(each[0]), len(names)) for each in scenario.types])
        seconds = scenario.time - scenario.time[0] + offset
        offset = int(seconds[-1]) + 1
        bins.append(seconds)
        kinds.append(index[scenario.type])
    together = count_together(np.concatenate(bins), np.concatenate(kinds), len(names))
    days = sum(int(each.time[-1] - each.time[0]) for each in scenarios) / _DAY_S
    return list(names), affinity(together), np.diag(together) / days


def count_together(bins: NDArray[np.int64], kinds: NDArray[np.int64], types: int) -> Floats:
    """Return in how many bins each pair of types occurs; on the diagonal, each type."""
    seen = np.unique(np.stack([bins, kinds], axis=1), axis=0)
    together = np.zeros((types, types))
    starts = np.flatnonzero(np.diff(seen[:, 0], prepend=-1))
    for rows in np.split(seen[:, 1], starts[1:]):
        together[np.ix_(rows, rows)] += 1
    return together


def affinity(together: Floats) -> Floats:
    """Return the affinity of each pair of types from the counts of their shared bins."""
    alone = np.diag(together)
    with np.errstate(divide="ignore", invalid="ignore"):
        information = np.log(together * together.sum() / np.outer(together.sum(axis=0), together.sum(axis=1)))
    information = np.maximum(np.nan_to_num(information, neginf=0.0), 0.0)
    norm = np.linalg.norm(information, axis=1)
    cosine = information @ information.T / np.maximum(np.outer(norm, norm), 1e-12)
    share = together / np.minimum.outer(alone, alone)
    found = (cosine + share) / 2
    np.fill_diagonal(found, 1.0)
    return np.asarray(np.clip(found, 0.0, 1.0), np.float64)
