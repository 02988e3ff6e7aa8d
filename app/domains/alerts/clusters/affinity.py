"""Affinity of two alert types: from how often they occur together, from their names, and from their techniques.

How often types occur together is learned without labels (`model/cluster/`) and shipped as a bundle: the folded names
of the types and a matrix. A type that training has not seen uses the row of the most similar name, if one is similar
enough, and else its own words only.
"""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Self

import msgspec
import numpy as np

from app.cache import RecentCache
from app.domains.alerts.attack import attack_table, parent_of
from app.errors import ModelError
from app.inference.arrays import read_arrays
from app.inference.manifest import decode_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from app.inference.bundle import Bundle

NAMES, MATRIX = "types.json", "affinity.npz"
SAME, SAME_PARENT, SAME_TACTIC = 1.0, 0.8, 0.4
"""Affinity of two techniques: the same one, sub-techniques of one parent, or techniques of one tactic."""
SAME_WORDS = 0.6
"""Affinity of two names with the same words: two detectors may describe one event, but they are not one type."""
LEAST_SIMILARITY = 0.5  # of two names: below it, the learned row of one says nothing about the other
UNSEEN_RATE = 20.0  # seconds of a day with an alert, for types unseen in training: about the median of the seen ones
_LEAST_RATE = 0.05  # seconds of a day: below it, a type was too rare for its rate to be known
_NGRAM = 3  # characters
_CACHED_PIECES = 1_000  # names: about 10 MB
_CACHED_PAIRS = 100_000  # affinities: about 20 MB
_CACHED_ROWS = 10_000  # types
_CACHED_NEAREST = 10_000  # names
_MOST_PIECES = 256  # words and n-grams of one name: further ones are detail


class AlertType(msgspec.Struct, frozen=True, array_like=True, cache_hash=True):
    """Type of an alert.

    Attributes:
        text: The folded name (`text.fold`).
        technique: The surest technique; empty when unknown.
    """

    text: str
    technique: str = ""


