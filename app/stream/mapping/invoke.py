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

import msgspec

from app.errors import MillraceError
from app.stream.deadline import LocalContext

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

OK, TOO_LARGE = 200, 413
UNHANDLED = "Unhandled"

InvocationT = TypeVar("InvocationT")
"""The caller's own mark of an invocation, handed back with its answer."""

Handler: TypeAlias = "Callable[[bytes, LocalContext], Any]"


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome of one invocation.

    Attributes:
        value: The return of the function; None if it failed.
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
        """Invoke once and wait; a failure is an answer too."""


class InProcess:
    """A handler in this process; its context says when its time is over, and nothing ends it."""

    def __init__(self, handler: Handler, timeout_s: float) -> None:
        """Take the handler and the seconds that its context grants each invocation."""
        self._handler, self._timeout_s = handler, timeout_s

    def invoke(self, event: bytes) -> Answer:
        """Call the handler with the event's bytes; any exception is a function error, as in Lambda.

        So is a return that JSON cannot hold: the coroutine of a handler that was declared `async`, say.
        """
        context = LocalContext(self._timeout_s)
        try:
            value = self._handler(event, context)
            msgspec.json.encode(value)
            return Answer(value, request_id=context.aws_request_id)
        except Exception as error:  # noqa: BLE001 - as in Lambda, whatever a handler raises returns the batch
            # Ours are written for a person; any other may quote a payload.
            said = str(error) if isinstance(error, MillraceError) else type(error).__name__
            return Answer(fault=said, request_id=context.aws_request_id)


def first_failure(answer: object, numbers: Sequence[str]) -> int:
    """Count the records before the lowest one that an answer names as failed.

    An empty or missing list is success; an entry that is empty, null or names no record of the batch fails all of it,
    and so does an answer of another form.
    """
    failures = (answer.get("batchItemFailures") or []) if isinstance(answer, dict) else answer or []
    if not isinstance(failures, list):
        return 0
    rows = {number: row for row, number in enumerate(numbers)}
    named = [rows.get(str(each.get("itemIdentifier")), 0) if isinstance(each, dict) else 0 for each in failures]
    return min(named, default=len(numbers))


class Pool(Protocol[InvocationT]):
    """Runs invocations and hands back their answers, in whatever order they come."""

    @property
    def free(self) -> bool:
        """Return whether another invocation may be started."""

    @property
    def busy(self) -> bool:
        """Return whether there are answers to wait for."""

    def start(self, invocation: InvocationT, event: bytes) -> None:
        """Start an invocation; only when `free`."""

    def answers(self, wait_s: float) -> list[tuple[InvocationT, Answer]]:
        """Return the answers at hand; if there are none, wait that long for one."""


class Inline(Generic[InvocationT]):
    """One target, called on the caller's own thread: Ctrl-C reaches it, and nothing runs concurrently."""

    def __init__(self, target: Target) -> None:
        """Take the target."""
        self._target = target
        self._answered: list[tuple[InvocationT, Answer]] = []

    @property
    def free(self) -> bool:
        """Return whether no answer waits to be taken."""
        return not self._answered

    @property
    def busy(self) -> bool:
        """Return whether an answer waits to be taken."""
        return bool(self._answered)

    def start(self, invocation: InvocationT, event: bytes) -> None:
        """Invoke and keep the answer."""
        self._answered.append((invocation, self._target.invoke(event)))

    def answers(self, wait_s: float) -> list[tuple[InvocationT, Answer]]:  # noqa: ARG002 - there is nothing to wait for
        """Return the one answer, if it has not been taken."""
        taken, self._answered = self._answered, []
        return taken


class Threads(Generic[InvocationT]):
    """Several targets, each with a thread of its own, which ends with the process."""

    def __init__(self, targets: Sequence[Target]) -> None:
        """Start the threads."""
        self._work: queue.SimpleQueue[tuple[InvocationT, bytes]] = queue.SimpleQueue()
        self._answered: queue.SimpleQueue[tuple[InvocationT, Answer | BaseException]] = queue.SimpleQueue()
        self._targets, self._under_way = len(targets), 0
        for target in targets:
            threading.Thread(target=self._serve, args=(target,), daemon=True, name="invocations").start()

    @property
    def free(self) -> bool:
        """Return whether a target is idle."""
        return self._under_way < self._targets

    @property
    def busy(self) -> bool:
        """Return whether a target is at work."""
        return self._under_way > 0

    def start(self, invocation: InvocationT, event: bytes) -> None:
        """Hand an event to the first target that takes it."""
        self._under_way += 1
        self._work.put((invocation, event))

    def answers(self, wait_s: float) -> list[tuple[InvocationT, Answer]]:
        """Return the answers at hand; an exception in a thread is raised here."""
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
