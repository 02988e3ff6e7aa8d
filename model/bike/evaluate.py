"""Measure the model on hours that it was not trained on, against simple baselines."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from app.domains.bike.features import DAY_TYPES, WEATHER, Columns, timed_features

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from app.domains.bike.model import BikeModel
    from app.inference.models import ColumnModel
    from model.bike.fit import Fitted, Floats
    from model.bike.table import Table

WEATHER_NAMES = {
    1: "1 clear",
    2: "2 scattered clouds",
    3: "3 broken clouds",
    4: "4 cloudy",
    7: "7 rain",
    10: "10 thunderstorm",
    26: "26 snow",
}
OPTIONAL = WEATHER[4:]


@dataclass(frozen=True, slots=True)
class Score:
    """The errors on a group of hours.

    Attributes:
        rows: Number of hours.
        mean: Mean true count.
        rmse: Root mean squared error, in bikes an hour.
        bias: Mean of prediction minus truth.
    """

    rows: int
    mean: float
    rmse: float
    bias: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The results that the card shows.

    Attributes:
        predicted: Counts for the test hours with all fields, shape (rows,).
        by_fields: Scores by the available fields, then of the baselines.
        by_hour: Scores by hour of the day, with all fields.
        by_weather: Scores by the name of the weather.
        by_day_type: Scores by the name of the day type.
        onnx_difference: The greatest difference from scikit-learn's own predictions, in bikes an hour.
    """

    predicted: Floats
    by_fields: dict[str, Score]
    by_hour: dict[str, Score]
    by_weather: dict[str, Score]
    by_day_type: dict[str, Score]
    onnx_difference: float


def score(predicted: Floats, truth: Floats) -> Score:
    """Return the score of at least one hour."""
    error = predicted - truth
    return Score(len(truth), float(truth.mean()), float(np.sqrt(np.square(error).mean())), float(error.mean()))


def evaluate(model: BikeModel, train: Table, test: Table) -> Evaluation:
    """Score a model and the baselines on a test table, also with missing fields; `onnx_difference` is filled in later.

    Args:
        model: The model to ship.
        train: The training table, for the baselines.
        test: The later rows.
    """
    columns, truth = test.columns, test.count
    predicted = model.predict(columns).astype(np.float64)
    fields = {
        "all fields": columns,
        "timestamp and the required four": without(columns, *OPTIONAL),
        "the eight without the timestamp": without(columns, "timestamp"),
        "the required four only": without(columns, *OPTIONAL, "timestamp"),
    }
    by_fields = {name: score(model.predict(given).astype(np.float64), truth) for name, given in fields.items()}
    by_fields["linear model of the required four"] = score(linear(train, columns), truth)
    by_fields["constant: the mean"] = score(np.full(len(truth), train.count.mean()), truth)
    timed = timed_features(columns)
    codes = columns.weather_code.astype(np.int64)

    def by(keys: NDArray[np.int64], names: dict[int, str]) -> dict[str, Score]:
        return {
            names.get(int(key), str(key)): score(predicted[keys == key], truth[keys == key]) for key in np.unique(keys)
        }

    return Evaluation(
        predicted,
        by_fields,
        by_hour=by(timed.hour, {hour: f"{hour:02}" for hour in range(24)}),
        by_weather=by(codes, WEATHER_NAMES),
        by_day_type=by(timed.day_type, dict(enumerate(DAY_TYPES))),
        onnx_difference=0.0,
    )


def without(columns: Columns, *names: str) -> Columns:
    """Return the columns with these fields missing in every row."""
    missing = {name: np.full(len(columns), np.nan) for name in names if name != "timestamp"}
    if "timestamp" in names:
        return replace(columns, **missing, timestamp=np.full(len(columns), "NaT", "datetime64[m]"))
    return replace(columns, **missing)


def linear(train: Table, columns: Columns) -> Floats:
    """Predict by least squares on t1, t2, hum, weather_code and t1 x t2, the simplest use of the required fields."""

    def design(given: Columns) -> Floats:
        ones = np.ones(len(given))
        return np.stack([ones, given.t1, given.t2, given.hum, given.weather_code, given.t1 * given.t2], axis=1)

    coefficients = np.linalg.lstsq(design(train.columns), train.count)[0]
    return np.asarray(design(columns) @ coefficients, np.float64)


def onnx_difference(fitted: Fitted, ratio: ColumnModel, fallback: ColumnModel, columns: Columns) -> float:
    """Return the greatest difference between the graphs and scikit-learn, in bikes an hour, with and without NaN."""
    timed = timed_features(columns)
    base = fitted.tables.base(timed)
    found = [np.abs(base * (ratio.predict(timed.tree) - fitted.ratio.predict(timed.tree))).max()]
    for given in (columns, without(columns, *OPTIONAL), without(columns, "wind_speed", "season")):
        fields = given.matrix()
        found.append(np.abs(fallback.predict(fields) - fitted.fallback.predict(fields)).max())
    return float(max(found))
