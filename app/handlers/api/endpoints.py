"""What answers a route: a handler, opened, or one of the API's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from app.handlers.api.binding import Binder
from app.handlers.api.headers import check_json
from app.handlers.api.routes import Answer, Endpoint
from app.handlers.base import LambdaHandler

if TYPE_CHECKING:
    from app.handlers.api.event import HttpEvent
    from app.handlers.api.handler import ApiLambdaHandler
    from app.handlers.api.routes import Route
    from app.handlers.invocation import Invocation
    from app.settings import Settings

_NO_CONTENT = 204


def opened(handler_class: type[ApiLambdaHandler[Any, Any]], route: Route, settings: Settings) -> Endpoint:
    """A handler, opened, with its route."""
    method = handler_class.method.upper()
    binder = Binder(handler_class, route, method)
    handler = handler_class.open(settings)
    direct = getattr(handler_class.encode, "__func__", None) is LambdaHandler.encode.__func__  # type: ignore[attr-defined]

    def answer(http: HttpEvent, fields: dict[str, str], invocation: Invocation) -> Answer:
        body = b""
        if binder.takes_body():
            body = http.body(binder.limit_bytes)
            if body:
                check_json(http.headers)
        response = handler.handle(binder.bind(body, fields, http.query), invocation)
        if response is None:
            return Answer(_NO_CONTENT)
        return Answer(handler_class.status, msgspec.json.encode(response if direct else handler.encode(response)))

    return Endpoint(handler_class.name, method, route, handler_class.scope, answer)


def healthy(_http: HttpEvent, _fields: dict[str, str], _invocation: Invocation) -> Answer:
    """Whether requests are answered: the handlers are open, or there would be no resolver."""
    return Answer(200, b'{"status":"ok"}')
