"""Lambda's HTTP events as ASGI requests, and ASGI's responses as the source of the event takes them.

- REST APIs: https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
- HTTP APIs, payload 1.0 and 2.0:
  https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
- function URLs: https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
- Application Load Balancers: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html
- VPC Lattice, event version 1 and 2: https://docs.aws.amazon.com/vpc-lattice/latest/ug/lambda-functions.html

A member that is missing, None, or of another type than documented is taken as not sent; only a method and a path must
be there.
"""

from __future__ import annotations

import asyncio
import atexit
import base64
import contextlib
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import msgspec

from app.errors import EventError, RequestError
from app.handlers.api.application import CONTEXT, GATEWAY, NAME
from app.handlers.invocation import run
from app.handlers.request import check_elements, json_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Message, Scope

    from app.handlers.api.application import Api

_EVERY_REQUEST = {
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.4"},
    "http_version": "1.1",
    "scheme": "https",
}
_decode = msgspec.json.Decoder().decode


class HttpEvent:
    """An event that is an HTTP request."""

    def __init__(self, event: Any) -> None:  # noqa: ANN401 - an event may be anything
        """Recognize the event, as bytes or parsed, or raise EventError."""
        if isinstance(event, (bytes, bytearray, memoryview)):
            check_elements(text := json_text(event), "event", EventError)
            try:
                event = _decode(text)
            except (msgspec.MsgspecError, ValueError, RecursionError):
                raise EventError("event: not JSON; an API is to be invoked with HTTP requests") from None
        self._event = event = _object(event)
        self._context = context = _object(event.get("requestContext"))
        self._payload_2 = "http" in context  # of HTTP APIs and function URLs
        gateway = self._payload_2 or ("httpMethod" in event and "elb" not in context)
        self._outside = not gateway  # a load balancer or VPC Lattice: they leave a query's escapes to the function
        self._by_lists = "httpMethod" in event and (gateway or "multiValueHeaders" in event)
        # HTTP APIs decode a path (captures: https://github.com/middleapi/standard-server/pull/93), and put a named
        # stage before it; other sources do neither.
        from_url = ".lambda-url." in str(context.get("domainName"))
        self._decoded = gateway and (self._payload_2 or event.get("version") == "1.0") and not from_url
        self._method = event.get("httpMethod", event.get("method"))
        self._path = event.get("raw_path", event.get("path"))
        if self._payload_2:
            self._method, self._path = _object(context["http"]).get("method"), event.get("rawPath")
        if not isinstance(self._method, str) or not isinstance(self._path, str):
            sources = "API Gateway, a function URL, a load balancer or VPC Lattice"
            raise EventError(f"event: not an HTTP request of {sources}")

    def scope(self, context: Any) -> Scope:  # noqa: ANN401 - Lambda's context has no type of its own
        """Return ASGI's scope (https://asgi.readthedocs.io/en/latest/specs/www.html)."""
        stage = self._context.get("stage") if self._decoded else None
        path = self._path.encode(errors="surrogatepass")
        path, _, query = (quote(path).encode() if self._decoded else path).partition(b"?")
        pairs = self._pairs("headers", "multiValueHeaders", "cookies")
        return {
            **_EVERY_REQUEST,
            "method": self._method.upper(),
            "path": self._path,
            "raw_path": path,
            "root_path": f"/{stage}" if isinstance(stage, str) else "",
            "query_string": query or self._query(),
            "headers": [(name.lower(), value) for name, value in pairs],
            CONTEXT: context,
            GATEWAY: self._context,
        }

    def _query(self) -> bytes:
        raw = self._event.get("rawQueryString")
        if self._payload_2 and isinstance(raw, str) and raw:
            return raw.encode(errors="surrogatepass")
        pairs = self._pairs("query_string_parameters", "queryStringParameters", "multiValueQueryStringParameters")
        return b"&".join(map(b"=".join, pairs)) if self._outside else urlencode(pairs).encode()

    def _pairs(self, *members: str) -> list[tuple[bytes, bytes]]:
        """Return the names and values of members; a later member's values of a name stand for an earlier one's.

        Halves of characters, which JSON may hold, become bytes that are refused where they are decoded.
        """
        found: dict[str, Any] = {}
        for member in members:
            values = self._event.get(member)
            if isinstance(values, list):
                values = {"cookie": "; ".join(each for each in values if isinstance(each, str))}
            found |= _object(values)
        return [
            (name.encode("utf-8", "surrogatepass"), value.encode("utf-8", "surrogatepass"))
            for name, values in found.items()
            for value in (values if isinstance(values, list) else (values,))
            if isinstance(value, str)
        ]

    def body(self) -> bytes:
        """Return the body, or raise RequestError if it is neither text nor bytes in base64."""
        body, encoded = self._event.get("body"), True in map(self._event.get, ("isBase64Encoded", "is_base64_encoded"))
        if body is None:
            return b""
        try:
            return base64.b64decode(body, validate=True) if encoded else body.encode()
        except (AttributeError, TypeError, ValueError):
            raise RequestError(f"body: not {'base64' if encoded else 'text in UTF-8'}", "body") from None

    def answer(self, messages: list[Message]) -> dict[str, Any]:
        """Return ASGI's response in the form that the source takes."""
        start, *parts = messages
        body = b"" if self._method.upper() == "HEAD" else b"".join(part.get("body", b"") for part in parts)
        headers: dict[str, list[str]] = {}
        for name, value in start["headers"]:
            if name != b"content-length":  # the source counts for itself
                headers.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
        found: dict[str, Any] = {"statusCode": start["status"], "isBase64Encoded": False}
        try:
            found["body"] = body.decode()
        except UnicodeDecodeError:
            found |= {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
        if self._outside:
            found["statusDescription"] = f"{start['status']} {HTTPStatus(start['status']).phrase}"
        if self._by_lists:
            return {**found, "multiValueHeaders": headers}
        if self._payload_2:
            found["cookies"] = headers.pop("set-cookie", [])
        return {**found, "headers": {name: ",".join(values) for name, values in headers.items()}}


class LambdaAdapter:
    """An API as the function that Lambda calls; it is made once, at the first event or before it by `open`."""

    def __init__(self, make: Callable[[], Api]) -> None:
        """Take what makes the API; make nothing yet."""
        self.open = cache(make)

    def __call__(self, event: Any, context: Any = None) -> dict[str, Any]:  # noqa: ANN401 - JSON; Lambda's context
        """Answer one request in the form that its source takes; an event that is none is an EventError."""
        api = self.open()
        try:
            request = HttpEvent(event)
        except EventError:  # raised once more where it is logged and counted
            return run(NAME, lambda _: HttpEvent(event).answer([]), context, settings=api.settings)
        messages: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": request.body(), "more_body": False}

        async def send(message: Message) -> None:
            messages.append(message)

        call = api(request.scope(context), receive, send)
        if api.has_pages:
            _loop().run_until_complete(call)
        else:
            with contextlib.suppress(StopIteration):  # without files to wait for it ends at once, and needs no loop
                call.send(None)
        return request.answer(messages)


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """Return the process's event loop: one that is made for each call takes far longer than the call."""
    loop = asyncio.new_event_loop()
    atexit.register(loop.close)
    return loop


def _object(found: object) -> dict[str, Any]:
    return found if isinstance(found, dict) else {}
