"""Tumbling windows: the state that a function hands from one batch of a window to the next.

The rules: https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-windows.html. Where AWS says nothing, this is
what happens here: the final invocation holds no records; a window is over when a record of a later one is at hand, when
its shard has ended, or when the clock has passed its end and the shard has been read to its tip since; a record whose
arrival lies before the open window is counted to it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.stream.mapping.event import Record

STATE_BYTES = 1024 * 1024  # "a maximum of 1 MB per shard"
GRACE_S = 1.0  # a record's arrival time may lie a little before the moment when it can be read


@dataclass(slots=True)
class Window:
    """A window of one shard that is open.

    Attributes:
        start_s: When it starts, in seconds since 1970.
        seconds: How long it is.
        state: The last return of the function for it.
        terminated_early: Whether its state has become too large.
        first: The first record in it; None before there is one that is done.
        last: The last record in it that is done.
        records: How many are done.
    """

    start_s: int
    seconds: int
    state: Any = field(default_factory=dict)
    terminated_early: bool = False
    first: Record | None = None
    last: Record | None = None
    records: int = 0

    @classmethod
    def around(cls, arrived_s: float, seconds: int) -> Window:
        """Return the window of a moment: boundaries are multiples of the length since 1970."""
        return cls(int(arrived_s // seconds) * seconds, seconds)

    @property
    def end_s(self) -> int:
        """Return its end, in seconds since 1970."""
        return self.start_s + self.seconds

    def holds(self, record: Record) -> bool:
        """Return whether a record belongs to it: it arrived before its end."""
        return record.arrived_s < self.end_s

    def is_over(self, read_at_s: float, behind_ms: int | None) -> bool:
        """Return whether no more records can come, as far as the clock says.

        Args:
            read_at_s: When the shard was read last, in seconds since 1970.
            behind_ms: How far that was from its tip.
        """
        return behind_ms == 0 and read_at_s >= self.end_s + GRACE_S

    def fields(self, shard_id: str, arn: str, *, final: bool) -> dict[str, Any]:
        """Return the fields of an event of this window besides its records."""
        return {
            "window": {"start": _iso(self.start_s), "end": _iso(self.end_s)},
            "state": self.state,
            "shardId": shard_id,
            "eventSourceARN": arn,
            "isFinalInvokeForWindow": final,
            "isWindowTerminatedEarly": self.terminated_early,
        }

    def take(self, done: Sequence[Record], state: object) -> None:
        """Take over the function's state after records that are done."""
        if done:
            self.first = self.first or done[0]
            self.last = done[-1]
            self.records += len(done)
        self.state = state
        self.terminated_early = len(msgspec.json.encode(state)) > STATE_BYTES

    @staticmethod
    def lacks_state(answer: object) -> bool:
        """Return whether an answer has no `state` that JSON can hold: such an invocation has failed."""
        try:
            return not (isinstance(answer, dict) and msgspec.json.encode(answer["state"]))
        except (KeyError, TypeError, ValueError, RecursionError):
            return True


def _iso(moment_s: float) -> str:
    return datetime.fromtimestamp(moment_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
