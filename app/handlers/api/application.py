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

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.routing import Match, Mount, Route, Router

from app.errors import MethodNotAllowedError, NotFoundError, SettingsError
from app.handlers.api import callers, openapi
from app.handlers.api.binding import check_routes, parse_route
from app.handlers.api.endpoint import Endpoint, json_response, observe

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send

    from app.handlers.api.handler import ApiLambdaHandler
    from app.handlers.invocation import Invocation
    from app.settings import Settings

NAME = "api"
"""The handler's name in logs and metrics of requests that no handler answers."""

OPENAPI_PATH, HEALTH_PATH = "/openapi.json", "/health"
CORS_MAX_AGE_S = 600  # how long a browser remembers; ten minutes is what a change of the setting may take

_ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://[^/\s,]+")
_BASE_PATH = re.compile(r"(/[\w.~-]+)*", re.ASCII)
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
        title: str = "Millrace",
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
        self.settings, self.has_pages, self._title, self._version = settings, bool(pages), title, version
        self._gate = gate = callers.Gate(settings)
        self._base_path = settings.api_base_path.rstrip("/")
        if not _BASE_PATH.fullmatch(self._base_path):
            raise SettingsError(f"API_BASE_PATH is {settings.api_base_path!r}: write a path such as /bikes")
        self._cors = Cors(self._answer, settings.api_cors_origins) if settings.api_cors_origins else None
        self._handlers = {each: parse_route(prefix + each.route, each.name) for each in handlers}
        own = {
            "openapi": (parse_route(OPENAPI_PATH, NAME), lambda *_: json_response(self.openapi())),
            "health": (parse_route(HEALTH_PATH, NAME), lambda *_: json_response({"status": "ok"})),
        }
        planned = [(each.name, each.method.upper(), route) for each, route in self._handlers.items()]
        check_routes(
            [*planned, *((name, "GET", route) for name, (route, _) in own.items())]
        )  # before a model is loaded
        endpoints = [Endpoint(gate, name, "GET", *each) for name, each in own.items()]
        endpoints += [Endpoint.open(gate, each, route) for each, route in self._handlers.items()]
        endpoints.sort(key=lambda each: [not word for word in each.route.shape])  # a word goes before a field
        self._routes = [Route(each.route.template, each, methods=[each.method]) for each in endpoints]
        self._router = Router(self._routes, redirect_slashes=False, default=self._page)
        self._pages = Router([Mount(path, page) for path, page in (pages or {}).items()])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request (https://asgi.readthedocs.io/en/latest/specs/www.html)."""
        await (self._cors or self._answer)(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI 3.1 document of the handlers."""
        return openapi.document(self._handlers, self._title, self._version, tokens=self._gate.needs_token)

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
        raw, root = scope["raw_path"], scope["root_path"]
        if _PLAIN_PATH.fullmatch(raw):
            path = raw.decode()
        else:
            path = "/".join(quote(unquote_to_bytes(segment), safe="") for segment in raw.split(b"/"))
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
        routes = [each for each in self._routes if each.matches(scope)[0] is not Match.NONE]
        methods = {method for each in routes for method in each.methods or ()} or {"GET", "HEAD"}  # a static file's
        allowed, headers = sorted({*methods, "OPTIONS"}), callers.read_headers(scope)
        status = error.status_code if isinstance(error, HTTPException) else None

        def work(_invocation: Invocation) -> Response:
            if status == NotFoundError.status:
                raise NotFoundError(f"there is nothing here: {OPENAPI_PATH} lists what there is")
            if status != MethodNotAllowedError.status:
                raise error
            if scope["method"] != "OPTIONS":
                raise MethodNotAllowedError(f"not with this method: {', '.join(allowed)} are allowed")
            asks = self._cors and "access-control-request-method" in headers
            return Response(status_code=204, headers=self._cors.preflight(allowed) if self._cors and asks else None)

        route = routes[0].path.replace("{", "<").replace("}", ">") if routes else "none"
        response = observe(scope, self.settings, NAME, route, work)
        if status == MethodNotAllowedError.status:
            response.headers["Allow"] = ", ".join(allowed)
        return response


class Cors(CORSMiddleware):
    """Starlette's CORS headers on every answer; preflights are left to the API, which knows the methods of a path."""

    def __init__(self, app: ASGIApp, setting: str) -> None:
        """Read `API_CORS_ORIGINS`, or raise SettingsError."""
        origins = [each.strip().rstrip("/") for each in setting.split(",") if each.strip()]
        for each in origins:
            if not _ORIGIN.fullmatch(each):
                raise SettingsError(f"API_CORS_ORIGINS has {each!r}: write https://host, or * for any")
        allowed = ["Authorization", callers.CLIENT_VERSION, callers.LOG_LEVEL, callers.CORRELATION_ID]
        exposed = [callers.REQUEST_ID, callers.CORRELATION_ID]
        super().__init__(app, origins, allow_headers=allowed, expose_headers=exposed, max_age=CORS_MAX_AGE_S)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the headers that let the page read the answer."""
        await self.simple_response(scope, receive, send, Headers(scope=scope))

    def preflight(self, methods: list[str]) -> dict[str, str]:
        """Return the headers that tell a browser what it may send to a path."""
        return {**self.preflight_headers, "Access-Control-Allow-Methods": ",".join(methods)}
