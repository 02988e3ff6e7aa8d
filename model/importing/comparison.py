"""Whether a conversion gives what the model gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from app.errors import ModelError
from model.importing.sample import frame
from model.importing.source import first_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from app.inference.models import ColumnModel
    from model.importing.sample import Sample

TOLERANCE = 1e-5  # of the largest prediction: a hundred times float32's steps, far less than one wrong branch
_CUTS = (1, 2, 3, 7, 64)  # sizes of batches in which sums are known to be done in other orders


@dataclass(frozen=True, slots=True)
class Expected:
    """What scikit-learn says of rows.

    Attributes:
        rows: The rows, shape (rows, features).
        values: A regression's predictions, or a classifier's probabilities, shape (rows,) or (rows, classes); None for
            a classifier that gives none.
        labels: A classifier's predictions as places in `classes_`; None for a regression.
    """

    rows: NDArray[np.float64]
    values: NDArray[np.float64] | None
    labels: NDArray[np.int64] | None


def expect(model: Any, names: Sequence[str], sample: Sample) -> Expected:  # noqa: ANN401 - an estimator
    """Asks scikit-learn. Drawn rows that it refuses are left out; those that were given must be taken.

    Raises:
        ModelError: It refuses a given row, all drawn ones where none were given, or predicts several targets.
    """
    given, failure = _ask(model, names, sample.given), ""
    if isinstance(given, str):
        raise ModelError(f"the model does not take its sample: {given}")
    found = [given] if given else []
    complete = sample.drawn[~np.isnan(sample.drawn).any(axis=1)]
    for rows in (sample.drawn, complete):
        drawn = _ask(model, names, rows)
        if isinstance(drawn, Expected):
            # Beyond what the model was made for it may overflow: nothing to compare there.
            values = np.zeros((len(rows), 1)) if drawn.values is None else drawn.values.reshape(len(rows), -1)
            found.append(_take(drawn, np.flatnonzero(np.isfinite(values).all(axis=1))))
            break
        failure = drawn or ""
    if not found:
        raise ModelError(f"the model takes no row that was drawn: {failure}; give some with --sample")
    expected = _joined(found)
    if expected.labels is None and expected.values is not None and expected.values.ndim > 1:
        raise ModelError(f"the model predicts {expected.values.shape[1]} targets; one can be imported")
    return expected


def difference(expected: Expected, found: NDArray[np.floating[Any]], *, probabilities: bool) -> float:
    """The largest difference, relative to the largest prediction; infinite where a label or a shape differs.

    Args:
        expected: What scikit-learn says.
        found: What the conversion says of the same rows.
        probabilities: Whether a classifier's scores are to be probabilities; else only its labels are compared.
    """
    if expected.labels is not None:
        if found.ndim != 2 or len(found) != len(expected.rows):  # noqa: PLR2004 - a score a class
            return float("inf")
        ordered = np.sort(found, axis=1)
        tied = ordered[:, -1] - ordered[:, -2] <= TOLERANCE * np.abs(found).max()
        if ((found.argmax(axis=1) != expected.labels) & ~tied).any():
            return float("inf")
        if not probabilities:
            return 0.0
    values = expected.values
    if values is None or values.shape != found.shape or not np.array_equal(np.isnan(values), np.isnan(found)):
        return float("inf")
    largest = float(np.nanmax(np.abs(values), initial=0.0))
    return float(np.nanmax(np.abs(values - found), initial=0.0)) / (largest or 1.0)


def rows_are_independent(model: ColumnModel, rows: NDArray[np.float64]) -> bool:
    """Whether each row's prediction is the same to the last bit however the rows are cut into batches."""
    rows = np.resize(rows, (max(len(rows), 4 * _CUTS[-1] + 1), rows.shape[1])).astype(model.dtype)
    whole = model.predict(rows)
    for size in _CUTS:
        parts = [model.predict(rows[start : start + size]) for start in range(0, len(rows), size)]
        if not np.array_equal(np.concatenate(parts), whole, equal_nan=True):
            return False
    return True


def _ask(model: Any, names: Sequence[str], rows: NDArray[np.float64]) -> Expected | str | None:  # noqa: ANN401
    """What the model says of rows, why it refuses them, or None where there are none."""
    if not len(rows):
        return None
    table = frame(model, names, rows)
    try:
        with np.errstate(all="ignore"):
            found = np.asarray(model.predict(table))
            if not hasattr(model, "classes_"):
                values = found.astype(np.float64)
                values = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values  # noqa: PLR2004
                return Expected(rows, values, None)
            places = {label: place for place, label in enumerate(model.classes_.tolist())}
            labels = np.array([places[label] for label in found.tolist()])
            scores = model.predict_proba(table) if hasattr(model, "predict_proba") else None
            return Expected(rows, scores, labels)
    except Exception as error:  # noqa: BLE001 - estimators raise what they like
        return first_line(error)


def _take(expected: Expected, rows: NDArray[np.intp]) -> Expected:
    values = None if expected.values is None else expected.values[rows]
    labels = None if expected.labels is None else expected.labels[rows]
    return Expected(expected.rows[rows], values, labels)


def _joined(parts: Sequence[Expected]) -> Expected:
    values = [part.values for part in parts if part.values is not None]
    labels = [part.labels for part in parts if part.labels is not None]
    return Expected(
        np.concatenate([part.rows for part in parts]),
        np.concatenate(values) if values else None,
        np.concatenate(labels) if labels else None,
    )
