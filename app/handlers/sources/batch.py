"""The part that all batch sources share: records are handled one at a time, and a failure harms no other record.

A record fails, and its neighbours go on. Where order matters, records share a lane: after one that has failed, nothing
more of its lane is started. Once the deadline has passed nothing at all is started. Nothing that a record holds, and
nothing that a handler raises on it, ends the batch.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from app import telemetry
from app.errors import EventError, MillraceError, RequestError, UnacknowledgedError
from app.handlers.base import call
from app.handlers.invocation import FRAMES_LOGGED, Invocation, run
from app.text import sanitize_id

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.handlers.base import LambdaHandler
    from app.handlers.sources.envelope import Event

Record = TypeVar("Record")

IDS_SHOWN = 5  # in an error's one line; the log has each

RECORDS, PROCESSED, FAILED, SKIPPED = "records", "processed", "failed", "skipped"
NOT_STARTED, REPEATED = "not_started", "repeated"
COUNTS = (RECORDS, PROCESSED, FAILED, SKIPPED, NOT_STARTED, REPEATED)
"""An invocation's metrics besides the usual: the last five add up to the first."""


@dataclass(frozen=True, slots=True)
class Item(Generic[Record]):
    """One record of a batch.

    Attributes:
        id: The id for handing the record back. A record whose id a batch has twice is handled once.
        record: The record, as the event has it; an error if it cannot be read, so that it fails.
        lane: The name of the lane: after a failure in it, its later records are not started. None is no lane.
    """

    id: str
    record: Record | EventError
    lane: str | None = None


@dataclass(frozen=True, slots=True)
class Source(Generic[Record]):
    """The steps in which sources differ.

    Attributes:
        id_name: The name of a record's id in logs.
        read: Reads the records of an event; raises EventError for an event of another source.
        request_of: Makes the request of a record, unless the function has a `request_of` of its own.
        respond: Makes the function's response.
        encode: Makes of a handler's response what `respond` needs of it; by default responses are not kept.
        correlated: Whether the record's id is the correlation id of an event with one record.
    """

    id_name: str
    read: Callable[[Event], Sequence[Item[Record]]]
    request_of: Callable[[Record], Any]
    respond: Callable[[BatchResult], Any]
    encode: Callable[[LambdaHandler[Any, Any], Any], Any] | None = None
    correlated: bool = False


@dataclass(slots=True)
class BatchResult:
    """What became of the records of a batch.

    Attributes:
        records: The number of records.
        results: The metric that counts each record, by id and in the batch's order, with the response where the source
            keeps it.
    """

    records: int
    results: dict[str, tuple[str, Any]] = field(default_factory=dict)

    @property
    def again(self) -> list[str]:
        """Return the ids of the records that failed or were not started, in their order."""
        return [record_id for record_id, (count, _) in self.results.items() if count in {FAILED, NOT_STARTED}]


