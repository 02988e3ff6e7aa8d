"""Lambda's HTTP events as ASGI requests, and ASGI's responses as the source of the event takes them.

The sources, and where AWS documents their events:

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
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import msgspec

from app.errors import EventError, RequestError
from app.handlers.api.application import NAME
from app.handlers.api.endpoint import CONTEXT, GATEWAY
from app.handlers.invocation import run

if TYPE_CHECKING:
    from starlette.types import Message, Scope

    from app.handlers.api.application import Api

_ASGI = {"version": "3.0", "spec_version": "2.4"}
_decode_event = msgspec.json.Decoder().decode


class HttpEvent:
    """An event that is an HTTP request."""

    def __init__(self, event: Any) -> None:  # noqa: ANN401 - an event may be anything
        """Recognize the event, as bytes or parsed, or raise EventError."""
        if isinstance(event, (bytes, bytearray, memoryview)):
            try:
                event = _decode_event(event)
            except (msgspec.MsgspecError, ValueError, RecursionError):
                raise EventError("event: not JSON; an API is to be invoked with HTTP requests") from None
        self._event = event = _object(event)
        self._context = context = _object(event.get("requestContext"))
        self._payload_2 = "http" in context  # of HTTP APIs and function URLs
        gateway = self._payload_2 or "httpMethod" in event
        self._outside = "elb" in context or not gateway  # a load balancer or VPC Lattice: not API Gateway's form
        self._by_lists = "httpMethod" in event and ("elb" not in context or "multiValueHeaders" in event)
        # HTTP APIs decode a path before they send it (captures: https://github.com/middleapi/standard-server/pull/93),
        # and put a named stage before it; the others send it as it came, and none.
        from_url = ".lambda-url." in str(context.get("domainName"))
        self._decoded = gateway and (self._payload_2 or event.get("version") == "1.0") and not from_url
        method = (
            _object(context.get("http")).get("method")
            if self._payload_2
            else event.get("httpMethod", event.get("method"))
        )
        path = event.get("rawPath" if self._payload_2 else "raw_path" if "raw_path" in event else "path")
        if not isinstance(method, str) or not isinstance(path, str):
            raise EventError(
                "event: not an HTTP request of API Gateway, a function URL, a load balancer or VPC Lattice"
            )
        self._method, self._path = method.upper(), path

    def scope(self, context: Any) -> Scope:  # noqa: ANN401 - Lambda's context has no type of its own
        """Return ASGI's scope (https://asgi.readthedocs.io/en/latest/specs/www.html)."""
        path, root, stage = _bytes(self._path), "", self._context.get("stage")
        if self._decoded:
            path = quote(path).encode()
            root = f"/{stage}" if isinstance(stage, str) else ""
        path, _, query = path.partition(b"?")
        return {
            "type": "http", "asgi": _ASGI, "http_version": "1.1", "scheme": "https", "client": None, "server": None,
            "method": self._method, "path": self._path, "raw_path": path, "root_path": root,
            "query_string": query or self._query(), "headers": self._headers(),
            CONTEXT: context, GATEWAY: self._context,
        }  # fmt: skip

    def _query(self) -> bytes:
        raw = self._event.get("rawQueryString")
        if self._payload_2 and isinstance(raw, str) and raw:
            return _bytes(raw)
        found = self._texts("query_string_parameters", "queryStringParameters", "multiValueQueryStringParameters")
        pairs = [(_bytes(name), _bytes(value)) for name, values in found.items() for value in values]
        return b"&".join(map(b"=".join, pairs)) if self._outside else urlencode(pairs).encode()  # escaped as sent

    def _headers(self) -> list[tuple[bytes, bytes]]:
        found = self._texts("multiValueHeaders", "headers")
        cookies = self._event.get("cookies")
        if self._payload_2 and isinstance(cookies, list):
            found["cookie"] = ["; ".join(each for each in cookies if isinstance(each, str))]
        return [(_bytes(name.lower()), _bytes(value)) for name, values in found.items() for value in values]

    def _texts(self, *members: str) -> dict[str, list[str]]:
        """Return the values by name of members that have one or several of each; a later member's come first."""
        found: dict[str, list[str]] = {}
        for name, value in (pair for member in members for pair in _object(self._event.get(member)).items()):
            texts = [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str)]
            if isinstance(name, str) and texts:
                found[name] = texts
        return found

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
        body = b"" if self._method == "HEAD" else b"".join(part.get("body", b"") for part in parts)
        headers: dict[str, list[str]] = {}
        for name, value in start["headers"]:
            if name != b"content-length":  # the source counts for itself
                headers.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
        status = HTTPStatus(start["status"])
        found: dict[str, Any] = {"statusCode": int(status), "isBase64Encoded": False}
        try:
            found["body"] = body.decode()
        except UnicodeDecodeError:
            found |= {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
        if self._outside:
            found["statusDescription"] = f"{int(status)} {status.phrase}"
        if self._by_lists:
            return {**found, "multiValueHeaders": headers}
        if self._payload_2:
            found["cookies"] = headers.pop("set-cookie", [])
        return {**found, "headers": {name: ",".join(values) for name, values in headers.items()}}


class LambdaAdapter:
    """An API as the function that Lambda calls."""

    def __init__(self, api: Api) -> None:
        """Take the API."""
        self._api = api

    def __call__(self, event: Any, context: Any = None) -> dict[str, Any]:  # noqa: ANN401 - JSON; Lambda's context
        """Answer one request in the form that its source takes; whatever it holds, there is an answer.

        Raises:
            EventError: The event is not an HTTP request.
        """
        try:
            request = HttpEvent(event)
        except EventError as error:
            return run(NAME, _raising(error), context, settings=self._api.settings)
        messages: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": request.body(), "more_body": False}

        async def send(message: Message) -> None:
            messages.append(message)

        _loop().run_until_complete(self._api(request.scope(context), receive, send))
        return request.answer(messages)


@lru_cache(maxsize=1)
def _loop() -> asyncio.AbstractEventLoop:
    """Return the process's event loop: one that is made for each call takes far longer than the call."""
    loop = asyncio.new_event_loop()
    atexit.register(loop.close)
    return loop


def _object(found: object) -> dict[Any, Any]:
    return found if isinstance(found, dict) else {}


def _bytes(text: str) -> bytes:
    """Return text as bytes, also with halves of characters, which JSON may hold: whoever decodes them refuses them."""
    return text.encode(errors="surrogatepass")


def _raising(error: EventError) -> Any:  # noqa: ANN401 - a function that never returns
    def work(_invocation: object) -> Any:  # noqa: ANN401 - the same
        raise error

    return work
