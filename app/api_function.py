"""The Lambda entry point of the API: `app.api_function.lambda_handler`."""

from __future__ import annotations

from typing import Any

from app import functions
from app.handlers.api.resolver import ApiResolver
from app.handlers.invocation import process_settings
from app.registry import HANDLERS


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
functions.start(lambda_handler)
