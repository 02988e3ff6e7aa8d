"""Any other scikit-learn model as an ONNX graph, by skl2onnx, with one matrix in and one output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType
from skl2onnx.helpers.onnx_helper import select_model_inputs_outputs

from app.errors import ModelError
from model.importing.source import first_line

if TYPE_CHECKING:
    from collections.abc import Sequence

_OPSETS = {"": 17, "ai.onnx.ml": 3}  # old enough for every ONNX Runtime of the last years


def sklearn_to_onnx(model: Any, names: Sequence[str], dtype: type[np.floating[Any]]) -> bytes:  # noqa: ANN401
    """A fitted estimator as a graph that takes one matrix and gives predictions, or scores of its classes.

    Args:
        model: The estimator.
        names: Its features.
        dtype: What the graph computes in: float32, which all of skl2onnx's converters can, or float64.

    Raises:
        ModelError: skl2onnx cannot convert it.
    """
    tensor = DoubleTensorType if dtype is np.float64 else FloatTensorType
    try:
        try:
            graph = _convert(model, [("x", tensor([None, len(names)]))])
        except Exception:  # noqa: BLE001 - whatever skl2onnx raises: steps that choose columns by name are one reason
            graph = _with_matrix(_convert(model, [(name, tensor([None, 1])) for name in names]), names, dtype)
    except Exception as error:  # noqa: BLE001 - its exceptions share no base but this
        raise ModelError(f"skl2onnx cannot convert {type(model).__name__}: {first_line(error)}") from None
    data: bytes = graph.SerializeToString()
    return data


def _convert(model: Any, inputs: list[tuple[str, Any]]) -> Any:  # noqa: ANN401 - estimators and graphs
    """A graph whose only output is the prediction, or for a classifier the scores."""
    if not hasattr(model, "classes_"):
        return convert_sklearn(model, initial_types=inputs, target_opset=_OPSETS)
    graph = convert_sklearn(model, initial_types=inputs, target_opset=_OPSETS, options={id(model): {"zipmap": False}})
    return select_model_inputs_outputs(graph, outputs=[graph.graph.output[1].name])


def _with_matrix(graph: Any, names: Sequence[str], dtype: type[np.floating[Any]]) -> Any:  # noqa: ANN401 - a graph
    """A graph with an input a column as one with a matrix, which it cuts itself."""
    element = TensorProto.DOUBLE if dtype is np.float64 else TensorProto.FLOAT
    # The inputs are in the order of the names, but skl2onnx changes names that are no identifiers.
    for place, (given, _) in enumerate(zip(graph.graph.input, names, strict=True)):
        graph.graph.initializer.append(numpy_helper.from_array(np.array([place]), f"place_of_{place}"))
        cut = helper.make_node("Gather", ["matrix_of_features", f"place_of_{place}"], [given.name], axis=1)
        graph.graph.node.insert(0, cut)
    del graph.graph.input[:]
    graph.graph.input.append(helper.make_tensor_value_info("matrix_of_features", element, [None, len(names)]))
    return graph
