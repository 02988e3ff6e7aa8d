"""The Lambda entry point of the router: `app.router_function.lambda_handler`.

`{"handler": "name", "event": …}` calls a handler of the registry by its name. A name in an event is looked up, never
imported: only a handler of the registry that `ROUTER_HANDLERS` allows is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from app import functions
from app.errors import HandlerNotAllowedError, SettingsError, UnknownHandlerError
from app.handlers.base import LambdaHandler
from app.registry import HANDLERS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

    from app.handlers.invocation import Invocation
    from app.handlers.registry import Registry
    from app.settings import Settings

VARIABLE = "ROUTER_HANDLERS"


class RouterRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The handler to call, and its request."""

    handler: Annotated[
        str,
        msgspec.Meta(
            min_length=1, description="the handler's name, or its dotted name", examples=["get-json-from-file"]
        ),
    ]
    event: Annotated[Any, msgspec.Meta(description="the request that the handler takes")]


class RouterHandler(LambdaHandler[RouterRequest, Any]):
    """Calls another handler by its name, if `ROUTER_HANDLERS` allows it."""

    name = "router"

    def __init__(self, registry: Registry, allowed: Iterable[str]) -> None:
        """Check the allow-list; import no handler yet.

        Args:
            registry: Every handler by name.
            allowed: The names, short or dotted, of the handlers that may be called.

        Raises:
            SettingsError: A name is that of no handler, or of the router itself.
        """
        self._registry = registry
        self._allowed: set[str] = set()
        for name in allowed:
            try:
                short = registry.short_name(name)
            except UnknownHandlerError as error:
                raise SettingsError(f"{VARIABLE}: {error}") from None
            if short == self.name:  # a request inside a request has no end
                raise SettingsError(f"{VARIABLE} names the router itself: take {name} out")
            self._allowed.add(short)

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Read the allow-list; each handler is opened when it is first called.

        Raises:
            SettingsError: `ROUTER_HANDLERS` has the name of no handler, or the router's own.
        """
        return cls(HANDLERS, settings.router_handlers)

    def handle(self, request: RouterRequest, invocation: Invocation) -> Any:  # noqa: ANN401 - the handler's response
        """Call a handler as Lambda would; its logs, metrics, errors and response are its own.

        Raises:
            UnknownHandlerError: There is no handler of this name.
            HandlerNotAllowedError: The allow-list does not name it.
            MillraceError: The handler raises it.
        """
        if not self._allowed:
            raise HandlerNotAllowedError(f"no handler may be called: set {VARIABLE} to the names of those that may")
        return self._registry.function(request.handler, self._allowed)(request.event, invocation.context)

    @classmethod
    def encode(cls, response: Any) -> Any:  # noqa: ANN401 - the handler's response
        """Return the handler's response, which is JSON's own types already."""
        return response


lambda_handler = RouterHandler.get_handler()
functions.start(lambda_handler)
