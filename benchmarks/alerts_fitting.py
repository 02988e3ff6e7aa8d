"""Fit scikit-learn's candidate once a run: words, word pairs and character n-grams, LinearSVC one against the rest.

It is fitted with few steps, to measure speed and memory only: comparing its accuracy would not be fair.
`millrace model evaluate technique` measures the accuracy of Millrace's model.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import joblib
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import FeatureUnion
from sklearn.svm import LinearSVC

from benchmarks.alerts_texts import corpus

if TYPE_CHECKING:
    from pathlib import Path

FILE = "alerts-sklearn.joblib"
QUICK_ROWS = 800
_STEPS = 20  # of the solver: more change its predictions, not their cost


def fit(folder: Path, data: Path | None, *, quick: bool) -> str:
    """Fit the candidate, write it into the folder, and return a description of its training texts."""
    texts, techniques = corpus(data, QUICK_ROWS if quick else None)
    vectorizer = FeatureUnion(
        [
            ("words", TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)),
            ("pieces", TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), min_df=2, sublinear_tf=True)),
        ]
    )
    features = vectorizer.fit_transform(texts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it does not converge in so few steps
        classifier = LinearSVC(C=0.5, tol=0.1, max_iter=_STEPS).fit(features, techniques)
    joblib.dump((vectorizer, classifier), folder / FILE)
    description = "titles and descriptions of the rules' file" if data is not None else "the catalogue's titles"
    return f"{len(texts):,} rules, {description}"
