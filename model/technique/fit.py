"""Fit the technique model: the tokens that count, and each one's weight for each technique.

The model is a ridge regression in closed form, solved in the samples' space: with fewer samples than features, that is
one Cholesky factorisation. A rule is one sample, the mean of the `views_of` its full text; texts are served in the
same way, so a title alone is recognised, too.
"""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import linalg, sparse

from app.domains.alerts.techniques.features import pairs_of, parts_of, runs_of, views_of, words_of
from model.technique.data import EXAMPLES_SOURCE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from model.technique.data import Sample


@dataclass(frozen=True, slots=True)
class Options:
    """Options of the fit; the defaults are shipped, and README.md lists the other values that were tried.

    Attributes:
        word_samples: The fewest samples that a word or a pair must be in.
        run_samples: The fewest for a run of characters.
        run_weight: The weight of runs relative to words.
        ridge: The penalty.
        rounds: The number of times to ease the targets; 0 is plain ridge regression.
        examples: The most procedure examples of one technique.
        per_feature: The most techniques that a feature has weights for.
    """

    word_samples: int = 2
    run_samples: int = 6
    run_weight: float = 0.5
    ridge: float = 0.6
    rounds: int = 3
    examples: int = 8
    per_feature: int = 20


class Corpus:
    """Samples' texts as counts of features: `texts x tokens` times `tokens x features`.

    Attributes:
        samples: The samples.
        first: The row of each sample's first text of `views_of`, followed by the number of rows.
        features: Names of the features; a run of characters follows a tab.
        is_run: Whether each feature is a run of characters.
        text_tokens: One if a text has a token, shape (texts, tokens).
        token_features: How often a token has a feature, shape (tokens, features).
    """

    def __init__(self, samples: Sequence[Sample]) -> None:
        """Read the texts."""
        self.samples = list(samples)
        texts = [views_of(sample.views[-1]) for sample in samples]
        self.first = np.cumsum([0, *map(len, texts)])
        tokens: dict[str, int] = {}
        rows = [[tokens.setdefault(token, len(tokens)) for token in _tokens(text)] for each in texts for text in each]
        features: dict[str, int] = {}
        counts = [[features.setdefault(name, len(features)) for name in _features(token)] for token in tokens]
        self.text_tokens = _matrix(rows, len(tokens))
        self.token_features = _matrix(counts, len(features))
        self.features = list(features)
        self.is_run = np.array([name.startswith("\t") for name in features])

    def views(self, chosen: NDArray[np.int64]) -> Any:  # noqa: ANN401 - scipy ships no types for its matrices
        """Return the mean of each chosen sample's texts, as a matrix of shape (chosen, texts)."""
        counts = np.diff(self.first)[chosen]
        rows = np.repeat(np.arange(len(chosen)), counts)
        texts = np.concatenate([np.arange(self.first[each], self.first[each + 1]) for each in chosen])
        shares = np.repeat(1 / counts, counts).astype(np.float32)
        return sparse.csr_matrix((shares, (rows, texts)), shape=(len(chosen), self.text_tokens.shape[0]))

    def spread(self, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the number of chosen samples with each feature."""
        found = (self.views(chosen) @ self.text_tokens @ self.token_features).tocsc()
        return np.asarray(np.diff(found.indptr), np.int64)


@dataclass(slots=True)
class Weighing:
    """The features that are used, with their weights.

    Attributes:
        kept: Indices of the features in the corpus.
        weights: The weight of each kept feature.
    """

    kept: NDArray[np.int64]
    weights: NDArray[np.float32]

    @classmethod
    def learn(cls, spread: NDArray[np.int64], samples: int, is_run: NDArray[np.bool_], options: Options) -> Weighing:
        """Return the weighing for features that occur in these numbers of samples."""
        kept = np.flatnonzero(spread >= np.where(is_run, options.run_samples, options.word_samples))
        weights = np.log((1 + samples) / (1 + spread[kept])) + 1
        # As served: half precision.
        return cls(
            kept, (weights * np.where(is_run[kept], options.run_weight, 1)).astype(np.float16).astype(np.float32)
        )

    def tokens(self, corpus: Corpus) -> Any:  # noqa: ANN401 - scipy ships no types for its matrices
        """Return the weighted features of each token, shape (tokens, kept)."""
        return (corpus.token_features[:, self.kept] @ sparse.diags(self.weights)).tocsr()

    def texts(self, corpus: Corpus) -> Any:  # noqa: ANN401
        """Return the texts as model input: the sum over tokens, divided by the root of the sum of their squares."""
        tokens = self.tokens(corpus)
        norms = np.sqrt(corpus.text_tokens @ np.asarray(tokens.multiply(tokens).sum(axis=1)).ravel())
        norms[norms == 0] = 1
        return (sparse.diags((1 / norms).astype(np.float32)) @ (corpus.text_tokens @ tokens)).tocsr()


@dataclass(slots=True)
class Fitted:
    """A fitted model.

    Attributes:
        labels: The model's techniques.
        arrays: The arrays for `TechniqueModel`.
    """

    labels: tuple[str, ...]
    arrays: dict[str, NDArray[Any]]


def fit(corpus: Corpus, chosen: NDArray[np.int64], options: Options) -> Fitted:
    """Fit a model on the chosen samples."""
    chosen = limit(corpus.samples, chosen, options.examples)
    weighing = Weighing.learn(corpus.spread(chosen), len(chosen), corpus.is_run, options)
    mean = corpus.views(chosen)
    used = np.unique(mean.indices)
    part = copy.copy(corpus)
    part.text_tokens = corpus.text_tokens[used]
    X = unit(mean[:, used] @ weighing.texts(part))
    labels = tuple(sorted({label for each in chosen for label in corpus.samples[each].labels}))
    Y = targets([corpus.samples[each].labels for each in chosen], labels)
    coefficients, columns = prune(ridge(X, Y, options), options.per_feature)
    names = [corpus.features[each] for each in weighing.kept]
    is_run = corpus.is_run[weighing.kept]
    order = np.argsort(is_run, kind="stable")
    arrays: dict[str, NDArray[Any]] = {
        "words": _packed([names[each] for each in order if not is_run[each]]),
        "runs": _packed([names[each][1:] for each in order if is_run[each]]),
        "scales": weighing.weights[order].astype(np.float16),
        "coefficients": coefficients[order],
        "places": columns[order],
    }
    return Fitted(labels, arrays)


def limit(samples: Sequence[Sample], chosen: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return the chosen samples with at most `most` procedure examples a technique, chosen at random."""
    shuffled = np.random.default_rng(0).permutation(chosen)
    seen: Counter[str] = Counter()
    kept = []
    for each in shuffled.tolist():
        sample = samples[each]
        if sample.source == EXAMPLES_SOURCE:
            if seen[sample.labels[0]] >= most:
                continue
            seen[sample.labels[0]] += 1
        kept.append(each)
    return np.sort(np.array(kept, np.int64))


def unit(X: Any) -> Any:  # noqa: ANN401
    """Return the rows scaled to length 1; empty rows stay."""
    norms = np.sqrt(np.asarray(X.multiply(X).sum(axis=1)).ravel())
    norms[norms == 0] = 1
    return (sparse.diags((1 / norms).astype(np.float32)) @ X).tocsr()


def targets(labels: Sequence[tuple[str, ...]], names: Sequence[str]) -> NDArray[np.float32]:
    """Return 1 for each technique of a sample, else 0, shape (samples, names)."""
    columns = {name: index for index, name in enumerate(names)}
    found = np.zeros((len(labels), len(names)), np.float32)
    for row, each in enumerate(labels):
        found[row, [columns[label] for label in each if label in columns]] = 1
    return found


def ridge(X: Any, Y: NDArray[np.float32], options: Options) -> NDArray[np.float32]:  # noqa: ANN401
    """Return the coefficients, shape (features, names).

    After the first solution, a score beyond its target on the right side is no error: the target moves to it, and the
    same factorisation solves again. This goes towards the support vector machine of squared hinge loss, a round each.
    """
    kernel = gram(X)
    kernel[np.diag_indices_from(kernel)] += options.ridge
    factor = linalg.cho_factor(kernel, overwrite_a=True, check_finite=False)
    eased = Y
    found = linalg.cho_solve(factor, eased, check_finite=False)
    for _ in range(options.rounds):
        scores = eased - options.ridge * found
        eased = np.where(Y > 0, np.maximum(scores, 1), np.minimum(scores, 0))
        found = linalg.cho_solve(factor, eased, check_finite=False)
    return np.asarray(X.T @ found)


def gram(X: Any) -> NDArray[np.float32]:  # noqa: ANN401
    """Return the products of all rows; frequent features use a dense matrix, which is faster, others a sparse one."""
    frequent = np.zeros(X.shape[1], bool)
    frequent[np.argsort(-np.diff(X.tocsc().indptr))[:3000]] = True
    dense = X[:, frequent].toarray()
    rest = X[:, ~frequent]
    found: NDArray[np.float32] = dense @ dense.T
    found += (rest @ rest.T).toarray()
    return found


def prune(coefficients: NDArray[np.float32], most: int) -> tuple[NDArray[np.float16], NDArray[np.uint16]]:
    """Return each feature's largest coefficients and their columns, largest first, each of shape (features, most)."""
    most = min(most, coefficients.shape[1])
    columns = np.empty((len(coefficients), most), np.uint16)
    for start in range(0, len(coefficients), 4096):
        block = np.abs(coefficients[start : start + 4096])
        chosen = np.argpartition(-block, most - 1, axis=1)[:, :most]
        order = np.argsort(-np.take_along_axis(block, chosen, 1), axis=1, kind="stable")
        columns[start : start + 4096] = np.take_along_axis(chosen, order, 1)
    return np.take_along_axis(coefficients, columns.astype(np.int64), 1).astype(np.float16), columns


def _tokens(text: str) -> list[str]:
    words = words_of(text)
    return list(dict.fromkeys([*words, *pairs_of(words)]))


def _features(token: str) -> list[str]:
    if " " in token:
        return [token]
    return [*parts_of(token), *(f"\t{run}" for run in runs_of(token))]


def _matrix(rows: list[list[int]], width: int) -> Any:  # noqa: ANN401
    ends = np.cumsum([0, *map(len, rows)])
    columns = np.fromiter((column for row in rows for column in row), np.int32, int(ends[-1]))
    found = sparse.csr_matrix((np.ones(len(columns), np.float32), columns, ends), shape=(len(rows), width))
    found.sum_duplicates()
    return found


def _packed(names: list[str]) -> NDArray[np.uint8]:
    return np.frombuffer("\n".join(names).encode(), np.uint8)
