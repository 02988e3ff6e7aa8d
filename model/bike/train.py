"""Train the bike model and write its bundle: `python -m model.bike.train --data london_merged.csv`.

`fit.py` has the model; this module has the split, the MLflow run and the bundle.
"""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from app.domains.bike.features import REQUIRED, TREE_FEATURES, WEATHER
from app.domains.bike.model import FALLBACK, RATIO, TABLES, BikeModel
from app.errors import CloudError, SettingsError
from app.inference.bundle import write_bundle
from app.inference.manifest import Field, Manifest
from app.inference.models import OnnxModel
from app.storage.objects import FolderObjects
from model.bike.table import Table, read_table
from model.command import run_command
from model.tracking import tracked_run

if TYPE_CHECKING:
    from model.bike.card import Growth
    from model.bike.evaluate import Evaluation
    from model.bike.fit import Fitted

ROOT = Path(__file__).parents[2]
TRAINED_SHARE = 0.8
_INSTALL = "./scripts/train.sh --help"


def train(
    data: Annotated[
        Path | None, typer.Option(help="The table of hourly hires: Kaggle's london_merged.csv.", show_default=False)
    ] = None,
    out: Annotated[
        Path,
        typer.Option(help="Where the bundle goes, in a folder named after the run.", show_default="model/bundles/bike"),
    ] = ROOT / "model" / "bundles" / "bike",
    tracking: Annotated[
        str, typer.Option(help="MLflow's tracking URI; unset, a database in ./mlruns.", show_default=False)
    ] = "",
) -> None:
    """Train the bike model on the first 80 % of the table, test it on the rest, and write a bundle.

    The MLflow run's id is the bundle's: set RUN_ID to it to serve this model.
    """
    if data is None:
        raise SettingsError("no table to train on: give london_merged.csv with --data")
    table = read_table(data)
    try:
        import mlflow  # noqa: PLC0415 - the training packages: --help and a wrong file need none of them
        import onnx  # noqa: F401, PLC0415
        import sklearn  # noqa: F401, PLC0415
        from matplotlib.figure import Figure  # noqa: F401, PLC0415
    except ModuleNotFoundError as error:
        raise SettingsError(f"{error.name} is missing: `{_INSTALL}` installs the training packages") from None
    cut = int(len(table) * TRAINED_SHARE)
    past, future = _rows(table, slice(cut)), _rows(table, slice(cut, None))
    _log(f"{len(table):,} rows of {data.name}: {len(past):,} to train on, {len(future):,} to test on")
    with tracked_run(mlflow, tracking, "bike") as run:
        _learn(mlflow, run.info.run_id, past, future, out)


def _learn(mlflow: Any, run_id: str, past: Table, future: Table, out: Path) -> None:  # noqa: ANN401 - a module
    """Fit, test and export the model, and log the run."""
    from model.bike import card, evaluate, fit  # noqa: PLC0415 - they import the training packages

    _log("growth: estimating it from the training rows")
    per_year, error = fit.estimate_growth(past.columns, past.count)
    kept = abs(per_year) > error
    rmse = {}
    for growth in (not kept, kept):  # the last one is shipped
        _log(f"fitting {'with' if growth else 'without'} growth")
        fitted = fit.fit(past.columns, past.count, growth=growth)
        files = _export(fitted)
        ratio, fallback = OnnxModel(files[RATIO]), OnnxModel(files[FALLBACK])
        model = BikeModel(fitted.tables, ratio, fallback)
        rmse[growth] = evaluate.score(model.predict(future.columns).astype(np.float64), future.count).rmse
    found = replace(
        evaluate.evaluate(model, past, future),
        onnx_difference=evaluate.onnx_difference(fitted, ratio, fallback, future.columns),
    )
    decided = card.Growth(per_year, error, kept, rmse[True], rmse[False])
    files["card.md"] = card.card_text(run_id, past, future, found, decided).encode()
    files["card.png"] = card.card_figure(future, found)
    manifest = _manifest(run_id, past, found, decided)

    folder = _write(out / run_id, files, manifest)

    mlflow.log_params({**fit.PARAMETERS, "growth": kept, "trained_share": TRAINED_SHARE})
    mlflow.log_metrics(manifest.metrics)
    # The signature as a file rather than as part of a logged model: MLflow would pickle our code to make one, and
    # the bundle, which is served, holds data only.
    mlflow.log_dict(_signature(mlflow, past).to_dict(), "signature.json")
    mlflow.log_artifacts(str(folder), "bundle")
    for name, each in found.by_fields.items():
        _log(f"  {name:36}RMSE {each.rmse:8.1f}   bias {each.bias:+8.1f}")
    _log(f"ONNX and scikit-learn differ by {found.onnx_difference:.1g} bikes an hour at most")
    _log(f"bundle: {folder}")
    _log(f"RUN_ID={run_id}")