class Affinity:
    """Affinities of alert types, 0 to 1 and symmetric, and how rare each type is.

    Its caches change no answer.
    """

    def __init__(
        self, names: Sequence[str], matrix: NDArray[np.floating], rates: Sequence[float] | NDArray[np.floating]
    ) -> None:
        """Use learned affinities.

        Args:
            names: Folded names of the types.
            matrix: Affinities, shape (names, names), symmetric, 0 to 1.
            rates: For each type, the mean number of seconds of a day in which it occurred.

        Raises:
            ModelError: The matrix or the rates have another size than the names.
        """
        if matrix.shape != (len(names), len(names)) or len(rates) != len(names):
            raise ModelError(f"affinity of {len(names)} types is a matrix of {matrix.shape}; train the model again")
        self._index: dict[str, int] = {name: index for index, name in enumerate(names)}
        self._matrix = matrix.astype(np.float64)
        self._rates = [float(rate) for rate in rates]
        self._most = max(self._rates, default=1.0)
        self._pieces = [_pieces(name) for name in names]
        self._pieces_cache: RecentCache[str, frozenset[str]] = RecentCache(_CACHED_PIECES)
        self._nearest: dict[str, tuple[int, float]] = {}
        self._weights = {name: self._weight(rate) for name, rate in zip(names, self._rates, strict=True)}
        self._unseen_weight = self._weight(UNSEEN_RATE)
        self._rows: dict[AlertType, dict[AlertType, float]] = {}
        self._pairs = 0

    @classmethod
    def load(cls, bundle: Bundle) -> Self:
        """Read a bundle.

        Raises:
            ModelError: A file is missing or damaged.
        """
        return cls.read({name: bundle.read(name) for name in (NAMES, MATRIX)})

    @classmethod
    def read(cls, files: Mapping[str, bytes]) -> Self:
        """Read the files of a bundle.

        Args:
            files: Content by name, as `learned_bytes` gives it.

        Raises:
            ModelError: A file is damaged.
        """
        learned = decode_json(files[NAMES], _Learned, NAMES)
        arrays = read_arrays(files[MATRIX], MATRIX, {"affinity", "rate"})
        return cls(learned.names, arrays["affinity"], arrays["rate"])

    def between(self, one: AlertType, other: AlertType) -> float:
        """Return the affinity of two types; 1 for a type and itself."""
        row = self.row(one)
        found = row.get(other)
        if found is None:
            first, second = (one, other) if one.text <= other.text else (other, one)
            found = row[other] = max(
                self._by_name(first.text, second.text), techniques_alike(one.technique, other.technique)
            )
            self._pairs += 1
        return found

    def row(self, kind: AlertType) -> dict[AlertType, float]:
        """Return the known affinities of a type: to look into before calling `between`, and not to be kept."""
        found = self._rows.get(kind)
        if found is None:
            if self._pairs >= _CACHED_PAIRS or len(self._rows) >= _CACHED_ROWS:
                self._rows, self._pairs = {}, 0
            found = self._rows[kind] = {}
        return found

    def rate(self, text: str) -> float:
        """Return the seconds of a day in which a type occurred in training; `UNSEEN_RATE` for an unseen type."""
        index = self._index.get(text)
        return UNSEEN_RATE if index is None else self._rates[index]

    def weight(self, text: str) -> float:
        """Return the weight of a recurring type: log(highest rate / its rate), so more for rarer types.

        It is a multiple of 1/64, so sums of weights are exact and do not depend on their order.
        """
        return self._weights.get(text, self._unseen_weight)

    def _weight(self, rate: float) -> float:
        return max(round(64 * math.log(self._most / max(rate, _LEAST_RATE))), 6) / 64 if self._rates else 1.0

    def _by_name(self, one: str, other: str) -> float:
        """Return the learned affinity of two names or that of their words, whichever is higher."""
        if one == other:
            return 1.0
        (row, fit), (column, other_fit) = self._nearest_row(one), self._nearest_row(other)
        words = SAME_WORDS * texts_alike(self._pieces_of(one), self._pieces_of(other))
        return max(fit * other_fit * float(self._matrix[row, column]), words) if row >= 0 and column >= 0 else words

    def _nearest_row(self, text: str) -> tuple[int, float]:
        """Return the row of the most similar learned name and the similarity; row -1 where none is similar."""
        index = self._index.get(text)
        if index is not None:
            return index, 1.0
        found = self._nearest.get(text)
        if found is None:
            pieces = self._pieces_of(text)
            alike = [texts_alike(pieces, each) for each in self._pieces]
            best = max(range(len(alike)), key=alike.__getitem__, default=-1)
            found = (best, alike[best]) if best >= 0 and alike[best] >= LEAST_SIMILARITY else (-1, 0.0)
            if len(self._nearest) >= _CACHED_NEAREST:
                self._nearest.clear()
            self._nearest[text] = found
        return found

    def _pieces_of(self, text: str) -> frozenset[str]:
        found = self._pieces_cache.get(text)
        if found is None:
            found = _pieces(text)
            self._pieces_cache.put(text, found)
        return found


class _Learned(msgspec.Struct, frozen=True):
    names: list[str]


def techniques_alike(one: str, other: str) -> float:
    """Return the affinity of two techniques; 0 when one is unknown."""
    if not one or not other:
        return 0.0
    if one == other:
        return SAME
    if parent_of(one) == parent_of(other):
        return SAME_PARENT
    table = attack_table()
    return SAME_TACTIC if set(table.tactics_of(one)) & set(table.tactics_of(other)) else 0.0


def texts_alike(one: frozenset[str], other: frozenset[str]) -> float:
    """Return the Jaccard similarity of the pieces of two names, 0 to 1."""
    return len(one & other) / len(one | other) if one and other else 0.0


def _pieces(text: str) -> frozenset[str]:
    """Return the words of a name and their n-grams of three characters."""
    found: dict[str, None] = {}
    for word in text.split():
        found[word] = None
        for start in range(len(word) - _NGRAM + 1):
            found[word[start : start + _NGRAM]] = None
        if len(found) > _MOST_PIECES:
            break
    return frozenset(found)


def learned_bytes(names: Sequence[str], matrix: NDArray[np.floating], rates: NDArray[np.floating]) -> dict[str, bytes]:
    """Return the files of a bundle that `Affinity.load` reads, by name."""
    arrays = io.BytesIO()
    np.savez_compressed(arrays, affinity=matrix.astype(np.float16), rate=rates.astype(np.float32))
    return {NAMES: msgspec.json.encode(_Learned(list(names))), MATRIX: arrays.getvalue()}