class SourceFunction(Generic[Record]):
    """A handler class behind a source, as the function that Lambda calls."""

    def __init__(
        self,
        handler_class: type[LambdaHandler[Any, Any]],
        source: Source[Record],
        should_process: Callable[[Record], bool] | None = None,
        request_of: Callable[[Record], Any] | None = None,
    ) -> None:
        """Take the class; open nothing yet.

        Args:
            handler_class: The class whose `handle` is called for each record.
            source: The source of the records.
            should_process: Returns False for a record that needs no work; it counts as done.
            request_of: Makes the request of a record, in place of the source's own; see `LambdaHandler.decode`.
        """
        self.handler_class = handler_class
        self._function = handler_class.get_handler()
        self._source, self._should_process = source, should_process
        self._request_of = request_of or source.request_of

    def open(self) -> LambdaHandler[Any, Any]:
        """Return the handler, opened once."""
        return self._function.open()

    def __call__(self, event: Event, context: Any = None) -> Any:  # noqa: ANN401 - Lambda's context; JSON
        """Handle one event.

        Raises:
            EventError: The event is not of this source; its message names its own source.
            UnacknowledgedError: Records have failed, and the source takes no answer but success and failure.
            MillraceError: The handler cannot be opened.
        """
        items: Sequence[Item[Record]] = ()
        fault: EventError | None = None
        try:
            items = self._source.read(event)
        except EventError as error:
            fault = error

        def work(invocation: Invocation) -> Any:  # noqa: ANN401 - JSON
            if fault is not None:
                raise fault
            return self._source.respond(self._process(items, invocation))

        correlation_id = items[0].id if self._source.correlated and len(items) == 1 else ""
        return run(self.handler_class.name, work, context, correlation_id=correlation_id)

    def _process(self, items: Sequence[Item[Record]], invocation: Invocation) -> BatchResult:
        """Handle each record that may be started."""
        metrics, handler = invocation.metrics, self.open()
        for name in COUNTS:
            metrics.count(name, 0)
        metrics.count(RECORDS, len(items))
        outcome = BatchResult(len(items))
        closed: set[str] = set()
        for item in items:
            if item.id in outcome.results:
                metrics.count(REPEATED)
                continue
            result: tuple[str, Any] = (NOT_STARTED, None)
            if item.lane not in closed and invocation.deadline.remaining_s() > 0:
                with telemetry.bound({self._source.id_name: sanitize_id(item.id)}):
                    result = self._handle(handler, item.record, invocation)
            outcome.results[item.id] = result
            count, _ = result
            metrics.count(count)
            if count in {FAILED, NOT_STARTED} and item.lane is not None:
                closed.add(item.lane)
        if again := outcome.again:
            more = {"records": len(items), "again": len(again), "first": sanitize_id(again[0])}
            invocation.logger.warning("not all records are done", extra=more)
        return outcome

    def _handle(
        self, handler: LambdaHandler[Any, Any], record: Record | EventError, invocation: Invocation
    ) -> tuple[str, Any]:
        """Handle one record; return the metric that counts it, and the response where it is kept."""
        if isinstance(record, EventError):
            return _failed(record, invocation), None
        try:
            if self._should_process is not None and not self._should_process(record):
                return SKIPPED, None
            response = call(handler, handler.decode(self._request_of(record)), invocation)
            return PROCESSED, self._source.encode(handler, response) if self._source.encode else None
        except Exception as error:  # noqa: BLE001 - a record must not end the batch
            return _failed(error, invocation), None


def _failed(error: Exception, invocation: Invocation) -> str:
    message, more = described_failure(error)
    invocation.logger.warning("record failed: %s", message, extra=more)
    return FAILED


def described_failure(error: Exception) -> tuple[str, dict[str, object]]:
    """Return a failure's reason for the log; of an error that may quote a payload, its type and its lines of code."""
    if isinstance(error, RequestError):
        return f"{type(error).__name__} at {sanitize_id(error.known) or 'the whole'}", {}
    if isinstance(error, MillraceError):
        return str(error), {}
    innermost = traceback.extract_tb(error.__traceback__)[-FRAMES_LOGGED:]
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in innermost]
    return type(error).__name__, {"exception": type(error).__name__, "frames": frames}


def all_or_nothing(outcome: BatchResult) -> None:
    """Raise for a source that delivers an event again as a whole, or not at all.

    Raises:
        UnacknowledgedError: Not all records are done.
    """
    if not outcome.again:
        return
    ids = ", ".join(map(sanitize_id, outcome.again[:IDS_SHOWN]))
    more = f" and {len(outcome.again) - IDS_SHOWN} more" if len(outcome.again) > IDS_SHOWN else ""
    raise UnacknowledgedError(
        f"{len(outcome.again)} of {outcome.records} records are not done ({ids}{more}): the log says why; Lambda tries "
        "the event again, then sends it to the function's on-failure destination"
    )
