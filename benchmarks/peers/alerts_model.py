"""Run (d1): Millrace's technique model alone, without look-ups or remembered answers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from app.domains.alerts.settings import AlertSettings
from app.domains.alerts.techniques.model import ARRAYS, WEIGHTS, TechniqueModel
from app.domains.alerts.techniques.resolver import BUNDLE
from app.inference.arrays import read_arrays
from app.inference.bundle import find_bundle
from app.settings import read_settings
from benchmarks.peers.alerts_predicting import commands_of

if TYPE_CHECKING:
    from pathlib import Path


def open_peer(_folder: Path) -> dict[str, Any]:
    """Return the commands of the model that the environment names."""
    settings = read_settings(os.environ)
    bundle = find_bundle(BUNDLE, settings.read(AlertSettings).technique_run_id, settings.model_location)
    model = TechniqueModel.load(bundle)
    return commands_of(
        make=list,
        predict=model.predict,
        labels=lambda answer: list(answer.ids),
        sizes=lambda: (
            len(model.settings.labels),
            len(read_arrays(bundle.read(WEIGHTS), WEIGHTS, ARRAYS)["scales"]),  # called once, after all measurements
        ),
    )
