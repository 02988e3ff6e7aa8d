"""Track which records of a batch are safe: nothing else decides what may be acknowledged."""

from __future__ import annotations

import itertools
import operator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Tracker:
    """Counts the outputs that each row of a batch still waits for.

    A row is safe when it is settled (skipped, or all its outputs are known) and each of its outputs has been accepted.
    `prefix` exposes only the rows before the first unsafe one, whatever the order in which rows become safe.
    """

    def __init__(self, rows: int) -> None:
        """Start with every row unsafe."""
        self._waiting = [1] * rows  # the 1 is the row's own: it is not settled yet
        self._prefix = 0

    def expect(self, rows: Iterable[int]) -> None:
        """Expect one more output of each of these rows; call it before they are settled."""
        self._add(1, rows)

    def settle(self, rows: Iterable[int]) -> None:
        """Mark rows as settled: no further outputs of them will be expected."""
        self._add(-1, rows)

    def accepted(self, rows: Iterable[int]) -> None:
        """Mark one output of each of these rows as safe."""
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
        """Return the number of safe rows from the first one on, without a gap."""
        left = itertools.islice(self._waiting, self._prefix, None)
        self._prefix += len(list(itertools.takewhile(operator.not_, left)))
        return self._prefix

    @property
    def is_done(self) -> bool:
        """Return whether every row is safe."""
        return self.prefix == len(self._waiting)

    @property
    def ahead(self) -> int:
        """Return the number of safe rows after the first unsafe one: they come again, with the same ids."""
        return self._waiting[self.prefix :].count(0)
