"""Run (k): scikit-learn's vectorizers (words, word pairs, character n-grams) and LinearSVC, one against the rest.

The benchmark has fitted it (`benchmarks/alerts_fitting.py`); here it is loaded and predicts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import joblib

from benchmarks.alerts_fitting import FILE
from benchmarks.peers.alerts_predicting import commands_of

if TYPE_CHECKING:
    from pathlib import Path


def open_peer(folder: Path) -> dict[str, Any]:
    """Load the fitted vectorizers and classifier; return their commands."""
    vectorizer, classifier = joblib.load(folder / FILE)
    return commands_of(
        make=list,
        predict=lambda texts: classifier.predict(vectorizer.transform(texts)),
        labels=lambda answer: [str(answer)],
        sizes=lambda: (len(classifier.classes_), classifier.n_features_in_),
    )
