"""Technique model: predicts ATT&CK techniques from a text by a pruned linear layer over tokens, in numpy.

A text's score for a technique is the sum of its tokens' scores, divided by the root of the sum of their squares. So the
work is done once per token: its row of scores is computed when it is first seen, and cached. A text adds up the rows.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from app.domains.alerts.attack import attack_table
from app.domains.alerts.techniques import features
from app.domains.alerts.techniques.decision import Decider, DecisionSettings, Prediction
from app.errors import ModelError
from app.inference.arrays import read_arrays
from app.inference.manifest import decode_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from app.inference.bundle import Bundle

WEIGHTS, SETTINGS = "weights.npz", "technique.json"
ARRAYS = {"words", "runs", "scales", "coefficients", "places"}

_MATRIX = 2  # dimensions
_TEXTS_PER_BLOCK = 64  # their rows fit the processor's cache
_ROWS = 16_384  # cached tokens: 46 MB of scores at 700 techniques
_TRIAL = ("powershell -enc", "a port scan\nof a host")
_NONE = itertools.repeat(-1)


class TechniqueModel:
    """The technique model; `load` reads it from a bundle.

    Attributes:
        settings: Calibration and thresholds.
    """

    def __init__(self, arrays: dict[str, NDArray[Any]], settings: DecisionSettings) -> None:
        """Use the arrays of a bundle.

        Args:
            arrays: `words` and `runs`: names of the features, UTF-8, one per line; `scales`, shape (features,): weight
                of each, words first; `coefficients` and `places`, shape (features, most): what a feature adds to
                scores, and the indexes of their labels.
            settings: Calibration and thresholds.

        Raises:
            ModelError: The arrays do not fit each other.
        """
        words, runs = (_names(arrays[name]) for name in ("words", "runs"))
        self.settings = settings
        _check(arrays, len(words) + len(runs), settings)
        self._words = dict(zip(words, range(len(words)), strict=True))
        self._runs = dict(zip(runs, range(len(words), len(words) + len(runs)), strict=True))
        scales = arrays["scales"].astype(np.float32)
        self._squares_of = scales * scales
        self._weights = arrays["coefficients"].astype(np.float32) * scales[:, None]
        self._columns = arrays["places"]
        self._decider = Decider(settings)
        # Row 0 stands for a token without scores; each text begins with it, so that no text is without tokens.
        self._scores = np.zeros((_ROWS, len(settings.labels)), np.float32)
        self._squares = np.zeros(_ROWS, np.float32)
        self._rows: dict[str, int] = {}
        self._new: list[str] = []

    @classmethod
    def load(cls, bundle: Bundle) -> TechniqueModel:
        """Read the model from a bundle.

        Raises:
            ModelError: A file is missing, damaged, or does not fit the others.
            DigestMismatchError: A file has another digest than its manifest.
        """
        settings = decode_json(bundle.read(SETTINGS), DecisionSettings, SETTINGS)
        model = cls(read_arrays(bundle.read(WEIGHTS), WEIGHTS, ARRAYS), settings)
        model.predict(_TRIAL, 0)  # what does not fit together is found here, not record by record
        return model

    def predict(self, texts: Sequence[str], threshold: float | None = None) -> list[Prediction]:
        """Return the techniques of each text, independent of the others.

        Args:
            texts: Any number of texts.
            threshold: Confidence that the best technique needs, 0 to 1; None stands for the model's own. With 0 there
                is always a technique, unless no token of the text is known.
        """
        least = self.settings.threshold if threshold is None else threshold
        decide = self._decider.decide
        return [each for scores, forms in self._blocks(texts) for each in decide(scores, forms, least)]

    def candidates(self, texts: Sequence[str], count: int) -> list[Prediction]:
        """Return the `count` most probable techniques of each text, whatever their confidence, the surest first."""
        rank = self._decider.candidates
        return [each for scores, forms in self._blocks(texts) for each in rank(scores, forms, count)]

    def scores(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return scores of shape (texts, labels): means over a text's `views_of`."""
        views = [(text,) if "\n" not in text else features.views_of(text) for text in texts]
        flat = self._scores_of(list(itertools.chain.from_iterable(views)))
        if len(flat) == len(texts):
            return flat
        ends = itertools.accumulate(map(len, views))
        found = np.empty((len(texts), flat.shape[1]), np.float32)
        for index, (view, end) in enumerate(zip(views, ends, strict=True)):
            found[index] = flat[end - len(view)]
            for other in flat[end - len(view) + 1 : end]:
                found[index] += other
            found[index] /= len(view)
        return found

    def _blocks(self, texts: Sequence[str]) -> Iterator[tuple[NDArray[np.float32], list[features.Form]]]:
        for start in range(0, len(texts), _TEXTS_PER_BLOCK):
            block = texts[start : start + _TEXTS_PER_BLOCK]
            yield self.scores(block), [features.form_of(text) for text in block]

    def _scores_of(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the scores of whole texts, shape (texts, labels)."""
        found = np.zeros((len(texts), len(self.settings.labels)), np.float32)
        rows: list[list[int]] = []
        start = 0
        try:
            for index, text in enumerate(texts):
                tokens = self._tokens(text)
                if len(self._rows) + len(tokens) >= _ROWS:  # one text always fits
                    self._add_up(rows, found[start:index])
                    self._forget()
                    rows, start = [], index
                rows.append(self._rows_of(tokens))
            self._add_up(rows, found[start:])
        except BaseException:
            self._forget()  # a new token may have a row without scores
            raise
        return found

    def _tokens(self, text: str) -> list[str]:
        """Return a text's distinct words, and its pairs that the model knows."""
        words = features.words_of(text)
        return list(dict.fromkeys([*words, *filter(self._words.__contains__, features.pairs_of(words))]))

    def _rows_of(self, tokens: list[str]) -> list[int]:
        """Return each token's row; a new token gets one, which `_fill_rows` computes."""
        rows = [0, *map(self._rows.get, tokens)]
        if None in rows:
            for index, (token, row) in enumerate(zip(tokens, rows[1:], strict=True), start=1):
                if row is None:
                    self._new.append(token)
                    rows[index] = self._rows[token] = len(self._rows) + 1
        return cast("list[int]", rows)

    def _forget(self) -> None:
        self._rows.clear()
        self._new.clear()

    def _fill_rows(self) -> None:
        """Compute the rows of new tokens."""
        names: list[str] = []  # of words and pairs
        runs: list[str] = []
        counts = []
        for token in self._new:
            if " " in token:
                names.append(token)
                counts.append((1, 0))
            else:
                parts, own = features.parts_of(token), features.runs_of(token)
                names += parts
                runs += own
                counts.append((len(parts), len(own)))
        ranks = np.arange(len(counts))
        both = np.fromiter(
            itertools.chain(map(self._words.get, names, _NONE), map(self._runs.get, runs, _NONE)), np.intp
        )
        owners = np.concatenate([np.repeat(ranks, [count[kind] for count in counts]) for kind in range(2)])
        chosen, owners = both[both >= 0], owners[both >= 0]
        rows = slice(len(self._rows) + 1 - len(counts), len(self._rows) + 1)
        scores = self._scores[rows]
        self._squares[rows] = np.bincount(owners, self._squares_of[chosen], len(counts))
        cells = (owners * scores.shape[1])[:, None] + self._columns[chosen]
        scores[:] = np.bincount(cells.ravel(), self._weights[chosen].ravel(), scores.size).reshape(scores.shape)
        self._new.clear()

    def _add_up(self, rows: list[list[int]], into: NDArray[np.float32]) -> None:
        """Add up the rows of each text in its tokens' order, so that its sum does not depend on the other texts."""
        if self._new:
            self._fill_rows()
        if not rows:
            return
        lengths = np.fromiter(map(len, rows), np.intp, len(rows))
        flat = np.fromiter(itertools.chain.from_iterable(rows), np.intp, int(lengths.sum()))
        # First tokens of all texts, then second ones of texts with two, and so on: not a sum along an axis, since its
        # order of additions may depend on the length.
        longest_first = np.argsort(-lengths, kind="stable")
        starts = (np.cumsum(lengths) - lengths)[longest_first]
        left = np.searchsorted(-lengths[longest_first], -np.arange(lengths.max()))
        scores = self._scores[flat[starts]]
        squares = self._squares[flat[starts]]
        for index, count in enumerate(left[1:].tolist(), start=1):
            chosen = flat[starts[:count] + index]
            scores[:count] += self._scores[chosen]
            squares[:count] += self._squares[chosen]
        norms = np.sqrt(squares)
        norms[norms == 0] = 1
        into[longest_first] = scores / norms[:, None]


def _names(packed: NDArray[Any]) -> list[str]:
    try:
        return str(packed.tobytes(), "utf-8").split("\n")
    except UnicodeDecodeError:
        raise ModelError(f"{WEIGHTS}: its features are not UTF-8; train again") from None


def _check(arrays: dict[str, NDArray[Any]], count: int, settings: DecisionSettings) -> None:
    """Raise ModelError if the arrays do not fit each other, or a label is no current technique."""
    known = attack_table().techniques
    unknown = [label for label in settings.labels if label not in known]
    if unknown:
        raise ModelError(f"{SETTINGS}: {unknown[0]} is no technique of ATT&CK {attack_table().version}; train again")
    if not settings.labels or list(settings.labels) != sorted(set(settings.labels)):
        raise ModelError(f"{SETTINGS}: its labels must be sorted, each once; train again")
    if len(settings.records) != len(settings.labels):
        raise ModelError(f"{SETTINGS}: it needs a record for each label; train again")
    if set(settings.forms) != set(features.FORMS) or set(settings.kinds) != set(features.KINDS):
        raise ModelError(f"{SETTINGS}: its forms of text and kinds of source are others; train again")
    coefficients, columns = arrays["coefficients"], arrays["places"]
    fits = coefficients.ndim == _MATRIX and coefficients.shape == columns.shape and len(columns) == count
    fits = fits and arrays["scales"].shape == (count,) and columns.dtype.kind == "u"
    if not fits or int(columns.max(initial=0)) >= len(settings.labels):
        raise ModelError(f"{WEIGHTS}: its parts do not fit each other or {SETTINGS}; train again")
