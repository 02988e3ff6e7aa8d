"""Find a logged model, read its `MLmodel`, open it; only `open_estimator` may open a pickle, and only if allowed."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import mlflow.sklearn
import skops.io
from mlflow.models import Model

from app.errors import MillraceError, ModelError
from app.inference.manifest import Field
from app.storage.objects import FolderObjects, open_objects
from model.importing.linear import kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_TRACKED = ("runs:", "models:")
_STORES = ("mlflow.db", "mlruns")  # where MLflow keeps runs when it is told nothing
_TYPES = {"double", "float", "long", "integer", "boolean"}  # what becomes a number without a guess
_SEARCHES = {"GridSearchCV", "RandomizedSearchCV", "HalvingGridSearchCV", "HalvingRandomSearchCV"}
_UNNAMED = "log it with a DataFrame's: signature=mlflow.models.infer_signature(X, y); or name them with --features a,b"


@dataclass(frozen=True, slots=True)
class Logged:
    """A logged model.

    Attributes:
        source: As the user named it.
        folder: The folder that holds its `MLmodel`.
        model: The `MLmodel`, as MLflow reads it.
        flavor: `sklearn` or `onnx`.
        file: The model's own file.
        run_id: The run that logged it, or the model's own id where there was no run.
        has_run: Whether a run logged it.
    """

    source: str
    folder: Path
    model: Any
    flavor: str
    file: Path
    run_id: str
    has_run: bool

    @property
    def format(self) -> str:
        """How the file was written: `skops`, `cloudpickle`, `pickle` or `onnx`."""
        return str(self.model.flavors[self.flavor].get("serialization_format", self.flavor))


def fetch(source: str, scratch: Path) -> Path:
    """Return the folder of a logged model, after copying it here if it is elsewhere.

    Args:
        source: `runs:/<id>/<name>`, `models:/<name>/<version>`, `models:/<name>@<alias>`, `s3://…`, or a folder.
        scratch: A folder to copy it to.

    Raises:
        ModelError: It does not exist.
        CloudError: S3 refuses.
    """
    if source.startswith(_TRACKED):
        if "MLFLOW_TRACKING_URI" not in os.environ and not any(Path(name).exists() for name in _STORES):
            # MLflow would make an empty store here, and find nothing in it.
            raise ModelError(f"{source}: set MLFLOW_TRACKING_URI: there is no {' or '.join(_STORES)} in this folder")
        try:
            return Path(mlflow.artifacts.download_artifacts(artifact_uri=source, dst_path=str(scratch)))
        except Exception as error:  # noqa: BLE001 - MLflow raises those of whatever stands behind it
            where = os.environ.get("MLFLOW_TRACKING_URI", "not set")
            raise ModelError(f"{source}: {first_line(error)}; MLFLOW_TRACKING_URI is {where}") from None
    if "MLFLOW_S3_ENDPOINT_URL" in os.environ:
        os.environ.setdefault("AWS_ENDPOINT_URL_S3", os.environ["MLFLOW_S3_ENDPOINT_URL"])
    found = open_objects(source)
    if isinstance(found, FolderObjects):
        return Path(found.root)
    copy = FolderObjects(scratch / "model")
    for name in found.names():
        if {"..", "/"} & set(PurePosixPath(name).parts):  # a key may begin with a slash
            raise ModelError(f"{source}: holds {name!r}, which leads out of it")
        copy.put(name, found.get(name) or b"")
    return Path(copy.root)


def read_logged(source: str, folder: Path) -> Logged:
    """Read the `MLmodel` in a folder.

    Raises:
        ModelError: It does not exist, or the model is of no flavor that can be imported.
    """
    if not (folder / "MLmodel").is_file():
        raise ModelError(f"{source}: holds no MLmodel; name the folder that `log_model` wrote")
    try:
        model = Model.load(str(folder))
        flavor = next(name for name in ("sklearn", "onnx") if name in model.flavors)
        name = model.flavors[flavor].get("pickled_model" if flavor == "sklearn" else "data", "")
    except StopIteration:
        found = ", ".join(sorted(model.flavors))
        raise ModelError(f"{source}: has the flavors {found}; sklearn and onnx can be imported") from None
    except Exception as error:  # noqa: BLE001 - YAML's, MLflow's, or what a broken file makes of either
        raise ModelError(f"{source}: MLmodel cannot be read: {first_line(error)}") from None
    file = (folder / name).resolve()
    if not (file.is_file() and file.is_relative_to(folder.resolve())):
        raise ModelError(f"{source}: {name!r} is missing; fetch the model again")
    has_run = bool(re.fullmatch("[0-9a-f]{32}", str(model.run_id)))
    found_id = re.search("[0-9a-f]{32}", f"{model.run_id} {model.model_uuid}")
    if found_id is None:
        raise ModelError(f"{source}: MLmodel has neither run_id nor model_uuid; log the model again")
    return Logged(source, folder, model, flavor, file, found_id[0], has_run)


def signature_of(logged: Logged, features: Sequence[str]) -> list[Field]:
    """Return the model's inputs, from its signature or as the user names them.

    Raises:
        ModelError: The model has no signature, its inputs have no names, or one is not a number.
    """
    if features:
        return [Field(name, "double") for name in features]
    signature = logged.model.signature
    if signature is None or signature.inputs is None:
        raise ModelError(f"{logged.source}: was logged without a signature; {_UNNAMED}")
    fields = []
    for number, column in enumerate(signature.inputs.to_dict(), start=1):
        name, kind = column.get("name"), column.get("type")
        if not name or kind == "tensor":
            raise ModelError(f"{logged.source}: its signature has no names for its inputs; {_UNNAMED}")
        if kind not in _TYPES:
            wrong = f"field {name!r} (number {number}) is a {kind}"
            raise ModelError(f"{logged.source}: {wrong}, not a number or boolean; make it one before the model")
        fields.append(Field(name, kind, required=bool(column.get("required", True))))
    return fields


def run_facts(logged: Logged) -> tuple[dict[str, float], str]:
    """Return the run's metrics, and MLflow's digest of its training data; empty where MLflow does not have them."""
    if not logged.has_run or not (logged.source.startswith(_TRACKED) or "MLFLOW_TRACKING_URI" in os.environ):
        return {}, ""
    try:
        run = mlflow.MlflowClient().get_run(logged.run_id)
    except Exception:  # noqa: BLE001 - a registry may outlive its runs; what they say is good to have, not needed
        return {}, ""
    metrics = {name: value for name, value in run.data.metrics.items() if math.isfinite(value)}
    inputs = run.inputs.dataset_inputs if run.inputs else []
    digest = f"mlflow:{inputs[0].dataset.digest}" if inputs else ""
    return metrics, digest


def open_estimator(logged: Logged, say: Callable[[str], None], *, allow_pickle: bool) -> Any:  # noqa: ANN401
    """Return the fitted scikit-learn estimator of a logged model.

    A file in skops's format is opened without a flag as long as it holds only types that skops itself calls safe.

    Args:
        logged: The logged model.
        say: Takes a line for the user.
        allow_pickle: Whether a file that may run code, or crash the process, may be opened.

    Raises:
        ModelError: The file may not be opened, or cannot be.
    """
    name = logged.file.name
    try:
        if logged.format == "skops":
            types = sorted(skops.io.get_untrusted_types(file=logged.file))
            danger = f"{name} holds {', '.join(types)}, which skops does not call safe"
        else:
            types, danger = [], f"{name} is a pickle: opening it runs whatever code its writer put there"
    except Exception as error:  # noqa: BLE001 - whatever a broken archive makes skops raise
        raise ModelError(f"{logged.source}: {name} cannot be read: {first_line(error)}") from None
    if logged.format != "skops" or types:
        if not allow_pickle:
            raise ModelError(f"{logged.source}: {danger}; add --allow-pickle if you trust who wrote it")
        say(f"{danger}; opened, as --allow-pickle says")
    try:
        if logged.format == "skops":
            estimator = skops.io.load(logged.file, trusted=types)
        else:
            estimator = mlflow.sklearn.load_model(str(logged.folder))
    except Exception as error:  # noqa: BLE001 - a pickle may raise anything
        why = f"{type(error).__name__}: {first_line(error)}"
        raise ModelError(f"{logged.source}: {name} cannot be opened: {why}; is what it needs installed?") from None
    return estimator.best_estimator_ if kind_of(estimator) in _SEARCHES else estimator


def first_line(error: Exception) -> str:
    """Return an exception's first line, to be part of a line."""
    if isinstance(error, MillraceError):
        return str(error)
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".:")
