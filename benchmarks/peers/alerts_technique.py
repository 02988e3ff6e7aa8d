"""Run (d): Millrace's techniques as the pipeline resolves them: alert's own, lookup table, catalogue, model."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from app.domains.alerts.alert import Alert
from app.domains.alerts.techniques.resolver import TechniqueResolver
from app.settings import read_settings
from benchmarks.peers.alerts_predicting import commands_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def open_peer(_folder: Path) -> dict[str, Any]:
    """Return the commands of the resolver that the environment describes."""
    resolver = TechniqueResolver.open(read_settings(os.environ))
    return commands_of(
        make=_alerts,
        predict=resolver.resolve,
        labels=lambda answer: list(answer.ids),
        sizes=lambda: (0, 0),
    )


def _alerts(texts: Sequence[str]) -> list[Alert]:
    return [
        Alert(id=number, time=1_700_000_000.0 + number, src="10.0.0.1", dst="10.0.0.2", name=text)
        for number, text in enumerate(texts)
    ]
