"""Convert a fitted model to a data-only file that gives the same predictions, or raise the reason."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType
from skl2onnx.helpers.onnx_helper import select_model_inputs_outputs

from app.errors import ModelError
from app.inference.models import open_columns
from model.importing.comparison import TOLERANCE, difference, rows_are_independent
from model.importing.linear import linear_to_npz
from model.importing.source import first_line
from model.importing.trees import trees_to_onnx

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from model.importing.comparison import Expected

LINEAR, GRAPH = "model.npz", "model.onnx"
_OPSETS = {"": 17, "ai.onnx.ml": 3}  # old enough for every ONNX Runtime of the last years


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
    """Return the first conversion that agrees with scikit-learn; those that run fastest are tried first.

    Args:
        model: A fitted estimator.
        names: Its features.
        expected: Rows with scikit-learn's predictions.
        probabilities: Whether a classifier's probabilities must agree as well as its labels.

    Raises:
        ModelError: No conversion exists, or none agrees.
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
    """Return every way to convert a model, with the name of the file that it makes."""
    return [
        (LINEAR, partial(linear_to_npz, model, len(names))),
        (GRAPH, partial(trees_to_onnx, model, len(names))),
        (GRAPH, partial(_sklearn_to_onnx, model, names, np.float32)),
        (GRAPH, partial(_sklearn_to_onnx, model, names, np.float64)),
    ]


def _disagreement(nearest: float, rows: int) -> str:
    apart = (
        f"the largest difference is {nearest:.2g} of the largest prediction"
        if nearest < float("inf")
        else "labels differ"
    )
    return f"the conversion disagrees with the model on {rows} rows: {apart}; allowed is {TOLERANCE:g}"


def _sklearn_to_onnx(model: Any, names: Sequence[str], dtype: type[np.floating[Any]]) -> bytes:  # noqa: ANN401
    """Convert any estimator by skl2onnx to a graph that takes one matrix and gives predictions, or scores of classes.

    Args:
        model: The estimator.
        names: Its features.
        dtype: The type that the graph computes in: float32, which all of skl2onnx's converters can, or float64.

    Raises:
        ModelError: skl2onnx cannot convert it.
    """
    tensor = DoubleTensorType if dtype is np.float64 else FloatTensorType
    try:
        try:
            graph = _graph_of(model, [("x", tensor([None, len(names)]))])
        except Exception:  # noqa: BLE001 - whatever skl2onnx raises: steps that choose columns by name are one reason
            graph = _with_matrix(_graph_of(model, [(name, tensor([None, 1])) for name in names]), names, dtype)
    except Exception as error:  # noqa: BLE001 - its exceptions share no base but this
        raise ModelError(f"skl2onnx cannot convert {type(model).__name__}: {first_line(error)}") from None
    data: bytes = graph.SerializeToString()
    return data


def _graph_of(model: Any, inputs: list[tuple[str, Any]]) -> Any:  # noqa: ANN401 - estimators and graphs
    """Return a graph whose only output is the prediction, or for a classifier the scores."""
    if not hasattr(model, "classes_"):
        return convert_sklearn(model, initial_types=inputs, target_opset=_OPSETS)
    graph = convert_sklearn(model, initial_types=inputs, target_opset=_OPSETS, options={id(model): {"zipmap": False}})
    return select_model_inputs_outputs(graph, outputs=[graph.graph.output[1].name])


def _with_matrix(graph: Any, names: Sequence[str], dtype: type[np.floating[Any]]) -> Any:  # noqa: ANN401 - a graph
    """Turn a graph with one input a column into one that takes a matrix and cuts it itself."""
    element = TensorProto.DOUBLE if dtype is np.float64 else TensorProto.FLOAT
    # The inputs are in the order of the names, but skl2onnx changes names that are no identifiers.
    for column, (given, _) in enumerate(zip(graph.graph.input, names, strict=True)):
        graph.graph.initializer.append(numpy_helper.from_array(np.array([column]), f"column_{column}"))
        cut = helper.make_node("Gather", ["matrix_of_features", f"column_{column}"], [given.name], axis=1)
        graph.graph.node.insert(0, cut)
    del graph.graph.input[:]
    graph.graph.input.append(helper.make_tensor_value_info("matrix_of_features", element, [None, len(names)]))
    return graph
