"""Rows to compare a model and its conversion on, and the comparison."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pandas as pd

from app.errors import ModelError, SettingsError
from model.importing.source import first_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from app.inference.manifest import Field
    from app.inference.models import ColumnModel
    from model.importing.source import Logged

TOLERANCE = 1e-5  # of the largest prediction: a hundred times float32's steps, far less than one wrong branch
_CUTS = (1, 2, 3, 7, 64)  # sizes of batches in which sums are known to be done in other orders
DRAWN_ROWS = 1000  # enough to visit most leaves of most trees, and a second's work
_MISSING = 0.1  # of an optional field's drawn values
_FLAGS = {"true": 1.0, "false": 0.0}


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows to compare on.

    Attributes:
        given: Rows that the user or the model gave, shape (rows, features), NaN where missing.
        drawn: Rows drawn at random.
        description: Where the rows come from, for the user.
    """

    given: NDArray[np.float64]
    drawn: NDArray[np.float64]
    description: str


def gather(logged: Logged, signature: Sequence[Field], file: Path | None) -> Sample:
    """Return the rows of the model's input example and of the user's file, and rows drawn around them.

    Raises:
        SettingsError: The file is not a table of these features.
    """
    parts, sources = [], []
    example = _example(logged, signature)
    if example is not None:
        parts.append(example)
        sources.append(f"{len(example)} rows of its input_example")
    if file is not None:
        parts.append(_read(file, signature))
        sources.append(f"{len(parts[-1])} rows of {file.name}")
    given = np.vstack(parts) if parts else np.empty((0, len(signature)))
    drawn = draw(signature, given)
    around = "drawn around them" if parts else "drawn from the signature's types (give --sample for better ones)"
    sources.append(f"{len(drawn)} {around}")
    return Sample(given, drawn, " and ".join(sources))


def draw(signature: Sequence[Field], given: NDArray[np.float64], rows: int = DRAWN_ROWS) -> NDArray[np.float64]:
    """Draw rows of these types, with a fixed seed: given values, half of them moved, or values of any magnitude."""
    chance = np.random.default_rng(0)
    columns = []
    for column, field in enumerate(signature):
        known = given[:, column]
        known = known[np.isfinite(known)]
        if len(known):
            spread = known.std() or abs(known[0]) or 1.0
            values = chance.choice(known, rows) + spread * chance.normal(size=rows) * chance.integers(0, 2, rows)
        else:
            values = chance.normal(size=rows) * 10 ** chance.uniform(-1, 3, rows)
        if field.type in {"long", "integer"}:
            values = np.rint(values)
        elif field.type == "boolean":
            values = chance.integers(0, 2, rows).astype(np.float64)
        if not field.required:
            values[chance.random(rows) < _MISSING] = np.nan
        columns.append(values)
    return np.stack(columns, axis=1)


def _frame(model: Any, names: Sequence[str], rows: NDArray[np.float64]) -> Any:  # noqa: ANN401 - a DataFrame or a matrix
    """Return rows as the model was fitted on them: with column names, or without."""
    return pd.DataFrame(rows, columns=list(names)) if hasattr(model, "feature_names_in_") else rows


def _example(logged: Logged, signature: Sequence[Field]) -> NDArray[np.float64] | None:
    """Return the input example that was logged with the model, if it is a table of its features."""
    try:
        found = logged.model.load_input_example(str(logged.folder))
        if isinstance(found, pd.DataFrame):
            found = found[[field.name for field in signature]]
        table = np.asarray(found, np.float64)
    except Exception:  # noqa: BLE001 - MLflow writes examples of many kinds; one that is no table is none
        return None
    return table if table.ndim == 2 and table.shape[1] == len(signature) else None  # noqa: PLR2004 - a table


