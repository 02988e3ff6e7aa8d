"""The Lambda entry point of the API: `app.api_function.lambda_handler`."""

from __future__ import annotations

from typing import Any

from app import functions
from app.handlers.api.application import Api
from app.handlers.api.lambda_events import LambdaAdapter
from app.handlers.invocation import process_settings
from app.registry import HANDLERS


class ApiFunction:
    """The API as the function that Lambda calls."""

    def __init__(self) -> None:
        """Make nothing yet."""
        self._api: Api | None = None

    def open(self) -> Api:
        """Return the API, made once, from the environment's settings.

        Raises:
            MillraceError: A setting, a route or a model cannot be used.
        """
        if self._api is None:
            self._api = Api(HANDLERS.http_handlers(), process_settings())
        return self._api

    def __call__(self, event: Any, context: Any = None) -> dict[str, Any]:  # noqa: ANN401 - JSON either way
        """Answer one HTTP event; see `LambdaAdapter`."""
        return LambdaAdapter(self.open())(event, context)


lambda_handler = ApiFunction()
functions.start(lambda_handler)
