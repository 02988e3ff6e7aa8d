"""A model bundle's manifest, and the checks before one of its files is used."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from app.budgets import MOST_ELEMENTS, is_over_elements
from app.errors import DigestMismatchError, ModelError
from app.text import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

MANIFEST = "manifest.json"
PRED_ID, PROBABILITIES = "pred_id", "probabilities"
"""Fields of a result's prediction besides the target."""
_PLAIN = re.compile(r'[^"\\\x00-\x1f\ud800-\udfff]+')
_FOLDER = re.compile(r"(?!\.)[^/\\]{1,128}")
_FILE = re.compile(
    r"(?!(?:con|prn|aux|nul|com\d|lpt\d)\.)[a-z0-9_][a-z0-9_.-]{0,100}\.(?:npz|onnx|json|md|png)", re.IGNORECASE
)
"""Data only, nothing in a bundle is ever executed; and a file, not a device, on whatever system it is copied to."""
MOST_MANIFEST_BYTES = 4 * 1024 * 1024  # of the most inputs, with some categories each
MOST_BUNDLE_BYTES = 512 * 1024 * 1024  # read into memory as a whole; Millrace's own largest has 7 MB
_MOST_FILES = 100
_MOST_INPUTS = 10_000  # each is a field of the record's type
T = TypeVar("T")


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

    @property
    def created_s(self) -> float:
        """Return when the bundle was made, seconds since 1970.

        Raises:
            ValueError: `created` is no time.
            OverflowError: It is in no year that a clock has.
        """
        made = datetime.fromisoformat(self.created)
        return (made if made.tzinfo else made.replace(tzinfo=UTC)).timestamp()


def decode_json(data: bytes, kind: type[T], where: str) -> T:
    """Return the value of a bundle's JSON file.

    Args:
        data: The file.
        kind: The type that it must have.
        where: Its name, for error messages.

    Raises:
        ModelError: It is no JSON of this type, or has more elements than it may.
    """
    if is_over_elements(data):
        raise ModelError(f"{where}: more than {MOST_ELEMENTS:,} elements: restore the bundle, or make a smaller one")
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ModelError(f"{where}: {error}; restore the bundle, or make it again") from None


def is_folder(name: str) -> bool:
    """Return whether a bundle's name or run id is a folder's name, as it is in a location."""
    return name.isprintable() and _FOLDER.fullmatch(name) is not None


def read_manifest(data: bytes, where: str) -> Manifest:
    """Read a manifest.

    Raises:
        ModelError: The data is not a manifest, or names a file that no bundle may hold.
    """
    where = f"{where}/{MANIFEST}"
    manifest = decode_json(data, Manifest, where)
    try:
        json.loads(data, object_pairs_hook=_each_name_once)  # msgspec takes the last of a name, others the first
        manifest.created_s  # noqa: B018 - it raises where the time is none
    except (ValueError, OverflowError, RecursionError) as error:
        raise ModelError(f"{where}: {error}; make the bundle again") from None
    for name in (manifest.name, manifest.run_id):
        if not is_folder(name):
            raise ModelError(f"{where}: name or run id {quoted(name)} cannot be a folder; make the bundle again")
    _check_files(manifest.files, where)
    _check_names(manifest, where)
    return manifest


def _each_name_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("two fields of one name")
    return found


def _check_files(files: Mapping[str, File], where: str) -> None:
    """Refuse names that are no plain file of the bundle's folder on some system, and sizes over the budget."""
    for name in files:
        if not _FILE.fullmatch(name) or name.casefold() == MANIFEST:
            raise ModelError(f"{where}: {quoted(name)} is not a file that a bundle may hold")
    if len({name.lower() for name in files}) < len(files):
        raise ModelError(f"{where}: two files have one name where case does not count")
    sizes = [each.size_bytes for each in files.values()]
    if len(files) > _MOST_FILES or sum(sizes) > MOST_BUNDLE_BYTES or min(sizes, default=0) < 0:
        raise ModelError(f"{where}: a bundle has up to {_MOST_FILES} files, of {MOST_BUNDLE_BYTES // 2**20} MB in all")


def _check_names(manifest: Manifest, where: str) -> None:
    """Refuse names that JSON would have to escape, since msgspec writes field names as they are."""
    inputs = [field.name for field in manifest.signature]
    if len(inputs) > _MOST_INPUTS:
        raise ModelError(f"{where}: a model has up to {_MOST_INPUTS:,} inputs")
    if len(set(inputs)) < len(inputs):
        raise ModelError(f"{where}: two inputs have one name; rename one before the model is logged")
    names = list(inputs)
    if manifest.target is not None:
        names.append(manifest.target.name)
        if manifest.target.name in {PRED_ID, PROBABILITIES}:
            raise ModelError(f"{where}: {manifest.target.name!r} is a field of every result; choose another --target")
    for name in names:
        if not name or not _PLAIN.fullmatch(name):
            raise ModelError(f"{where}: {quoted(name)} cannot be a field: empty, a quote, a backslash or a control")


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