def _read(file: Path, signature: Sequence[Field]) -> NDArray[np.float64]:
    """Read a CSV with a header, or JSON lines: objects of features, or records as on the stream."""
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"--sample {file}: cannot be read: {error}") from None
    rows: list[list[float]] = []
    try:
        table: list[dict[str, Any]] = (
            [_features(line) for line in text.splitlines() if line.strip()]
            if text.lstrip().startswith("{")
            else list(csv.DictReader(io.StringIO(text)))
        )
        rows.extend([_number(row, field) for field in signature] for row in table)
    except (ValueError, TypeError, AttributeError, msgspec.MsgspecError) as error:
        raise SettingsError(f"--sample {file}: row {len(rows) + 1}: {error}") from None
    if not rows:
        raise SettingsError(f"--sample {file}: has no rows; write a CSV with a header, or JSON lines")
    return np.array(rows, np.float64)


def _features(line: str) -> dict[str, Any]:
    row = msgspec.json.decode(line)
    found: dict[str, Any] = row.get("features", row)
    return found


def _number(row: dict[str, Any], field: Field) -> float:
    value = row.get(field.name)
    if value is None or value == "":
        if field.required:
            raise ValueError(f"{field.name} is missing")
        return float("nan")
    return _FLAGS[value.lower()] if isinstance(value, str) and value.lower() in _FLAGS else float(value)


@dataclass(frozen=True, slots=True)
class Expected:
    """Rows with scikit-learn's predictions.

    Attributes:
        rows: The rows, shape (rows, features).
        outputs: A regression's predictions, or a classifier's probabilities, shape (rows,) or (rows, classes); None for
            a classifier that gives none.
        labels: A classifier's predictions as indexes into `classes`; None for a regression.
        classes: A classifier's labels, in the order of its scores.
    """

    rows: NDArray[np.float64]
    outputs: NDArray[np.float64] | None
    labels: NDArray[np.int64] | None
    classes: Sequence[Any] = ()

    def improbable(self) -> int:
        """Return how many rows have another label than the most probable one."""
        if self.outputs is None or self.labels is None:
            return 0
        return int(((self.outputs.argmax(axis=1) != self.labels) & ~_tied(self.outputs)).sum())


def expect(model: Any, names: Sequence[str], sample: Sample) -> Expected:  # noqa: ANN401 - an estimator
    """Predict the sample with scikit-learn. Drawn rows that it refuses are left out; given rows must be taken.

    Raises:
        ModelError: The model refuses a given row, or all drawn ones where none were given; or it predicts several
            targets, or knows one class only.
    """
    given, failure = _predict(model, names, sample.given), ""
    if isinstance(given, str):
        raise ModelError(f"the model does not take its sample: {given}")
    found = [given] if given else []
    complete = sample.drawn[~np.isnan(sample.drawn).any(axis=1)]
    for rows in (sample.drawn, complete):
        drawn = _predict(model, names, rows)
        if isinstance(drawn, Expected):
            # Beyond what the model was made for it may overflow: nothing to compare there.
            values = np.zeros((len(rows), 1)) if drawn.outputs is None else drawn.outputs.reshape(len(rows), -1)
            found.append(_take(drawn, np.flatnonzero(np.isfinite(values).all(axis=1))))
            break
        failure = drawn or ""
    if not found:
        raise ModelError(f"the model takes no row that was drawn: {failure}; give some with --sample")
    expected = _joined(found)
    if expected.labels is None and expected.outputs is not None and expected.outputs.ndim > 1:
        raise ModelError(f"the model predicts {expected.outputs.shape[1]} targets; one can be imported")
    return expected


