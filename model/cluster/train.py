"""Learn the affinity of alert types and write its bundle: `python -m model.cluster.train --data <folder>`.

`fit.py` has the method; this module has the scenarios, the MLflow run and the bundle.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.domains.alerts.clusters.affinity import Affinity, learned_bytes
from app.errors import CloudError, LocationError, SettingsError
from app.inference.bundle import Bundle, write_bundle
from app.inference.manifest import Field, Manifest
from app.storage.objects import FolderObjects
from model.cluster.card import card_text
from model.cluster.data import TRAINING, VALIDATION, read_scenario
from model.cluster.fit import fit
from model.command import run_command
from model.tracking import tracked_run

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
NAME = "cluster"
ATTRIBUTION = (
    "AIT Alert Data Set (AIT-ADS), by Max Landauer, Florian Skopik and Markus Wurzenberger, "
    "AIT Austrian Institute of Technology, https://zenodo.org/records/8263181, CC-BY 4.0 "
    "(https://creativecommons.org/licenses/by/4.0/). Changed: from the alerts of some scenarios, only the names of "
    "alert types and how often they occur in the same second are kept."
)
_INSTALL = "./scripts/train.sh --help"


def train(
    data: Annotated[
        Path | None, typer.Option(help="A folder with AIT-ADS as ait_ads_<scenario>.csv.gz.", show_default=False)
    ] = None,
    out: Annotated[
        Path,
        typer.Option(
            help="Where the bundle goes, in a folder named after its id.", show_default="model/bundles/cluster"
        ),
    ] = ROOT / "model" / "bundles" / NAME,
    tracking: Annotated[
        str, typer.Option(help="MLflow's tracking URI; unset, a database in ./mlruns.", show_default=False)
    ] = "",
) -> None:
    """Learn from the four training scenarios, without their labels, and measure on the two validation scenarios.

    This takes some minutes, most of them for the measurement. The bundle's id is a digest of its files: equal alerts
    give an equal id.
    """
    if data is None:
        raise SettingsError("no alerts to learn from: give the folder of AIT-ADS with --data")
    missing = [name for name in (*TRAINING, *VALIDATION) if not file_of(data, name).is_file()]
    if missing:
        raise LocationError(f"{file_of(data, missing[0])}: is not there; --data is the folder of AIT-ADS's scenarios")
    try:
        import mlflow  # noqa: PLC0415 - the training packages: --help and a wrong folder need none of them
    except ModuleNotFoundError as error:
        raise SettingsError(f"{error.name} is missing: `{_INSTALL}` installs the training packages") from None
    with tracked_run(mlflow, tracking, NAME):
        files = learn(data)
        run_id = id_of(files)
        manifest = manifest_of(run_id, data, _measure(data, files))
        files = {**files, "card.md": card_text(manifest).encode()}
        bundle = _write(out / run_id, files, manifest)
        mlflow.log_params({"training": ",".join(TRAINING), "bundle": run_id})
        mlflow.log_metrics(manifest.metrics)
        mlflow.log_artifacts(bundle.objects.root, "bundle")
        _log(f"bundle: {bundle.objects.root}")
        _log(f"CLUSTER_RUN_ID={run_id}")


def learn(data: Path, scenarios: tuple[str, ...] = TRAINING) -> Mapping[str, bytes]:
    """Learn from some scenarios; return the files of a bundle.

    Raises:
        OSError: A file cannot be read.
    """
    read = []
    for name in scenarios:
        read.append(read_scenario(file_of(data, name)))
        _log(f"{name}: {len(read[-1]):,} alerts of {len(read[-1].types):,} kinds")
    names, matrix, rates = fit(read)
    _log(f"{len(names)} alert types")
    return learned_bytes(names, matrix, rates)


def id_of(files: Mapping[str, bytes]) -> str:
    """Return the id of a bundle, which depends only on its files, so that equal bundles have one id."""
    return hashlib.sha256(b"".join(hashlib.sha256(files[name]).digest() for name in sorted(files))).hexdigest()[:32]


def file_of(data: Path, scenario: str) -> Path:
    """Return the path of a scenario's file."""
    return data / f"ait_ads_{scenario}.csv.gz"


def manifest_of(run_id: str, data: Path, metrics: Mapping[str, float]) -> Manifest:
    """Return the bundle's manifest without its files."""
    digest = hashlib.sha256()
    for name in TRAINING:
        digest.update(file_of(data, name).read_bytes())
    return Manifest(
        name=NAME,
        run_id=run_id,
        model="alert_type_affinity",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        signature=[Field("name", "string"), Field("other_name", "string")],
        metrics=dict(metrics),
        training_data_sha256=digest.hexdigest(),
        attribution=ATTRIBUTION,
        files={},
    )


def _measure(data: Path, files: Mapping[str, bytes]) -> dict[str, float]:
    from model.cluster.evaluate import evaluate  # noqa: PLC0415 - it needs the layout of the runs

    return evaluate(data, Affinity.read(files), log=_log).metrics()


def _write(folder: Path, files: Mapping[str, bytes], manifest: Manifest) -> Bundle:
    """Write the bundle and load it as a function does."""
    try:
        bundle = write_bundle(FolderObjects(folder), manifest, files)
    except CloudError as error:
        raise SettingsError(f"{error}: give another folder with --out") from None
    Affinity.load(bundle)
    return bundle


def _log(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    run_command("train", train)
