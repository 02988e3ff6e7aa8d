"""The Lambda entry point of the router: `app.router_function.lambda_handler`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app import functions
from app.handlers.base import LambdaHandler
from app.handlers.router import Router, RouterRequest
from app.registry import HANDLERS

if TYPE_CHECKING:
    from typing import Self

    from app.handlers.invocation import Invocation
    from app.settings import Settings


class RouterHandler(LambdaHandler[RouterRequest, Any]):
    """Calls another handler by its name, if `ROUTER_HANDLERS` allows it."""

    name = "router"

    def __init__(self, router: Router) -> None:
        """Take the router with its allow-list."""
        self.router = router

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Read the allow-list; each handler is opened when it is first called.

        Raises:
            SettingsError: `ROUTER_HANDLERS` has the name of no handler.
        """
        return cls(Router(HANDLERS, settings.router_handlers, cls.name))

    def handle(self, request: RouterRequest, invocation: Invocation) -> Any:  # noqa: ANN401 - the handler's response
        """Call the handler; see `Router.call` for the errors."""
        return self.router.call(request, invocation.context)

    @classmethod
    def encode(cls, response: Any) -> Any:  # noqa: ANN401 - the handler's response
        """Return the handler's response, which is JSON's own types already."""
        return response


lambda_handler = RouterHandler.get_handler()
functions.start(lambda_handler)
