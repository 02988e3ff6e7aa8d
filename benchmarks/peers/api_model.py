"""What the API's candidates have in common: the bike model of this repository, or a formula in its place.

With the formula what is left is routing, validation and encoding. Opened by itself it is the row "the model alone":
what each of them imports and loads before there is an API at all.
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
    """A model that can be taken away.

    Attributes:
        stubbed: Whether the formula answers.
    """

    stubbed = False

    def __init__(self, model: BikeModel) -> None:
        """Takes the model."""
        self._model = model

    def predict(self, columns: Columns) -> NDArray[np.int64]:
        """Counts of the model, or of a formula that differs from record to record and costs next to nothing."""
        if not self.stubbed:
            return self._model.predict(columns)
        return np.rint(columns.hum * 10 + columns.t1).astype(np.int64)


def open_model() -> tuple[Model, Manifest]:
    """The repository's newest bike bundle, and what it says of itself."""
    bundle = find_bundle("bike", "", "")
    return Model(BikeModel.load(bundle)), bundle.manifest


def columns_from(rows: Sequence[tuple[float, float, float, float]]) -> Columns:
    """Records as the model's columns: `t1`, `t2`, `hum`, `weather_code` of each; nothing else is known of them."""
    t1, t2, hum, weather_code = np.array(rows, np.float64).reshape(-1, 4).T
    missing = np.full(len(rows), np.nan)
    times = np.full(len(rows), np.datetime64("NaT"), "datetime64[m]")
    return Columns(t1, t2, hum, weather_code, missing, missing, missing, missing, times)


def weather_codes(manifest: Manifest) -> set[float]:
    """The codes that the model knows."""
    return {
        float(code) for field in manifest.signature if field.name == "weather_code" for code in field.categories or []
    }


def open_peer(_folder: Path) -> Peer:
    """The model alone, which answers nobody."""
    model, _ = open_model()

    def handler(_event: dict[str, Any], _context: object) -> dict[str, Any]:
        return {}

    return Peer(handler, model=model)
