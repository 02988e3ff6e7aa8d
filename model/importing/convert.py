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
from model.importing.comparison import TOLERANCE, compare, rows_are_independent
from model.importing.linear import LINEAR_KINDS, kind_of, linear_to_npz, split_scaling
from model.importing.source import first_line
from model.importing.trees import TREE_KINDS, trees_to_onnx

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


@dataclass(frozen=True, slots=True)
class Conversion:
    """One way to convert a model.

    Attributes:
        file: The name of the file that it makes.
        write: Makes the file's bytes.
        scores: Makes the graph of the scores behind a graph of labels, in which sums that vary show.
    """

    file: str
    write: Callable[[], bytes]
    scores: Callable[[], bytes] | None = None


def convert(model: Any, names: Sequence[str], expected: Expected, *, probabilities: bool) -> Converted:  # noqa: ANN401
    """Return the first conversion that agrees with scikit-learn; those that run fastest are tried first.

    Args:
        model: A fitted estimator.
        names: Its features.
        expected: Rows with scikit-learn's predictions.
        probabilities: Whether a classifier's probabilities must agree as well as its labels.

    Raises:
        ModelError: No conversion exists, or none agrees; the message has the first reason of either kind.
    """
    failure, nearest = "", (float("inf"), "")
    for way in converters(model, names, probabilities=probabilities):
        try:
            data = way.write()
            columns = open_columns(way.file, data)
            found = columns.predict(expected.rows.astype(columns.dtype))
        except ModelError as error:
            failure = failure or str(error)
            continue
        except Exception as error:  # noqa: BLE001 - a graph that loads may still not run
            failure = failure or f"its graph does not run: {first_line(error)}"
            continue
        apart, why = compare(expected, found, names, probabilities=probabilities)
        if apart <= TOLERANCE:
            summed = [columns] if way.scores is None else [columns, open_columns(way.file, way.scores())]
            alone = not all(rows_are_independent(each, expected.rows) for each in summed)
            return Converted(way.file, data, apart, rows_alone=alone)
        if not nearest[1] or apart < nearest[0]:
            nearest = apart, why
    raise ModelError("; ".join(filter(None, [failure, nearest[1]])))


def converters(model: Any, names: Sequence[str], *, probabilities: bool = False) -> list[Conversion]:  # noqa: ANN401
    """Return every way to convert a model.

    Without probabilities, a classifier's graph gives 1 for the model's own label and 0 for the others: the class with
    the highest score is not always the model's answer. A support vector machine decides by votes between pairs, and one
    of two classes has scores of the opposite sign.
    """
    try:
        _, last = split_scaling(model)
    except ModelError:
        last = None  # another step comes first: skl2onnx alone may convert it
    kind, own = kind_of(last), list[Conversion]()
    if kind in LINEAR_KINDS:
        own = [Conversion(LINEAR, partial(linear_to_npz, model, len(names)))]
    elif kind in TREE_KINDS:
        own = [Conversion(GRAPH, partial(trees_to_onnx, model, len(names)))]
    outputs = [partial(_sklearn_to_onnx, model, names, dtype) for dtype in (np.float32, np.float64)]
    labels = hasattr(model, "classes_") and not probabilities
    return [
        *own,
        *(Conversion(GRAPH, partial(write, labels=True), write) for write in outputs if labels),
        *(Conversion(GRAPH, write) for write in outputs),
    ]


