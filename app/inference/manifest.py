"""A model bundle's manifest, and the checks before one of its files is used."""

from __future__ import annotations

import hashlib
import re
from pathlib import PurePosixPath

import msgspec

from app.errors import DigestMismatchError, ModelError

MANIFEST = "manifest.json"
PRED_ID, PROBABILITIES = "pred_id", "probabilities"
"""Fields of a result's prediction besides the target."""
_PLAIN = re.compile(r'[^"\\\x00-\x1f\ud800-\udfff]+')
_SUFFIXES = {".npz", ".onnx", ".json", ".md", ".png"}  # data only: nothing in a bundle is ever executed


class File(msgspec.Struct, frozen=True):
    """The digest and size of a bundle's file."""

    sha256: str
    size_bytes: int


class Field(msgspec.Struct, frozen=True, omit_defaults=True):
    """One input of the model; the manifest lists them in the model's order.

    Attributes:
        name: The field's name.
        type: The type as MLflow's signatures name it: `double`, `float`, `long`, `integer`, `boolean` or `datetime`.
        required: Whether a prediction needs it.
        categories: The values that training saw, for a categorical field.
    """

    name: str
    type: str
    required: bool = True
    categories: list[int] | None = None


class Target(msgspec.Struct, frozen=True, omit_defaults=True):
    """The prediction of a model that the pipeline `model` runs.

    Attributes:
        name: The field of a result's `prediction` that holds it.
        labels: A classifier's classes, in the order of the model's scores; None for a regression.
        rounded: Whether a regression gives the nearest whole number.
        probabilities: Whether results hold a classifier's scores too, which are probabilities.
        rows_alone: Whether each row must run by itself to be independent of its neighbours.
    """

    name: str
    labels: list[bool | int | float | str] | None = None
    rounded: bool = False
    probabilities: bool = False
    rows_alone: bool = False


class Manifest(msgspec.Struct, frozen=True, omit_defaults=True):
    """A bundle's `manifest.json`.

    Attributes:
        name: The model's name, `bike` say.
        run_id: The MLflow run that trained it; every result holds it as `version`.
        model: The kind of model, as results name it.
        created: The time of the export, ISO 8601, UTC; the newest bundle is the default.
        signature: The model's inputs.
        metrics: Metrics on data that training did not see.
        training_data_sha256: The digest of the training data; `mlflow:` and MLflow's own digest where only that is
            known, empty where neither is.
        attribution: The line that the licence of the training data asks to be shown.
        files: Digests and sizes by file name.
        target: The prediction; None for a bundle that a pipeline of its own runs.
    """

    name: str
    run_id: str
    model: str
    created: str
    signature: list[Field]
    metrics: dict[str, float]
    training_data_sha256: str
    attribution: str
    files: dict[str, File]
    target: Target | None = None


def read_manifest(data: bytes, where: str) -> Manifest:
    """Read a manifest.

    Raises:
        ModelError: The data is not a manifest, or names a file that no bundle may hold.
    """
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ModelError(f"{where}/{MANIFEST}: {error}") from None
    for name in manifest.files:
        path = PurePosixPath(name)
        if path.name != name or path.suffix not in _SUFFIXES:
            raise ModelError(f"{where}/{MANIFEST}: {name!r} is not a file that a bundle may hold")
    _check_names(manifest, where)
    return manifest


def _check_names(manifest: Manifest, where: str) -> None:
    """Refuse names that JSON would have to escape, since msgspec writes field names as they are."""
    inputs = [field.name for field in manifest.signature]
    if len(set(inputs)) < len(inputs):
        raise ModelError(f"{where}/{MANIFEST}: two inputs have one name; rename one before the model is logged")
    names = list(inputs)
    if manifest.target is not None:
        names.append(manifest.target.name)
        if manifest.target.name in {PRED_ID, PROBABILITIES}:
            raise ModelError(
                f"{where}/{MANIFEST}: {manifest.target.name!r} is a field of every result; choose another --target"
            )
    for name in names:
        if not name or not _PLAIN.fullmatch(name):
            raise ModelError(
                f"{where}/{MANIFEST}: {name!r} cannot be a field: empty, a quote, a backslash or a control"
            )


def check_digest(manifest: Manifest, name: str, data: bytes, where: str) -> bytes:
    """Return a file's bytes if the manifest was written for them.

    Raises:
        DigestMismatchError: It was written for other bytes.
        ModelError: The manifest has no such file.
    """
    expected = manifest.files.get(name)
    if expected is None:
        raise ModelError(f"{where}: {name} is not in the manifest")
    found = hashlib.sha256(data).hexdigest()
    if len(data) != expected.size_bytes or found != expected.sha256:
        raise DigestMismatchError(
            f"{where}/{name}: sha256 is {found[:12]}…, the manifest says {expected.sha256[:12]}…: "
            "the file was changed or cut short; restore the bundle"
        )
    return data
