"""The Lambda entry point of the router: `app.router_function.lambda_handler`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
        """Takes what may be called."""
        self.router = router

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Reads the allow-list; each handler is opened when it is first called.

        Raises:
            SettingsError: `ROUTER_HANDLERS` has a name that there is not.
        """
        return cls(Router(HANDLERS, settings.router_handlers, cls.name))

    def handle(self, request: RouterRequest, invocation: Invocation) -> Any:  # noqa: ANN401 - the handler's answer
        """Calls the handler; see `Router.call` for what is raised."""
        return self.router.call(request, invocation.context)

    @classmethod
    def encode(cls, response: Any) -> Any:  # noqa: ANN401 - the handler's answer
        """The handler's answer, which is what JSON is made of already."""
        return response


lambda_handler = RouterHandler.get_handler()
