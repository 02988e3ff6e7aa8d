"""How alike two alert types are: by how often they occur together, by their words, and by their techniques.

What occurs together was learned without labels (`model/cluster/`) and comes as a bundle of data: the types' folded
names and a matrix. A type that training has not seen borrows the row of the most alike name, or has its words alone.
"""

from __future__ import annotations

import io
import math
import zipfile
from typing import TYPE_CHECKING, Self

import msgspec
import numpy as np

from app.cache import RecentCache
from app.domains.alerts.attack import attack_table, parent_of
from app.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from app.inference.bundle import Bundle

NAMES, MATRIX = "types.json", "affinity.npz"
SAME, SAME_PARENT, SAME_TACTIC = 1.0, 0.8, 0.4
"""How alike two techniques are."""
WORDS_COUNT = 0.6
"""What equal words are worth: two detectors that say the same thing differently are alike, but not one type."""
BORROWS_FROM = 0.5  # of the pieces of a name: below it, another name tells nothing of what occurs with this one
UNSEEN_RATE = 20.0  # seconds of a day, of a type that training has not seen: about the median of those it has seen
_LEAST_RATE = 0.05  # below it, a type was seen so seldom that its rate is not known
_PIECE = 3  # characters
_MOST_PIECES = 256  # of one name: what stands behind them is detail


class AlertType(msgspec.Struct, frozen=True, array_like=True, cache_hash=True):
    """What kind of thing an alert says.

    Attributes:
        text: Its name, folded (`text.fold`).
        technique: Its surest technique; empty when unknown.
    """

    text: str
    technique: str = ""