def _export(fitted: Fitted) -> dict[str, bytes]:
    """Return the model's files, which hold data only."""
    from model.importing.trees import mean_of_trees_to_onnx, trees_to_onnx  # noqa: PLC0415 - imports the training packages

    tables = io.BytesIO()
    np.savez(tables, **{name: getattr(fitted.tables, name) for name in fitted.tables.__slots__})
    return {
        TABLES: tables.getvalue(),
        RATIO: mean_of_trees_to_onnx(fitted.ratio.members, len(TREE_FEATURES)),
        FALLBACK: trees_to_onnx(fitted.fallback, len(WEATHER)),
    }


def _manifest(run_id: str, past: Table, found: Evaluation, growth: Growth) -> Manifest:
    from model.bike.card import ATTRIBUTION  # noqa: PLC0415 - imports the training packages

    scores = list(found.by_fields.values())
    names = ("all", "timestamp_and_four", "without_timestamp", "required_four", "linear", "mean")
    metrics = {f"test_rmse_{name}": round(each.rmse, 2) for name, each in zip(names, scores, strict=True)}
    metrics["test_bias_all"] = round(scores[0].bias, 2)
    metrics["test_rmse_all_with_growth"] = round(growth.rmse_with, 2)
    metrics["test_rmse_all_without_growth"] = round(growth.rmse_without, 2)
    metrics["onnx_difference"] = found.onnx_difference
    codes = sorted({int(code) for code in past.columns.weather_code})
    fields = [Field(name, "double", required=name in REQUIRED) for name in WEATHER]
    fields[WEATHER.index("weather_code")] = Field("weather_code", "long", categories=codes)
    return Manifest(
        name="bike",
        run_id=run_id,
        model="london_bike_hire",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        signature=[*fields, Field("timestamp", "datetime", required=False)],
        metrics=metrics,
        training_data_sha256=past.sha256,
        attribution="\n".join(ATTRIBUTION),
        files={},
    )


def _write(folder: Path, files: dict[str, bytes], manifest: Manifest) -> Path:
    """Write the bundle and load it as a function does."""
    try:
        write_bundle(FolderObjects(folder), manifest, files)
    except CloudError as error:
        raise SettingsError(f"{error}: give another folder with --out") from None
    return folder


def _signature(mlflow: Any, past: Table) -> Any:  # noqa: ANN401 - MLflow ships no types
    """Return MLflow's signature of the raw fields; the example lacks each optional field once."""
    import pandas as pd  # noqa: PLC0415 - comes with MLflow, and takes a second to import

    example = pd.DataFrame({name: getattr(past.columns, name)[:2] for name in (*WEATHER, "timestamp")})
    optional = [name for name in example if name not in REQUIRED]
    example.loc[1, optional] = None
    return mlflow.models.infer_signature(example, np.zeros(2, np.int64))


def _rows(table: Table, rows: slice) -> Table:
    return replace(table, columns=table.columns.take(rows), count=table.count[rows])


def _log(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    run_command("train", train)
