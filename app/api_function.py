"""The Lambda entry point of the API: `app.api_function.lambda_handler`."""

from __future__ import annotations

import gc
import os
import sys
from typing import Any

from app import telemetry
from app.errors import MillraceError
from app.handlers.api.resolver import ApiResolver
from app.handlers.invocation import process_settings
from app.registry import HANDLERS
from app.runtime_client import take_raw_events


class ApiFunction:
    """The API as the function that Lambda calls."""

    def __init__(self) -> None:
        """Makes nothing yet."""
        self._resolver: ApiResolver | None = None

    def open(self) -> ApiResolver:
        """The API, made once, from the environment's settings.

        Raises:
            MillraceError: A setting, a route or a model cannot be what it is.
        """
        if self._resolver is None:
            self._resolver = ApiResolver(HANDLERS.http_handlers(), process_settings())
        return self._resolver

    def __call__(self, event: Any, context: Any = None) -> dict[str, Any]:  # noqa: ANN401 - JSON either way
        """Answers one HTTP event; see `ApiResolver`."""
        return self.open()(event, context)


lambda_handler = ApiFunction()


def _initialise() -> None:
    """What Lambda's INIT does before the first request, as for the stream (`app/lambda_function.py`)."""
    try:
        lambda_handler.open()
    except MillraceError as error:
        telemetry.configure()
        telemetry.logger.critical(str(error), extra={"exit_code": error.exit_code})
        sys.exit(error.exit_code)
    take_raw_events()
    gc.collect()
    gc.freeze()


if "AWS_LAMBDA_RUNTIME_API" in os.environ:
    _initialise()
