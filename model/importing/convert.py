"""A fitted model as a data-only file that gives the same predictions, or a line that says why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from app.errors import ModelError
from app.inference.models import open_columns
from model.importing.agree import TOLERANCE, difference, rows_are_independent
from model.importing.generic import sklearn_to_onnx
from model.importing.linear import linear_to_npz
from model.importing.trees import trees_to_onnx

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from model.importing.agree import Expected

LINEAR, GRAPH = "model.npz", "model.onnx"


@dataclass(frozen=True, slots=True)
class Converted:
    """A model as data.

    Attributes:
        file: The file's name in the bundle.
        data: Its bytes.
        difference: The largest difference from scikit-learn, relative to the largest prediction.
        rows_alone: Whether it must run each row by itself.
    """

    file: str
    data: bytes
    difference: float
    rows_alone: bool = False


def convert(model: Any, names: Sequence[str], expected: Expected, *, probabilities: bool) -> Converted:  # noqa: ANN401
    """The first conversion that agrees with scikit-learn, the cheapest to run first.

    Args:
        model: A fitted estimator.
        names: Its features.
        expected: Rows, and what scikit-learn says of them.
        probabilities: Whether a classifier's probabilities must agree as well as its labels.

    Raises:
        ModelError: Nothing can convert it, or no conversion agrees.
    """
    compared, nearest, why = False, float("inf"), ""
    for file, write in converters(model, names):
        try:
            data = write()
            columns = open_columns(file, data)
            found = columns.predict(expected.rows.astype(columns.dtype))
        except ModelError as error:
            why = str(error)  # the last is skl2onnx's, which knows the most kinds
            continue
        except Exception as error:  # noqa: BLE001 - a graph that loads may still not run
            why = f"its graph does not run: {type(error).__name__}"
            continue
        apart = difference(expected, found, probabilities=probabilities)
        if apart <= TOLERANCE:
            return Converted(file, data, apart, rows_alone=not rows_are_independent(columns, expected.rows))
        compared, nearest = True, min(nearest, apart)
    raise ModelError(_disagreement(nearest, len(expected.rows)) if compared else why)


def converters(model: Any, names: Sequence[str]) -> list[tuple[str, Callable[[], bytes]]]:  # noqa: ANN401 - an estimator
    """Every way to convert a model, with the name of the file that it makes."""
    return [
        (LINEAR, partial(linear_to_npz, model, len(names))),
        (GRAPH, partial(trees_to_onnx, model, len(names))),
        (GRAPH, partial(sklearn_to_onnx, model, names, np.float32)),
        (GRAPH, partial(sklearn_to_onnx, model, names, np.float64)),
    ]


def _disagreement(nearest: float, rows: int) -> str:
    apart = (
        f"the largest difference is {nearest:.2g} of the largest prediction"
        if nearest < float("inf")
        else "labels differ"
    )
    return f"the conversion disagrees with the model on {rows} rows: {apart}; allowed is {TOLERANCE:g}"
