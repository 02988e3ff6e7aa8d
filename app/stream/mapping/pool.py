"""Invocations under way: none beside the caller with one target, one a target with several.

A target serves one caller at a time: an emulator ends at a second one, and a handler need not be made for threads.
"""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.stream.mapping.invoke import Answer, Target

Ticket = TypeVar("Ticket")


class Pool(Protocol[Ticket]):
    """Runs invocations and hands back their answers, in whatever order they come."""

    @property
    def free(self) -> bool:
        """Whether another invocation may be started."""

    @property
    def busy(self) -> bool:
        """Whether there are answers to wait for."""

    def start(self, ticket: Ticket, event: bytes) -> None:
        """Starts an invocation; only when `free`."""

    def answers(self, wait_s: float) -> list[tuple[Ticket, Answer]]:
        """The answers that are there; waits so long for one if there is none."""


class Inline(Generic[Ticket]):
    """One target, called by the caller itself: Ctrl-C reaches it, and nothing runs beside it."""

    def __init__(self, target: Target) -> None:
        """Takes the target."""
        self._target = target
        self._answered: list[tuple[Ticket, Answer]] = []

    @property
    def free(self) -> bool:
        """Until an answer waits to be taken."""
        return not self._answered

    @property
    def busy(self) -> bool:
        """While an answer waits to be taken."""
        return bool(self._answered)

    def start(self, ticket: Ticket, event: bytes) -> None:
        """Invokes, and is back when the answer is there."""
        self._answered.append((ticket, self._target.invoke(event)))

    def answers(self, wait_s: float) -> list[tuple[Ticket, Answer]]:  # noqa: ARG002 - there is nothing to wait for
        """The one answer, if it has not been taken."""
        taken, self._answered = self._answered, []
        return taken


class Threads(Generic[Ticket]):
    """Several targets, each with a thread of its own, which ends with the process."""

    def __init__(self, targets: Sequence[Target]) -> None:
        """Starts the threads."""
        self._work: queue.SimpleQueue[tuple[Ticket, bytes]] = queue.SimpleQueue()
        self._answered: queue.SimpleQueue[tuple[Ticket, Answer | BaseException]] = queue.SimpleQueue()
        self._targets, self._under_way = len(targets), 0
        for target in targets:
            threading.Thread(target=self._serve, args=(target,), daemon=True, name="invocations").start()

    @property
    def free(self) -> bool:
        """Whether a target has nothing to do."""
        return self._under_way < self._targets

    @property
    def busy(self) -> bool:
        """Whether a target has something to do."""
        return self._under_way > 0

    def start(self, ticket: Ticket, event: bytes) -> None:
        """Hands an event to whichever target takes it first."""
        self._under_way += 1
        self._work.put((ticket, event))

    def answers(self, wait_s: float) -> list[tuple[Ticket, Answer]]:
        """All answers that are there; a fault of this program in a thread is raised here."""
        found: list[tuple[Ticket, Answer]] = []
        while self._under_way:
            try:
                ticket, answer = self._answered.get(timeout=0 if found else wait_s)
            except queue.Empty:
                break
            self._under_way -= 1
            if isinstance(answer, BaseException):
                raise answer
            found.append((ticket, answer))
        return found

    def _serve(self, target: Target) -> None:
        while True:
            ticket, event = self._work.get()
            try:
                self._answered.put((ticket, target.invoke(event)))
            except BaseException as error:  # noqa: BLE001 - it is raised again where the answers are taken
                self._answered.put((ticket, error))
