"""What a model bundle says of itself, and what must be so before one of its files is used."""

from __future__ import annotations

import hashlib
import re
from pathlib import PurePosixPath

import msgspec

from app.errors import DigestMismatchError, ModelError

MANIFEST = "manifest.json"
PRED_ID, PROBABILITIES = "pred_id", "probabilities"
"""Fields that the prediction of a result has beside the target's."""
_PLAIN = re.compile(r'[^"\\\x00-\x1f\ud800-\udfff]+')
_SUFFIXES = {".npz", ".onnx", ".json", ".md", ".png"}  # data only: nothing in a bundle is ever executed


class File(msgspec.Struct, frozen=True):
    """One file of a bundle: its digest and its size."""

    sha256: str
    size_bytes: int


class Field(msgspec.Struct, frozen=True, omit_defaults=True):
    """One input of the model, in the order in which it takes them.

    Attributes:
        name: The field's name.
        type: As MLflow's signatures name it: `double`, `float`, `long`, `integer`, `boolean` or `datetime`.
        required: Whether a prediction needs it.
        categories: The values that training saw, for a categorical field.
    """

    name: str
    type: str
    required: bool = True
    categories: list[int] | None = None


class Target(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a model predicts, where the pipeline `model` runs it.

    Attributes:
        name: The field of a result's `prediction` that holds it.
        labels: A classifier's classes, in the order of the model's scores; None for a regression.
        rounded: Whether a regression gives the nearest whole number.
        probabilities: Whether a classifier's scores are probabilities that results shall hold too.
        rows_alone: Whether each row must run by itself to be independent of those beside it.
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
        run_id: The MLflow run that trained it; it stands in every result as `version`.
        model: The kind of model, as results name it.
        created: When it was exported, ISO 8601, UTC; the newest is the default.
        signature: Its inputs.
        metrics: What it reached on data it had not seen.
        training_data_sha256: The digest of the table it was trained on; `mlflow:` and MLflow's own where that is all
            there is, empty where it is not known.
        attribution: What the licence of that table asks to be shown.
        files: Each file by name.
        target: What it predicts; None for a bundle that a pipeline of its own runs.
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
    """Reads a manifest.

    Raises:
        ModelError: It is not a manifest, or names a file that no bundle may hold.
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
    """Refuses names that records and results cannot have; msgspec writes names as they are, so they need no escape."""
    inputs = [field.name for field in manifest.signature]
    if len(set(inputs)) < len(inputs):
        raise ModelError(f"{where}/{MANIFEST}: two inputs have one name; rename one before the model is logged")
    names = list(inputs)
    if manifest.target is not None:
        names.append(manifest.target.name)
        if manifest.target.name in {PRED_ID, PROBABILITIES}:
            raise ModelError(f"{where}/{MANIFEST}: {manifest.target.name!r} has a meaning; choose another --target")
    for name in names:
        if not name or not _PLAIN.fullmatch(name):
            raise ModelError(
                f"{where}/{MANIFEST}: {name!r} cannot be a field: empty, a quote, a backslash or a control"
            )


def check_digest(manifest: Manifest, name: str, data: bytes, where: str) -> bytes:
    """Gives a file's bytes back if they are those that the manifest was written for.

    Raises:
        DigestMismatchError: They are not.
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
