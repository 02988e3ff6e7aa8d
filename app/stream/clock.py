"""The clock that reading and invoking go by, so that a test's seconds need not be a person's."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """What is the time, and wait."""

    def time(self) -> float:
        """Seconds since 1970."""

    def monotonic(self) -> float:
        """Seconds that never go back."""

    def sleep(self, seconds: float) -> None:
        """Waits."""


class SystemClock:
    """The machine's clock."""

    def time(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Waits."""
        time.sleep(seconds)


SYSTEM_CLOCK = SystemClock()
