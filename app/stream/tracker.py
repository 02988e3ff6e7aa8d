"""Which records are safe, and how far without a gap: the only place that says what may be acknowledged."""

from __future__ import annotations

import itertools
import operator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Tracker:
    """Counts what each row of a batch still waits for.

    A row is safe when it is settled (skipped, or all its outputs are known) and each of its outputs has been accepted.
    `prefix` only ever exposes the rows before the first one that is not safe, whatever the order in which they
    become so.
    """

    def __init__(self, rows: int) -> None:
        """Starts with every row unsafe."""
        self._waiting = [1] * rows  # the 1 is the row's own: it is not settled yet
        self._prefix = 0

    def expect(self, rows: Iterable[int]) -> None:
        """Says that each of these rows waits for one more output; to be said before the row is settled."""
        self._add(1, rows)

    def settle(self, rows: Iterable[int]) -> None:
        """Says that no further outputs of these rows will be expected."""
        self._add(-1, rows)

    def accepted(self, rows: Iterable[int]) -> None:
        """Says that one output of each of these rows is safe."""
        self._add(-1, rows)

    def _add(self, change: int, rows: Iterable[int]) -> None:
        waiting = self._waiting
        if isinstance(rows, range):
            part = slice(rows.start, rows.stop, rows.step)
            waiting[part] = [count + change for count in waiting[part]]
            return
        for row in rows:
            waiting[row] += change

    @property
    def prefix(self) -> int:
        """How many rows are safe from the first one on, without a gap."""
        left = itertools.islice(self._waiting, self._prefix, None)
        self._prefix += len(list(itertools.takewhile(operator.not_, left)))
        return self._prefix

    @property
    def ahead(self) -> int:
        """How many rows behind the first unsafe one are safe already: they come again, with the same ids."""
        return self._waiting[self.prefix :].count(0)
