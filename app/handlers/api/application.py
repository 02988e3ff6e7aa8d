"""The API: typed handlers behind HTTP, as one ASGI application: `api = Api([GetRide, PutRide], settings)`.

uvicorn runs it as it is (`server`), and `lambda_events` gives it the events of Lambda's HTTP sources. Starlette matches
paths and methods, puts CORS headers on answers and serves static files; typed requests, access, problem details and
OpenAPI are ours.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote, unquote_to_bytes

import msgspec
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.routing import Match, Mount, Route, Router

from app.errors import MethodNotAllowedError, MillraceError, NotFoundError, RequestError, SettingsError, TooLargeError
from app.handlers.api import callers, openapi
from app.handlers.api.binding import BODILESS, Binder, RoutePath, check_routes, parse_route
from app.handlers.base import LambdaHandler, call
from app.handlers.invocation import run
from app.stream.deadline import LocalContext

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from app.handlers.api.handler import ApiLambdaHandler
    from app.handlers.invocation import Invocation
    from app.settings import Settings

NAME = "api"  # the handler's name in logs and metrics of requests that no handler answers
OPENAPI_PATH, HEALTH_PATH = "/openapi.json", "/health"
CORS_MAX_AGE_S = 600  # how long a browser remembers; ten minutes is what a change of the setting may take
MAX_QUERY_FIELDS = 1000  # far more than a request has fields; API Gateway itself ends a request line at 10,240 bytes

CONTEXT, GATEWAY, HEADERS = "aws.context", "aws.request_context", "millrace.headers"
"""Keys of the ASGI scope: Lambda's context and the event's `requestContext`, in Lambda alone, and headers by name."""

_ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://[^/\s,]+")
_BASE_PATH = re.compile(r"(/[\w.~-]+)*", re.ASCII)
_PLAIN_PATH = re.compile(rb"[\w./~-]*", re.ASCII)  # nothing in it to decode or to escape
_LENGTH = re.compile(r"\d{1,18}", re.ASCII)  # no body is longer


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
        self._base_path = settings.api_base_path.rstrip("/")
        if not _BASE_PATH.fullmatch(self._base_path):
            raise SettingsError(f"API_BASE_PATH is {settings.api_base_path!r}: write a path such as /bikes")
        self._cors = _cors(self._answer, settings.api_cors_origins) if settings.api_cors_origins else None
        self.gate = callers.Gate(settings)
        self._handlers = {each: parse_route(prefix + each.route, each.name) for each in handlers}
        own = [("openapi", "GET", parse_route(OPENAPI_PATH, NAME)), ("health", "GET", parse_route(HEALTH_PATH, NAME))]
        planned = [*((each.name, each.method.upper(), route) for each, route in self._handlers.items()), *own]
        check_routes(planned)  # before a model is loaded
        answers: list[Callable[..., Any]] = [Endpoint(self, *each) for each in self._handlers.items()]
        answers += [self._public(*own[0], self.openapi), self._public(*own[1], lambda: {"status": "ok"})]
        found = sorted(
            zip(planned, answers, strict=True),
            key=lambda each: [*map(bool, each[0][2].shape)],  # a word goes before a field
            reverse=True,
        )
        self._routes = [Route(route.template, answer, methods=[method]) for (_, method, route), answer in found]
        self._router = Router(self._routes, redirect_slashes=False, default=self._page)
        self._pages = Router([Mount(path, page) for path, page in (pages or {}).items()])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request (https://asgi.readthedocs.io/en/latest/specs/www.html)."""
        if self._cors:  # preflights are left to the API, which knows the methods of a path
            await self._cors.simple_response(scope, receive, send, Headers(scope=scope))
        else:
            await self._answer(scope, receive, send)

    def allows_origin(self, origin: str) -> bool:
        """Return whether `API_CORS_ORIGINS` names an origin."""
        return self._cors is not None and self._cors.is_allowed_origin(origin)

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI 3.1 document of the handlers."""
        return openapi.document(self._handlers, self._title, self._version, tokens=self.gate.needs_token)

    def _public(self, name: str, _method: str, route: RoutePath, make: Callable[[], Any]) -> Callable[..., Any]:
        async def answer(request: Request) -> Response:
            return self.observe(request.scope, name, route.text, lambda _: _json(make()))

        return answer

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        located = self._located(scope)
        try:
            await self._router(located, receive, send)
        except Exception as error:  # noqa: BLE001 - whatever a page raises, its text may quote a request
            await self._unanswered(located, error)(scope, receive, send)

    def _located(self, scope: Scope) -> Scope:
        """Return the scope with headers by name, and its path escaped in one way and without slashes at its end.

        Escaped, a slash in a field is not taken for one between fields. The stage and the API's base path become
        `root_path`, which Starlette leaves out of the match. Values of one header are joined by commas (RFC 9110, 5.2).
        """
        headers: dict[str, str] = {}
        for raw_name, raw_value in scope["headers"]:
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        raw, root = scope["raw_path"], scope["root_path"]
        if _PLAIN_PATH.fullmatch(raw):
            path = raw.decode()
        else:
            path = "/".join(quote(unquote_to_bytes(segment), safe="") for segment in raw.split(b"/"))
        root = root if f"{path}/".startswith(f"{root}/") else ""
        if f"{path}/".startswith(f"{root}{self._base_path}/"):
            root += self._base_path
        path = root + (path[len(root) :].rstrip("/") or "/")
        return {**scope, "app": self, "root_path": root, "path": path, HEADERS: headers}

    async def _page(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with a mounted page; its path is a file's, decoded, and a slash at its end counts."""
        scope = {**scope, "path": unquote(scope["raw_path"].decode("latin-1")), "router": self._pages}
        await self._pages(scope, receive, send)

    def _unanswered(self, scope: Scope, error: Exception) -> Response:
        """Return the answer to a request that no handler answers: 404, 405, or what OPTIONS asks."""
        routes = [each for each in self._routes if each.matches(scope)[0] is not Match.NONE]
        methods = {method for each in routes for method in each.methods or ()} or {"GET", "HEAD"}  # a static file's
        allowed, status = sorted({*methods, "OPTIONS"}), getattr(error, "status_code", None)

        def work(_invocation: Invocation) -> Response:
            if not isinstance(error, HTTPException) or status not in {NotFoundError.status, 405}:
                raise error
            if status == NotFoundError.status:
                raise NotFoundError(f"there is nothing here: {OPENAPI_PATH} lists what there is")
            if scope["method"] != "OPTIONS":
                raise MethodNotAllowedError(f"not with this method: {', '.join(allowed)} are allowed")
            headers: dict[str, str] = {}
            if self._cors and "access-control-request-method" in scope[HEADERS]:
                headers = {**self._cors.preflight_headers, "Access-Control-Allow-Methods": ",".join(allowed)}
            return Response(status_code=204, headers=headers)

        route = routes[0].path.replace("{", "<").replace("}", ">") if routes else "none"
        response = self.observe(scope, NAME, route, work)
        if status == MethodNotAllowedError.status:
            response.headers["Allow"] = ", ".join(allowed)
        return response

    def observe(
        self, scope: Scope, name: str, route: str, work: Callable[[Invocation], Response], level: str | None = None
    ) -> Response:
        """Return the response of some work, or the problem that it raises; either way with one line of metrics."""
        cause = callers.correlation_id(scope[HEADERS], scope.get(GATEWAY, {}).get("requestId"))
        context = scope.get(CONTEXT) or LocalContext()

        def counted(invocation: Invocation) -> Response:
            invocation.metrics.dimension("route", route)
            status = MillraceError.status
            try:
                response = work(invocation)
                status = response.status_code
            except MillraceError as error:
                status = error.status
                raise
            finally:
                invocation.metrics.count(f"status_{status // 100}xx")
            return response

        request_id = str(getattr(context, "aws_request_id", "") or "")
        try:
            response = run(name, counted, context, correlation_id=cause, log_level=level, settings=self.settings)
        except MillraceError as error:
            response = openapi.problem_response(error, request_id)
        for header, value in ((callers.REQUEST_ID, request_id), (callers.CORRELATION_ID, cause or request_id)):
            response.raw_headers.append((header.encode(), value.encode()))
        return response


