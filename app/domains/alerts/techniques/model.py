"""Tells ATT&CK techniques from a text: a pruned linear layer over the tokens of `features.py`, in numpy.

A text's score for a technique is the sum of its tokens' scores by the root of the sum of their squares. So the work is
done once a token: its row of scores is made when it is first seen, and kept. A text adds up its tokens' rows.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, cast

import msgspec
import numpy as np

from app.domains.alerts.attack import attack_table
from app.domains.alerts.techniques import features
from app.domains.alerts.techniques.deciding import Decider, Prediction, Settings
from app.errors import ModelError
from app.inference.models import read_arrays

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from app.inference.bundle import Bundle

WEIGHTS, SETTINGS = "weights.npz", "technique.json"
ARRAYS = {"words", "runs", "scales", "coefficients", "places"}

_MATRIX = 2  # dimensions
_TEXTS_A_BLOCK = 64  # what is gathered for them fits the processor's cache
_ROWS = 16_384  # tokens whose scores are kept: 46 MB at 700 techniques
_NONE = itertools.repeat(-1)


class TechniqueModel:
    """The technique model; `load` reads it from a bundle.

    Attributes:
        settings: How scores become answers.
    """

    def __init__(self, arrays: dict[str, NDArray[Any]], settings: Settings) -> None:
        """Takes the parts.

        Args:
            arrays: `words` and `runs`: names of the features, UTF-8, one a line; `scales`, shape (features,): the
                weight of each, words first; `coefficients` and `places`, shape (features, most): what it adds to the
                scores of which labels.
            settings: How scores become answers.

        Raises:
            ModelError: They do not fit each other.
        """
        words, runs = (_names(arrays[name]) for name in ("words", "runs"))
        self.settings = settings
        _check(arrays, len(words) + len(runs), settings)
        self._words = dict(zip(words, range(len(words)), strict=True))
        self._runs = dict(zip(runs, range(len(words), len(words) + len(runs)), strict=True))
        scales = arrays["scales"].astype(np.float32)
        self._squares_of = scales * scales
        self._weights = arrays["coefficients"].astype(np.float32) * scales[:, None]
        self._places = arrays["places"]
        self._decider = Decider(settings)
        # Row 0 is of a token that says nothing; each text begins with it.
        self._scores = np.zeros((_ROWS, len(settings.labels)), np.float32)
        self._squares = np.zeros(_ROWS, np.float32)
        self._rows: dict[str, int] = {}
        self._new: list[str] = []

    @classmethod
    def load(cls, bundle: Bundle) -> TechniqueModel:
        """Reads the model from a bundle.

        Raises:
            ModelError: A part is missing, of another kind, or does not fit the others.
            DigestMismatchError: A file is not what the manifest says.
        """
        try:
            settings = msgspec.json.decode(bundle.read(SETTINGS), type=Settings)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ModelError(f"{SETTINGS}: {error}") from None
        return cls(read_arrays(bundle.read(WEIGHTS), WEIGHTS, ARRAYS), settings)

    def predict(self, texts: Sequence[str], threshold: float | None = None) -> list[Prediction]:
        """The techniques of each text; an answer does not depend on the texts beside it.

        Args:
            texts: Any number of them.
            threshold: The confidence that the best technique needs; None takes the model's own, 0 always answers
                unless no token of the text is known.
        """
        least = self.settings.threshold if threshold is None else threshold
        found: list[Prediction] = []
        for start in range(0, len(texts), _TEXTS_A_BLOCK):
            found += self._decider.decide(self.scores(texts[start : start + _TEXTS_A_BLOCK]), least)
        return found

    def scores(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Scores of shape (texts, labels): the mean of those of a text's `views_of`; of one line's, times `alone`."""
        views = [(text,) if "\n" not in text else features.views_of(text) for text in texts]
        flat = self._scores_of(list(itertools.chain.from_iterable(views)))
        alone = np.float32(self.settings.alone)
        if len(flat) == len(texts):
            flat *= alone
            return flat
        ends = itertools.accumulate(map(len, views))
        found = np.empty((len(texts), flat.shape[1]), np.float32)
        for place, (view, end) in enumerate(zip(views, ends, strict=True)):
            found[place] = flat[end - len(view)]
            for other in flat[end - len(view) + 1 : end]:
                found[place] += other
            if len(view) == 1:
                found[place] *= alone
            else:
                found[place] /= len(view)
        return found

    def _scores_of(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Scores of texts as they stand, shape (texts, labels)."""
        found = np.zeros((len(texts), len(self.settings.labels)), np.float32)
        rows: list[list[int]] = []
        start = 0
        try:
            for place, text in enumerate(texts):
                tokens = self._tokens(text)
                if len(self._rows) + len(tokens) >= _ROWS:  # a text alone always has room
                    self._add_up(rows, found[start:place])
                    self._forget()
                    rows, start = [], place
                rows.append(self._rows_of(tokens))
            self._add_up(rows, found[start:])
        except BaseException:
            self._forget()  # a token may have a row that was not made yet
            raise
        return found

    def _tokens(self, text: str) -> list[str]:
        """A text's distinct words, and those of its pairs that the model knows."""
        words = features.words_of(text)
        return list(dict.fromkeys([*words, *filter(self._words.__contains__, features.pairs_of(words))]))

    def _rows_of(self, tokens: list[str]) -> list[int]:
        """Each token's row; a new token gets one, which `_learn` will fill."""
        rows = [0, *map(self._rows.get, tokens)]
        if None in rows:
            for place, (token, row) in enumerate(zip(tokens, rows[1:], strict=True), start=1):
                if row is None:
                    self._new.append(token)
                    rows[place] = self._rows[token] = len(self._rows) + 1
        return cast("list[int]", rows)

    def _forget(self) -> None:
        self._rows.clear()
        self._new.clear()

    def _learn(self) -> None:
        """Makes the rows of tokens that are new."""
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
        cells = (owners * scores.shape[1])[:, None] + self._places[chosen]
        scores[:] = np.bincount(cells.ravel(), self._weights[chosen].ravel(), scores.size).reshape(scores.shape)
        self._new.clear()

    def _add_up(self, rows: list[list[int]], into: NDArray[np.float32]) -> None:
        """Adds up the rows of each text in its tokens' order: a sum does not depend on the texts beside it."""
        if self._new:
            self._learn()
        if not rows:
            return
        lengths = np.fromiter(map(len, rows), np.intp, len(rows))
        flat = np.fromiter(itertools.chain.from_iterable(rows), np.intp, int(lengths.sum()))
        # The first tokens of all texts, then the second ones of those that have two, and so on: no sum along an axis,
        # whose order might depend on its length.
        longest_first = np.argsort(-lengths, kind="stable")
        starts = (np.cumsum(lengths) - lengths)[longest_first]
        left = np.searchsorted(-lengths[longest_first], -np.arange(lengths.max()))
        scores = self._scores[flat[starts]]
        squares = self._squares[flat[starts]]
        for place, count in enumerate(left[1:].tolist(), start=1):
            chosen = flat[starts[:count] + place]
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


def _check(arrays: dict[str, NDArray[Any]], count: int, settings: Settings) -> None:
    """Refuses parts that do not fit each other, or labels that are no techniques any more."""
    known = attack_table().techniques
    unknown = [label for label in settings.labels if label not in known]
    if unknown:
        raise ModelError(f"{SETTINGS}: {unknown[0]} is no technique of ATT&CK {attack_table().version}; train again")
    if not settings.labels or list(settings.labels) != sorted(set(settings.labels)):
        raise ModelError(f"{SETTINGS}: its labels must be sorted, each once; train again")
    tables = (
        (settings.scores, settings.confidences),
        (settings.other_scores, settings.other_confidences),
        (settings.family_scores, settings.family_confidences),
    )
    if any(not scores or len(scores) != len(confidences) for scores, confidences in tables):
        raise ModelError(f"{SETTINGS}: scores and confidences must be as many; train again")
    coefficients, places = arrays["coefficients"], arrays["places"]
    fits = coefficients.ndim == _MATRIX and coefficients.shape == places.shape and len(places) == count
    fits = fits and arrays["scales"].shape == (count,) and places.dtype.kind == "u"
    if not fits or int(places.max(initial=0)) >= len(settings.labels):
        raise ModelError(f"{WEIGHTS}: its parts do not fit each other or {SETTINGS}; train again")
