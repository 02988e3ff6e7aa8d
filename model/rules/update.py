"""Train the technique model further on one's own rules.

The shipped model's training texts are not shipped, but its weights are. They are the prior of a ridge regression on
one's own rules: what the model says of these texts already is kept, and only the rest is learned, in the closed form of
`model/technique/fit.py`. Words that the shipped model does not know are added. The result has the form of the shipped
model.
"""

from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from scipy import linalg, sparse

from app.domains.alerts.attack import attack_table
from model.technique.data import Sample
from model.technique.fit import Corpus, Fitted, Options, Weighing, gram, prune, targets, unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from app.domains.alerts.techniques.decision import DecisionSettings
    from model.rules.rule import Rule

MOST_SAMPLES = 12_000  # the products of all pairs are held in memory: 0.6 GB
OPTIONS = Options(ridge=5.0)
"""Options of the fit. A smaller penalty gains more on rules like one's own and loses on others (README.md)."""
_BLOCK = 4096  # features at a time, each with a weight for every technique


def samples_of(rules: Sequence[Rule]) -> list[Sample]:
    """Return the rules that name a technique as samples, each text once; of frequent kinds some by chance."""
    table = attack_table()
    found: dict[str, Sample] = {}
    for rule in rules:
        current = (table.current(each) for each in rule.techniques)
        labels = tuple(dict.fromkeys(each for each in current if each is not None))
        if labels and rule.titles:
            lines = (rule.titles[0], rule.description, rule.detection)
            views = tuple(itertools.accumulate(lines, lambda one, other: f"{one}\n{other}"))
            found.setdefault(views[-1], Sample(views, labels, rule.kind))
    samples = list(found.values())
    most = _most_of_a_kind(Counter(sample.source for sample in samples))
    shuffled = np.random.default_rng(0).permutation(len(samples)).tolist()
    taken: Counter[str] = Counter()
    kept = []
    for index in shuffled:
        taken[samples[index].source] += 1
        if taken[samples[index].source] <= most:
            kept.append(index)
    return [samples[index] for index in sorted(kept)]


def _most_of_a_kind(counts: Counter[str]) -> int:
    """Return the most samples of one kind with which there are no more than `MOST_SAMPLES`."""
    left, kinds = MOST_SAMPLES, len(counts)
    for count in sorted(counts.values()):
        if count * kinds > left:
            return left // kinds
        left, kinds = left - count, kinds - 1
    return MOST_SAMPLES


def settings_for(settings: DecisionSettings, labels: tuple[str, ...]) -> DecisionSettings:
    """Return a model's settings for more techniques, of which new ones have no record yet."""
    records = dict(zip(settings.labels, settings.records, strict=True))
    return msgspec.structs.replace(settings, labels=labels, records=tuple(records.get(each, 0.0) for each in labels))


def update(
    arrays: dict[str, NDArray[Any]], labels: Sequence[str], samples: Sequence[Sample], options: Options = OPTIONS
) -> Fitted:
    """Return a model that was trained further.

    Args:
        arrays: The model's arrays, as `TechniqueModel` takes them.
        labels: Its techniques.
        samples: One's own rules.
        options: The options of the fit.
    """
    corpus = Corpus(samples)
    every = np.arange(len(samples))
    names = {name: row for row, name in enumerate(_names(arrays))}
    known = np.array([names.get(name, -1) for name in corpus.features])
    learned = tuple(sorted({*labels, *(label for sample in samples for label in sample.labels)}))
    columns = np.array([learned.index(label) for label in labels])

    spread = corpus.spread(every)
    new = (known < 0) & (spread >= np.where(corpus.is_run, options.run_samples, options.word_samples))
    kept = np.flatnonzero((known >= 0) | new)
    scales = arrays["scales"].astype(np.float32)
    # The number of texts that the rarest words of the shipped model stand for.
    texts = (1 + options.word_samples) * np.exp(scales.max() - 1) + len(samples)
    weights = (np.log(texts / (1 + spread[kept])) + 1) * np.where(corpus.is_run[kept], options.run_weight, 1)
    weights = np.where(known[kept] >= 0, scales[known[kept]], weights).astype(np.float16).astype(np.float32)
    X = unit(corpus.views(every) @ Weighing(kept, weights).texts(corpus))

    before = _matrix(arrays, columns, len(learned))
    is_known = known[kept] >= 0
    prior = np.asarray((X[:, is_known] @ before[known[kept][is_known]]).toarray(), np.float32)
    kernel = gram(X)
    kernel[np.diag_indices_from(kernel)] += options.ridge
    factor = linalg.cho_factor(kernel, overwrite_a=True, check_finite=False)
    truth = eased = targets([sample.labels for sample in samples], learned)
    found = linalg.cho_solve(factor, eased - prior, check_finite=False)
    for _ in range(options.rounds):  # as in `fit.ridge`
        scores = eased - options.ridge * found
        eased = np.where(truth > 0, np.maximum(scores, 1), np.minimum(scores, 0))
        found = linalg.cho_solve(factor, eased - prior, check_finite=False)

    most = arrays["coefficients"].shape[1]
    coefficients, places = [arrays["coefficients"].copy()], [columns[arrays["places"]].astype(np.uint16)]
    transposed = X.T.tocsr()
    for start in range(0, len(kept), _BLOCK):
        rows = known[kept[start : start + _BLOCK]]
        block = np.asarray(transposed[start : start + _BLOCK] @ found)
        old = rows >= 0
        block[old] += before[rows[old]].toarray()
        values, where = prune(block, most)
        coefficients[0][rows[old]], places[0][rows[old]] = values[old], where[old]
        coefficients.append(values[~old])
        places.append(where[~old])
    features = [*names, *(corpus.features[each] for each in kept[~is_known])]
    order = np.argsort([name.startswith("\t") for name in features], kind="stable")  # words before runs
    words = sum(not name.startswith("\t") for name in features)
    ordered = [features[each].removeprefix("\t") for each in order]
    return Fitted(
        learned,
        {
            "words": np.frombuffer("\n".join(ordered[:words]).encode(), np.uint8),
            "runs": np.frombuffer("\n".join(ordered[words:]).encode(), np.uint8),
            "scales": np.concatenate([arrays["scales"], weights[~is_known].astype(np.float16)])[order],
            "coefficients": np.concatenate(coefficients)[order],
            "places": np.concatenate(places)[order],
        },
    )


def _names(arrays: dict[str, NDArray[Any]]) -> list[str]:
    """Return the features' names as a corpus has them: a run of characters follows a tab."""
    words, runs = (str(arrays[name].tobytes(), "utf-8").split("\n") for name in ("words", "runs"))
    return [*words, *(f"\t{run}" for run in runs)]


def _matrix(arrays: dict[str, NDArray[Any]], columns: NDArray[np.int64], width: int) -> Any:  # noqa: ANN401 - scipy
    values, places = arrays["coefficients"].astype(np.float32), columns[arrays["places"]]
    ends = np.arange(0, values.size + 1, values.shape[1])
    return sparse.csr_matrix((values.ravel(), places.ravel(), ends), shape=(len(values), width))
