from __future__ import annotations

import csv
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from app.domains.bike.features import Columns
from app.domains.bike.model import BikeModel
from app.domains.bike.synthetic import synthetic_rows
from app.inference.bundle import Bundle, find_bundle
from app.inference.models import OnnxModel

for package in ("sklearn", "onnx", "mlflow", "matplotlib"):
    pytest.importorskip(package, reason=f"{package}: install requirements/training.txt", exc_type=ImportError)

ROOT = Path(__file__).parents[2]
REAL_TABLE = ROOT.parent / "shared" / "data" / "bike" / "london_merged.csv"


def train(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the command in a folder of its own."""
    return subprocess.run(
        [sys.executable, "-m", "model.bike.train", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},  # more only wait for each other here
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def write_table(path: Path, hours: int) -> Path:
    rows = list(synthetic_rows(hours))
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)
    return path


@dataclass
class Trained:
    folder: Path
    said: str
    bundle: Bundle


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A model of 70 synthetic weeks, which see each season and one Christmas Day."""
    folder = tmp_path_factory.mktemp("synthetic")
    table = write_table(folder / "synthetic.csv", 24 * 7 * 70)
    run = train(folder, "--data", str(table), "--out", str(folder / "bundles" / "bike"))
    assert run.returncode == 0, run.stderr
    return Trained(folder, run.stdout, find_bundle("bike", location=str(folder / "bundles")))


def test_training_writes_a_bundle_that_serves(trained: Trained) -> None:
    trained.bundle.verify()
    hours = np.array(["2016-03-02T03:00", "2016-03-02T08:00"], "datetime64[m]")
    some, none = np.array([9.0, 9.0]), np.full(2, np.nan)
    columns = Columns(some, some, np.array([70.0, 70.0]), np.array([1.0, 1.0]), none, none, none, none, hours)
    night, morning = BikeModel.load(trained.bundle).predict(columns)
    assert morning > 5 * night


def test_the_mlflow_run_is_the_bundles_run(trained: Trained) -> None:
    run_id = trained.bundle.manifest.run_id
    assert f"RUN_ID={run_id}" in trained.said
    with closing(sqlite3.connect(trained.folder / "mlruns" / "mlflow.db")) as store:
        status = store.execute("SELECT status FROM runs WHERE run_uuid = ?", (run_id,)).fetchone()
        metrics = dict(store.execute("SELECT key, value FROM latest_metrics WHERE run_uuid = ?", (run_id,)))
        parameters = dict(store.execute("SELECT key, value FROM params WHERE run_uuid = ?", (run_id,)))
    assert status == ("FINISHED",)
    assert metrics == pytest.approx(trained.bundle.manifest.metrics)
    assert {"ridge", "growth", "ratio_max_leaf_nodes"} <= parameters.keys()
    artifacts = trained.folder / "mlruns" / "artifacts" / run_id / "artifacts"
    assert {path.name for path in artifacts.iterdir()} == {"bundle", "signature.json"}
    assert (artifacts / "bundle" / "card.md").read_bytes() == trained.bundle.read("card.md")


def test_onnx_agrees_with_scikit_learn_on_the_training_run(trained: Trained) -> None:
    assert trained.bundle.manifest.metrics["onnx_difference"] < 0.01


def test_the_bundle_names_no_place_of_the_machine_that_trained_it(trained: Trained) -> None:
    for name in trained.bundle.manifest.files:
        assert str(trained.folder).encode() not in trained.bundle.read(name)
    assert str(trained.folder) not in (Path(trained.bundle.objects.root) / "manifest.json").read_text()


@pytest.mark.slow
def test_training_again_gives_the_same_model(trained: Trained, tmp_path: Path) -> None:
    run = train(tmp_path, "--data", str(trained.folder / "synthetic.csv"), "--out", "bike")
    assert run.returncode == 0, run.stderr
    again = find_bundle("bike", location=str(tmp_path))
    for name in ("tables.npz", "ratio.onnx", "fallback.onnx"):
        assert again.read(name) == trained.bundle.read(name)


def test_a_split_decides_in_the_graph_as_in_scikit_learn_on_both_sides_of_it() -> None:
    from sklearn.ensemble import HistGradientBoostingRegressor  # noqa: PLC0415 - only where it is installed

    from model.importing.trees import trees_to_onnx  # noqa: PLC0415 - the same

    random = np.random.default_rng(0)
    features = random.normal(size=(2000, 3)).astype(np.float32)
    features[random.random(features.shape) < 0.2] = np.nan
    target = np.nan_to_num(features[:, 0]) - np.isnan(features[:, 1]) + random.normal(size=2000) / 10
    model = HistGradientBoostingRegressor(max_iter=30, random_state=0).fit(features, target)
    thresholds = {float(node["num_threshold"]) for (tree,) in model._predictors for node in tree.nodes}
    edges = np.array(sorted(thresholds), np.float32)
    neighbours = np.concatenate([edges, np.nextafter(edges, np.float32(9)), np.nextafter(edges, np.float32(-9))])
    probes = np.vstack([features, np.stack([neighbours] * 3, axis=1)])
    found = OnnxModel(trees_to_onnx(model, 3)).predict(probes)
    assert found == pytest.approx(model.predict(probes), abs=1e-5)


HEADER = "timestamp,cnt,t1,t2,hum,wind_speed,weather_code,is_holiday,is_weekend,season\n"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "empty: its first line must name timestamp, cnt"),
        ("timestamp,cnt,t1\n", "lacks t2, hum, weather_code"),
        (HEADER + "2015-01-04 00:00:00,182,3,2,93,6,3,0,1,3\n", "1 rows: training needs 672"),
        (HEADER + "yesterday,182,3,2,93,6,3,0,1,3\n", "line 2: timestamp is 'yesterday'"),
        (HEADER + "2015-01-04 00:00:00+01:00,182,3,2,93,6,3,0,1,3\n", "has an offset"),
        (HEADER + "04/01/2015 00:00,182,3,2,wet,6,3,0,1,3\n", "line 2: hum is 'wet', not a number"),
        (HEADER + "04/01/2015 00:00,182\n", "line 2: t1 is None, not a number"),
        ("PK\0\1", "not a text file"),
    ],
)
def test_a_wrong_table_is_one_line(tmp_path: Path, content: str, complaint: str) -> None:
    table = tmp_path / "table.csv"
    table.write_text(content)
    run = train(tmp_path, "--data", str(table))
    assert run.returncode == 10
    assert run.stderr.startswith(f"train: {table}: ")
    assert complaint in run.stderr
    assert run.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "train: no table to train on: give london_merged.csv with --data\n"),
        (
            ["--data", "nowhere.csv"],
            "train: nowhere.csv: No such file or directory: give london_merged.csv with --data\n",
        ),
    ],
)
def test_no_table_is_one_line(tmp_path: Path, arguments: list[str], complaint: str) -> None:
    run = train(tmp_path, *arguments)
    assert (run.returncode, run.stderr) == (10, complaint)


