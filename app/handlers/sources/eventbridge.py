"""An event of an Amazon EventBridge bus, rule or schedule, as one request.

The event: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-events-structure.html. EventBridge calls the
function asynchronously: one that fails is called again with the same event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from app import telemetry
from app.errors import EventError
from app.handlers.base import call
from app.handlers.invocation import Invocation, run
from app.handlers.request import UNREADABLE, check_elements
from app.handlers.sources.batch import FAILED, PROCESSED, RECORDS, SKIPPED
from app.handlers.sources.envelope import Event, convert, described, lenient, read_object
from app.text import sanitize_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.handlers.base import LambdaHandler

Handler = TypeVar("Handler", bound="LambdaHandler[Any, Any]")


class EventBridgeEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event of EventBridge.

    Attributes:
        source: The sender, such as `aws.ec2`.
        detail_type: The kind of event.
        detail: The content. A text that is a JSON object is read as one: EventBridge Scheduler's events have `"{}"`.
        id: The event's id, which a repeated delivery has too.
        time: The time of the event, ISO 8601.
        account: The sender's account.
        region: The sender's region.
        resources: The ARNs of the resources concerned.
    """

    source: str
    detail_type: str = msgspec.field(name="detail-type")
    detail: dict[str, Any]
    id: str = ""
    time: str = ""
    account: str = ""
    region: str = ""
    resources: list[str] = []


class EventBridgeFunction(Generic[Handler]):
    """A handler class behind EventBridge, as the function that Lambda calls."""

    def __init__(
        self,
        handler_class: type[Handler],
        should_process: Callable[[EventBridgeEvent], bool] | None,
        request_of: Callable[[EventBridgeEvent], Any] | None,
    ) -> None:
        """Take the class; open nothing yet."""
        self.handler_class = handler_class
        self._function = handler_class.get_handler()
        self._should_process, self._request_of = should_process, request_of or _detail

    def open(self) -> Handler:
        """Return the handler, opened once."""
        return self._function.open()

    def __call__(self, event: Event, context: Any = None) -> Any:  # noqa: ANN401 - Lambda's context; JSON
        """Handle one event; return the handler's response, or None where `should_process` is False.

        Raises:
            EventError: It is not an event of EventBridge; the message names its own source.
            MillraceError: The handler raised it, so that Lambda tries again; see `app.handlers.invocation.run`.
        """
        try:
            read: EventBridgeEvent | EventError = read_event(event)
        except EventError as error:
            read = error

        def work(invocation: Invocation) -> Any:  # noqa: ANN401 - JSON
            if isinstance(read, EventError):
                raise read
            with telemetry.bound({"event_id": sanitize_id(read.id)}):
                return self._answer(read, invocation)

        correlation_id = read.id if isinstance(read, EventBridgeEvent) else ""
        return run(self.handler_class.name, work, context, correlation_id=correlation_id)

    def _answer(self, event: EventBridgeEvent, invocation: Invocation) -> Any:  # noqa: ANN401 - JSON
        count, metrics, handler = FAILED, invocation.metrics, self.open()
        for name in (PROCESSED, FAILED, SKIPPED):
            metrics.count(name, 0)
        metrics.count(RECORDS)
        try:
            if self._should_process is not None and not self._should_process(event):
                count = SKIPPED
                return None
            response = handler.encode(call(handler, handler.decode(self._request_of(event)), invocation))
            count = PROCESSED
            return response
        finally:
            metrics.count(count)


def eventbridge_handler(
    handler_class: type[Handler],
    *,
    should_process: Callable[[EventBridgeEvent], bool] | None = None,
    request_of: Callable[[EventBridgeEvent], Any] | None = None,
) -> EventBridgeFunction[Handler]:
    """Return a function that handles an event and returns the handler's response.

    Args:
        handler_class: The class that handles an event.
        should_process: Returns False for an event that needs no work.
        request_of: Makes the request of an event, in place of its detail.
    """
    return EventBridgeFunction(handler_class, should_process, request_of)


def read_event(event: Event) -> EventBridgeEvent:
    """Read an event of EventBridge.

    Raises:
        EventError: It is something else.
    """
    document = read_object(event)
    if "detail-type" not in document or "source" not in document:
        raise EventError(
            f"event: not of EventBridge ({described(document)}): check the trigger, or its input transformer"
        )
    detail = _object_in(document["detail"]) if isinstance(document.get("detail"), str) else document.get("detail", {})
    try:
        return convert({**document, "detail": detail}, EventBridgeEvent)
    except EventError:  # a field that is null, or a number as text
        return convert({**lenient(document), "detail": {} if detail is None else detail}, EventBridgeEvent)


def _object_in(text: str) -> Any:  # noqa: ANN401 - any JSON
    """Return the JSON object in a text, or the text where it holds none."""
    check_elements(text, "event: detail", EventError)
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except UNREADABLE:
        return text


def _detail(event: EventBridgeEvent) -> dict[str, Any]:
    return event.detail
