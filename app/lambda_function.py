"""The Lambda entry point: `app.lambda_function.lambda_handler`."""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from app import telemetry
from app.errors import MillraceError
from app.runtime import Runtime, open_runtime

if TYPE_CHECKING:
    from app.stream.deadline import Context


@lru_cache(maxsize=1)
def _runtime() -> Runtime:
    return open_runtime()


def lambda_handler(event: dict[str, Any] | bytes, context: Context | None = None) -> dict[str, Any]:
    """Processes one Kinesis event; see `Runtime.handle` for what it returns and raises."""
    return _runtime().handle(event, context)


if "AWS_LAMBDA_RUNTIME_API" in os.environ:
    # In Lambda the model is loaded during INIT, so that the first record does not wait for it; a setting that cannot
    # work ends the process with one line and its own exit code instead of failing every batch with a stack trace.
    try:
        _runtime()
    except MillraceError as error:
        telemetry.configure()
        telemetry.logger.critical(str(error), extra={"exit_code": error.exit_code})
        sys.exit(error.exit_code)
