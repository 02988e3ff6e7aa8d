"""The Lambda entry point: `app.lambda_function.lambda_handler`."""

from __future__ import annotations

import gc
import os
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from app import telemetry
from app.errors import MillraceError
from app.runtime import Runtime, open_runtime
from app.runtime_client import take_raw_events

if TYPE_CHECKING:
    from app.stream.deadline import Context


@lru_cache(maxsize=1)
def _runtime() -> Runtime:
    return open_runtime()


def lambda_handler(event: dict[str, Any] | bytes, context: Context | None = None) -> dict[str, Any]:
    """Processes one Kinesis event; see `Runtime.handle` for what it returns and raises."""
    try:
        return _runtime().handle(event, context)
    except MillraceError as error:
        raise error.with_traceback(None) from None  # Lambda logs and answers with the trace: one line says it all


def _initialise() -> None:
    """What Lambda's INIT does before the first record.

    The model is loaded, so that no record waits for it; a setting that cannot work ends the process with one line and
    its own exit code instead of failing every batch with a stack trace. What was made so far lives as long as the
    process, so the garbage collector is told to look at it no more.
    """
    try:
        _runtime()
    except MillraceError as error:
        telemetry.configure()
        telemetry.logger.critical(str(error), extra={"exit_code": error.exit_code})
        sys.exit(error.exit_code)
    telemetry.logger.debug("events are taken %s", "as bytes" if take_raw_events() else "as dicts")
    gc.collect()
    gc.freeze()


if "AWS_LAMBDA_RUNTIME_API" in os.environ:
    _initialise()
