"""Records of an Amazon Kinesis stream, each a request, on the delivery spine.

Aggregated records, decoding, quarantine, PutRecords, the deadline and the acknowledgement are the spine's
(`app/stream/processor.py`), as are the settings: `PARTIAL_RESPONSES` where the mapping has `ReportBatchItemFailures`,
the quarantine, and the stream that responses go to.

The outcome of a record, by what its handler returns or raises:

    a response             one output with the record's partition key; of a handler that yields, one for each response
    None, or no response   nothing; the record is done
    RequestError           quarantined as `request_refused`, `too_large` or `unprocessable`
    CloudError             handed back, with all behind it: it passes, or somebody mends it;
                           so too with DeadlineError, ModelError, SettingsError, UnacknowledgedError and
                           UnreadableStateError
    anything else          quarantined as `handler_error`, with the type's name alone
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, get_args

import msgspec

from app import telemetry
from app.errors import (
    CloudError,
    DeadlineError,
    ModelError,
    NoOutputStreamError,
    RequestError,
    SettingsError,
    TooLargeError,
    UnacknowledgedError,
    UnprocessableError,
    UnreadableStateError,
)
from app.handlers.base import call
from app.handlers.invocation import Invocation, process_settings, run
from app.handlers.request import TextDecoder, takes_text
from app.handlers.sources.batch import described_failure
from app.settings import DEFAULT_ROLE
from app.stream.outcomes import Outcomes, Quarantine
from app.stream.payload import decode_payload, json_decoder
from app.stream.pipeline import Pipeline
from app.stream.processor import COMPUTE_SHARE
from app.stream.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.handlers.base import LambdaHandler
    from app.handlers.sources.envelope import Event
    from app.settings import Settings
    from app.stream.batch import Batch
    from app.stream.payload import Decoder
    from app.stream.puts import PutRecords
    from app.stream.runtime import BatchResponse

WAITS = (CloudError, DeadlineError, ModelError, SettingsError, UnacknowledgedError, UnreadableStateError)
"""Errors that are no record's fault: the shard resumes at the record that met them."""

NO_RESPONSE = (None, type(None))
SPINE_FIELDS = frozenset({"id", "source"})
"""The fields that the spine adds to every output."""

WRAPPED = "response"
"""The field for a response that is no object, or that has one of the spine's fields."""

_NOWHERE = "no-output"  # the spine asks for a stream's name; a handler that returns nothing has none to give

_current: ContextVar[tuple[Invocation, float]] = ContextVar("millrace_kinesis_invocation")  # and when to stop computing


class KinesisRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A record, for the hooks of `kinesis_handler`.

    Attributes:
        value: The record's JSON, before it is decoded to the request type; a text that is not JSON, if that type takes
            one.
        partition_key: The record's partition key; in an aggregate, its own.
        stream: The stream's name.
        shard: The shard's id.
        sequence_number: The sequence number in the shard.
        sub_sequence_number: The index in an aggregate.
        arrived_s: The time at which the stream accepted it, in seconds since 1970.
    """

    value: Any
    partition_key: str
    stream: str
    shard: str
    sequence_number: str
    sub_sequence_number: int
    arrived_s: float


class _Undecoded(msgspec.Struct, frozen=True):
    """A record for the hooks, which see its JSON before it has to be a request."""

    value: Any
    text: bytes


class _UndecodedDecoder:
    """Decodes a record's text as JSON alone, or as text where the request type takes it."""

    def __init__(self, kind: Any) -> None:  # noqa: ANN401 - a type expression
        self._decode = TextDecoder(Any).decode if takes_text(kind) else msgspec.json.Decoder().decode

    def decode(self, buf: bytes, /) -> _Undecoded:
        return _Undecoded(self._decode(buf), buf)


