"""One function for many handlers: `{"handler": "name", "event": …}` calls a handler of a registry by its name.

Only what an allow-list names is called, and only what the registry has is imported: a name in an event is looked up,
never imported. `app.router_function` is the function itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from app.errors import HandlerNotAllowedError, SettingsError, UnknownHandlerError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.handlers.registry import Registry

VARIABLE = "ROUTER_HANDLERS"


class RouterRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which handler to call, and with what."""

    handler: Annotated[
        str,
        msgspec.Meta(
            min_length=1, description="the handler's name, or its dotted name", examples=["get-json-from-file"]
        ),
    ]
    event: Annotated[Any, msgspec.Meta(description="the request that the handler takes")]


class Router:
    """A registry's handlers that may be called from an event."""

    def __init__(self, registry: Registry, allowed: Iterable[str], own_name: str) -> None:
        """Checks the allow-list; imports no handler yet.

        Args:
            registry: Every handler by name.
            allowed: `ROUTER_HANDLERS`: names, short or dotted.
            own_name: The router's own, which is never called: a request inside a request has no end.

        Raises:
            SettingsError: The list has a name that the registry does not have, or the router's own.
        """
        self._registry = registry
        self._allowed: set[str] = set()
        for name in allowed:
            try:
                short = registry.short_name(name)
            except UnknownHandlerError as error:
                raise SettingsError(f"{VARIABLE}: {error}") from None
            if short == own_name:
                raise SettingsError(f"{VARIABLE} names the router itself: take {name} out")
            self._allowed.add(short)

    def call(self, request: RouterRequest, context: Any) -> Any:  # noqa: ANN401 - Lambda's context; JSON
        """Calls a handler as Lambda would; its logs, metrics and errors are its own, and its answer is the answer.

        Raises:
            UnknownHandlerError: There is no handler of this name.
            HandlerNotAllowedError: The allow-list does not name it.
            MillraceError: What the handler raises.
        """
        if not self._allowed:
            raise HandlerNotAllowedError(f"no handler may be called: set {VARIABLE} to the names of those that may")
        return self._registry.function(request.handler, self._allowed)(request.event, context)
