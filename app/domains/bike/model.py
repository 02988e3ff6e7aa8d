"""The bike model: predicts how many bikes are hired in an hour.

With a timestamp, count = base x ratio: the base is log-linear (a level for each type of day and hour, and slopes for
season and weather by hour), the ratio the mean of two boosted ensembles of what the base misses. Without one, the hour
of the day is not known, and a boosted ensemble over whatever fields there are gives the mean over all hours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from app.domains.bike.features import (
    DAY_TYPES,
    TERMS,
    TREE_FEATURES,
    WEATHER,
    WORKING_DAY_TYPES,
    Columns,
    Timed,
    is_weekend,
    season,
    timed_features,
)
from app.errors import ModelError
from app.inference.arrays import read_arrays
from app.inference.models import ColumnModel, OnnxModel, load_columns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from app.inference.bundle import Bundle

RATIO, FALLBACK, TABLES = "ratio.onnx", "fallback.onnx", "tables.npz"
_HOURS = 24
LIMITED = ("t1", "t2", "hum", "wind_speed")
"""Fields held within what training saw: beyond it, an exponential is a guess that grows."""


@dataclass(frozen=True, slots=True)
class Tables:
    """The log-linear base as two tables, and the limits of the fields.

    Attributes:
        level: Log count, shape (day types, 24).
        slope: Change of the log count per unit of a term, shape (48, terms): 24 hours of working days, then of others.
        lowest: The least of each of `LIMITED` that training saw.
        highest: The greatest.
    """

    level: NDArray[np.float64]
    slope: NDArray[np.float64]
    lowest: NDArray[np.float64]
    highest: NDArray[np.float64]

    def check(self) -> None:
        """Raise a ModelError unless every table has its size."""
        sizes = ((len(DAY_TYPES), _HOURS), (2 * _HOURS, len(TERMS)), (len(LIMITED),), (len(LIMITED),))
        for name, size in zip(Tables.__dataclass_fields__, sizes, strict=True):
            table = getattr(self, name)
            if table.shape != size or table.dtype.kind != "f":
                raise ModelError(f"{TABLES}: {name} has {table.dtype} of shape {table.shape}, not numbers of {size}")

    def base(self, timed: Timed) -> NDArray[np.float64]:
        """Return the base count, shape (rows,)."""
        slopes = self.slope[slot(timed)]
        log: NDArray[np.float64] = self.level[timed.day_type, timed.hour] + (timed.terms * slopes).sum(axis=1)
        return np.exp(log)

    def limit(self, columns: Columns) -> Columns:
        """Return the columns with `LIMITED` fields clipped to the range seen in training."""
        limits = zip(LIMITED, self.lowest, self.highest, strict=True)
        return replace(columns, **{name: np.clip(getattr(columns, name), *ends) for name, *ends in limits})


def slot(timed: Timed) -> NDArray[np.int64]:
    """Return each row's index in `Tables.slope`: the hour, plus 24 for days that are not working days."""
    return timed.hour + _HOURS * (timed.day_type >= WORKING_DAY_TYPES)


class BikeModel:
    """Counts of bikes hired in an hour, from columns."""

    def __init__(self, tables: Tables, ratio: OnnxModel, fallback: ColumnModel) -> None:
        """Take the parts; `load` reads them from a bundle."""
        self._tables, self._ratio, self._fallback = tables, ratio, fallback

    @classmethod
    def load(cls, bundle: Bundle) -> BikeModel:
        """Read the model from a bundle.

        Raises:
            ModelError: A part is missing or of another kind.
            DigestMismatchError: A file is not what the manifest says.
        """
        arrays = read_arrays(bundle.read(TABLES), TABLES, set(Tables.__dataclass_fields__))
        tables = Tables(*(arrays[name] for name in Tables.__dataclass_fields__))
        tables.check()
        model = cls(tables, OnnxModel(bundle.read(RATIO)), load_columns(bundle, FALLBACK))
        model.predict(_trial())  # what does not fit together is found here, not record by record
        return model

    def predict(self, columns: Columns) -> NDArray[np.int64]:
        """Return counts, rounded to the nearest and never negative: shape (rows,).

        A row's count does not depend on the other rows of the call.
        """
        with np.errstate(invalid="raise"):  # a count that is no number: the record at fault is set aside
            return np.rint(self.counts(columns)).astype(np.int64)

    def counts(self, columns: Columns) -> NDArray[np.float64]:
        """Return counts before rounding: shape (rows,)."""
        columns = self._tables.limit(columns)
        timed = ~np.isnat(columns.timestamp)
        found = np.empty(len(columns))
        if timed.any():
            features = timed_features(columns.take(timed))
            found[timed] = self._tables.base(features) * self._ratio_of(features)
        if not timed.all():
            found[~timed] = self._fallback.predict(columns.take(~timed).matrix())
        return np.maximum(found, 0)

    def _ratio_of(self, timed: Timed) -> NDArray[np.floating[Any]]:
        return self._ratio.predict(timed.tree[:, : self._ratio.features])

    def steps(self, columns: Columns) -> dict[str, object]:
        """Return the intermediate values of one row by name, for a person to read."""
        limited = self._tables.limit(columns)
        count = float(self.counts(columns)[0])
        if np.isnat(columns.timestamp[0]):
            fields = zip(WEATHER, limited.matrix()[0].tolist(), strict=True)
            known = {name: value for name, value in fields if not np.isnan(value)}
            return {"model": FALLBACK, "features": known, "count": count}
        timed = timed_features(limited)
        day = columns.timestamp.astype("datetime64[D]")
        slopes = self._tables.slope[slot(timed)[0]]
        return {
            "model": f"{TABLES} x {RATIO}",
            "day_type": DAY_TYPES[timed.day_type[0]],
            "hour": int(timed.hour[0]),
            "is_weekend": int(is_weekend(day)[0]),
            "season": int(season(day)[0]),
            "level": float(np.exp(self._tables.level[timed.day_type[0], timed.hour[0]])),
            # What each term multiplies the level by: 1.1 is ten per cent more.
            "factors": dict(zip(TERMS, np.exp(timed.terms[0] * slopes).tolist(), strict=True)),
            "base": float(self._tables.base(timed)[0]),
            "features": dict(zip(TREE_FEATURES[: self._ratio.features], timed.tree[0].tolist(), strict=False)),
            "ratio": float(self._ratio_of(timed)[0]),
            "count": count,
        }


def _trial() -> Columns:
    """Return a row with a time, and one without."""
    ones = np.ones(2)
    return Columns(**dict.fromkeys(WEATHER, ones), timestamp=np.array(["2016-01-04T08:00", "NaT"], "datetime64[m]"))
