"""The Lambda entry point of the stream: `app.lambda_function.lambda_handler`."""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from app import telemetry
from app.errors import MillraceError
from app.handlers.base import LambdaHandler
from app.registry import open_runtime
from app.runtime_client import take_raw_events
from app.stream.event import KinesisEvent
from app.stream.runtime import Answer

if TYPE_CHECKING:
    from app.handlers.invocation import Invocation
    from app.settings import Settings
    from app.stream.runtime import Runtime

RawEvent: TypeAlias = bytes | dict[str, Any]
"""An event as it came, or parsed; the spine decodes it, since it knows what of a record may be wrong."""


class StreamHandler(LambdaHandler[RawEvent, Answer]):
    """Processes a batch of Kinesis records with the pipeline that the environment names."""

    name = "stream"

    def __init__(self, runtime: Runtime) -> None:
        """Takes the pipelines, ready for events."""
        self.runtime = runtime

    @classmethod
    def open(cls, settings: Settings) -> StreamHandler:
        """Loads the model, so that no record waits for it."""
        return cls(open_runtime(settings))

    @classmethod
    def decode(cls, payload: RawEvent) -> RawEvent:
        """The event as it came."""
        return payload

    @classmethod
    def request_schema(cls) -> dict[str, Any]:
        """A Kinesis event's."""
        return msgspec.json.schema(KinesisEvent)

    @classmethod
    def encode(cls, response: Answer) -> Answer:
        """The answer, which is what JSON is made of already."""
        return response

    def handle(self, request: RawEvent, invocation: Invocation) -> Answer:
        """Processes one event; see `Runtime.handle` for what it returns and raises."""
        return self.runtime.handle(request, invocation.context, invocation.metrics.measure)


lambda_handler = StreamHandler.get_handler()


def _initialise() -> None:
    """What Lambda's INIT does before the first record.

    The model is loaded, so that no record waits for it; a setting that cannot work ends the process with one line and
    its own exit code instead of failing every batch with a stack trace. What was made so far lives as long as the
    process, so the garbage collector is told to look at it no more.
    """
    try:
        lambda_handler.open()
    except MillraceError as error:
        telemetry.configure()
        telemetry.logger.critical(str(error), extra={"exit_code": error.exit_code})
        sys.exit(error.exit_code)
    telemetry.logger.debug("events are taken %s", "as bytes" if take_raw_events() else "as dicts")
    gc.collect()
    gc.freeze()


if "AWS_LAMBDA_RUNTIME_API" in os.environ:
    _initialise()
