"""One route of the API: an ASGI application that answers with one handler, counted and logged as one invocation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from app.errors import MillraceError, RequestError, SettingsError, TooLargeError
from app.handlers.api.access import Access
from app.handlers.api.binding import Binder
from app.handlers.api.headers import (
    CORRELATION_ID,
    REQUEST_ID,
    check_json,
    check_version,
    correlation_id,
    log_level,
    read_headers,
    read_version,
)
from app.handlers.api.problem import problem_response
from app.handlers.api.routes import BODILESS
from app.handlers.base import LambdaHandler
from app.handlers.invocation import run
from app.stream.context import LocalContext

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Receive, Scope, Send

    from app.handlers.api.handler import ApiLambdaHandler
    from app.handlers.api.routes import Route
    from app.handlers.invocation import Invocation
    from app.settings import Settings

CONTEXT, GATEWAY = "aws.context", "aws.request_context"
"""Keys of the ASGI scope in Lambda: Lambda's context, and the event's `requestContext`."""

MAX_QUERY_FIELDS = 1000
"""Far more than a request has fields; API Gateway itself ends a request line at 10,240 bytes."""

_CONTENT_LENGTH_DIGITS = 18  # more than any length has, and few enough to make a number of them


class Gate:
    """What the settings ask of every request, and what is logged and counted of it.

    Attributes:
        settings: The environment's.
        access: Decides who may call.
        least_version: The oldest client that is answered; None where any is.
    """

    def __init__(self, settings: Settings) -> None:
        """Read the API's settings, or raise SettingsError."""
        self.settings = settings
        self.access = Access(settings.api_tokens)
        text = settings.api_min_client_version
        self.least_version = read_version(text)
        if text and self.least_version is None:
            raise SettingsError(f"API_MIN_CLIENT_VERSION is {text!r}: write numbers with dots between, such as 1.4.0")

    def observe(
        self, scope: Scope, name: str, route: str, work: Callable[[Invocation], Response], level: str | None = None
    ) -> Response:
        """Return the response of some work, or the problem that it raises; either way with one line of metrics.

        Args:
            scope: The request's.
            name: The handler's name in logs and metrics.
            route: The route, which is a dimension of the metrics.
            work: Makes the response.
            level: The log level of this request alone.
        """
        cause = correlation_id(read_headers(scope), scope.get(GATEWAY, {}).get("requestId"))
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
            response = problem_response(error, request_id)
        for header, value in ((REQUEST_ID, request_id), (CORRELATION_ID, cause or request_id)):
            response.raw_headers.append((header.encode(), value.encode()))
        return response


class Endpoint:
    """A route with what answers it."""

    def __init__(
        self,
        gate: Gate,
        name: str,
        method: str,
        route: Route,
        answer: Callable[[Scope, bytes, Invocation], Response],
        *,
        handler_scope: str | None = None,
        max_body_bytes: int = 0,
    ) -> None:
        """Take what `open_endpoint` makes of a handler; without a `handler_scope` it is open to everybody."""
        self.name, self.method, self.route = name, method, route
        self._gate, self._answer = gate, answer
        self._handler_scope, self._max_body_bytes = handler_scope, max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; whatever it holds, there is an answer."""
        headers, body, level, refusal = read_headers(scope), b"", None, None
        try:
            if self._handler_scope is not None:
                authorizer = scope.get(GATEWAY, {}).get("authorizer")
                self._gate.access.check(headers, authorizer, self._handler_scope)
                check_version(headers, self._gate.least_version)
            level = log_level(headers)  # of a caller who is let in: a log costs its owner
            if self._max_body_bytes and (body := await self._read_body(headers, Request(scope, receive))):
                check_json(headers)
        except MillraceError as error:
            refusal = error
        except ClientDisconnect:
            return

        def work(invocation: Invocation) -> Response:
            if refusal is not None:
                raise refusal
            return self._answer(scope, body, invocation)

        await self._gate.observe(scope, self.name, self.route.text, work, level)(scope, receive, send)

    async def _read_body(self, headers: dict[str, str], request: Request) -> bytes:
        """Return the body, of which no more is read than is taken."""
        limit_bytes, length, body = self._max_body_bytes, headers.get("content-length", ""), bytearray()
        too_large = TooLargeError(f"body: larger than {limit_bytes} bytes: send less in one request", "body")
        if length.isdecimal() and int(length[:_CONTENT_LENGTH_DIGITS]) > limit_bytes:
            raise too_large
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit_bytes:
                raise too_large
        return bytes(body)


def open_endpoint(gate: Gate, handler_class: type[ApiLambdaHandler[Any, Any]], route: Route) -> Endpoint:
    """Open a handler behind its route, or raise MillraceError."""
    method = handler_class.method.upper()
    binder = Binder(handler_class, route, method)
    handler = handler_class.open(gate.settings)
    direct = getattr(handler_class.encode, "__func__", None) is LambdaHandler.encode.__func__  # type: ignore[attr-defined]

    def answer(scope: Scope, body: bytes, invocation: Invocation) -> Response:
        path = {name: _text(f"path.{name}", escaped) for name, escaped in scope["path_params"].items()}
        response = handler.handle(binder.bind(body, path, lambda: _read_query(scope["query_string"])), invocation)
        if response is None:
            return Response(status_code=204)
        return json_response(response if direct else handler.encode(response), handler_class.status)

    limit_bytes = 0 if method in BODILESS else handler_class.max_body_bytes
    return Endpoint(
        gate, handler_class.name, method, route, answer, handler_scope=handler_class.scope, max_body_bytes=limit_bytes
    )


def json_response(value: Any, status: int = 200) -> Response:  # noqa: ANN401 - whatever msgspec encodes
    """Return a value as JSON."""
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


def _text(place: str, escaped: str) -> str:
    try:
        return unquote(escaped, errors="strict")
    except UnicodeError:
        raise RequestError(f"{place}: not text in UTF-8", place) from None
