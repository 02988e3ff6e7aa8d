from __future__ import annotations

import io
import random
from typing import Any

import numpy as np
import pytest

from app.inference.arrays import read_arrays
from app.inference.models import LinearModel, TextModel

pytest.importorskip("sklearn", reason="scikit-learn: install requirements/training.txt", exc_type=ImportError)

SUBJECTS = {
    "mill": "water wheel stone flour grain race sluice turn the river a",
    "rail": "train track signal platform express station late the guard a",
    "bread": "dough oven crust yeast flour knead loaf the warm a",
}


def corpus(count: int) -> tuple[list[str], list[str]]:
    """Invented sentences about three subjects, with words in common, punctuation, capitals and accents."""
    chance = random.Random(0)
    texts, labels = [], []
    for _ in range(count):
        label = chance.choice(sorted(SUBJECTS))
        words = chance.choices(SUBJECTS[label].split(), k=chance.randint(3, 12))
        words += chance.choices(" ".join(SUBJECTS.values()).split(), k=3)
        texts.append(f"{' '.join(words).capitalize()}, café {chance.randint(1, 40)}!")
        labels.append(label)
    return texts, labels


def saved(**arrays: np.typing.ArrayLike) -> dict[str, np.typing.NDArray[Any]]:
    """Arrays through the file that a bundle holds them in."""
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **{name: np.asarray(array) for name, array in arrays.items()})
    return read_arrays(file.getvalue(), "text.npz", set(arrays))


@pytest.mark.parametrize("kind", ["LinearSVC", "LogisticRegression"])
@pytest.mark.parametrize("sublinear", [False, True])
@pytest.mark.parametrize("ngrams", [(1, 1), (1, 2)])
def test_text_model_is_scikit_learns_vectorizer_and_classifier(
    kind: str, *, sublinear: bool, ngrams: tuple[int, int]
) -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415 - only where it is installed
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    from sklearn.svm import LinearSVC  # noqa: PLC0415

    texts, labels = corpus(300)
    vectorizer = TfidfVectorizer(ngram_range=ngrams, sublinear_tf=sublinear).fit(texts)
    classifier = LinearSVC() if kind == "LinearSVC" else LogisticRegression()
    classifier.fit(vectorizer.transform(texts), labels)
    model = TextModel(
        saved(
            vocabulary=vectorizer.get_feature_names_out().astype(str),
            idf=vectorizer.idf_,
            coef=classifier.coef_,
            intercept=classifier.intercept_,
            classes=classifier.classes_,
            ngrams=np.array(ngrams),
            sublinear=np.array(sublinear),
            token_pattern=np.array(vectorizer.token_pattern),
        )
    )
    unseen = [
        "",
        "nothing known here",
        "The MILL race turns; flour, flour!",
        "Köln café: a late train",
        *corpus(350)[0][300:],
    ]
    features = vectorizer.transform(unseen)
    assert model.scores(unseen) == pytest.approx(classifier.decision_function(features), abs=1e-5)
    assert model.predict(unseen) == classifier.predict(features).tolist()


@pytest.mark.parametrize("outputs", [1, 3])
def test_linear_model_is_scikit_learns_regression(outputs: int) -> None:
    from sklearn.linear_model import LinearRegression  # noqa: PLC0415 - only where it is installed

    chance = np.random.default_rng(0)
    features = chance.normal(size=(200, 4)).astype(np.float32)
    target = features @ chance.normal(size=(4, outputs)) + chance.normal(size=(200, outputs)) / 10 + 5
    regression = LinearRegression().fit(features, target[:, 0] if outputs == 1 else target)
    arrays = saved(coef=regression.coef_.T, intercept=np.asarray(regression.intercept_))
    found = LinearModel(arrays["coef"], arrays["intercept"]).predict(features)
    assert found == pytest.approx(regression.predict(features), rel=1e-6)
