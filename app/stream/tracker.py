"""Which records are safe, and how far without a gap: the only place that says what may be acknowledged."""

from __future__ import annotations

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
        for row in rows:
            self._waiting[row] += 1

    def settle(self, rows: Iterable[int]) -> None:
        """Says that no further outputs of these rows will be expected."""
        for row in rows:
            self._waiting[row] -= 1

    def accepted(self, rows: Iterable[int]) -> None:
        """Says that one output of each of these rows is safe."""
        for row in rows:
            self._waiting[row] -= 1

    @property
    def prefix(self) -> int:
        """How many rows are safe from the first one on, without a gap."""
        waiting, row = self._waiting, self._prefix
        while row < len(waiting) and waiting[row] == 0:
            row += 1
        self._prefix = row
        return row

    @property
    def ahead(self) -> int:
        """How many rows behind the first unsafe one are safe already: they come again, with the same ids."""
        return self._waiting[self.prefix :].count(0)
