"""The time that an invocation has left, less what it needs to answer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

WITHOUT_CONTEXT_S = 60.0  # a call by hand has no timeout; a minute ends a hopeless retry and outlasts a throttle


class Context(Protocol):
    """The part of Lambda's context object that Millrace reads."""

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until Lambda ends the invocation."""


class Deadline:
    """A moment after which nothing new is started."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Set the deadline `seconds` from now on a clock."""
        self._clock = clock
        self._at_s = clock() + seconds

    @classmethod
    def of(cls, context: Context | None, margin_ms: int) -> Deadline:
        """Return the deadline of an invocation: its timeout, less a margin for committing and answering."""
        if context is None:
            return cls(WITHOUT_CONTEXT_S)
        return cls((context.get_remaining_time_in_millis() - margin_ms) / 1000)

    def earlier(self, seconds: float) -> Deadline:
        """Return the deadline that comes `seconds` before this one."""
        return Deadline(self.remaining_s() - seconds, self._clock)

    def remaining_s(self) -> float:
        """Return the seconds left, 0 after the deadline."""
        return max(0.0, self._at_s - self._clock())
