"""Boosted trees as an ONNX graph: one `TreeEnsembleRegressor`, written node by node.

Own lines rather than skl2onnx's converter, because a threshold must be rounded in the right direction: scikit-learn
compares in float64, the graph in float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingRegressor

_OPSET, _ML_OPSET, _IR_VERSION = 17, 3, 8  # old enough for every ONNX Runtime of the last years


def trees_to_onnx(model: HistGradientBoostingRegressor, features: int) -> bytes:
    """Writes a fitted `HistGradientBoostingRegressor` with squared error and numeric features as an ONNX graph.

    The graph takes `x`, float32 of shape (rows, features), NaN where missing, and gives `y` of shape (rows, 1). See
    https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsembleRegressor.html

    Args:
        model: The fitted model. Its trees are read from `_predictors`, which scikit-learn keeps private; the
            agreement that training measures and prints shows at once if that changes.
        features: The number of features.
    """
    nodes: list[tuple[object, ...]] = []
    leaves: list[tuple[object, ...]] = []
    for tree_id, (tree,) in enumerate(model._predictors):  # noqa: SLF001 - there is no public way to the trees
        for node_id, node in enumerate(tree.nodes):
            if node["is_leaf"]:
                nodes.append((tree_id, node_id, 0, 0.0, "LEAF", 0, 0, 0))
                leaves.append((tree_id, node_id, 0, float(node["value"])))
            else:
                threshold = _round_down(float(node["num_threshold"]))
                branch = int(node["feature_idx"]), threshold, "BRANCH_LEQ", int(node["left"]), int(node["right"])
                nodes.append((tree_id, node_id, *branch, int(node["missing_go_to_left"])))
    ensemble = helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        n_targets=1,
        aggregate_function="SUM",
        base_values=[float(np.ravel(model._baseline_prediction)[0])],  # noqa: SLF001 - the same
        **_attributes(
            nodes,
            ("nodes_treeids", "nodes_nodeids", "nodes_featureids", "nodes_values", "nodes_modes"),
            ("nodes_truenodeids", "nodes_falsenodeids", "nodes_missing_value_tracks_true"),
        ),
        **_attributes(leaves, ("target_treeids", "target_nodeids", "target_ids", "target_weights")),
    )
    graph = helper.make_graph(
        [ensemble],
        "boosted_trees",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, features])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])],
    )
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid("ai.onnx.ml", _ML_OPSET)]
    made = helper.make_model(graph, ir_version=_IR_VERSION, opset_imports=opsets)
    onnx.checker.check_model(made)
    data: bytes = made.SerializeToString()
    return data


def _attributes(rows: list[tuple[object, ...]], *names: tuple[str, ...]) -> dict[str, list[object]]:
    """Rows as the columns that the operator wants."""
    flat = [name for group in names for name in group]
    return {name: list(column) for name, column in zip(flat, zip(*rows, strict=True), strict=True)}


def _round_down(threshold: float) -> float:
    """The greatest float32 that is no greater: then x <= threshold is the same for every float32 x."""
    nearest = np.float32(threshold)
    return float(np.nextafter(nearest, np.float32(-np.inf)) if float(nearest) > threshold else nearest)
