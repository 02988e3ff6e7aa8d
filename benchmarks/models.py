"""The models that every candidate runs: fitted here, once, and written in the form that each of them takes.

A folder a model holds `model.joblib` (scikit-learn by hand), `mlflow/` (the same estimator for `mlflow.pyfunc`) and
`bundles/` (Millrace). The table is synthetic: what is measured is the cost of a prediction, not its worth.
"""

from __future__ import annotations

import io
import logging
import warnings
from typing import TYPE_CHECKING, Any

import joblib
import mlflow
import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression

from app.domains.bike.synthetic import synthetic_rows
from app.inference.bundle import write_bundle
from app.inference.manifest import Field, Manifest, Target
from app.storage.objects import FolderObjects
from benchmarks.contract import FEATURES, MODEL_NAME, VERSION
from model.importing.trees import trees_to_onnx

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 17_000  # about as many as the London table has
LINEAR, TREES = "linear", "boosted trees"


def estimator(kind: str) -> Any:  # noqa: ANN401 - scikit-learn has no types
    """An estimator that is yet to be fitted, with scikit-learn's own defaults but for the randomness."""
    return LinearRegression() if kind == LINEAR else HistGradientBoostingRegressor(random_state=0)


def write_models(kind: str, folder: Path) -> Path:
    """Fits one kind of model and writes all its forms; gives the folder."""
    table = pd.DataFrame(list(synthetic_rows(ROWS)))
    features, target = table[list(FEATURES)].astype({"hum": float}), table["cnt"]
    place = folder / kind.replace(" ", "-")
    place.mkdir(parents=True)
    # The same data gives the same model; by hand it is called with lists, by MLflow with a frame, so each its own fit.
    by_hand = estimator(kind).fit(features.to_numpy(), target.to_numpy())
    joblib.dump(by_hand, place / "model.joblib")
    # It warns of what may be in a pickle: this one is made and read here.
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # hints about its own future
        mlflow.sklearn.save_model(
            estimator(kind).fit(features, target),
            str(place / "mlflow"),
            signature=mlflow.models.infer_signature(features, target),
            pip_requirements=["scikit-learn"],
            serialization_format="cloudpickle",
        )
    _write_bundle(kind, by_hand, features, place / "bundles" / MODEL_NAME / VERSION)
    if kind == LINEAR:
        numbers = [by_hand.intercept_, *by_hand.coef_]
        words = [MODEL_NAME, VERSION, "model", *(repr(float(number)) for number in numbers)]
        (place / "floor.txt").write_text(" ".join(words) + "\n")
    return place


def _write_bundle(kind: str, model: Any, features: pd.DataFrame, place: Path) -> None:  # noqa: ANN401
    files = {"model.onnx": trees_to_onnx(model, len(FEATURES))} if kind == TREES else {"model.npz": _arrays(model)}
    types = {"f": "double", "i": "long"}
    manifest = Manifest(
        name=MODEL_NAME,
        run_id=VERSION,
        model=MODEL_NAME,
        created="2026-01-01T00:00:00Z",
        signature=[Field(name, types[features[name].dtype.kind]) for name in FEATURES],
        metrics={},
        training_data_sha256="",
        attribution="",
        files={},
        target=Target("cnt"),
    )
    write_bundle(FolderObjects(place), manifest, files)


def _arrays(model: Any) -> bytes:  # noqa: ANN401
    file = io.BytesIO()
    np.savez(file, coef=model.coef_, intercept=model.intercept_)
    return file.getvalue()