def _sklearn_to_onnx(
    model: Any,  # noqa: ANN401 - an estimator
    names: Sequence[str],
    dtype: type[np.floating[Any]],
    *,
    labels: bool = False,
) -> bytes:
    """Convert any estimator by skl2onnx to a graph that takes one matrix and gives predictions, or scores of classes.

    Args:
        model: The estimator.
        names: Its features.
        dtype: The type that the graph computes in: float32, which all of skl2onnx's converters can, or float64.
        labels: Whether a classifier's graph gives 1 for the label and 0 for the others, in place of scores.

    Raises:
        ModelError: skl2onnx cannot convert it.
    """
    tensor = DoubleTensorType if dtype is np.float64 else FloatTensorType
    try:
        graph = _graph_of(model, [("x", tensor([None, len(names)]))], labels=labels)
    except Exception as first:  # noqa: BLE001 - whatever skl2onnx raises: steps that choose columns by name are one reason
        try:
            graph = _graph_of(model, [(name, tensor([None, 1])) for name in names], labels=labels)
        except Exception as second:  # noqa: BLE001 - its exceptions share no base but this
            why, other = first_line(first), first_line(second)
            why = why if why == other else f"{why}; with an input for each feature: {other}"
            raise ModelError(f"skl2onnx cannot convert {type(model).__name__}: {why}") from None
        graph = _with_matrix(graph, names, dtype)
    data: bytes = graph.SerializeToString()
    return data


def _graph_of(model: Any, inputs: list[tuple[str, Any]], *, labels: bool) -> Any:  # noqa: ANN401 - estimators and graphs
    """Return a graph whose only output is the prediction, or for a classifier the scores or its label."""
    if not hasattr(model, "classes_"):
        return convert_sklearn(model, initial_types=inputs, target_opset=_OPSETS)
    # With raw scores, labels of one against the rest are right too. Not every classifier has each option.
    last = model.steps[-1][1] if kind_of(model) == "Pipeline" else model
    raw: dict[int, dict[str, bool]] = {id(model): {"zipmap": False, "raw_scores": True}}
    choices = [*([raw] if labels else []), {id(model): {"zipmap": False}}, {id(last): {"raw_scores": True}}]
    for options in choices:
        try:
            graph = convert_sklearn(model, initial_types=inputs, target_opset=_OPSETS, options=options)
            break
        except (NameError, ValueError, RuntimeError) as error:
            if options is choices[-1] or not str(error).startswith("Option"):
                raise
    label, scores = (output.name for output in graph.graph.output)
    if not labels:
        return select_model_inputs_outputs(graph, outputs=[scores])
    return _one_hot(select_model_inputs_outputs(graph, outputs=[label]), label, model.classes_.tolist())


def _one_hot(graph: Any, label: str, classes: Sequence[Any]) -> Any:  # noqa: ANN401 - a graph
    """Turn a graph that gives a label into one that gives a column for each class: 1 for the label, else 0."""
    keys, nodes = np.array(classes), []
    if isinstance(classes[0], str):  # ONNX compares no texts
        keys = np.arange(len(classes))
        indexes = {"keys_strings": classes, "values_int64s": keys.tolist()}
        nodes.append(helper.make_node("LabelEncoder", [label], ["known_label"], domain="ai.onnx.ml", **indexes))
    else:
        nodes.append(helper.make_node("Cast", [label], ["known_label"], to=TensorProto.INT64))
    nodes += [
        helper.make_node("Reshape", ["known_label", "as_column"], ["label_column"]),
        helper.make_node("Equal", ["label_column", "known_labels"], ["is_label"]),
        helper.make_node("Cast", ["is_label"], ["one_hot"], to=TensorProto.FLOAT),
    ]
    graph.graph.node.extend(nodes)
    graph.graph.initializer.append(numpy_helper.from_array(np.array([-1, 1]), "as_column"))
    graph.graph.initializer.append(numpy_helper.from_array(keys.astype(np.int64), "known_labels"))
    versions = {each.domain: each.version for each in graph.opset_import}  # the lowest that its own nodes need
    del graph.opset_import[:]
    for domain, version in {**_OPSETS, **versions, "ai.onnx.ml": _OPSETS["ai.onnx.ml"]}.items():
        graph.opset_import.append(helper.make_opsetid(domain, version))
    del graph.graph.output[:]
    graph.graph.output.append(helper.make_tensor_value_info("one_hot", TensorProto.FLOAT, [None, len(classes)]))
    return graph


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