def test_both_ways_of_writing_a_time_are_read_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)
    from model.bike.table import read_table  # noqa: PLC0415 - not on the path before

    iso = write_table(tmp_path / "iso.csv", 700)
    rows = list(csv.reader(iso.read_text().splitlines()))
    for row in rows[1:]:
        (year, month, day), hour = row[0][:10].split("-"), row[0][11:16]
        row[0] = f"{day}/{month}/{year} {hour}"
    british = tmp_path / "british.csv"
    with british.open("w", newline="") as file:
        csv.writer(file).writerows([rows[0], *reversed(rows[1:])])
    one, other = read_table(iso), read_table(british)
    assert (one.columns.timestamp == other.columns.timestamp).all()
    assert one.columns.matrix().tolist() == other.columns.matrix().tolist()


@pytest.mark.slow
@pytest.mark.skipif(not REAL_TABLE.is_file(), reason="london_merged.csv is not here")
def test_londons_table_gives_the_errors_of_the_card(tmp_path: Path) -> None:
    run = train(tmp_path, "--data", str(REAL_TABLE), "--out", "bike")
    assert run.returncode == 0, run.stderr
    metrics = find_bundle("bike", location=str(tmp_path)).manifest.metrics
    assert metrics["test_rmse_all"] < 230
    assert metrics["test_rmse_required_four"] < 1005
    committed = find_bundle("bike").manifest.metrics
    assert metrics == pytest.approx(committed, rel=0.01, abs=0.01)