class HandlerPipeline(Pipeline[Any]):
    """A handler as the spine's pipeline: no record's handler is called twice within an invocation.

    Attributes:
        name: The handler's name.
        record_type: The type that the spine decodes a record to.
    """

    def __init__(
        self,
        handler: LambdaHandler[Any, Any],
        should_process: Callable[[KinesisRecord], bool] | None = None,
        request_of: Callable[[KinesisRecord], Any] | None = None,
    ) -> None:
        """Take an opened handler, and the hooks of `kinesis_handler`."""
        self._handler, self._should_process, self._request_of = handler, should_process, request_of
        self.name = handler.name
        kind = self.record_type = handler.request_type
        self._decoder: Decoder[Any] = TextDecoder(kind) if takes_text(kind) else json_decoder(kind)
        hooked = should_process is not None or request_of is not None
        self.decoder = _UndecodedDecoder(kind) if hooked else self._decoder
        response_type = get_args(handler.response_type)[0] if handler.yields else handler.response_type
        self._answers = response_type not in NO_RESPONSE
        self._whole = goes_whole(response_type)

    def process(self, batch: Batch[Any]) -> Outcomes:
        """Handle the records in order; after one that must wait, and after the deadline, none is started."""
        invocation, stops_s = _current.get()
        outcomes = Outcomes(len(batch))
        for row in range(len(batch)):
            if row > 0 and invocation.deadline.remaining_s() <= stops_s:
                outcomes.retry_from(row, "deadline")
                break
            try:
                self._handle(outcomes, batch, row, invocation)
            except WAITS:
                outcomes.retry_from(row, "handler_waits")
                break
        return outcomes

    def explain(self, record: Any) -> Mapping[str, object]:  # noqa: ANN401 - the handler's request
        """Return the request that a record becomes; the handler is not called, since it may have effects."""
        request = record.value if isinstance(record, _Undecoded) else record
        return {"handler": self.name, "request": msgspec.to_builtins(request)}

    def _handle(self, outcomes: Outcomes, batch: Batch[Any], row: int, invocation: Invocation) -> None:
        """Handle one record; a fault of its own quarantines it.

        Raises:
            MillraceError: One of `WAITS`.
        """
        number, sub = batch.sequence_numbers[row], batch.sub_sequence_numbers[row]
        with telemetry.bound({"sequence_number": number, "sub_sequence_number": sub}):
            try:
                self._respond(outcomes, batch, row, invocation)
            except Exception as error:  # halving would handle its neighbours again
                message, more = described_failure(error)
                invocation.logger.warning("record failed: %s", message, extra=more)
                if isinstance(error, WAITS):
                    raise
                outcomes.quarantine(row, *_fault(error))

    def _respond(self, outcomes: Outcomes, batch: Batch[Any], row: int, invocation: Invocation) -> None:
        request = batch.records[row]
        if isinstance(request, _Undecoded):
            record = _record(batch, row, request.value)
            if self._should_process is not None and not self._should_process(record):
                outcomes.skip(row, "not_wanted")
                return
            if self._request_of is not None:
                request = self._handler.decode(self._request_of(record))
            else:
                request = decode_payload(request.text, self._decoder)
                if isinstance(request, Quarantine):
                    outcomes.quarantine(row, request.reason, request.message)
                    return
        found = call(self._handler, request, invocation)
        responses = [each for each in (found if self._handler.yields else [found]) if each is not None]
        if not responses or not self._answers:
            outcomes.done(row)
            return
        for each in responses:
            data = output_of(self._handler.encode(each), whole=self._whole)
            outcomes.emit(row, batch.partition_keys[row], data)


class KinesisFunction:
    """A handler class behind a Kinesis stream, as the function that Lambda calls."""

    def __init__(
        self,
        handler_class: type[LambdaHandler[Any, Any]],
        role: str,
        make: Callable[[LambdaHandler[Any, Any]], HandlerPipeline],
        service: PutRecords | None,
    ) -> None:
        """Take the class; open nothing yet."""
        self.handler_class = handler_class
        self._function = handler_class.get_handler()
        self._role, self._make, self._service = role, make, service
        self._runtime: Runtime | None = None

    def open(self) -> Runtime:
        """Return the spine with the handler as its pipeline, opened once with the environment's settings.

        Raises:
            NoOutputStreamError: The handler has a response, and there is no stream for it.
            MillraceError: The handler cannot be opened.
        """
        if self._runtime is None:
            settings, name = self._settings(process_settings()), self.handler_class.name
            pipeline = self._make(self._function.open())
            self._runtime = Runtime(settings, {name: lambda _settings: pipeline}, self._service)
        return self._runtime

    def __call__(self, event: Event, context: Any = None) -> Any:  # noqa: ANN401 - Lambda's context; JSON
        """Handle one event; see `app.stream.runtime.Runtime.handle` for the response and the errors."""
        return run(self.handler_class.name, lambda invocation: self._answer(event, invocation), context)

    def _answer(self, event: Event, invocation: Invocation) -> BatchResponse:
        runtime = self.open()
        # The rest of the time is the spine's, for outputs: what is handled later than this would be handled again.
        stops_s = invocation.deadline.remaining_s() * (1 - COMPUTE_SHARE)
        token = _current.set((invocation, stops_s))
        try:
            return runtime.handle(event, invocation.context, invocation.metrics.measure)
        finally:
            _current.reset(token)

    def _settings(self, settings: Settings) -> Settings:
        """Return the settings with this handler as every stream's pipeline, and its role's stream as the output."""
        name, stream = self.handler_class.name, settings.stream_for(self._role)
        if self.handler_class.response_type in NO_RESPONSE:
            stream = _NOWHERE
        elif not stream and not settings.test_run:
            variable = "OUTPUT_STREAM" if self._role == DEFAULT_ROLE else f"OUTPUT_STREAMS={self._role}:<stream>"
            raise NoOutputStreamError(
                f"the responses of handler {name} would have nowhere to go: set {variable}, or TEST_RUN=True"
            )
        return msgspec.structs.replace(settings, pipeline=name, pipelines={}, output_stream=stream)


