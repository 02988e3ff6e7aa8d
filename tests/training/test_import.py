"""Models logged with MLflow for real, imported, and run on records of the pipeline."""
# ruff: noqa: E402 - the packages of training are imported only where they are installed

from __future__ import annotations

import itertools
import os
import pickle
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from app.errors import ModelError, SettingsError
from app.settings import read_settings
from app.stream.testing import MemorySpine

for package in ("sklearn", "onnx", "skl2onnx", "mlflow"):
    pytest.importorskip(package, reason=f"{package}: install requirements/training.txt", exc_type=ImportError)

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import mlflow
import onnx
import pandas as pd
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, PolynomialFeatures, StandardScaler
from sklearn.svm import SVC, LinearSVC, NuSVC, OneClassSVM

from app.domains.model.pipeline import ModelPipeline
from app.inference.models import OnnxModel, load_columns
from model.importing import convert
from model.importing.run import Wanted, import_model
from model.importing.trees import mean_of_trees_to_onnx, trees_to_onnx

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from app.inference.bundle import Bundle

# What these packages say of their own and each other's future.
pytestmark = pytest.mark.filterwarnings("ignore")

NAMES = ["t1", "hum", "petal width (cm)"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tracking store of these tests' own, with artifacts beside it."""
    folder = tmp_path_factory.mktemp("mlflow")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    mlflow.create_experiment("toys", artifact_location=(folder / "artifacts").as_uri())
    return uri


@pytest.fixture(autouse=True)
def _own_store(store: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    mlflow.set_tracking_uri(store)
    mlflow.set_experiment("toys")
    yield
    mlflow.set_tracking_uri(None)


def table(*, missing: bool = False) -> pd.DataFrame:
    """Two hundred rows with one decimal, as most data has: its values have no exact float32."""
    chance = np.random.default_rng(0)
    rows = np.round(chance.normal(size=(200, 3)) * [8, 20, 2], 1)
    if missing:
        rows[chance.random(rows.shape) < 0.1] = np.nan
    return pd.DataFrame(rows, columns=NAMES)


def amount(rows: pd.DataFrame) -> Any:
    filled = rows.fillna(0)
    return 50 + 3 * filled["t1"] - filled["hum"] * (filled["petal width (cm)"] > 1)


def grade(rows: pd.DataFrame) -> Any:
    return np.array(["low", "mid", 'so-called "high"'])[np.digitize(amount(rows), [30, 60])]


def log(model: Any, rows: Any, *, example: int = 20, fmt: str = "cloudpickle", **options: Any) -> str:
    """Logs a model as a user does; gives the run's id."""
    with mlflow.start_run() as run:
        mlflow.log_metrics({"test_rmse": 1.25, "broken": float("nan")})
        if isinstance(rows, pd.DataFrame):
            mlflow.log_input(mlflow.data.from_pandas(rows), context="training")
        mlflow.sklearn.log_model(
            model,
            name="model",
            input_example=rows[:example] if example else None,
            serialization_format=fmt,
            pip_requirements=["scikit-learn"],  # or MLflow finds them out, which takes seconds
            **options,
        )
    run_id: str = run.info.run_id
    return run_id


def bring(source: str, folder: Path, said: list[str] | None = None, **wanted: Any) -> Bundle:
    """Imports a model whose writer we trust."""
    asked = {"name": "toy", "target": "cnt", "output": str(folder), "allow_pickle": True, **wanted}
    return import_model(source, Wanted(**asked), (said if said is not None else []).append)


def on_stream(folder: Path, rows: pd.DataFrame) -> list[dict[str, Any]]:
    """The predictions that come out when rows go in as records."""
    spine = MemorySpine(ModelPipeline.open(read_settings({"MODEL_NAME": "toy", "MODEL_LOCATION": str(folder)})))
    records = [{name: value for name, value in row.items() if not np.isnan(value)} for row in rows.to_dict("records")]
    payloads = [msgspec.json.encode({"features": row, "pred_id": number}) for number, row in enumerate(records)]
    spine.run(payloads, seconds=60)
    assert spine.quarantined() == []
    return sorted((each["prediction"] for each in spine.outputs()), key=lambda each: each["pred_id"])


REGRESSIONS: dict[str, tuple[Any, bool, str]] = {  # the model, whether values are missing, the file it becomes
    "linear": (LinearRegression(), False, "model.npz"),
    "scaled ridge": (make_pipeline(StandardScaler(), MinMaxScaler(), Ridge()), False, "model.npz"),
    "a search": (GridSearchCV(Ridge(), {"alpha": [1, 10]}), False, "model.npz"),
    "histogram boosting": (HistGradientBoostingRegressor(), True, "model.onnx"),
    "scaled histogram boosting": (make_pipeline(StandardScaler(), HistGradientBoostingRegressor()), True, "model.onnx"),
    "random forest": (RandomForestRegressor(20), True, "model.onnx"),
    "gradient boosting": (GradientBoostingRegressor(), False, "model.onnx"),
    "imputed polynomial": (make_pipeline(SimpleImputer(), PolynomialFeatures(2), Ridge()), True, "model.onnx"),
    "columns by name": (
        make_pipeline(ColumnTransformer([("scale", StandardScaler(), ["hum", "t1"])]), Ridge()),
        False,
        "model.onnx",
    ),
    "neighbours": (KNeighborsRegressor(), False, "model.onnx"),
}


@pytest.mark.parametrize("kind", REGRESSIONS)
def test_a_regression_predicts_on_the_stream_what_scikit_learn_predicts(kind: str, tmp_path: Path) -> None:
    model, missing, file = REGRESSIONS[kind]
    rows = table(missing=missing)
    model.fit(rows, amount(rows))
    run_id = log(model, rows)
    bundle = bring(f"runs:/{run_id}/model", tmp_path / "bundles")
    assert bundle.manifest.run_id == run_id
    assert list(bundle.manifest.files) == [file]
    expected = model.predict(rows)
    found = [each["cnt"] for each in on_stream(tmp_path / "bundles", rows)]
    assert found == pytest.approx(expected.tolist(), rel=1e-5, abs=1e-5 * abs(expected).max())


@pytest.mark.parametrize("kind", ["random forest", "imputed polynomial", "neighbours"])
def test_a_row_has_the_same_prediction_whatever_stands_beside_it(kind: str, tmp_path: Path) -> None:
    model, missing, file = REGRESSIONS[kind]
    rows = table(missing=missing)
    bundle = bring(f"runs:/{log(model.fit(rows, amount(rows)), rows)}/model", tmp_path / "bundles")
    assert bundle.manifest.target is not None
    assert bundle.manifest.target.rows_alone == (
        kind == "neighbours"
    )  # it costs much, so only where nothing else helps
    matrix = rows.to_numpy()
    columns = load_columns(bundle, file)
    whole = columns.predict(matrix).tolist()
    for size in (1, 2, 5):
        parts = [columns.predict(matrix[start : start + size]).tolist() for start in range(0, len(matrix), size)]
        assert list(itertools.chain.from_iterable(parts)) == whole


def test_histogram_boosting_splits_on_values_that_float32_does_not_have() -> None:
    # Where a column has more values than there are bins, thresholds are values of the table: 0.1, not 0.15.
    chance = np.random.default_rng(0)
    rows = np.round(chance.normal(size=(5000, 4)) * 10, 1)
    target = rows[:, 0] * 3 + rows[:, 1] ** 2
    for model in (HistGradientBoostingRegressor(), make_pipeline(StandardScaler(), HistGradientBoostingRegressor())):
        model.fit(rows, target)
        found = OnnxModel(trees_to_onnx(model, 4)).predict(rows)
        expected = model.predict(rows)
        assert found == pytest.approx(expected, abs=1e-5 * abs(expected).max())


def test_a_mean_of_ensembles_is_one_graph_and_each_takes_its_own_features() -> None:
    rows = np.random.default_rng(0).normal(size=(2000, 4))
    rows[::7, 1] = np.nan
    target = np.nan_to_num(rows[:, 0] * 3 + rows[:, 1] ** 2 + rows[:, 3])
    small = HistGradientBoostingRegressor(max_iter=10).fit(rows[:, :2], target)
    rich = HistGradientBoostingRegressor(max_iter=20, max_leaf_nodes=15).fit(rows, target)
    graph = OnnxModel(mean_of_trees_to_onnx([small, rich], 4))
    assert graph.features == 4
    expected = (small.predict(rows[:, :2]) + rich.predict(rows)) / 2
    assert graph.predict(rows) == pytest.approx(expected, abs=1e-5 * abs(expected).max())
    positive = HistGradientBoostingRegressor(loss="poisson", max_iter=2).fit(rows, abs(target))
    with pytest.raises(ModelError, match="link function"):
        mean_of_trees_to_onnx([small, positive], 4)


CLASSIFIERS: dict[str, tuple[Any, bool, str]] = {
    "logistic": (make_pipeline(StandardScaler(), LogisticRegression()), False, "model.npz"),
    "random forest": (RandomForestClassifier(20), True, "model.onnx"),
    "histogram boosting": (HistGradientBoostingClassifier(max_iter=20), True, "model.onnx"),
    "gradient boosting": (GradientBoostingClassifier(n_estimators=20), False, "model.onnx"),
}


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_a_classifier_gives_labels_and_probabilities(kind: str, classes: int, tmp_path: Path) -> None:
    model, missing, file = CLASSIFIERS[kind]
    rows = table(missing=missing)
    target = grade(rows) if classes == 3 else grade(rows) == "low"
    model.fit(rows, target)
    bundle = bring(f"runs:/{log(model, rows)}/model", tmp_path / "bundles", probabilities=True)
    assert list(bundle.manifest.files) == [file]
    found = on_stream(tmp_path / "bundles", rows)
    assert [each["cnt"] for each in found] == model.predict(rows).tolist()
    names = [str(label) for label in model.classes_]
    assert list(found[0]["probabilities"]) == names
    probabilities = np.array([list(each["probabilities"].values()) for each in found])
    assert probabilities == pytest.approx(model.predict_proba(rows), abs=1e-5)


def test_a_classifier_without_probabilities_gives_labels(tmp_path: Path) -> None:
    rows = table()
    model = make_pipeline(StandardScaler(), LinearSVC()).fit(rows, grade(rows))
    source = f"runs:/{log(model, rows)}/model"
    with pytest.raises(SettingsError, match="--probabilities: the model has none"):
        bring(source, tmp_path / "bundles", probabilities=True)
    bring(source, tmp_path / "bundles")
    expected = model.predict(rows).tolist()
    assert on_stream(tmp_path / "bundles", rows) == [{"cnt": label, "pred_id": n} for n, label in enumerate(expected)]


VOTERS: dict[str, Any] = {  # classifiers whose answer is not the class with their highest score
    "support vectors": SVC(),
    "scaled support vectors": make_pipeline(StandardScaler(), SVC(kernel="linear")),
    "support vectors, one against one": SVC(decision_function_shape="ovo"),
    "support vectors with probabilities": SVC(probability=True),
    "nu support vectors": NuSVC(),
    "support vectors, one against the rest": OneVsRestClassifier(SVC()),
    "one score column": make_pipeline(StandardScaler(), PolynomialFeatures(2), RidgeClassifier()),
    "linear support vectors behind a step": make_pipeline(StandardScaler(), PolynomialFeatures(2), LinearSVC()),
}
LABELS: dict[str, Any] = {
    "texts": lambda rows: np.where(amount(rows) < 50, "low", "high"),
    "three texts": grade,
    "whole numbers": lambda rows: np.where(amount(rows) < 50, 4, -3),
    "numbers": lambda rows: np.where(amount(rows) < 50, 1.0, -1.0),
    "truth": lambda rows: amount(rows) < 50,
}


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("kind", VOTERS)
def test_a_label_is_what_the_model_answers_and_not_its_highest_score(kind: str, labels: str, tmp_path: Path) -> None:
    model, rows = VOTERS[kind], table()
    model.fit(rows, LABELS[labels](rows))
    said: list[str] = []
    bundle = bring(f"runs:/{log(model, rows)}/model", tmp_path / "bundles", said)
    assert bundle.manifest.target is not None
    assert bundle.manifest.target.labels == model.classes_.tolist()
    assert "labels are equal" in said[-1]
    rows = rows + 0.037  # other rows than it was compared on
    expected = model.predict(rows).tolist()
    assert [each["cnt"] for each in on_stream(tmp_path / "bundles", rows)] == expected


def test_probabilities_that_contradict_the_labels_are_refused(tmp_path: Path) -> None:
    rows = table()
    model = SVC(probability=True, random_state=0).fit(rows, grade(rows))
    with pytest.raises(SettingsError, match=r"label is not its most probable one in \d+ of \d+ rows: .* leave the opt"):
        bring(f"runs:/{log(model, rows)}/model", tmp_path / "bundles", probabilities=True)


def test_a_detector_of_outliers_answers_with_its_numbers(tmp_path: Path) -> None:
    rows = table()
    model = OneClassSVM(nu=0.1).fit(rows)
    bring(f"runs:/{log(model, rows)}/model", tmp_path / "bundles", rounded=True)
    assert [each["cnt"] for each in on_stream(tmp_path / "bundles", rows)] == model.predict(rows).tolist()


def test_a_regression_on_a_column_is_one_of_numbers(tmp_path: Path) -> None:
    rows = table()
    model = KNeighborsRegressor().fit(rows, amount(rows).to_numpy()[:, None])
    bring(f"runs:/{log(model, rows)}/model", tmp_path / "bundles")
    found = [each["cnt"] for each in on_stream(tmp_path / "bundles", rows)]
    assert found == pytest.approx(model.predict(rows)[:, 0].tolist(), rel=1e-5, abs=1e-3)


def test_a_bundle_says_where_it_comes_from(tmp_path: Path) -> None:
    rows = table(missing=True)
    rows["hum"] = rows["hum"].fillna(0)
    model = HistGradientBoostingRegressor().fit(rows, amount(rows))
    said: list[str] = []
    manifest = bring(f"runs:/{log(model, rows)}/model", tmp_path / "bundles", said, rounded=True).manifest
    assert manifest.metrics["test_rmse"] == 1.25
    assert manifest.metrics.keys() == {"test_rmse", "conversion_difference"}
    assert manifest.training_data_sha256.startswith("mlflow:")
    assert [(field.name, field.type, field.required) for field in manifest.signature] == [
        ("t1", "double", False),
        ("hum", "double", True),
        ("petal width (cm)", "double", False),
    ]
    assert "compared on 20 rows of its input_example and 1000 drawn around them: largest difference " in said[-1]
    assert on_stream(tmp_path / "bundles", rows)[0] == {"cnt": round(model.predict(rows)[0]), "pred_id": 0}


def test_registered_models_folders_and_s3_layouts_are_the_same_model(tmp_path: Path) -> None:
    rows = table()
    model = LinearRegression().fit(rows, amount(rows))
    run_id = log(model, rows, registered_model_name="toys")
    mlflow.MlflowClient().set_registered_model_alias("toys", "best", "1")
    folder = mlflow.artifacts.download_artifacts(f"runs:/{run_id}/model", dst_path=str(tmp_path / "copy"))
    found = [
        bring(source, tmp_path / f"bundles{number}")
        for number, source in enumerate([f"runs:/{run_id}/model", "models:/toys/1", "models:/toys@best", folder])
    ]
    assert {bundle.manifest.run_id for bundle in found} == {run_id}
    assert len({bundle.read("model.npz") for bundle in found}) == 1


@pytest.mark.parametrize("name", ["../beside", "/abroad"])
def test_a_source_in_s3_writes_nowhere_else(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Crafted:
        root = "s3://bucket/model"

        def names(self) -> list[str]:
            return [f"{tmp_path}{name}" if name.startswith("/") else name]

        def get(self, _name: str) -> bytes:
            return b"x"

    monkeypatch.setattr("model.importing.source.open_objects", lambda _location: Crafted())
    with pytest.raises(ModelError, match="leads out of it"):
        bring("s3://bucket/model", tmp_path / "bundles")
    assert not [*tmp_path.iterdir()]


def test_a_bundle_is_never_written_over(tmp_path: Path) -> None:
    rows = table()
    source = f"runs:/{log(LinearRegression().fit(rows, amount(rows)), rows)}/model"
    bring(source, tmp_path / "bundles")
    with pytest.raises(ModelError, match="holds a bundle already"):
        bring(source, tmp_path / "bundles")


class Trap:
    """Opening its pickle leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("fmt", ["cloudpickle", "pickle", "something else"])
def test_without_the_flag_no_pickle_is_opened(fmt: str, tmp_path: Path) -> None:
    rows = table()
    run_id = log(LinearRegression().fit(rows, amount(rows)), rows)
    folder = tmp_path / "copy"
    mlflow.artifacts.download_artifacts(f"runs:/{run_id}/model", dst_path=str(folder))
    described = folder / "model" / "MLmodel"
    described.write_text(
        described.read_text().replace("serialization_format: cloudpickle", f"serialization_format: {fmt}")
    )
    mark = tmp_path / "sprung"
    (folder / "model" / "model.pkl").write_bytes(pickle.dumps(Trap(mark)))
    with pytest.raises(ModelError, match=r"model\.pkl is a pickle: opening it runs whatever code .* --allow-pickle"):
        bring(str(folder / "model"), tmp_path / "bundles", allow_pickle=False)
    assert not mark.exists()
    said: list[str] = []
    with pytest.raises(ModelError):
        bring(str(folder / "model"), tmp_path / "bundles", said)
    assert mark.exists() == (fmt != "something else")  # the trap does work
    assert "model.pkl is a pickle" in said[0]


def test_a_pickle_that_calls_itself_skops_is_not_opened(tmp_path: Path) -> None:
    rows = table()
    run_id = log(LinearRegression().fit(rows, amount(rows)), rows, fmt="skops")
    mlflow.artifacts.download_artifacts(f"runs:/{run_id}/model", dst_path=str(tmp_path / "copy"))
    mark = tmp_path / "sprung"
    (tmp_path / "copy" / "model" / "model.skops").write_bytes(pickle.dumps(Trap(mark)))
    with pytest.raises(ModelError, match=r"model\.skops cannot be read"):
        bring(str(tmp_path / "copy" / "model"), tmp_path / "bundles")
    assert not mark.exists()


def test_skops_needs_no_flag_where_skops_calls_it_safe(tmp_path: Path) -> None:
    rows = table()
    source = f"runs:/{log(LinearRegression().fit(rows, amount(rows)), rows, fmt='skops')}/model"
    bring(source, tmp_path / "bundles", allow_pickle=False)
    forest = RandomForestRegressor(3).fit(rows, amount(rows))
    source = f"runs:/{log(forest, rows, fmt='skops', skops_trusted_types=['sklearn.tree._tree.Tree'])}/model"
    with pytest.raises(ModelError, match=r"holds sklearn\.tree\._tree\.Tree, which skops does not call safe"):
        bring(source, tmp_path / "bundles", allow_pickle=False)
    bring(source, tmp_path / "bundles")


def test_a_conversion_that_disagrees_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = table()
    model = LinearRegression().fit(rows, amount(rows))
    source = f"runs:/{log(model, rows)}/model"
    other = LinearRegression().fit(rows, amount(rows) * 1.001)
    wrong = convert.converters(other, NAMES)[:1]
    monkeypatch.setattr(convert, "converters", lambda _model, _names, **_: wrong)
    with pytest.raises(ModelError, match=r"disagrees with the model on 1020 rows: the largest difference is 0\.001 of"):
        bring(source, tmp_path / "bundles")
    assert not (tmp_path / "bundles").exists()


def test_labels_that_differ_are_counted_and_the_first_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = table()
    model = LogisticRegression().fit(rows, amount(rows) < 50)
    source = f"runs:/{log(model, rows)}/model"
    other = LogisticRegression().fit(rows, amount(rows) < 40)
    wrong = convert.converters(other, NAMES)[:1]
    monkeypatch.setattr(convert, "converters", lambda _model, _names, **_: wrong)
    shown = (
        r"on 1020 rows: \d+ labels differ, the first at t1=.*, hum=.*, petal width \(cm\)=.*, where the model says True"
    )
    with pytest.raises(ModelError, match=shown) as refused:
        bring(source, tmp_path / "bundles")
    assert "1e-05" not in str(refused.value)  # which is for numbers


def test_a_graph_of_a_classifier_is_refused(tmp_path: Path) -> None:
    rows = table()
    model = LogisticRegression().fit(rows, grade(rows))
    signature = mlflow.models.infer_signature(rows, amount(rows))
    graph = convert_sklearn(model, initial_types=[("x", FloatTensorType([None, 3]))])
    mlflow.onnx.save_model(graph, str(tmp_path / "graph"), signature=signature)
    with pytest.raises(ModelError, match="its graph gives labels, not one number a row; log the scikit-learn model"):
        bring(str(tmp_path / "graph"), tmp_path / "bundles", allow_pickle=False)


class Halved(RegressorMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn has no types
    """An estimator that is nobody's but ours."""

    def fit(self, rows: pd.DataFrame, target: pd.Series) -> Halved:
        self.mean_, self.feature_names_in_ = float(target.mean()) / 2, np.array(rows.columns)
        return self

    def predict(self, rows: pd.DataFrame) -> Any:
        return np.full(len(rows), self.mean_)


def test_what_cannot_be_imported_is_one_line(tmp_path: Path) -> None:
    rows = table()
    target = amount(rows)
    linear = LinearRegression().fit(rows, target)
    words = rows.assign(sky="grey")
    pipeline = make_pipeline(ColumnTransformer([("keep", "passthrough", NAMES)]), LinearRegression())
    forest = RandomForestClassifier(3)
    lonely = RandomForestClassifier(3).fit(rows, ["calm"] * len(rows))
    unlogged = {
        f"runs:/{'0' * 32}/model": "not found; MLFLOW_TRACKING_URI is sqlite",
        "models:/nothing/1": "not found",
        str(tmp_path): "holds no MLmodel; name the folder that `log_model` wrote",
        "gs://bucket/model": "give a folder or s3://bucket/prefix",
        f"runs:/{log(Halved().fit(rows, target), rows)}/model": "skl2onnx cannot convert Halved",
        f"runs:/{log(TransformedTargetRegressor(Ridge()).fit(rows, target), rows)}/model": "TransformedTargetRegressor",
        f"runs:/{log(linear, rows, example=0)}/model": "without a signature; log it with a DataFrame's",
        f"runs:/{log(Ridge().fit(rows.to_numpy(), target), rows.to_numpy())}/model": "no names for its inputs",
        f"runs:/{log(pipeline.fit(words, target), words)}/model": "field 'sky' (number 4) is a string",
        f"runs:/{log(Ridge().fit(rows, np.stack([target, target], axis=1)), rows)}/model": "predicts 2 targets",
        f"runs:/{log(forest.fit(rows, np.stack([grade(rows)] * 2, axis=1)), rows)}/model": "predicts 2 targets",
        f"runs:/{log(lonely, rows)}/model": "knows one label only, 'calm'; train it on two or more",
        # The first of two errors is the reason; the second came of another way to ask.
        f"runs:/{log(GaussianProcessClassifier().fit(rows, grade(rows)), rows)}/model": "Only binary classification is",
    }
    for source, complaint in unlogged.items():
        with pytest.raises((ModelError, SettingsError)) as refused:
            bring(source, tmp_path / "bundles")
        assert complaint in str(refused.value)
        assert "\n" not in str(refused.value)


def test_names_may_be_given_where_there_is_no_signature(tmp_path: Path) -> None:
    rows = table()
    model = LinearRegression().fit(rows.to_numpy(), amount(rows))
    source = f"runs:/{log(model, rows.to_numpy())}/model"
    bring(source, tmp_path / "bundles", features=NAMES)
    found = [each["cnt"] for each in on_stream(tmp_path / "bundles", rows)]
    assert found == pytest.approx(model.predict(rows.to_numpy()).tolist())


@pytest.mark.parametrize("kind", ["csv", "features", "records"])
def test_a_sample_may_be_a_table_or_records(kind: str, tmp_path: Path) -> None:
    rows = table()
    signature = mlflow.models.infer_signature(rows, amount(rows))
    source = f"runs:/{log(LinearRegression().fit(rows, amount(rows)), rows, example=0, signature=signature)}/model"
    sample = tmp_path / "sample"
    if kind == "csv":
        rows.to_csv(sample, index=False)
    else:
        records = rows.to_dict("records")
        lines = [{"features": row, "pred_id": 1} if kind == "records" else row for row in records]
        sample.write_bytes(b"\n".join(map(msgspec.json.encode, lines)))
    said: list[str] = []
    bring(source, tmp_path / "bundles", said, sample=sample)
    assert "compared on 200 rows of sample and 1000 drawn around them" in said[-1]
    sample.write_text("t1,hum\n1,2\n")
    with pytest.raises(SettingsError, match=r"sample: row 1: petal width \(cm\) is missing"):
        bring(source, tmp_path / "other", sample=sample)


def test_a_graph_that_was_logged_as_one_is_taken_as_it_is(tmp_path: Path) -> None:
    rows = table()
    model = GradientBoostingRegressor().fit(rows, amount(rows))
    graph = trees_to_onnx(model, 3)
    signature = mlflow.models.infer_signature(rows, amount(rows))
    mlflow.onnx.save_model(onnx.load_model_from_string(graph), str(tmp_path / "graph"), signature=signature)
    bring(str(tmp_path / "graph"), tmp_path / "bundles", allow_pickle=False)
    found = [each["cnt"] for each in on_stream(tmp_path / "bundles", rows)]
    assert found == pytest.approx(model.predict(rows).tolist(), rel=1e-5)
