"""One thread with simulated time: a timeline of events, its clock, and workers whose calls are events.

A call that code starts beside itself takes effect at one simulated moment and answers at a later one, in an order that
the seed decides. A process may end at any call; what it had sent by then may still arrive.
"""

from __future__ import annotations

import heapq
import math
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Collection, Iterator

    from app.stream.deadline import Clock

P = ParamSpec("P")
T = TypeVar("T")
U = TypeVar("U")
CallT = TypeVar("CallT", bound="Future[Any]")

BEGIN_S = 1_767_225_600.0  # 2026-01-01, UTC
LEAST_SLEEP_S = 0.2  # a busy machine may wake late; a reader may read a shard five times a second, so less is idle
LEAST_STEP_S = 1e-6  # what is waited for by less would never come: seconds since 1970 are no finer
CALL_S = (0.001, 0.015)  # a call's way to the service, and back


class SimulatedCrash(BaseException):
    """The end of the process, as a crash test sees it: nothing in the spine catches it."""


@dataclass(eq=False, slots=True)
class Process:
    """One simulated process.

    Attributes:
        name: Its name in the trace.
        dies_at_s: When its time is over, and it is ended wherever it is.
        dead: Whether it has ended; its calls that are under way may still take effect.
        stood_still_s: For how long its clock stood still, as a suspended machine's does.
    """

    name: str
    dies_at_s: float = math.inf
    dead: bool = False
    stood_still_s: float = 0.0


@dataclass(slots=True)
class Timeline:
    """Simulated time: it moves when something waits, and what was due meanwhile happens.

    Attributes:
        rng: Decides whatever is left to chance.
        now_s: Seconds since 1970.
        began_s: When it began.
        process: The process whose code is running.
        delay_s: Set by a service during a call of a worker: by how much later it answers.
        names: How many unique names were given.
    """

    rng: random.Random
    now_s: float = BEGIN_S
    began_s: float = BEGIN_S
    process: Process = field(default_factory=lambda: Process("none"))
    delay_s: float = 0.0
    names: int = 0
    _events: list[tuple[float, int, Callable[[], object]]] = field(default_factory=list)
    _count: int = 0
    _held: bool = False  # an event is happening: calls within it take no time of their own

    def at(self, moment_s: float, action: Callable[[], object]) -> None:
        """Let something happen at a moment."""
        self._count += 1
        heapq.heappush(self._events, (moment_s, self._count, action))

    def next_s(self) -> float | None:
        """Return when the next event is due."""
        return self._events[0][0] if self._events else None

    def step(self, end_s: float) -> bool:
        """Move to the next event and let it happen, or to `end_s` if none is due until then; return which."""
        due_s = self._events[0][0] if self._events else math.inf
        dies_s = -math.inf if self.process.dead else self.process.dies_at_s
        if dies_s <= min(due_s, end_s):
            self.now_s = max(self.now_s, dies_s)
            self.process.dead = True
            raise SimulatedCrash(f"{self.process.name}: its time is over")
        if due_s > end_s:
            self.now_s = max(self.now_s, end_s)
            return False
        _, _, action = heapq.heappop(self._events)
        self.now_s = max(self.now_s, due_s)
        self._held = True
        try:
            action()
        finally:
            self._held = False
        return True

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        if self._held:
            return
        end_s = self.now_s + max(seconds, LEAST_STEP_S)
        while self.step(end_s):
            pass

    def spend(self, low_s: float, high_s: float) -> None:
        """Let a random time pass."""
        self.advance(self.rng.uniform(low_s, high_s))

    @contextmanager
    def switch(self, process: Process, *, clock_stops: bool = False) -> Iterator[None]:
        """Run the code of another process in the middle of this one's.

        Args:
            process: The other process.
            clock_stops: Whether the clock of the present process stands still meanwhile.
        """
        before, held, began_s = self.process, self._held, self.now_s
        self.process, self._held = process, False
        try:
            yield
        finally:
            self.process, self._held = before, held
            if clock_stops:
                before.stood_still_s += self.now_s - began_s
                before.dies_at_s += self.now_s - began_s


class SimulatedClock:
    """A process's clock: the timeline's with a skew, less what it stood still."""

    def __init__(self, timeline: Timeline, process: Process, skew_s: float = 0.0) -> None:
        """Take the timeline, the process, and by how much its clock is ahead."""
        self._timeline, self._process, self._skew_s = timeline, process, skew_s

    def time(self) -> float:
        """Return the seconds since 1970, as the process has them."""
        return self._timeline.now_s + self._skew_s - self._process.stood_still_s

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return self._timeline.now_s - self._process.stood_still_s

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self._timeline.advance(max(seconds, LEAST_SLEEP_S) if seconds else 0.0)


class SimulatedWorkers:
    """Workers of one process, whose calls are events of the timeline."""

    def __init__(self, timeline: Timeline, process: Process, clock: SimulatedClock) -> None:
        """Take the timeline, the process that the calls belong to, and its clock."""
        self.clock: Clock = clock
        self._timeline, self._process = timeline, process

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Start a call: it takes effect at a moment of its own, also if the process has ended by chance."""
        timeline, process, call = self._timeline, self._process, Future[T]()
        arrives = timeline.rng.random() < 0.5  # noqa: PLR2004 - sent by a process that ends meanwhile

        def effect() -> None:
            if process.dead and not arrives:
                return
            timeline.delay_s = 0.0
            try:
                result = function(*args, **kwargs)
            except SimulatedCrash:
                process.dead = True
                if process is timeline.process:
                    raise
            except Exception as error:  # noqa: BLE001 - handed to whoever asks for the result
                timeline.at(timeline.now_s + timeline.delay_s + back_s, lambda error=error: call.set_exception(error))  # type: ignore[misc]
            else:
                timeline.at(timeline.now_s + timeline.delay_s + back_s, lambda: call.set_result(result))

        back_s = timeline.rng.uniform(*CALL_S)
        timeline.at(timeline.now_s + timeline.rng.uniform(*CALL_S), effect)
        return call

    def wait(self, calls: Collection[CallT], timeout_s: float) -> list[CallT]:
        """Return the calls that have ended, letting time pass until the first one has."""
        timeline = self._timeline
        if not calls:
            timeline.advance(timeout_s)
            return []
        end_s = timeline.now_s + max(timeout_s, LEAST_STEP_S)
        while not (ended := [call for call in calls if call.done()]) and timeout_s > 0:
            if not timeline.step(end_s):
                break
        return ended

    def uniform(self, low: float, high: float) -> float:
        """Return a random number between two."""
        return self._timeline.rng.uniform(low, high)

    def unique(self) -> str:
        """Return a name that was not given before."""
        self._timeline.names += 1
        return f"name-{self._timeline.names}"

    def renew(self) -> None:
        """Leave the calls that do not end; they still take effect."""

    def close(self) -> None:
        """Do nothing: a process's calls end with it."""
