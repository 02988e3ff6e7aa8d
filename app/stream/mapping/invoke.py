"""Invoke a function: targets, their answers, and the threads that call several targets at once.

A target serves one caller at a time: an emulator ends at a second one, and a handler need not be made for threads.
The parts of a response that count: https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html.
"""

from __future__ import annotations

import queue
import threading
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypeVar

from app.errors import MillraceError
from app.stream.context import LocalContext

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

OK, TOO_LARGE = 200, 413
UNHANDLED = "Unhandled"

InvocationT = TypeVar("InvocationT")
"""The caller's own mark of an invocation, handed back with its answer."""

Handler: TypeAlias = "Callable[[bytes, LocalContext], Any]"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one invocation.

    Attributes:
        value: What the function returned; None if it failed.
        fault: Why it failed, in a line without payloads; None if it returned.
        invoked: Whether the function was reached at all. If not, trying again uses up no attempt.
        status: The HTTP status of the invocation, for the on-failure record: 200 also when the function failed.
        request_id: The invocation's id.
    """

    value: Any = None
    fault: str | None = None
    invoked: bool = True
    status: int = OK
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))


class Target(Protocol):
    """Something that can be invoked, by one caller at a time."""

    def invoke(self, event: bytes) -> Answer:
        """Invokes once and waits; a failure is an answer too."""


class InProcess:
    """A handler in this process; nothing ends it when its time is over, its context only says so."""

    def __init__(self, handler: Handler, timeout_s: float) -> None:
        """Takes the handler and the seconds that its context grants each invocation."""
        self._handler, self._timeout_s = handler, timeout_s

    def invoke(self, event: bytes) -> Answer:
        """Calls the handler with the event's bytes; whatever it raises is a function error, as in Lambda."""
        context = LocalContext(self._timeout_s)
        try:
            return Answer(self._handler(event, context), request_id=context.aws_request_id)
        except Exception as error:  # noqa: BLE001 - as in Lambda, whatever a handler raises returns the batch
            # Ours are written for a person; any other may quote a payload.
            said = str(error) if isinstance(error, MillraceError) else type(error).__name__
            return Answer(fault=said, request_id=context.aws_request_id)


def first_failure(answer: object, numbers: Sequence[str]) -> int:
    """How many records come before the lowest one that an answer names as failed.

    An empty or missing list is success; an entry that is empty, null or names no record of the batch fails all of it,
    and so does an answer of another form.
    """
    failures = (answer.get("batchItemFailures") or []) if isinstance(answer, dict) else answer or []
    if not isinstance(failures, list):
        return 0
    places = {number: place for place, number in enumerate(numbers)}
    named = [places.get(str(each.get("itemIdentifier")), 0) if isinstance(each, dict) else 0 for each in failures]
    return min(named, default=len(numbers))


class Pool(Protocol[InvocationT]):
    """Runs invocations and hands back their answers, in whatever order they come."""

    @property
    def free(self) -> bool:
        """Whether another invocation may be started."""

    @property
    def busy(self) -> bool:
        """Whether there are answers to wait for."""

    def start(self, invocation: InvocationT, event: bytes) -> None:
        """Starts an invocation; only when `free`."""

    def answers(self, wait_s: float) -> list[tuple[InvocationT, Answer]]:
        """The answers that are there; waits so long for one if there is none."""


class Inline(Generic[InvocationT]):
    """One target, called by the caller itself: Ctrl-C reaches it, and nothing runs beside it."""

    def __init__(self, target: Target) -> None:
        """Takes the target."""
        self._target = target
        self._answered: list[tuple[InvocationT, Answer]] = []

    @property
    def free(self) -> bool:
        """Until an answer waits to be taken."""
        return not self._answered

    @property
    def busy(self) -> bool:
        """While an answer waits to be taken."""
        return bool(self._answered)

    def start(self, invocation: InvocationT, event: bytes) -> None:
        """Invokes, and is back when the answer is there."""
        self._answered.append((invocation, self._target.invoke(event)))

    def answers(self, wait_s: float) -> list[tuple[InvocationT, Answer]]:  # noqa: ARG002 - there is nothing to wait for
        """The one answer, if it has not been taken."""
        taken, self._answered = self._answered, []
        return taken


class Threads(Generic[InvocationT]):
    """Several targets, each with a thread of its own, which ends with the process."""

    def __init__(self, targets: Sequence[Target]) -> None:
        """Starts the threads."""
        self._work: queue.SimpleQueue[tuple[InvocationT, bytes]] = queue.SimpleQueue()
        self._answered: queue.SimpleQueue[tuple[InvocationT, Answer | BaseException]] = queue.SimpleQueue()
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

    def start(self, invocation: InvocationT, event: bytes) -> None:
        """Hands an event to whichever target takes it first."""
        self._under_way += 1
        self._work.put((invocation, event))

    def answers(self, wait_s: float) -> list[tuple[InvocationT, Answer]]:
        """All answers that are there; a fault of this program in a thread is raised here."""
        found: list[tuple[InvocationT, Answer]] = []
        while self._under_way:
            try:
                invocation, answer = self._answered.get(timeout=0 if found else wait_s)
            except queue.Empty:
                break
            self._under_way -= 1
            if isinstance(answer, BaseException):
                raise answer
            found.append((invocation, answer))
        return found

    def _serve(self, target: Target) -> None:
        while True:
            invocation, event = self._work.get()
            try:
                self._answered.put((invocation, target.invoke(event)))
            except BaseException as error:  # noqa: BLE001 - it is raised again where the answers are taken
                self._answered.put((invocation, error))
