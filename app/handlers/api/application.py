"""The API: typed handlers behind HTTP, as one ASGI application.

    api = Api([GetRide, PutRide], settings)

uvicorn runs it as it is (`server`), and `lambda_events` gives it the events of Lambda's HTTP sources. Starlette matches
paths and methods, puts CORS headers on answers and serves static files; typed requests, access, problem details and
OpenAPI are ours.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, unquote_to_bytes

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match, Mount, Route, Router

from app.errors import MethodNotAllowedError, NotFoundError, SettingsError
from app.handlers.api.cors import Cors
from app.handlers.api.endpoint import Endpoint, Gate, json_response, open_endpoint
from app.handlers.api.openapi import document
from app.handlers.api.routes import check_routes, parse_route

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send

    from app.handlers.api.handler import ApiLambdaHandler
    from app.handlers.invocation import Invocation
    from app.settings import Settings

NAME = "api"
"""The handler's name in logs and metrics of requests that no handler answers."""

TITLE = "Millrace"
OPENAPI_PATH, HEALTH_PATH = "/openapi.json", "/health"

_BASE_PATH = re.compile(r"(/[\w.~-]+)*/?", re.ASCII)
_PLAIN_PATH = re.compile(rb"[\w./~-]*", re.ASCII)  # nothing in it to decode or to escape


class Api:
    """An ASGI application that answers with handlers; each is opened once, when the API is made.

    Handlers are called in the event loop's thread, one at a time, as in Lambda.
    """

    def __init__(
        self,
        handlers: Iterable[type[ApiLambdaHandler[Any, Any]]],
        settings: Settings,
        *,
        title: str = TITLE,
        version: str = "1",
        prefix: str = "",
        pages: Mapping[str, ASGIApp] | None = None,
    ) -> None:
        """Open the handlers and lay their routes.

        Args:
            handlers: The classes.
            settings: The environment's.
            title: The API's name in its OpenAPI document.
            version: The API's version there.
            prefix: A path put before each handler's route, such as `/v1`.
            pages: ASGI applications by the path that they answer below, such as Starlette's `StaticFiles`, which are
                open to everybody; a handler's route goes before a page.

        Raises:
            SettingsError: A setting of the API is malformed.
            MillraceError: A route is malformed, or two are one; or a handler cannot be opened.
        """
        self.settings = settings
        self._gate = gate = Gate(settings)
        self._base_path = settings.api_base_path.rstrip("/")
        if not _BASE_PATH.fullmatch(self._base_path):
            raise SettingsError(f"API_BASE_PATH is {settings.api_base_path!r}: write a path such as /bikes")
        self._about = {"title": title, "version": version}
        self._routes = {each: parse_route(prefix + each.route, each.name) for each in handlers}
        own = [
            Endpoint(gate, "openapi", "GET", parse_route(OPENAPI_PATH, NAME), lambda *_: json_response(self.openapi())),
            Endpoint(gate, "health", "GET", parse_route(HEALTH_PATH, NAME), lambda *_: json_response({"status": "ok"})),
        ]
        planned = [(each.name, each.method.upper(), route) for each, route in self._routes.items()]
        check_routes([*planned, *((each.name, each.method, each.route) for each in own)])  # before a model is loaded
        endpoints = [*own, *(open_endpoint(gate, each, route) for each, route in self._routes.items())]
        endpoints.sort(key=lambda each: [not word for word in each.route.shape])  # a word goes before a field
        self._matched = [Route(each.route.template, each, methods=[each.method]) for each in endpoints]
        self._router = Router(self._matched, redirect_slashes=False, default=self._page)
        self._pages = Router([Mount(path, page) for path, page in (pages or {}).items()])
        self._cors = Cors(self._answer, settings.api_cors_origins) if settings.api_cors_origins else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request (https://asgi.readthedocs.io/en/latest/specs/www.html)."""
        await (self._cors or self._answer)(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI 3.1 document of the handlers."""
        return document(self._routes, tokens=self._gate.access.needs_token, **self._about)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        located = self._located(scope)
        try:
            await self._router(located, receive, send)
        except Exception as error:  # noqa: BLE001 - whatever a page raises, its text may quote a request
            await self._unanswered(located, error)(scope, receive, send)

    def _located(self, scope: Scope) -> Scope:
        """Return the scope with its path escaped in one way and without slashes at its end.

        Escaped, a slash in a field is not taken for one between fields. The stage and the API's base path become
        `root_path`, which Starlette leaves out of the match.
        """
        path, root = scope["raw_path"], scope["root_path"]
        if _PLAIN_PATH.fullmatch(path):
            path = path.decode()
        else:
            path = "/".join(quote(unquote_to_bytes(segment), safe="") for segment in path.split(b"/"))
        root = root if f"{path}/".startswith(f"{root}/") else ""
        if f"{path}/".startswith(f"{root}{self._base_path}/"):
            root += self._base_path
        return {**scope, "app": self, "root_path": root, "path": root + (path[len(root) :].rstrip("/") or "/")}

    async def _page(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with a mounted page; its path is a file's, decoded, and a slash at its end counts."""
        scope = {**scope, "path": unquote(scope["raw_path"].decode("latin-1")), "router": self._pages}
        await self._pages(scope, receive, send)

    def _unanswered(self, scope: Scope, error: Exception) -> Response:
        """Return the answer to a request that no handler answers: 404, 405, or what OPTIONS asks."""
        routes = [each for each in self._matched if each.matches(scope)[0] is not Match.NONE]
        methods = {method for each in routes for method in each.methods or ()} or {"GET", "HEAD"}  # a static file's
        allowed = sorted({*methods, "OPTIONS"})
        status = error.status_code if isinstance(error, HTTPException) else None

        def work(_invocation: Invocation) -> Response:
            if status == NotFoundError.status:
                raise NotFoundError(f"there is nothing here: {OPENAPI_PATH} lists what there is")
            if status != MethodNotAllowedError.status:
                raise error
            if scope["method"] != "OPTIONS":
                raise MethodNotAllowedError(f"not with this method: {', '.join(allowed)} are allowed")
            asks = any(name == b"access-control-request-method" for name, _ in scope["headers"])
            return Response(status_code=204, headers=self._cors.preflight(allowed) if self._cors and asks else None)

        route = routes[0].path.replace("{", "<").replace("}", ">") if routes else "none"
        response = self._gate.observe(scope, NAME, route, work)
        if status == MethodNotAllowedError.status:
            response.headers["Allow"] = ", ".join(allowed)
        return response
