"""Fit the bike model: this module is its whole training.

1. The base: a Poisson regression with a ridge, log(count) = level + slopes · terms. Each day type has a level for
   each hour, and each hour, of working days and of others, has its own slopes. Both are written as a part that hours
   share and a part of their own; the ridge holds the second small where rows are few.
2. The ratio: boosted trees of count / base, so that effects outside the base (for example that rain
   hurts leisure more than commuting) are learnt as a correction that stays near 1. It is the mean of two ensembles: a
   small one of weather and hour, and a richer one that also sees the day, which alone overfits a calendar seen twice.
3. The fallback, for rows without a timestamp: boosted trees of the count, trained on rows with all, half and none of
   their optional fields, so that any of them may be missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import PoissonRegressor

from app.domains.bike.features import (
    DAY_TYPES,
    REQUIRED,
    TERMS,
    TREE_FEATURES,
    WORKING_DAY_TYPES,
    Columns,
    Timed,
    timed_features,
)
from app.domains.bike.model import LIMITED, Tables, slot

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SHARED_TERMS = (
    3  # growth and the second harmonic of the year: hours share one slope, since two years do not determine more
)
GROWTH = TERMS.index("growth")
SEASONS_TO_TELL_GROWTH = 5  # quarters of a year: with fewer, no season is seen twice, and growth is season
RIDGE = 3e-5
COUNT_UNIT = 1000.0  # counts of order 1, so that RIDGE means the same for any city
# A column scaled by s has its coefficient penalised by 1/s²: the larger, the more the data decide.
OWN_LEVEL_SCALE = 0.5  # a day type's hours differ somewhat from those of other working (or free) days
CHRISTMAS_SCALE = 2.0  # Christmas Day's differ wholly, and 24 rows must show it
OWN_SLOPE_SCALE = 0.3  # an hour's slopes differ a little from the other hours'

BOOSTING: dict[str, Any] = {
    "early_stopping": False,  # it would hold out rows at random, and hours of one day are alike
    "random_state": 0,
}
RATIO: dict[str, Any] = {
    "max_iter": 60,  # of weather and hour alone, more trees are no more accurate
    "learning_rate": 0.15,
    "max_leaf_nodes": 8,
    "min_samples_leaf": 40,
    "l2_regularization": 5.0,
    "max_features": 0.5,
}
RICH_RATIO: dict[str, Any] = {**RATIO, "max_iter": 150, "learning_rate": 0.08, "max_leaf_nodes": 16}
PLAIN_FEATURES = TREE_FEATURES.index("day_type") + 1  # the first ones, which the small ensemble takes
# Few leaves with many rows in each: without the hour, a count scatters by a factor of ten.
FALLBACK: dict[str, Any] = {
    "max_iter": 100,
    "learning_rate": 0.1,
    "max_leaf_nodes": 6,
    "min_samples_leaf": 600,
    "max_features": 0.7,
}

PARAMETERS: dict[str, object] = {
    "ridge": RIDGE,
    "own_level_scale": OWN_LEVEL_SCALE,
    "christmas_scale": CHRISTMAS_SCALE,
    "own_slope_scale": OWN_SLOPE_SCALE,
    **{f"boosting_{name}": value for name, value in BOOSTING.items()},
    **{f"ratio_{name}": value for name, value in RATIO.items()},
    **{f"rich_ratio_{name}": value for name, value in RICH_RATIO.items()},
    **{f"fallback_{name}": value for name, value in FALLBACK.items()},
}


@dataclass(frozen=True, slots=True)
class Ratio:
    """The mean of ensembles, each over as many of the first `TREE_FEATURES` as it was fitted on."""

    members: tuple[HistGradientBoostingRegressor, ...]

    def predict(self, tree: NDArray[np.float32]) -> Floats:
        """Return the ratio for rows of `TREE_FEATURES`: shape (rows,)."""
        found: Floats = np.mean([each.predict(tree[:, : each.n_features_in_]) for each in self.members], axis=0)
        return found


@dataclass(frozen=True, slots=True)
class Fitted:
    """The fitted parts.

    Attributes:
        tables: The base.
        ratio: Two `HistGradientBoostingRegressor`.
        fallback: A `HistGradientBoostingRegressor` over `WEATHER`.
    """

    tables: Tables
    ratio: Ratio
    fallback: HistGradientBoostingRegressor


def fit(columns: Columns, count: Floats, *, growth: bool = True) -> Fitted:
    """Fit all three parts.

    Args:
        columns: Rows that have a timestamp.
        count: Bikes hired, shape (rows,).
        growth: Whether the base has a term for growth from year to year.
    """
    timed = timed_features(columns)
    timed.terms[:, GROWTH] *= growth
    timed.tree[:, TREE_FEATURES.index("growth")] *= growth
    level, slope = fit_base(timed, count)
    seen = [getattr(columns, name) for name in LIMITED]
    tables = Tables(level, slope, np.min(seen, axis=1), np.max(seen, axis=1))
    base = tables.base(timed)
    weight = base / base.mean()  # an error counts in bikes, not in per cent
    small, rich = (HistGradientBoostingRegressor(**BOOSTING, **options) for options in (RATIO, RICH_RATIO))
    small.fit(timed.tree[:, :PLAIN_FEATURES], count / base, sample_weight=weight)
    rich.fit(timed.tree, count / base, sample_weight=weight)
    return Fitted(tables, Ratio((small, rich)), fit_fallback(columns, count))


def estimate_growth(columns: Columns, count: Floats) -> tuple[float, float]:
    """Estimate growth from the training rows alone.

    A term whose estimate is smaller than its standard error does more harm than good in prediction: its error is
    then expected to be larger than what leaving it out costs.

    Returns:
        The change of the log count a year, and its standard error by the jackknife over quarters of a year (days of
        one quarter err together): Efron and Tibshirani, An Introduction to the Bootstrap, chapter 11. The error is
        infinite if there are too few quarters.
    """
    quarter = columns.timestamp.astype("datetime64[M]").astype(np.int64) // 3
    quarters = np.unique(quarter)
    if len(quarters) < SEASONS_TO_TELL_GROWTH:
        return 0.0, float("inf")

    def slope(rows: NDArray[np.bool_]) -> float:
        return float(fit_base(timed_features(columns.take(rows)), count[rows])[1][0, GROWTH])

    without = np.array([slope(quarter != each) for each in quarters])
    spread = np.square(without - without.mean()).sum()
    return slope(np.ones(len(count), bool)), float(np.sqrt(spread * (len(quarters) - 1) / len(quarters)))


def fit_base(timed: Timed, count: Floats) -> tuple[Floats, Floats]:
    """Fit the log-linear base.

    Returns:
        The levels, shape (day types, 24), and the slopes, shape (48, terms): the shared parts added to each hour's own.
    """
    rows, kinds, terms = len(count), len(DAY_TYPES), len(TERMS)
    level_scale = np.full((kinds, 24), OWN_LEVEL_SCALE)
    level_scale[DAY_TYPES.index("Christmas Day")] = CHRISTMAS_SCALE
    hour_of_type = timed.day_type * 24 + timed.hour
    one_hot = np.eye(48)[slot(timed)]
    own_levels = (np.eye(kinds * 24) * level_scale.ravel())[hour_of_type]
    own_slopes = OWN_SLOPE_SCALE * one_hot[:, :, None] * timed.terms[:, None, SHARED_TERMS:]
    design = np.hstack([one_hot, own_levels, timed.terms, own_slopes.reshape(rows, -1)])

    model = PoissonRegressor(alpha=RIDGE, solver="newton-cholesky", max_iter=300).fit(design, count / COUNT_UNIT)

    shared_level, own_level, shared_slope, own_slope = np.split(model.coef_, np.cumsum([48, kinds * 24, terms]))
    working, free = shared_level.reshape(2, 24)
    level = np.stack([working if kind < WORKING_DAY_TYPES else free for kind in range(kinds)])
    level += model.intercept_ + np.log(COUNT_UNIT) + level_scale * own_level.reshape(kinds, 24)
    slope = np.tile(shared_slope, (48, 1))
    slope[:, SHARED_TERMS:] += OWN_SLOPE_SCALE * own_slope.reshape(48, -1)
    return level, slope


def fit_fallback(columns: Columns, count: Floats) -> HistGradientBoostingRegressor:
    """Fit the count on any available fields except the timestamp."""
    fields = columns.matrix()
    without = fields.copy()
    without[:, len(REQUIRED) :] = np.nan
    gone = np.random.default_rng(0).random(fields.shape) < 0.5  # noqa: PLR2004 - every second value
    some = np.where(gone, without, fields)
    model = HistGradientBoostingRegressor(**BOOSTING, **FALLBACK)
    return model.fit(np.vstack([fields, without, some]), np.tile(count, 3))
