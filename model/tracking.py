"""Open the MLflow runs that training logs to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from app.errors import SettingsError


def tracked_run(mlflow: Any, tracking: str, experiment: str) -> Any:  # noqa: ANN401 - MLflow ships no types
    """Return an MLflow run as a context manager.

    Args:
        mlflow: The module, which the caller imports to handle its absence.
        tracking: MLflow's tracking URI; empty means a database in `./mlruns`, made if missing.
        experiment: The experiment's name; it is made if missing, with its artifacts next to a local database.

    Raises:
        SettingsError: MLflow cannot use the URI.
    """
    if not tracking:
        store = Path("mlruns").resolve()
        store.mkdir(exist_ok=True)
        tracking = f"sqlite:///{store / 'mlflow.db'}"
    mlflow.set_tracking_uri(tracking)
    local = tracking.startswith("sqlite:///")
    artifacts = (Path(tracking.removeprefix("sqlite:///")).parent / "artifacts").resolve().as_uri() if local else None
    try:
        if mlflow.get_experiment_by_name(experiment) is None:
            mlflow.create_experiment(experiment, artifact_location=artifacts)
        mlflow.set_experiment(experiment)
        return mlflow.start_run()
    except mlflow.exceptions.MlflowException as error:
        why = str(error).partition("\n")[0]
        raise SettingsError(f"--tracking {tracking}: MLflow cannot use it: {why}") from None
