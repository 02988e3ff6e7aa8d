"""What was asked, from the events of API Gateway's REST and HTTP APIs and of Lambda function URLs.

Their shapes: https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html,
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html and
https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html. What is not there, or None, or of another type than
AWS documents, is taken as not sent; only what makes it a request, a method and a path, must be there.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from enum import Enum
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, unquote_to_bytes

import msgspec

from app.errors import EventError, RequestError, TooLargeError

MAX_QUERY_FIELDS = 1000
"""Far more than a request has fields; API Gateway itself ends a request line at 10,240 bytes."""

_BASE64_OVERHEAD = 4 / 3
_PLAIN_PATH = re.compile(r"[\w./~-]*", re.ASCII)  # nothing in it to decode or to escape
_DEFAULT_STAGE = "$default"
_URL_DOMAIN = ".lambda-url."
_decode_event = msgspec.json.Decoder().decode


class Kind(Enum):
    """Who sends the event."""

    REST = "REST API"
    HTTP = "HTTP API"
    URL = "function URL"


@dataclass(frozen=True)
class HttpEvent:
    """One request.

    Attributes:
        kind: Who sends it.
        method: Upper case.
        raw_path: The path as the event has it, its stage included where there is one.
        stage: The API's stage.
        headers: Values by name in lower case.
        context: What the gateway says of the request.
        event: The whole event; body and query are read from it when they are needed.
    """

    kind: Kind
    method: str
    raw_path: str
    stage: str
    headers: dict[str, str]
    context: dict[str, Any]
    event: dict[str, Any]

    def query(self) -> dict[str, list[str]]:
        """The query's parameters, decoded, in the order in which they were sent.

        Raises:
            RequestError: There are too many of them, or they are not text.
        """
        raw = self.event.get("rawQueryString")
        if self.kind is not Kind.REST and isinstance(raw, str) and raw:
            return _parsed(raw)
        found = {name: [value] for name, value in _texts(self.event.get("queryStringParameters")).items()}
        for name, values in _object(self.event.get("multiValueQueryStringParameters")).items():
            if isinstance(name, str) and isinstance(values, list):
                found[name] = [value for value in values if isinstance(value, str)]
        if not all(each.isascii() or _is_text(each) for values in found.values() for each in values):
            raise RequestError("query: not text in UTF-8", "query")
        return found

    def body(self, limit_bytes: int) -> bytes:
        """The body.

        Args:
            limit_bytes: The largest that is taken.

        Raises:
            TooLargeError: It is larger.
            RequestError: It is not what it is said to be: text, or bytes in base64.
        """
        body = self.event.get("body")
        if body is None:
            return b""
        if not isinstance(body, str):
            raise RequestError("body: not text", "body")
        encoded = self.event.get("isBase64Encoded") is True
        if len(body) > (limit_bytes * _BASE64_OVERHEAD + 4 if encoded else limit_bytes):
            raise _too_large(limit_bytes)
        try:
            found = base64.b64decode(body, validate=True) if encoded else body.encode()
        except (binascii.Error, ValueError):
            raise RequestError(f"body: not {'base64' if encoded else 'text in UTF-8'}", "body") from None
        if len(found) > limit_bytes:
            raise _too_large(limit_bytes)
        return found

    def routed(self) -> dict[str, Any]:
        """The event that Powertools routes: method, stage and path, and nothing that it could stumble over or log.

        HTTP APIs decode a path before they send it, the others send it as it came
        (https://github.com/middleapi/standard-server/pull/93 has captures): either way it is decoded once, and escaped
        again, since Powertools' fields match some characters only. `path_text` takes the escapes off a field.
        """
        path = self.raw_path
        if not _PLAIN_PATH.fullmatch(path):
            decoded = self.kind is Kind.HTTP or self.event.get("version") == "1.0"  # an HTTP API, in the older format
            raw = [segment.encode(errors="surrogatepass") for segment in path.split("/")]
            path = "/".join(quote(segment if decoded else unquote_to_bytes(segment), safe="") for segment in raw)
        path = path.rstrip("/") or "/"
        if self.kind is Kind.REST:
            context: dict[str, Any] = {"stage": self.stage, "path": path}
            return {"httpMethod": self.method, "path": path, "headers": {}, "requestContext": context}
        within = f"{path}/".startswith(f"/{self.stage}/")  # not so behind a domain of one's own
        context = {"stage": self.stage if within else _DEFAULT_STAGE, "http": {"method": self.method}}
        # The stage alone is the root, of which Powertools would leave nothing.
        path = f"{path}/" if within and path == f"/{self.stage}" else path
        return {"rawPath": path, "headers": {}, "requestContext": context}


def path_text(name: str, escaped: str) -> str:
    """A path's field, without the escapes that `HttpEvent.routed` has put into it.

    Raises:
        RequestError: It is not text.
    """
    try:
        return unquote(escaped, errors="strict")
    except UnicodeError:
        raise RequestError(f"path.{name}: not text in UTF-8", f"path.{name}") from None


def read_event(event: Any) -> HttpEvent:  # noqa: ANN401 - an event may be anything
    """A request from an event, as bytes or parsed.

    Raises:
        EventError: It is no HTTP request.
    """
    if isinstance(event, (bytes, bytearray, memoryview)):
        try:
            event = _decode_event(event)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise EventError("event: not JSON; an API is to be invoked with HTTP requests") from None
    if isinstance(event, dict):
        context = _object(event.get("requestContext"))
        http = _object(context.get("http"))
        stage = context.get("stage")
        stage = stage if isinstance(stage, str) and stage else _DEFAULT_STAGE
        if "http" in context or event.get("version") == "2.0":
            kind = Kind.URL if _URL_DOMAIN in str(context.get("domainName")) else Kind.HTTP
            method, path = http.get("method"), event.get("rawPath")
        else:
            kind, method, path = Kind.REST, event.get("httpMethod"), event.get("path")
        if isinstance(method, str) and isinstance(path, str) and "elb" not in context:
            return HttpEvent(kind, method.upper(), path, stage, _headers(event), context, event)
    raise EventError(
        "event: not an HTTP request of a REST API, an HTTP API or a function URL: an API takes no other events"
    )


def _parsed(raw: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    try:
        pairs = parse_qsl(raw, keep_blank_values=True, errors="strict", max_num_fields=MAX_QUERY_FIELDS)
    except UnicodeError:
        raise RequestError("query: not text in UTF-8", "query") from None
    except ValueError:
        raise RequestError(f"query: more than {MAX_QUERY_FIELDS} parameters", "query") from None
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


def _headers(event: dict[str, Any]) -> dict[str, str]:
    """Values by name in lower case; a REST API has them all in lists too."""
    found = {name.lower(): value for name, value in _texts(event.get("headers")).items()}
    for name, values in _object(event.get("multiValueHeaders")).items():
        if isinstance(name, str) and isinstance(values, list) and name.lower() not in found:
            found[name.lower()] = ", ".join(value for value in values if isinstance(value, str))
    return found


def _texts(found: object) -> dict[str, str]:
    return {name: value for name, value in _object(found).items() if isinstance(value, str) and isinstance(name, str)}


def _object(found: object) -> dict[Any, Any]:
    return found if isinstance(found, dict) else {}


def _is_text(found: str) -> bool:
    """Whether a string is text: JSON may escape halves of a character, which are none."""
    try:
        found.encode()
    except UnicodeError:
        return False
    return True


def _too_large(limit_bytes: int) -> TooLargeError:
    return TooLargeError(f"body: larger than {limit_bytes} bytes: send less in one request", "body")