class Affinity:
    """Affinities of alert types, 0 to 1, and how rare each type is; the order of the two does not matter.

    It remembers nothing that changes an answer: pairs are worked out once and kept while there are few.
    """

    def __init__(
        self, names: Sequence[str], matrix: NDArray[np.floating], rates: Sequence[float] | NDArray[np.floating]
    ) -> None:
        """Takes what was learned.

        Args:
            names: Folded names of types.
            matrix: Their affinities, shape (names, names), symmetric.
            rates: Of each type, in how many seconds of a day it came.

        Raises:
            ModelError: The matrix or the rates are not of these names.
        """
        if matrix.shape != (len(names), len(names)) or len(rates) != len(names):
            raise ModelError(f"affinity of {len(names)} types is a matrix of {matrix.shape}; train the model again")
        self._places: dict[str, int] = {name: place for place, name in enumerate(names)}
        self._matrix = matrix.astype(np.float64)
        self._rates = [float(rate) for rate in rates]
        self._most = max(self._rates, default=1.0)
        self._pieces = [_pieces(name) for name in names]
        self._cut: RecentCache[str, frozenset[str]] = RecentCache(_CUT)
        self._borrowed: dict[str, tuple[int, float]] = {}
        self._weights = {name: self._weight(rate) for name, rate in zip(names, self._rates, strict=True)}
        self._unseen_weight = self._weight(UNSEEN_RATE)
        self._rows: dict[AlertType, dict[AlertType, float]] = {}
        self._pairs = 0

    @classmethod
    def load(cls, bundle: Bundle) -> Self:
        """Reads a bundle.

        Raises:
            ModelError: A file is missing or is not what it should be.
        """
        return cls.read({name: bundle.read(name) for name in (NAMES, MATRIX)}, bundle.objects.root)

    @classmethod
    def read(cls, files: Mapping[str, bytes], where: str = "") -> Self:
        """Reads the files of a bundle, as `learned_bytes` gives them.

        Raises:
            ModelError: One is not what it should be.
        """
        try:
            learned = msgspec.json.decode(files[NAMES], type=_Learned)
            with np.load(io.BytesIO(files[MATRIX]), allow_pickle=False) as arrays:
                matrix, rates = arrays["affinity"], arrays["rate"]
        except (msgspec.MsgspecError, ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
            raise ModelError(f"{where}: cannot be read as an affinity ({error}); restore the bundle") from None
        return cls(learned.names, matrix, rates)

    def between(self, one: AlertType, other: AlertType) -> float:
        """How alike two types are; 1 for a type and itself."""
        row = self.row(one)
        found = row.get(other)
        if found is None:
            first, second = (one, other) if one.text <= other.text else (other, one)
            found = row[other] = max(self._together(first, second), techniques_alike(one.technique, other.technique))
            self._pairs += 1
        return found

    def row(self, kind: AlertType) -> dict[AlertType, float]:
        """What was worked out for a type already: to be looked into before `between` is asked, and soon dropped."""
        found = self._rows.get(kind)
        if found is None:
            if self._pairs >= _MOST_PAIRS or len(self._rows) >= _MOST_ROWS:
                self._rows, self._pairs = {}, 0
            found = self._rows[kind] = {}
        return found

    def rate(self, text: str) -> float:
        """In how many seconds of a day a type came, where training saw it; else `UNSEEN_RATE`."""
        place = self._places.get(text)
        return UNSEEN_RATE if place is None else self._rates[place]

    def weight(self, text: str) -> float:
        """What a type that goes on tells of what goes on: more, the rarer it is; always a multiple of 1/64.

        So sums of weights are exact, and the same in whatever order.
        """
        return self._weights.get(text, self._unseen_weight)

    def _weight(self, rate: float) -> float:
        return max(round(64 * math.log(self._most / max(rate, _LEAST_RATE))), 6) / 64 if self._rates else 1.0

    def _together(self, one: AlertType, other: AlertType) -> float:
        if one.text == other.text:
            return 1.0
        (row, sure), (column, also) = self._place(one.text), self._place(other.text)
        words = WORDS_COUNT * texts_alike(self._pieces_of(one.text), self._pieces_of(other.text))
        return max(sure * also * float(self._matrix[row, column]), words) if row >= 0 and column >= 0 else words

    def _place(self, text: str) -> tuple[int, float]:
        """The row that stands for a name, and how well it does; -1 for none."""
        place = self._places.get(text)
        if place is not None:
            return place, 1.0
        found = self._borrowed.get(text)
        if found is None:
            pieces = self._pieces_of(text)
            alike = [texts_alike(pieces, each) for each in self._pieces]
            best = max(range(len(alike)), key=alike.__getitem__, default=-1)
            found = (best, alike[best]) if best >= 0 and alike[best] >= BORROWS_FROM else (-1, 0.0)
            if len(self._borrowed) >= _MOST_BORROWED:
                self._borrowed.clear()
            self._borrowed[text] = found
        return found

    def _pieces_of(self, text: str) -> frozenset[str]:
        found = self._cut.get(text)
        if found is None:
            found = _pieces(text)
            self._cut.put(text, found)
        return found


_CUT = 1_000  # names whose pieces are kept: about 10 MB
_MOST_PAIRS = 100_000  # about 20 MB
_MOST_ROWS = 10_000
_MOST_BORROWED = 10_000


class _Learned(msgspec.Struct, frozen=True):
    names: list[str]


def techniques_alike(one: str, other: str) -> float:
    """How alike two techniques are: the same, of one parent, of one tactic; 0 when one is unknown."""
    if not one or not other:
        return 0.0
    if one == other:
        return SAME
    if parent_of(one) == parent_of(other):
        return SAME_PARENT
    table = attack_table()
    return SAME_TACTIC if set(table.tactics_of(one)) & set(table.tactics_of(other)) else 0.0


def texts_alike(one: frozenset[str], other: frozenset[str]) -> float:
    """The share of their pieces that two names have in common, 0 to 1."""
    return len(one & other) / len(one | other) if one and other else 0.0


def _pieces(text: str) -> frozenset[str]:
    """Words of a name, and runs of three characters in them."""
    found: dict[str, None] = {}
    for word in text.split():
        found[word] = None
        for start in range(len(word) - _PIECE + 1):
            found[word[start : start + _PIECE]] = None
        if len(found) > _MOST_PIECES:
            break
    return frozenset(found)


def learned_bytes(names: Sequence[str], matrix: NDArray[np.floating], rates: NDArray[np.floating]) -> dict[str, bytes]:
    """The files of a bundle that `Affinity.load` reads."""
    arrays = io.BytesIO()
    np.savez_compressed(arrays, affinity=matrix.astype(np.float16), rate=rates.astype(np.float32))
    return {NAMES: msgspec.json.encode(_Learned(list(names))), MATRIX: arrays.getvalue()}
