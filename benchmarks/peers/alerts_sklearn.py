"""(k) scikit-learn's own vectorizers and LinearSVC, one against the rest: word pairs beside pieces of words.

It was fitted by the benchmark (`benchmarks/alerts_fitting.py`); here it is loaded and asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import joblib

from benchmarks.alerts_fitting import FILE
from benchmarks.peers.alerts_telling import commands_of

if TYPE_CHECKING:
    from pathlib import Path


def open_peer(folder: Path) -> dict[str, Any]:
    """Loads the fitted pair."""
    vectorizer, classifier = joblib.load(folder / FILE)
    return commands_of(
        make=list,
        tell=lambda texts: classifier.predict(vectorizer.transform(texts)),
        labels=lambda told: [str(told)],
        sizes=lambda: (len(classifier.classes_), classifier.n_features_in_),
    )
