"""Import one model, from its source to a bundle."""

from __future__ import annotations

import re
import tempfile
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import sklearn
from onnx import load_model_from_string
from onnx.external_data_helper import uses_external_data

from app.errors import ModelError, SettingsError
from app.inference.bundle import Bundle, write_bundle
from app.inference.manifest import Manifest, Target
from app.inference.models import open_columns
from app.storage.objects import open_objects
from model.importing.comparison import TOLERANCE, expect, gather, rows_are_independent
from model.importing.convert import GRAPH, Converted, convert
from model.importing.source import fetch, first_line, open_estimator, read_logged, run_facts, signature_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from model.importing.comparison import Sample
    from model.importing.source import Logged

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # a folder's name, and a part of S3 keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The user's options.

    Attributes:
        name: The bundle's name.
        target: The field of a result that holds the prediction.
        output: The folder or `s3://…` that holds bundles.
        rounded: Whether predictions are rounded to whole numbers.
        probabilities: Whether results hold a classifier's probabilities.
        sample: A file of rows to compare on.
        features: Names of the inputs, for a model without a signature.
        attribution: The line that the licence of the training data asks to be shown.
        allow_pickle: Whether a pickle may be opened.
    """

    name: str
    target: str
    output: str
    rounded: bool = False
    probabilities: bool = False
    sample: Path | None = None
    features: Sequence[str] = ()
    attribution: str = ""
    allow_pickle: bool = False


def import_model(source: str, wanted: Wanted, say: Callable[[str], None]) -> Bundle:
    """Fetch a logged model, convert it, compare both, and write the bundle.

    Args:
        source: The model's location; see `source.fetch`.
        wanted: The user's options.
        say: Takes a line for the user.

    Raises:
        ModelError: The model does not exist, may not be opened, cannot be converted, or the conversion disagrees.
        SettingsError: The name or the sample is not valid.
        CloudError: S3 refuses.
    """
    if not _NAME.fullmatch(wanted.name):
        raise SettingsError(f"--name {wanted.name!r}: use letters, digits, dots, dashes and underscores")
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of packages about each other; what counts is compared below
        logged = read_logged(source, fetch(source, Path(scratch)))
        signature = signature_of(logged, wanted.features)
        sample = gather(logged, signature, wanted.sample)
        names = [field.name for field in signature]
        try:
            made, labels = _convert(logged, wanted, names, sample, say)
        except ModelError as error:
            message = str(error)
            raise ModelError(message if message.startswith(source) else f"{source}: {message}") from None
        metrics, digest = run_facts(logged)
    manifest = Manifest(
        name=wanted.name,
        run_id=logged.run_id,
        model=wanted.name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        signature=signature,
        metrics={**metrics, "conversion_difference": made.difference},
        training_data_sha256=digest,
        attribution=wanted.attribution,
        files={},
        target=Target(wanted.target, labels, wanted.rounded, wanted.probabilities, made.rows_alone),
    )
    objects = open_objects(f"{wanted.output.rstrip('/')}/{wanted.name}/{logged.run_id}")
    return write_bundle(objects, manifest, {made.file: made.data})


def _convert(
    logged: Logged, wanted: Wanted, names: list[str], sample: Sample, say: Callable[[str], None]
) -> tuple[Converted, list[Any] | None]:
    """Return the model as data, and a classifier's labels."""
    if logged.flavor == "onnx":
        say(f"{logged.source}: is ONNX already; taken as it is, and nothing to compare it with")
        return _take_graph(logged, sample), None
    model = open_estimator(logged, say, allow_pickle=wanted.allow_pickle)
    saved_with = logged.model.flavors["sklearn"].get("sklearn_version")
    if saved_with != sklearn.__version__:
        say(f"saved with scikit-learn {saved_with}, compared with {sklearn.__version__}")
    expected = expect(model, names, sample)
    labels = model.classes_.tolist() if expected.labels is not None else None
    if wanted.rounded and labels is not None:
        raise SettingsError("--round: the model is a classifier; its labels are given as they are")
    if wanted.probabilities and (labels is None or expected.outputs is None):
        raise SettingsError("--probabilities: the model has none")
    if wanted.probabilities and (rows := expected.improbable()):
        raise SettingsError(
            f"--probabilities: the model's label is not its most probable one in {rows} of {len(expected.rows)} rows: "
            "results cannot hold both; leave the option out"
        )
    made = convert(model, names, expected, probabilities=wanted.probabilities)
    found = f"largest difference {made.difference:.2g} of the largest prediction, allowed is {TOLERANCE:g}"
    if labels is not None:
        found = f"labels are equal; {found}" if wanted.probabilities else "labels are equal"
    say(f"compared on {sample.description}: {found}")
    if made.rows_alone:
        say("its sums depend on the rows beside a row in their last bits: each row will run by itself, more slowly")
    return made, labels


def _take_graph(logged: Logged, sample: Sample) -> Converted:
    """Take a model that was logged as ONNX: its graph must take one matrix and give one number a row."""
    data = logged.file.read_bytes()
    try:
        weights = load_model_from_string(data).graph.initializer
    except Exception as error:  # noqa: BLE001 - protobuf's
        raise ModelError(f"{logged.file.name} is no ONNX graph: {first_line(error)}") from None
    if any(map(uses_external_data, weights)):
        raise ModelError("keeps its weights in other files; save it as one")
    model = open_columns(GRAPH, data)
    rows = np.vstack([sample.given, sample.drawn]).astype(model.dtype)
    try:
        found = model.predict(rows)
    except Exception:  # noqa: BLE001 - ONNX Runtime's exceptions share no base but this
        raise ModelError(f"its graph does not take one matrix of {rows.shape[1]} features") from None
    kind = found.dtype.kind
    if found.shape != (len(rows),) or kind not in "fiu":
        given = f"{found.shape[1:]} a row" if kind in "fiu" else "labels"
        raise ModelError(f"its graph gives {given}, not one number a row; log the scikit-learn model instead")
    return Converted(GRAPH, data, 0.0, rows_alone=not rows_are_independent(model, rows))
