"""What a model bundle says of itself, and what must be so before one of its files is used."""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath

import msgspec

from app.errors import DigestMismatchError, ModelError

MANIFEST = "manifest.json"
_SUFFIXES = {".npz", ".onnx", ".json", ".md", ".png"}  # data only: nothing in a bundle is ever executed


class File(msgspec.Struct, frozen=True):
    """One file of a bundle: its digest and its size."""

    sha256: str
    size_bytes: int


class Field(msgspec.Struct, frozen=True, omit_defaults=True):
    """One input of the model, in the order in which it takes them.

    Attributes:
        name: The field's name.
        type: `double`, `long` or `datetime`.
        required: Whether a prediction needs it.
        categories: The values that training saw, for a categorical field.
    """

    name: str
    type: str
    required: bool = True
    categories: list[int] | None = None


class Manifest(msgspec.Struct, frozen=True):
    """A bundle's `manifest.json`.

    Attributes:
        name: The model's name, `bike` say.
        run_id: The MLflow run that trained it; it stands in every result as `version`.
        model: The kind of model, as results name it.
        created: When it was exported, ISO 8601, UTC; the newest is the default.
        signature: Its inputs.
        metrics: What it reached on data it had not seen.
        training_data_sha256: The digest of the table it was trained on.
        attribution: What the licence of that table asks to be shown.
        files: Each file by name.
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
    return manifest


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
