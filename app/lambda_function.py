"""The Lambda entry point of the stream: `app.lambda_function.lambda_handler`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from app import functions
from app.handlers.base import LambdaHandler
from app.registry import open_runtime
from app.stream.event import KinesisEvent
from app.stream.runtime import BatchResponse

if TYPE_CHECKING:
    from app.handlers.invocation import Invocation
    from app.settings import Settings
    from app.stream.runtime import Runtime

RawEvent: TypeAlias = bytes | dict[str, Any]
"""An event as JSON or parsed; the spine decodes it, since it knows which faults of a record it can set aside."""


class StreamHandler(LambdaHandler[RawEvent, BatchResponse]):
    """Processes a batch of Kinesis records with the pipeline that the environment names."""

    name = "stream"

    def __init__(self, runtime: Runtime) -> None:
        """Take the pipelines, ready for events."""
        self.runtime = runtime

    @classmethod
    def open(cls, settings: Settings) -> StreamHandler:
        """Load the models, so that no record waits for them."""
        return cls(open_runtime(settings))

    @classmethod
    def decode(cls, payload: RawEvent) -> RawEvent:
        """Return the event unchanged."""
        return payload

    @classmethod
    def request_schema(cls) -> dict[str, Any]:
        """Return the JSON Schema of a Kinesis event."""
        return msgspec.json.schema(KinesisEvent)

    @classmethod
    def encode(cls, response: BatchResponse) -> BatchResponse:
        """Return the response, which is JSON's own types already."""
        return response

    def handle(self, request: RawEvent, invocation: Invocation) -> BatchResponse:
        """Process one event; see `Runtime.handle` for the response and the errors."""
        return self.runtime.handle(request, invocation.context, invocation.metrics.measure)


lambda_handler = StreamHandler.get_handler()
functions.start(lambda_handler)
