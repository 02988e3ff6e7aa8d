"""Ensembles of trees as an ONNX graph: one `TreeEnsembleRegressor`, written from arrays.

Written here, since skl2onnx's converter fails on histogram boosting and sends missing values of forests down the wrong
branch. Each kind compares as scikit-learn does: histogram boosting in float64, since its thresholds are values of the
training data (with float32 a third of the rows of a table with one decimal may go the wrong way); the other trees in
float32.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from app.errors import ModelError
from model.importing.linear import kind_of, split_scaling

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from model.importing.linear import Operation

_OPSET, _ML_OPSET, _IR_VERSION = 17, 3, 8  # old enough for every ONNX Runtime of the last years
_SINGLE = {"DecisionTreeRegressor", "DecisionTreeClassifier", "ExtraTreeRegressor", "ExtraTreeClassifier"}
_FORESTS = {"RandomForestRegressor", "RandomForestClassifier", "ExtraTreesRegressor", "ExtraTreesClassifier"}
_GRADIENT = {"GradientBoostingRegressor", "GradientBoostingClassifier"}
_HISTOGRAM = {"HistGradientBoostingRegressor", "HistGradientBoostingClassifier"}
TREE_KINDS = _SINGLE | _FORESTS | _GRADIENT | _HISTOGRAM
"""The classes of estimators that `trees_to_onnx` converts."""


@dataclass(frozen=True, slots=True)
class _Tree:
    """One tree, an array a column, all of shape (nodes,) but for `value`.

    Attributes:
        is_leaf: Whether the node is a leaf; its columns but `value` are not read then.
        feature: The index of the feature that the node compares.
        threshold: A feature not greater than this goes left.
        left: The node on the left.
        right: The node on the right.
        missing_left: Whether NaN goes left.
        value: The leaf's addition to each output, shape (nodes, outputs).
    """

    is_leaf: NDArray[np.bool_]
    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    missing_left: NDArray[np.int64]
    value: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Ensemble:
    """A sum of trees.

    Attributes:
        trees: The trees.
        base: The start of the sum, shape (outputs,).
        link: The ONNX operator that follows, or "".
        dtype: The type that thresholds are compared in.
    """

    trees: list[_Tree]
    base: NDArray[np.float64]
    link: str = ""
    dtype: type[np.floating[Any]] = np.float32


def trees_to_onnx(model: Any, features: int) -> bytes:  # noqa: ANN401 - an estimator
    """Write trees, forests and boosted trees, with any scaling before them, as an ONNX graph.

    The graph takes `x`, float64 of shape (rows, features), NaN where missing, and gives `y`, float32, of shape
    (rows, 1) for a regression, (rows, classes) of probabilities for a classifier. See
    https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsembleRegressor.html

    Args:
        model: The fitted model. Some of its parts are ones that scikit-learn keeps private; the comparison after every
            conversion shows at once if they change.
        features: The number of features.

    Raises:
        ModelError: The model is of another kind, or has splits on categories.
    """
    operations, last = split_scaling(model)
    return _graph(_ensemble(last), operations, features)


def mean_of_trees_to_onnx(models: Sequence[Any], features: int) -> bytes:
    """Write the mean of several regressions by trees as one graph, as `trees_to_onnx` does for one.

    Args:
        models: The fitted models, of one kind; each takes as many of the first features as it was fitted on.
        features: The number of features.

    Raises:
        ModelError: A model is of another kind, has splits on categories, or is not a plain sum of trees.
    """
    ensembles = [_ensemble(model) for model in models]
    if any(each.link for each in ensembles):
        raise ModelError("only sums of trees have a mean; one of the models has a link function")
    trees = [replace(tree, value=tree.value / len(models)) for each in ensembles for tree in each.trees]
    base = np.mean([each.base for each in ensembles], axis=0)
    return _graph(_Ensemble(trees, base, dtype=ensembles[0].dtype), [], features)


def _ensemble(model: Any) -> _Ensemble:  # noqa: ANN401 - an estimator
    kind = kind_of(model)
    if kind in _SINGLE | _FORESTS:
        members = model.estimators_ if kind in _FORESTS else [model]
        if model.n_outputs_ > 1:
            raise ModelError(f"{kind} predicts {model.n_outputs_} targets")
        trees = [_plain(member.tree_, 1 / len(members)) for member in members]
        return _Ensemble(trees, np.zeros(trees[0].value.shape[1]))
    if kind in _GRADIENT:
        return _gradient(model, kind)
    if kind in _HISTOGRAM:
        return _histogram(model, kind)
    raise ModelError(f"{type(model).__name__} is no kind of tree")


def _plain(tree: Any, weight: float) -> _Tree:  # noqa: ANN401 - scikit-learn's own tree, which has no public type
    """Return a tree of `sklearn.tree`, its leaves times a weight."""
    return _Tree(
        tree.children_left < 0,
        tree.feature,
        tree.threshold,
        tree.children_left,
        tree.children_right,
        tree.missing_go_to_left.astype(np.int64),
        tree.value[:, 0, :] * weight,
    )


def _gradient(model: Any, kind: str) -> _Ensemble:  # noqa: ANN401 - an estimator
    """Return boosted trees of `sklearn.ensemble._gb`: each adds its leaves, times the learning rate, to one output."""
    if model.init_ != "zero" and kind_of(model.init_) not in {"DummyRegressor", "DummyClassifier"}:
        raise ModelError(f"{kind} begins with another model, {type(model.init_).__name__}")
    start = model._raw_predict_init(np.zeros((1, model.n_features_in_), np.float32))[0]  # noqa: SLF001 - no other way
    steepness = 2.0 if getattr(model, "loss", "") == "exponential" else 1.0  # its scores are half the log odds
    trees = [
        _to_output(_plain(member.tree_, model.learning_rate * steepness), output, len(start))
        for stage in model.estimators_
        for output, member in enumerate(stage)
    ]
    return _linked(trees, np.asarray(start, np.float64) * steepness, "Softmax" if kind.endswith("Classifier") else "")


def _histogram(model: Any, kind: str) -> _Ensemble:  # noqa: ANN401 - an estimator
    """Return boosted trees of `sklearn.ensemble._hist_gradient_boosting`."""
    if model.is_categorical_ is not None:
        raise ModelError(f"{kind} splits on categories (categorical_features)")
    start = np.ravel(model._baseline_prediction).astype(np.float64)  # noqa: SLF001 - there is no public way
    trees = []
    for stage in model._predictors:  # noqa: SLF001 - the same
        for output, predictor in enumerate(stage):
            nodes = predictor.nodes
            tree = _Tree(
                nodes["is_leaf"] != 0,
                nodes["feature_idx"],
                nodes["num_threshold"],
                nodes["left"].astype(np.int64),
                nodes["right"].astype(np.int64),
                nodes["missing_go_to_left"].astype(np.int64),
                nodes["value"][:, None],
            )
            trees.append(_to_output(tree, output, len(start)))
    if kind.endswith("Classifier"):
        return _linked(trees, start, "Softmax", np.float64)
    return _linked(trees, start, "Exp" if model.loss in {"poisson", "gamma"} else "", np.float64)


def _to_output(tree: _Tree, output: int, outputs: int) -> _Tree:
    """Return a tree of one output as one that adds to one of several."""
    value = np.zeros((len(tree.value), outputs))
    value[:, output] = tree.value[:, 0]
    return _Tree(tree.is_leaf, tree.feature, tree.threshold, tree.left, tree.right, tree.missing_left, value)


def _linked(
    trees: list[_Tree], base: NDArray[np.float64], link: str, dtype: type[np.floating[Any]] = np.float32
) -> _Ensemble:
    """Return the ensemble; one score s of two classes becomes 0 and s, whose softmax is the logistic function of s."""
    if link == "Softmax" and len(base) == 1:
        return _Ensemble([_to_output(tree, 1, 2) for tree in trees], np.array([0.0, base[0]]), link, dtype)
    return _Ensemble(trees, base, link, dtype)


def _graph(ensemble: _Ensemble, operations: Sequence[Operation], features: int) -> bytes:
    """Return the graph: scaling, the cast that scikit-learn's trees do, the trees, the link."""
    nodes, constants, value = [], [], "x"
    for number, (name, operand) in enumerate(operations):
        constants.append(numpy_helper.from_array(operand, f"operand{number}"))
        nodes.append(helper.make_node(name, [value, f"operand{number}"], [f"scaled{number}"]))
        value = f"scaled{number}"
    if ensemble.dtype is np.float32:
        nodes.append(helper.make_node("Cast", [value], ["narrow"], to=TensorProto.FLOAT))
        value = "narrow"
    raw = "raw" if ensemble.link else "y"
    attributes = _attributes(ensemble)
    nodes.append(helper.make_node("TreeEnsembleRegressor", [value], [raw], domain="ai.onnx.ml", **attributes))
    if ensemble.link:
        nodes.append(helper.make_node(ensemble.link, [raw], ["y"]))
    graph = helper.make_graph(
        nodes,
        "trees",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, [None, features])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, len(ensemble.base)])],
        constants,
    )
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid("ai.onnx.ml", _ML_OPSET)]
    made = helper.make_model(graph, ir_version=_IR_VERSION, opset_imports=opsets)
    onnx.checker.check_model(made)
    data: bytes = made.SerializeToString()
    return data


