"""The types of a bundle's records and predictions, made from its manifest, and records as a matrix.

A record is `{"features": {…}, "pred_id": …}` with the names of the manifest's signature. Types made once let msgspec
decode and check as fast as for types written by hand.
"""

from __future__ import annotations

import math
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import msgspec
import numpy as np

from app.errors import ModelError
from app.inference.manifest import PRED_ID, PROBABILITIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from app.inference.manifest import Field, Target

    Floats = NDArray[np.floating[Any]]

FLOAT32_MAX = float(np.finfo(np.float32).max)  # what a graph can take; scikit-learn's forests refuse more as well

Number = Annotated[float, msgspec.Meta(ge=-FLOAT32_MAX, le=FLOAT32_MAX)]
Whole = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Flag = bool | Annotated[int, msgspec.Meta(ge=0, le=1)]
PredictionId = Whole | Annotated[str, msgspec.Meta(min_length=1, max_length=256)]

_TYPES: dict[str, Any] = {
    "double": Number,
    "float": Number,
    "long": Whole,
    "integer": Whole,
    "boolean": Flag,
}


class ModelRecord(Protocol):
    """One record of the input stream, of a type that `record_type` made."""

    features: msgspec.Struct
    pred_id: int | str


def record_type(signature: Sequence[Field], where: str) -> type[Any]:
    """Return the type of a record with these features; an optional one that is missing is NaN.

    Raises:
        ModelError: There are no features, or one has a type that no model here takes.
    """
    if not signature:
        raise ModelError(f"{where}: the signature has no inputs; import the model again")
    fields: list[tuple[str, Any, Any]] = []
    for index, field in enumerate(signature):
        if field.type not in _TYPES:
            raise ModelError(f"{where}: field {field.name!r} is a {field.type}; {', '.join(_TYPES)} can be run")
        kind = _TYPES[field.type]
        default = msgspec.NODEFAULT if field.required else math.nan
        fields.append((f"f{index}", kind if field.required else kind | None, default))
    # A feature may have any name, `petal width (cm)` say; a Python attribute may not.
    names = {f"f{index}": field.name for index, field in enumerate(signature)}
    features = msgspec.defstruct("Features", fields, rename=names, kw_only=True, gc=False)
    return msgspec.defstruct("ModelRecord", [("features", features), ("pred_id", PredictionId)], gc=False)


def prediction_type(target: Target) -> type[Any]:
    """Return the type of a result's `prediction`, with positional fields: value, probabilities if any, id."""
    fields: list[tuple[str, Any]] = [("value", Any), (PRED_ID, Any)]
    if target.probabilities:
        fields.insert(1, (PROBABILITIES, Any))
    return msgspec.defstruct("Prediction", fields, rename={"value": target.name}, frozen=True, gc=False)


def matrix_of(
    records: Sequence[ModelRecord], features: int, dtype: type[np.floating[Any]]
) -> NDArray[np.floating[Any]]:
    """Return the records' features, shape (records, features); None is NaN."""
    # One flat pass is the cheapest way from objects to an array: 0.035 µs a value, a list a column takes twice that.
    rows = map(msgspec.structs.astuple, [record.features for record in records])
    flat = np.fromiter(chain.from_iterable(rows), dtype, len(records) * features)
    return flat.reshape(-1, features)
