"""The state of a tenant's flows as bytes, and the clock by which clusters are forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from app.domains.alerts.flows.entry import Entry
from app.domains.alerts.incidents import Step
from app.domains.alerts.state_bytes import pack_state, unpack_state
from app.errors import CloudError

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION = 1  # of the form of the state; one of another version is refused, never guessed at
WHAT = "state of flows"
_TICKS = 16  # a window: how often clusters are forgotten


class Clock:
    """The time by which clusters are forgotten: the latest end of a cluster.

    A time that is further ahead than the window counts only when a second cluster has one too: a single wrong clock
    must not make everything else old.

    Attributes:
        now: The latest end that counts.
        ahead: A cluster and its end that is too far ahead to count.
        horizon: What ended before is forgotten; it moves in ticks.
    """

    def __init__(self, window_s: float) -> None:
        """Starts before every time."""
        self._window_s = window_s
        self.now = float("-inf")
        self.ahead: tuple[int, float] | None = None
        self.horizon = float("-inf")

    def move(self, cluster: int, end: float) -> bool:
        """Takes note of a cluster's end; whether the horizon moved."""
        limit = self.now + self._window_s
        if self.now != float("-inf") and end > limit:
            if self.ahead is None or self.ahead[0] == cluster or self.ahead[1] <= limit:
                self.ahead = (cluster, end)
                return False
            end, self.ahead = min(end, self.ahead[1]), None
        if end <= self.now:
            return False
        self.now = end
        tick = self._window_s / _TICKS
        horizon = end // tick * tick - self._window_s
        moved, self.horizon = horizon > self.horizon, max(horizon, self.horizon)
        return moved


class _State(msgspec.Struct, array_like=True):
    version: int
    now: float
    ahead: tuple[int, float] | None
    horizon: float
    texts: list[str]
    clusters: list[_Cluster]


class _Cluster(msgspec.Struct, array_like=True):
    id: int
    start: float
    end: float
    mentioned: list[int]
    steps: list[_Step]


class _Step(msgspec.Struct, array_like=True):
    """A step, its texts by their number; its times from the cluster's start would lose bits, so they stand whole."""

    technique: int
    name: int
    src: int
    dst: int
    start: float
    end: float
    alerts: int
    first_id: int | str


def dump_state(clock: Clock, entries: Mapping[int, Entry]) -> bytes:
    """The state as bytes: each text once, clusters by id, packed."""
    numbers: dict[str, int] = {}

    def number(text: str) -> int:
        return numbers.setdefault(text, len(numbers))

    clusters = [
        _Cluster(
            entry.id,
            entry.start,
            entry.end,
            [number(entity) for entity in entry.mentioned],
            [
                _Step(
                    number(step.technique), number(step.name), number(step.src), number(step.dst),
                    step.start_time, step.end_time, step.alerts, step.first_id,
                )
                for step in entry.steps
            ],
        )
        for _, entry in sorted(entries.items())
    ]  # fmt: skip
    state = _State(VERSION, clock.now, clock.ahead, clock.horizon, list(numbers), clusters)
    return pack_state(state)


def load_state(data: bytes, clock: Clock) -> list[Entry]:
    """The clusters of a state; sets the clock.

    Raises:
        CloudError: The bytes are not a state that this version wrote.
    """
    state = unpack_state(data, _State, VERSION, WHAT)
    try:
        entries = [_entry(cluster, state.texts) for cluster in state.clusters]
    except IndexError as error:
        raise CloudError(f"{WHAT}: is not what was written ({error}); restore or delete it") from None
    clock.now, clock.ahead, clock.horizon = state.now, state.ahead, state.horizon
    return entries


def _entry(cluster: _Cluster, texts: list[str]) -> Entry:
    steps = tuple(
        Step(
            texts[step.technique], texts[step.name], texts[step.src], texts[step.dst],
            step.start, step.end, step.alerts, step.first_id,
        )
        for step in cluster.steps
    )  # fmt: skip
    return Entry(cluster.id, cluster.start, cluster.end, steps, tuple(texts[each] for each in cluster.mentioned))
