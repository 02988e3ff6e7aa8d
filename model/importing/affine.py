"""Scaling steps of a scikit-learn pipeline as the very operations that scikit-learn does, in its order.

The order matters: a tree's threshold is often a value of the training data, so a scaled value that differs in its last
bit goes the other way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from app.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Operation = tuple[str, NDArray[np.float64]]
    """One of ONNX's `Add`, `Sub`, `Mul` and `Div`, and its second operand, of shape (features,)."""

_ATTRIBUTES = {
    "StandardScaler": (("Sub", "mean_"), ("Div", "scale_")),
    "RobustScaler": (("Sub", "center_"), ("Div", "scale_")),
    "MaxAbsScaler": (("Div", "scale_"),),
    "MinMaxScaler": (("Mul", "scale_"), ("Add", "min_")),
}


def kind_of(model: Any) -> str:  # noqa: ANN401 - an estimator, of which scikit-learn has no common type
    """An estimator's class name if it is scikit-learn's own, else nothing: a subclass may do anything."""
    kind = type(model)
    return kind.__name__ if kind.__module__.partition(".")[0] == "sklearn" else ""


def split(model: Any) -> tuple[list[Operation], Any]:  # noqa: ANN401 - estimators
    """A pipeline as the scaling that it begins with and its last step; an estimator that is no pipeline as it is.

    Raises:
        ModelError: Anything else than scaling stands before the last step.
    """
    steps = [step for _, step in model.steps] if kind_of(model) == "Pipeline" else [model]
    operations: list[Operation] = []
    for step in steps[:-1]:
        if step is None or step == "passthrough":
            continue
        kind = kind_of(step)
        if kind not in _ATTRIBUTES or getattr(step, "clip", False):
            raise ModelError(f"step {type(step).__name__} is no scaling that can be folded in")
        values = ((name, getattr(step, attribute, None)) for name, attribute in _ATTRIBUTES[kind])
        operations += [(name, np.asarray(value, np.float64)) for name, value in values if value is not None]
    return operations, steps[-1]


def fold(operations: Sequence[Operation], features: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The operations as one: `x * scale + shift`, each of shape (features,)."""
    scale, shift = np.ones(features), np.zeros(features)
    for name, value in operations:
        if name in {"Mul", "Div"}:
            factor = value if name == "Mul" else 1 / value
            scale, shift = scale * factor, shift * factor
        else:
            shift = shift + (value if name == "Add" else -value)
    return scale, shift
