"""Linear models as the arrays of an `.npz`: coefficients, intercept, and whether softmax follows."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from app.errors import ModelError
from model.importing.affine import fold, kind_of, split

if TYPE_CHECKING:
    from numpy.typing import NDArray

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


def linear_to_npz(model: Any, features: int) -> bytes:  # noqa: ANN401 - an estimator
    """A linear model, scaling before it folded in, as `LinearModel` takes it.

    A classifier's scores get a column a class, in the order of `classes_`: one of two classes has the scores 0 and s,
    whose softmax is the logistic function of s, which is what scikit-learn computes.

    Raises:
        ModelError: It is not linear.
    """
    operations, last = split(model)
    kind = kind_of(last)
    if kind not in _REGRESSORS | _CLASSIFIERS:
        raise ModelError(f"{type(last).__name__} is not linear")
    coef = np.atleast_2d(np.asarray(last.coef_, np.float64))
    intercept = np.atleast_1d(np.asarray(last.intercept_, np.float64))
    if kind in _REGRESSORS and len(coef) != 1:
        raise ModelError(f"{kind} predicts {len(coef)} targets")
    scale, shift = fold(operations, features)
    coef, intercept = coef * scale, intercept + coef @ shift
    if kind in _REGRESSORS:
        return _saved(coef=coef[0], intercept=intercept[0])
    if len(coef) == 1:
        coef, intercept = np.vstack([np.zeros_like(coef), coef]), np.concatenate([[0.0], intercept])
    return _saved(coef=coef.T, intercept=intercept, softmax=np.array(_has_softmax(last, kind)))


def _has_softmax(model: Any, kind: str) -> bool:  # noqa: ANN401 - an estimator
    """Whether `predict_proba` is the softmax of the scores."""
    if kind == "SGDClassifier":
        return bool(model.loss == "log_loss" and len(model.classes_) == 2)  # noqa: PLR2004 - more are normalised
    return kind in {"LinearDiscriminantAnalysis", "LogisticRegression", "LogisticRegressionCV"}


def _saved(**arrays: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()