def compare(
    expected: Expected, found: NDArray[np.floating[Any]], names: Sequence[str], *, probabilities: bool
) -> tuple[float, str]:
    """Return the largest difference relative to the largest prediction, and how the conversion disagrees.

    Labels are compared exactly, but for rows whose two highest scores are as close as the tolerance: then the
    difference is infinite, as it is where a shape differs.

    Args:
        expected: The rows with scikit-learn's predictions.
        found: The conversion's predictions for these rows.
        names: The features.
        probabilities: Whether a classifier's scores must be probabilities; otherwise only its labels are compared.
    """
    rows = f"the conversion disagrees with the model on {len(expected.rows)} rows"
    if expected.labels is not None:
        if found.shape != (len(expected.rows), len(expected.classes)):
            return float("inf"), f"{rows}: its scores have the shape {found.shape}, not one a row and class"
        wrong = np.flatnonzero((found.argmax(axis=1) != expected.labels) & ~_tied(found))
        if len(wrong):
            first = int(wrong[0])
            row = ", ".join(f"{name}={value:g}" for name, value in zip(names, expected.rows[first], strict=True))
            says = f"{expected.classes[expected.labels[first]]!r}, not {expected.classes[found[first].argmax()]!r}"
            return float("inf"), (
                f"{rows}: {len(wrong)} labels differ, the first at {row}, where the model says {says}; labels must be "
                "equal: train a kind of model that converts exactly, such as linear models and trees"
            )
        if not probabilities:
            return 0.0, ""
    values = expected.outputs
    if values is None or values.shape != found.shape:
        return float("inf"), f"{rows}: its predictions have the shape {found.shape}, not the model's"
    if not np.array_equal(np.isnan(values), np.isnan(found)):
        return float("inf"), f"{rows}: it gives a number where the model gives none, or none where the model gives one"
    largest = float(np.nanmax(np.abs(values), initial=0.0))
    apart = float(np.nanmax(np.abs(values - found), initial=0.0)) / (largest or 1.0)
    return apart, f"{rows}: the largest difference is {apart:.2g} of the largest prediction; allowed is {TOLERANCE:g}"


def _tied(scores: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
    """Return the rows whose two highest scores are as close as the tolerance."""
    ordered = np.sort(scores, axis=1)
    tied: NDArray[np.bool_] = ordered[:, -1] - ordered[:, -2] <= TOLERANCE * np.abs(scores).max()
    return tied


def rows_are_independent(model: ColumnModel, rows: NDArray[np.float64]) -> bool:
    """Return whether each row's prediction is the same to the last bit however the rows are cut into batches."""
    rows = np.resize(rows, (max(len(rows), 4 * _CUTS[-1] + 1), rows.shape[1])).astype(model.dtype)
    whole = model.predict(rows)
    for size in _CUTS:
        parts = [model.predict(rows[start : start + size]) for start in range(0, len(rows), size)]
        if not np.array_equal(np.concatenate(parts), whole, equal_nan=True):
            return False
    return True


def _predict(model: Any, names: Sequence[str], rows: NDArray[np.float64]) -> Expected | str | None:  # noqa: ANN401
    """Return the model's predictions, why it refuses the rows, or None without rows."""
    if not len(rows):
        return None
    table = _frame(model, names, rows)
    try:
        with np.errstate(all="ignore"):
            found = np.asarray(model.predict(table))
            if not hasattr(model, "classes_"):
                values = found.astype(np.float64)
                values = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values  # noqa: PLR2004
                return Expected(rows, values, None)
            if isinstance(model.classes_, list) or (found.ndim > 1 and found.shape[1] > 1):
                raise ModelError(f"the model predicts {found.shape[1]} targets; one can be imported")  # noqa: TRY301 - see below
            classes = model.classes_.tolist()
            if len(classes) == 1:
                raise ModelError(f"the model knows one label only, {classes[0]!r}; train it on two or more")  # noqa: TRY301
            indexes = {label: index for index, label in enumerate(classes)}
            labels = np.array([indexes[label] for label in found.ravel().tolist()])
            scores = model.predict_proba(table) if hasattr(model, "predict_proba") else None
            return Expected(rows, scores, labels, classes)
    except ModelError:
        raise
    except Exception as error:  # noqa: BLE001 - estimators raise what they like
        return first_line(error)


def _take(expected: Expected, rows: NDArray[np.intp]) -> Expected:
    values = None if expected.outputs is None else expected.outputs[rows]
    labels = None if expected.labels is None else expected.labels[rows]
    return Expected(expected.rows[rows], values, labels, expected.classes)


def _joined(parts: Sequence[Expected]) -> Expected:
    values = [part.outputs for part in parts if part.outputs is not None]
    labels = [part.labels for part in parts if part.labels is not None]
    return Expected(
        np.concatenate([part.rows for part in parts]),
        np.concatenate(values) if values else None,
        np.concatenate(labels) if labels else None,
        parts[0].classes,
    )
