"""The clock of a tenant's flows: the latest end of a cluster."""

from __future__ import annotations

_TICKS_PER_WINDOW = 16  # how often old steps are forgotten


class Clock:
    """The latest end of a cluster, by which old steps are forgotten.

    An end further ahead than the window counts only when a second cluster confirms it, so that one wrong clock does
    not make everything else old.

    Attributes:
        now: The latest end that counts.
        ahead: Id and end of a cluster that is too far ahead to count yet.
        horizon: Steps that ended before it are forgotten; it moves in ticks.
    """

    def __init__(self, window_s: float) -> None:
        """Start before every time."""
        self._window_s = window_s
        self.now = float("-inf")
        self.ahead: tuple[int, float] | None = None
        self.horizon = float("-inf")

    def move(self, cluster: int, end: float, latest: float) -> bool:
        """Note the end of a cluster; return whether the horizon moved.

        Args:
            cluster: Its id.
            end: Its end.
            latest: The latest time that the clock can have.
        """
        if latest < self.now:
            self.now, self.horizon, self.ahead = latest, min(self.horizon, self._horizon(latest)), None
        end = min(end, latest)
        limit = self.now + self._window_s
        if self.now != float("-inf") and end > limit:
            if self.ahead is None or self.ahead[0] == cluster or self.ahead[1] <= limit:
                self.ahead = (cluster, end)
                return False
            end, self.ahead = min(end, self.ahead[1]), None
        if end <= self.now:
            return False
        self.now = end
        horizon = self._horizon(end)
        moved, self.horizon = horizon > self.horizon, max(horizon, self.horizon)
        return moved

    def _horizon(self, now: float) -> float:
        tick = self._window_s / _TICKS_PER_WINDOW
        return now // tick * tick - self._window_s