class Endpoint:
    """A handler behind its route, as an ASGI application."""

    def __init__(self, api: Api, handler_class: type[ApiLambdaHandler[Any, Any]], route: RoutePath) -> None:
        """Open the handler, or raise MillraceError."""
        self._api, self._class, self._route, method = api, handler_class, route, handler_class.method.upper()
        self._binder = Binder(handler_class, route, method)
        self._max_body_bytes = 0 if method in BODILESS else handler_class.max_body_bytes
        self._handler = handler_class.open(api.settings)
        encode = getattr(handler_class.encode, "__func__", None)
        self._is_direct = encode is LambdaHandler.encode.__func__  # type: ignore[attr-defined]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; whatever it holds, there is an answer."""
        headers, body, level, refusal = scope[HEADERS], b"", None, None
        try:
            self._api.gate.check(headers, scope.get(GATEWAY, {}).get("authorizer"), self._class.scope)
            level = callers.log_level(headers)  # of a caller who is let in: a log costs its owner
            if self._max_body_bytes and (body := await self._read_body(headers, receive)):
                callers.check_json(headers)
        except MillraceError as error:
            refusal = error

        def work(invocation: Invocation) -> Response:
            if refusal is not None:
                raise refusal
            path = {name: _text(f"path.{name}", escaped) for name, escaped in scope["path_params"].items()}
            request = self._binder.bind(body, path, lambda: _read_query(scope["query_string"]))
            response = call(self._handler, request, invocation)
            if response is None:
                return Response(status_code=204)
            return _json(response if self._is_direct else self._handler.encode(response), self._class.status)

        await self._api.observe(scope, self._class.name, self._route.text, work, level)(scope, receive, send)

    async def _read_body(self, headers: Mapping[str, str], receive: Receive) -> bytes:
        """Return the body, of which no more is read than is taken, or raise RequestError."""
        said = _LENGTH.fullmatch(headers.get("content-length", ""))
        size, more = int(said[0]) if said else 0, True
        body = bytearray()  # bytes would be copied with each part: quadratic time for many small ones
        while more and size <= self._max_body_bytes:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise RequestError("body: ends before its end", "body")
            body += message.get("body", b"")
            more = message.get("more_body", False)
            size = len(body)
        if size > self._max_body_bytes:
            raise TooLargeError(f"body: larger than {self._max_body_bytes} bytes: send less in one request", "body")
        return bytes(body)


