"""One route of the API: an ASGI application that answers with one handler, counted and logged as one invocation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

import msgspec
from starlette.responses import Response

from app.errors import MillraceError, RequestError, TooLargeError
from app.handlers.api import callers
from app.handlers.api.binding import BODILESS, Binder
from app.handlers.api.problem import problem_response
from app.handlers.base import LambdaHandler
from app.handlers.invocation import run
from app.stream.context import LocalContext

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.types import Receive, Scope, Send

    from app.handlers.api.binding import RoutePath
    from app.handlers.api.handler import ApiLambdaHandler
    from app.handlers.invocation import Invocation
    from app.settings import Settings

CONTEXT, GATEWAY = "aws.context", "aws.request_context"
"""Keys of the ASGI scope in Lambda: Lambda's context, and the event's `requestContext`."""

MAX_QUERY_FIELDS = 1000
"""Far more than a request has fields; API Gateway itself ends a request line at 10,240 bytes."""

_CONTENT_LENGTH_DIGITS = 18  # more than any length has


@dataclass(frozen=True)
class Endpoint:
    """A route with what answers it; without a `handler_scope` it is open to everybody."""

    gate: callers.Gate
    name: str
    method: str
    route: RoutePath
    answer: Callable[[Scope, bytes, Invocation], Response]
    handler_scope: str | None = None
    max_body_bytes: int = 0

    @classmethod
    def open(cls, gate: callers.Gate, handler_class: type[ApiLambdaHandler[Any, Any]], route: RoutePath) -> Endpoint:
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
        return cls(gate, handler_class.name, method, route, answer, handler_class.scope, limit_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; whatever it holds, there is an answer."""
        headers, body, level, refusal = callers.read_headers(scope), b"", None, None
        try:
            if self.handler_scope is not None:
                self.gate.check(headers, scope.get(GATEWAY, {}).get("authorizer"), self.handler_scope)
            level = callers.log_level(headers)  # of a caller who is let in: a log costs its owner
            if self.max_body_bytes and (body := await _read_body(headers, receive, self.max_body_bytes)):
                callers.check_json(headers)
        except MillraceError as error:
            refusal = error

        def work(invocation: Invocation) -> Response:
            if refusal is not None:
                raise refusal
            return self.answer(scope, body, invocation)

        response = observe(scope, self.gate.settings, self.name, self.route.text, work, level=level)
        await response(scope, receive, send)


def observe(
    scope: Scope,
    settings: Settings,
    name: str,
    route: str,
    work: Callable[[Invocation], Response],
    *,
    level: str | None = None,
) -> Response:
    """Return the response of some work, or the problem that it raises; either way with one line of metrics."""
    cause = callers.correlation_id(callers.read_headers(scope), scope.get(GATEWAY, {}).get("requestId"))
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
        response = run(name, counted, context, correlation_id=cause, log_level=level, settings=settings)
    except MillraceError as error:
        response = problem_response(error, request_id)
    for header, value in ((callers.REQUEST_ID, request_id), (callers.CORRELATION_ID, cause or request_id)):
        response.raw_headers.append((header.encode(), value.encode()))
    return response


def json_response(value: Any, status: int = 200) -> Response:  # noqa: ANN401 - whatever msgspec encodes
    """Return a value as JSON."""
    return Response(msgspec.json.encode(value), status, media_type="application/json")


async def _read_body(headers: Mapping[str, str], receive: Receive, limit_bytes: int) -> bytes:
    """Return the body, of which no more is read than is taken, or raise RequestError."""
    too_large = f"body: larger than {limit_bytes} bytes: send less in one request"
    length, body, more = headers.get("content-length", ""), b"", True
    if length.isdecimal() and int(length[:_CONTENT_LENGTH_DIGITS]) > limit_bytes:
        raise TooLargeError(too_large, "body")
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RequestError("body: ends before its end", "body")
        body, more = body + message.get("body", b""), message.get("more_body", False)
        if len(body) > limit_bytes:
            raise TooLargeError(too_large, "body")
    return body


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
