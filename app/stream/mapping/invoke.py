"""Invoking a function: what an answer means, and a handler in this process.

What of a response counts: https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from app.errors import MillraceError
from app.stream.context import LocalContext

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

OK, TOO_LARGE = 200, 413
UNHANDLED = "Unhandled"

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
