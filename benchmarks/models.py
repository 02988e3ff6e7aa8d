"""Fit the models that every candidate runs, and write them in each candidate's format.

Each model has a folder with `model.joblib` (scikit-learn by hand), `mlflow/` (the same estimator for `mlflow.pyfunc`)
and `bundles/` (Millrace). The table is synthetic: the benchmark measures the cost of a prediction, not its accuracy.
"""

from __future__ import annotations

import io
import logging
import warnings
from typing import TYPE_CHECKING, Any

import joblib
import mlflow
import msgspec
import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression

from app.domains.bike.synthetic import synthetic_rows
from app.inference.bundle import write_bundle
from app.inference.manifest import Field, Manifest, Target
from app.storage.objects import FolderObjects
from app.stream.outcomes import digest_of
from benchmarks.contract import FEATURES, MODEL_NAME, VERSION
from model.importing.trees import trees_to_onnx

if TYPE_CHECKING:
    from pathlib import Path

    from app.inference.bundle import Bundle

ROWS = 17_000  # about the size of the London table
LINEAR, TREES = "linear", "boosted trees"


def estimator(kind: str) -> Any:  # noqa: ANN401 - scikit-learn has no types
    """Return an unfitted estimator with scikit-learn's defaults and a fixed random state."""
    return LinearRegression() if kind == LINEAR else HistGradientBoostingRegressor(random_state=0)


def write_models(kind: str, folder: Path) -> Path:
    """Fit one kind of model, write it in all formats, and return the folder."""
    table = pd.DataFrame(list(synthetic_rows(ROWS)))
    features, target = table[list(FEATURES)].astype({"hum": float}), table["cnt"]
    model_folder = folder / kind.replace(" ", "-")
    model_folder.mkdir(parents=True)
    # Candidates by hand pass lists and MLflow passes a frame, so each has its own fit; equal data gives equal models.
    by_hand = estimator(kind).fit(features.to_numpy(), target.to_numpy())
    joblib.dump(by_hand, model_folder / "model.joblib")
    # MLflow warns about untrusted pickles: this one is made and read here.
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside MLflow
        mlflow.sklearn.save_model(
            estimator(kind).fit(features, target),
            str(model_folder / "mlflow"),
            signature=mlflow.models.infer_signature(features, target),
            pip_requirements=["scikit-learn"],
            serialization_format="cloudpickle",
        )
    bundle = _write_bundle(kind, by_hand, features, model_folder / "bundles" / MODEL_NAME / VERSION)
    if kind == LINEAR:
        numbers = [by_hand.intercept_, *by_hand.coef_]
        end_of_ids = f"model/0/{digest_of(msgspec.json.encode(bundle.manifest))}"
        words = [MODEL_NAME, VERSION, end_of_ids, *(repr(float(number)) for number in numbers)]
        (model_folder / "floor.txt").write_text(" ".join(words) + "\n")
    return model_folder


def _write_bundle(kind: str, model: Any, features: pd.DataFrame, model_folder: Path) -> Bundle:  # noqa: ANN401
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
    return write_bundle(FolderObjects(model_folder), manifest, files)


def _arrays(model: Any) -> bytes:  # noqa: ANN401
    file = io.BytesIO()
    np.savez(file, coef=model.coef_, intercept=model.intercept_)
    return file.getvalue()