def kinesis_handler(
    handler_class: type[LambdaHandler[Any, Any]],
    *,
    role: str = DEFAULT_ROLE,
    should_process: Callable[[KinesisRecord], bool] | None = None,
    request_of: Callable[[KinesisRecord], Any] | None = None,
    service: PutRecords | None = None,
) -> KinesisFunction:
    """Return a function that handles each record of a batch, and puts the handler's responses on a stream.

    The spine decodes a record to the handler's request type, strictly and within its bounds; a `decode` of the
    handler's own is called for what `request_of` gives, and for nothing else.

    Args:
        handler_class: The class that handles a record; with the response type None it needs no output stream.
        role: The role of the stream for responses: `OUTPUT_STREAM`, or one that `OUTPUT_STREAMS` names.
        should_process: Returns False for a record that needs no work. It is asked before the record has to be a
            request, so that records of another kind on the stream are skipped and not quarantined.
        request_of: Makes the request of a record, in place of its JSON.
        service: The service that takes records; by default signed requests to Kinesis.
    """
    return KinesisFunction(
        handler_class, role, lambda handler: HandlerPipeline(handler, should_process, request_of), service
    )


def _record(batch: Batch[Any], row: int, value: object) -> KinesisRecord:
    return KinesisRecord(
        value=value,
        partition_key=batch.partition_keys[row],
        stream=batch.stream,
        shard=batch.shards[row],
        sequence_number=batch.sequence_numbers[row],
        sub_sequence_number=batch.sub_sequence_numbers[row],
        arrived_s=batch.arrivals_s[row],
    )


def _fault(error: Exception) -> tuple[str, str]:
    """Return the reason and message for the quarantine of a record whose handler raised."""
    if isinstance(error, TooLargeError):
        return "too_large", str(error)
    if isinstance(error, UnprocessableError):
        return "unprocessable", str(error)
    if isinstance(error, RequestError):
        return "request_refused", str(error)
    return "handler_error", type(error).__name__


def goes_whole(response_type: Any) -> bool:  # noqa: ANN401 - a type expression
    """Return whether every response of a type is an object without the fields that the spine adds, or None."""
    try:
        kind = msgspec.inspect.type_info(response_type)
    except (TypeError, NameError):  # what msgspec does not know, `encode` makes JSON of
        return False
    kinds = kind.types if isinstance(kind, msgspec.inspect.UnionType) else (kind,)
    return all(_is_free(each) for each in kinds if not isinstance(each, msgspec.inspect.NoneType))


def output_of(value: object, *, whole: bool) -> bytes:
    """Return an encoded response as an output's JSON."""
    fits = whole and isinstance(value, dict) and SPINE_FIELDS.isdisjoint(value)
    return msgspec.json.encode(value if fits else {WRAPPED: value})


def _is_free(kind: msgspec.inspect.Type) -> bool:
    """Return whether a type is an object with known fields, none of them the spine's."""
    if isinstance(kind, msgspec.inspect.StructType):
        tag = {kind.tag_field} if kind.tag_field else set()
        return not kind.array_like and SPINE_FIELDS.isdisjoint({field.encode_name for field in kind.fields} | tag)
    objects = (msgspec.inspect.DataclassType, msgspec.inspect.TypedDictType)
    return isinstance(kind, objects) and SPINE_FIELDS.isdisjoint(field.encode_name for field in kind.fields)