def _cors(app: ASGIApp, setting: str) -> CORSMiddleware:
    """Return what puts CORS headers on answers to the origins of `API_CORS_ORIGINS`, or raise SettingsError."""
    origins = [each.strip().rstrip("/") for each in setting.split(",") if each.strip()]
    for each in origins:
        if not _ORIGIN.fullmatch(each):
            raise SettingsError(f"API_CORS_ORIGINS has {each!r}: write https://host, or * for any")
    allowed = ["Authorization", callers.CLIENT_VERSION, callers.LOG_LEVEL, callers.CORRELATION_ID]
    exposed = [callers.REQUEST_ID, callers.CORRELATION_ID]
    return CORSMiddleware(app, origins, allow_headers=allowed, expose_headers=exposed, max_age=CORS_MAX_AGE_S)


def _json(value: Any, status: int = 200) -> Response:  # noqa: ANN401 - whatever msgspec encodes
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def _read_query(raw: bytes) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    try:
        pairs = parse_qsl(raw.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_QUERY_FIELDS)
    except ValueError:
        raise RequestError(f"query: not text in UTF-8, or more than {MAX_QUERY_FIELDS} parameters", "query") from None
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


def _text(name: str, escaped: str) -> str:
    try:
        return unquote(escaped, errors="strict")
    except UnicodeError:
        raise RequestError(f"{name}: not text in UTF-8", name) from None