def _attributes(ensemble: _Ensemble) -> dict[str, Any]:
    """Return the operator's attributes: columns over the nodes of all trees, and over the additions of all leaves."""
    columns: dict[str, list[Any]] = {}
    for tree_id, tree in enumerate(ensemble.trees):
        for name, values in {**_nodes(tree_id, tree), **_leaves(tree_id, tree)}.items():
            columns.setdefault(name, []).append(values)
    whole = {name: np.concatenate(values) for name, values in columns.items()}
    attributes: dict[str, Any] = {"n_targets": len(ensemble.base), "aggregate_function": "SUM"}
    whole["base_values"] = ensemble.base
    for name in ("nodes_values", "target_weights", "base_values"):
        values = whole.pop(name)
        if ensemble.dtype is np.float64:
            attributes[f"{name}_as_tensor"] = numpy_helper.from_array(values, name)
        else:
            attributes[name] = _round_down(values) if name == "nodes_values" else values.astype(np.float32)
    attributes.update(whole)
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in attributes.items()}


def _nodes(tree_id: int, tree: _Tree) -> dict[str, NDArray[Any]]:
    branch = ~tree.is_leaf
    return {
        "nodes_treeids": np.full(len(branch), tree_id),
        "nodes_nodeids": np.arange(len(branch)),
        "nodes_featureids": np.where(branch, tree.feature, 0),
        "nodes_values": np.where(branch, tree.threshold, 0.0),
        "nodes_modes": np.where(branch, "BRANCH_LEQ", "LEAF"),
        "nodes_truenodeids": np.where(branch, tree.left, 0),
        "nodes_falsenodeids": np.where(branch, tree.right, 0),
        "nodes_missing_value_tracks_true": np.where(branch, tree.missing_left, 0),
    }


def _leaves(tree_id: int, tree: _Tree) -> dict[str, NDArray[Any]]:
    """Return each leaf's addition to each output, without outputs that no leaf of the tree adds to."""
    leaves = np.flatnonzero(tree.is_leaf)
    used = np.flatnonzero(tree.value[leaves].any(axis=0))
    used = used if len(used) else np.array([0])
    return {
        "target_treeids": np.full(len(leaves) * len(used), tree_id),
        "target_nodeids": np.repeat(leaves, len(used)),
        "target_ids": np.tile(used, len(leaves)),
        "target_weights": tree.value[np.ix_(leaves, used)].ravel(),
    }


def _round_down(threshold: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the greatest float32 that is not greater, so that x <= threshold stays the same for every float32 x."""
    nearest = threshold.astype(np.float32)
    return np.where(nearest > threshold, np.nextafter(nearest, np.float32(-np.inf)), nearest)
