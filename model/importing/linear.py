"""Linear models as the arrays of an `.npz`, and the scaling steps before any model.

Scaling steps are kept as scikit-learn's own operations, in its order: a tree's threshold is often a value of the
training data, so a scaled value that differs in its last bit goes the other way.
"""

from __future__ import annotations

import io
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
_REGRESSORS = {
    *("ARDRegression", "BayesianRidge", "ElasticNet", "ElasticNetCV", "HuberRegressor", "Lars", "LarsCV", "Lasso"),
    *("LassoCV", "LassoLars", "LassoLarsCV", "LassoLarsIC", "LinearRegression", "LinearSVR", "QuantileRegressor"),
    *("OrthogonalMatchingPursuit", "OrthogonalMatchingPursuitCV", "PassiveAggressiveRegressor", "Ridge", "RidgeCV"),
    *("SGDRegressor", "TheilSenRegressor"),
}
_CLASSIFIERS = {
    *("LinearDiscriminantAnalysis", "LinearSVC", "LogisticRegression", "LogisticRegressionCV", "Perceptron"),
    *("PassiveAggressiveClassifier", "RidgeClassifier", "RidgeClassifierCV", "SGDClassifier"),
}
LINEAR_KINDS = _REGRESSORS | _CLASSIFIERS
"""The classes of estimators that `linear_to_npz` converts."""


def kind_of(model: Any) -> str:  # noqa: ANN401 - an estimator, of which scikit-learn has no common type
    """Return an estimator's class name if it is scikit-learn's own, else "": a subclass may do anything."""
    kind = type(model)
    return kind.__name__ if kind.__module__.partition(".")[0] == "sklearn" else ""


def split_scaling(model: Any) -> tuple[list[Operation], Any]:  # noqa: ANN401 - estimators
    """Split a pipeline into the scaling that it begins with and its last step; another estimator has no scaling.

    Raises:
        ModelError: Another step than scaling comes before the last one.
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


def _fold(operations: Sequence[Operation], features: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the operations as one, `x * scale + shift`, each of shape (features,)."""
    scale, shift = np.ones(features), np.zeros(features)
    for name, value in operations:
        if name in {"Mul", "Div"}:
            factor = value if name == "Mul" else 1 / value
            scale, shift = scale * factor, shift * factor
        else:
            shift = shift + (value if name == "Add" else -value)
    return scale, shift


def linear_to_npz(model: Any, features: int) -> bytes:  # noqa: ANN401 - an estimator
    """Return a linear model, with the scaling before it folded in, as `LinearModel` takes it.

    A classifier's scores get a column a class, in the order of `classes_`: one of two classes has the scores 0 and s,
    whose softmax is the logistic function of s, which is what scikit-learn computes.

    Raises:
        ModelError: It is not linear.
    """
    operations, last = split_scaling(model)
    kind = kind_of(last)
    if kind not in LINEAR_KINDS:
        raise ModelError(f"{type(last).__name__} is not linear")
    coef = np.atleast_2d(np.asarray(last.coef_, np.float64))
    intercept = np.atleast_1d(np.asarray(last.intercept_, np.float64))
    if kind in _REGRESSORS and len(coef) != 1:
        raise ModelError(f"{kind} predicts {len(coef)} targets")
    scale, shift = _fold(operations, features)
    coef, intercept = coef * scale, intercept + coef @ shift
    if kind in _REGRESSORS:
        return _saved(coef=coef[0], intercept=intercept[0])
    if len(coef) == 1:
        coef, intercept = np.vstack([np.zeros_like(coef), coef]), np.concatenate([[0.0], intercept])
    return _saved(coef=coef.T, intercept=intercept, softmax=np.array(_has_softmax(last, kind)))


def _has_softmax(model: Any, kind: str) -> bool:  # noqa: ANN401 - an estimator
    """Return whether `predict_proba` is the softmax of the scores."""
    if kind == "SGDClassifier":
        return bool(model.loss == "log_loss" and len(model.classes_) == 2)  # noqa: PLR2004 - more are normalised
    return kind in {"LinearDiscriminantAnalysis", "LogisticRegression", "LogisticRegressionCV"}


def _saved(**arrays: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()
