"""Tell a record at fault from a fault of the machine or of the code, where a pipeline raises.

A record on which a pipeline raises is quarantined, so that it does not block its shard. Where the disk is full or a
file is missing, that would empty the whole stream into quarantine: such records are held, and the shard waits.
"""

from __future__ import annotations

import errno
import sys
from typing import TYPE_CHECKING, Any

from app.errors import PipelineFailedError

if TYPE_CHECKING:
    from app.storage.state import Position
    from app.stream.batch import Batch

_MACHINE = frozenset(
    {
        errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN,
    }
)  # fmt: skip
"""The errors of the operating system that no record causes by what it says."""


class RaisedInARow:
    """Counts the records in a row on which a pipeline raised one and the same exception.

    One for each processor: it counts on from batch to batch, so that small batches make no difference. A record that
    comes again, since the quarantine did not take it in time, say, is not another one.

    Attributes:
        count: How many there have been.
    """

    def __init__(self, pipeline: str, most: int = sys.maxsize) -> None:
        """Take the pipeline's name, and how many records in a row may be quarantined for one exception."""
        self.count = 0
        self._pipeline, self._most = pipeline, most
        self._parked: set[str] = set()
        self._last: tuple[str, str] | None = None
        self._counted: dict[tuple[str, str], Position] = {}  # up to where, by stream and shard

    def passed(self, *, processed: bool = True) -> None:
        """Note that the pipeline did not raise; that means nothing if it processed no record."""
        if processed:
            self.count, self._last = 0, None
            self._counted.clear()

    def passed_with_state(self) -> None:
        """Note that the pipeline read an earlier state."""
        self._parked.clear()

    def may_park(self, key: str) -> bool:
        """Note the fault of a state key; return whether the key alone is at fault, so that it can be parked.

        A wrong release or location makes every key unreadable: then the records are held, as where it raises.
        """
        self._parked.add(key)
        return len(self._parked) <= self._most

    def raised(self, error: Exception, record: Batch[Any]) -> PipelineFailedError | None:
        """Note an exception on a record alone.

        Returns:
            The fault because of which records are held, or None if the record alone is at fault. Its line has no
            message of the exception, which may quote a record.
        """
        kind = type(error).__name__, text_of(error)
        if kind != self._last:
            self.passed()
            self._last = kind
        [(shard_id, position)] = record.places()
        shard = record.stream, shard_id
        if shard not in self._counted or position > self._counted[shard]:
            self._counted[shard] = position
            self.count += 1
        raised = f"pipeline {self._pipeline} raised {kind[0]}"
        if is_of_machine(error):
            why = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
            return PipelineFailedError(
                f"{raised}{why}: no record is quarantined for it; the records come again until the fault is mended"
            )
        if self.count > self._most:
            return PipelineFailedError(
                f"{raised} on {self.count} records in a row: they are held until the pipeline is mended; if the "
                f"records are at fault, set MOST_RAISED_IN_A_ROW above {self._most}, and they are quarantined"
            )
        return None


def is_of_machine(error: Exception) -> bool:
    """Return whether an exception is a fault of the machine or of a service, whatever the record."""
    return isinstance(error, (ConnectionError, TimeoutError)) or (
        isinstance(error, OSError) and error.errno in _MACHINE
    )


def text_of(error: Exception) -> str:
    """Return an exception's message, where it has one."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - its own __str__ may raise
        return "(no text)"
