"""Load the bike model that the API's candidates share, or replace it by a formula.

With the formula, only routing, validation and encoding are measured. As a candidate of its own it is the row "the model
alone": the imports and the loading that every candidate shares.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from app.domains.bike.features import Columns
from app.domains.bike.model import BikeModel
from app.inference.bundle import find_bundle
from benchmarks.contract import Peer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from app.inference.manifest import Manifest


class Model:
    """A model that can be stubbed.

    Attributes:
        stubbed: Whether the formula replaces the model.
    """

    stubbed = False

    def __init__(self, model: BikeModel) -> None:
        """Wrap a model."""
        self._model = model

    def predict(self, columns: Columns) -> NDArray[np.int64]:
        """Return the model's counts, or those of a cheap formula that differs from record to record."""
        if not self.stubbed:
            return self._model.predict(columns)
        return np.rint(columns.hum * 10 + columns.t1).astype(np.int64)


def open_model() -> tuple[Model, Manifest]:
    """Load the repository's newest bike bundle; return its model and manifest."""
    bundle = find_bundle("bike", "", "")
    return Model(BikeModel.load(bundle)), bundle.manifest


def columns_from(rows: Sequence[tuple[float, float, float, float]]) -> Columns:
    """Return records of `t1`, `t2`, `hum` and `weather_code` as the model's columns; all other fields are missing."""
    t1, t2, hum, weather_code = np.array(rows, np.float64).reshape(-1, 4).T
    missing = np.full(len(rows), np.nan)
    times = np.full(len(rows), np.datetime64("NaT"), "datetime64[m]")
    return Columns(t1, t2, hum, weather_code, missing, missing, missing, missing, times)


def weather_codes(manifest: Manifest) -> set[float]:
    """Return the weather codes that the model knows."""
    return {
        float(code) for field in manifest.signature if field.name == "weather_code" for code in field.categories or []
    }


def open_peer(_folder: Path) -> Peer:
    """Load the model; the handler does nothing."""
    model, _ = open_model()

    def handler(_event: dict[str, Any], _context: object) -> dict[str, Any]:
        return {}

    return Peer(handler, model=model)
