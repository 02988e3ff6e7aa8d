"""Calls that run beside the code that starts them, with its clock and its random numbers.

Everything in the delivery that takes time or is left to chance goes through here. In production these are threads, the
machine's clock and random numbers; the test kit has one thread, a simulated clock and a seed.
"""

from __future__ import annotations

import random
import threading
import uuid
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar

from app.stream.deadline import SYSTEM_CLOCK

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from app.stream.deadline import Clock

P = ParamSpec("P")
T = TypeVar("T")
U = TypeVar("U")
CallT = TypeVar("CallT", bound="Future[Any]")


class Workers(Protocol):
    """Runs calls beside the caller.

    Attributes:
        clock: The clock of whatever waits.
    """

    clock: Clock

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Start a call."""

    def wait(self, calls: Collection[CallT], timeout_s: float) -> list[CallT]:
        """Return the calls that have ended, waiting for the first one at most `timeout_s`; with no calls just wait."""

    def uniform(self, low: float, high: float) -> float:
        """Return a random number between two."""

    def unique(self) -> str:
        """Return a name that nothing else has."""

    def renew(self) -> None:
        """Abandon the calls that do not end, so that new ones need not wait for them."""

    def close(self) -> None:
        """Start nothing further."""


class Threads:
    """Workers that are threads; none is started before the first call."""

    def __init__(self, count: int, clock: Clock = SYSTEM_CLOCK) -> None:
        """Take the number of calls that run at once."""
        self.clock = clock
        self._count = count
        self._pool = _Pool(count)

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Start a call in a thread that is free, or as soon as one is."""
        return self._pool.submit(function, *args, **kwargs)

    def wait(self, calls: Collection[CallT], timeout_s: float) -> list[CallT]:
        """Return the calls that have ended, waiting for the first one at most `timeout_s`."""
        if not calls:
            self.clock.sleep(timeout_s)
            return []
        ended = [call for call in calls if call.done()]
        if ended or timeout_s <= 0:
            return ended
        wait(calls, timeout_s, FIRST_COMPLETED)
        return [call for call in calls if call.done()]

    def uniform(self, low: float, high: float) -> float:
        """Return a random number between two."""
        return random.uniform(low, high)  # noqa: S311 - no secret

    def unique(self) -> str:
        """Return a random UUID."""
        return uuid.uuid4().hex

    def renew(self) -> None:
        """Leave threads that wait for calls without an end, and continue with new ones."""
        former, self._pool = self._pool, _Pool(self._count)
        former.close()

    def close(self) -> None:
        """End the threads as soon as their calls have ended."""
        self._pool.close()


class _Pool:
    """Threads that take calls in turn, and that the end of the process does not wait for.

    The threads of a `ThreadPoolExecutor` it waits for, also for one whose call never ends.
    """

    def __init__(self, count: int) -> None:
        self._work: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._starting = threading.Lock()
        self._count, self._started = count, 0

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        self._work.put((future, partial(function, *args, **kwargs)))
        if not self._idle.acquire(blocking=False):
            with self._starting:
                if self._started < self._count:
                    self._started += 1
                    threading.Thread(target=self._serve, daemon=True, name=f"millrace-{self._started}").start()
        return future

    def close(self) -> None:
        while True:
            try:
                waiting = self._work.get_nowait()
            except Empty:
                break
            if waiting:
                waiting[0].cancel()
        for _ in range(self._started):
            self._work.put(None)

    def _serve(self) -> None:
        while work := self._work.get():
            future, call = work
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call())
                except BaseException as error:  # noqa: BLE001 - it is raised again where the result is taken
                    future.set_exception(error)
            del work, future, call  # else an idle thread would keep the last call's payloads
            self._idle.release()


def call_within(workers: Workers, seconds: float, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Return the result of a call that may go on for ever: an answer that trickles outlasts any timeout of a socket.

    Raises:
        TimeoutError: It has not ended in time. It is abandoned.
    """
    call = workers.submit(function, *args, **kwargs)
    if not workers.wait([call], seconds):
        workers.renew()
        raise TimeoutError
    try:
        return call.result()
    except CancelledError:  # another caller has renewed the workers before this call was begun
        raise TimeoutError from None
