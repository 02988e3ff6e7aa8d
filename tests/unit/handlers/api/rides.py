"""A small API, and requests to it as each source sends them; the tests of the API share them.

The events have every member that AWS documents for them, in the documented types; the values are made up.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, unquote

import msgspec

from app.errors import CloudError, ConflictError, ForbiddenError, NotFoundError, UnauthorizedError, UnprocessableError
from app.handlers.api.handler import ApiLambdaHandler
from app.handlers.api.resolver import ApiResolver
from app.settings import Settings
from tests.handlers_for_tests import LambdaContext

if TYPE_CHECKING:
    from app.handlers.invocation import Invocation

TOKEN, OTHER_TOKEN, EVERY_TOKEN = "river-bank", "mill-stone", "all-of-it"
MAX_BODY_BYTES = 2000


class Ride(msgspec.Struct, rename="camel"):
    """A ride, as it is asked for and as it is answered."""

    ride_id: int
    label: str = ""
    tags: list[str] = []
    minutes: float | None = None
    is_return: bool = False


class Picky(msgspec.Struct, forbid_unknown_fields=True):
    """A request that has these fields and no others."""

    limit: int = 10


class GetRideHandler(ApiLambdaHandler[Ride, Ride]):
    """Finds a ride."""

    route = "/rides/<ride_id>"
    method = "GET"

    def handle(self, request: Ride, invocation: Invocation) -> Ride:
        invocation.logger.debug("looked up")
        return request


class PutRideHandler(ApiLambdaHandler[Ride, Ride]):
    """Changes a ride."""

    route = "/rides/<ride_id>"
    method = "PUT"
    scope = "rides:write"
    max_body_bytes = MAX_BODY_BYTES

    def handle(self, request: Ride, invocation: Invocation) -> Ride:
        invocation.metrics.count("changed")
        return request


class AddRidesHandler(ApiLambdaHandler[Ride | list[Ride], list[Ride]]):
    """Adds a ride, or several.

    All of them or none.
    """

    route = "/rides"
    status = 201

    def handle(self, request: Ride | list[Ride], invocation: Invocation) -> list[Ride]:
        rides = request if isinstance(request, list) else [request]
        invocation.metrics.count("rides", len(rides))
        return rides


class ForgetRideHandler(ApiLambdaHandler[Ride, None]):
    """Forgets a ride."""

    route = "/rides/<ride_id>"
    method = "DELETE"

    def handle(self, request: Ride, invocation: Invocation) -> None:
        invocation.metrics.count("forgotten", request.ride_id)


class CountHandler(ApiLambdaHandler[Picky, int]):
    """Counts rides."""

    route = "/rides/count"
    method = "GET"

    def handle(self, request: Picky, invocation: Invocation) -> int:
        invocation.metrics.count("limit", request.limit)
        return request.limit


class FailHandler(ApiLambdaHandler[Ride, Ride]):
    """Fails in the way that it is asked to."""

    route = "/fail"

    def handle(self, request: Ride, invocation: Invocation) -> Ride:
        invocation.metrics.failure("ride")
        raise {
            "401": UnauthorizedError("who are you?"),
            "403": ForbiddenError("not you"),
            "404": NotFoundError("no such ride"),
            "409": ConflictError("there is such a ride already"),
            "422": UnprocessableError("unknown_label: what is that?", "$.label"),
            "503": CloudError("table secret-table did not answer"),
        }.get(request.label, KeyError("/srv/secret"))


HANDLERS = (GetRideHandler, PutRideHandler, AddRidesHandler, ForgetRideHandler, CountHandler, FailHandler)


class Reply(NamedTuple):
    """An answer, the same from each source."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


def api(**settings: Any) -> ApiResolver:
    return ApiResolver(HANDLERS, Settings(**settings))


def reply(answer: dict[str, Any]) -> Reply:
    """What a source makes of an answer: header names in lower case, and one value each."""
    headers = answer.get("headers") or {name: ",".join(each) for name, each in answer["multiValueHeaders"].items()}
    assert all(isinstance(value, str) for value in headers.values())
    assert answer["isBase64Encoded"] is False
    return Reply(answer["statusCode"], {name.lower(): value for name, value in headers.items()}, answer["body"])


def ask(resolver: ApiResolver, kind: str, method: str, target: str, body: Any = None, **options: Any) -> Reply:
    """One request; a body that is not text or bytes is sent as JSON."""
    if body is not None and not isinstance(body, (str, bytes)):
        body = json.dumps(body)
    return reply(resolver(EVENTS[kind](method, target, body, **options), LambdaContext()))


def rest_event(
    method: str,
    target: str,
    body: str | bytes | None = None,
    *,
    headers: dict[str, str] | None = None,
    authorizer: dict[str, Any] | None = None,
    stage: str = "prod",
) -> dict[str, Any]:
    """https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html"""
    path, _, query = target.partition("?")
    pairs = parse_qsl(query, keep_blank_values=True)
    sent = {"Accept": "*/*", "Host": "abc.execute-api.us-east-1.amazonaws.com", **(headers or {})}
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": sent,
        "multiValueHeaders": {name: [value] for name, value in sent.items()},
        "queryStringParameters": dict(pairs) or None,
        "multiValueQueryStringParameters": {
            name: [value for other, value in pairs if other == name] for name, _ in pairs
        }
        or None,
        "pathParameters": {"proxy": path.strip("/")},
        "stageVariables": None,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "abc",
            **({"authorizer": authorizer} if authorizer else {}),
            "domainName": "abc.execute-api.us-east-1.amazonaws.com",
            "domainPrefix": "abc",
            "extendedRequestId": "JKJaXmPLvHcESHA=",
            "httpMethod": method,
            "identity": {"accessKey": None, "caller": None, "sourceIp": "203.0.113.7", "userAgent": "curl/8.5.0"},
            "path": f"/{stage}{path}",
            "protocol": "HTTP/1.1",
            "requestId": "gateway-1",
            "requestTime": "21/Nov/2026:07:00:00 +0000",
            "requestTimeEpoch": 1795244400000,
            "resourceId": "res",
            "resourcePath": "/{proxy+}",
            "stage": stage,
        },
        **_body(body),
    }


def http_event(
    method: str,
    target: str,
    body: str | bytes | None = None,
    *,
    headers: dict[str, str] | None = None,
    authorizer: dict[str, Any] | None = None,
    stage: str = "$default",
) -> dict[str, Any]:
    """https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html"""
    path, _, query = target.partition("?")
    decoded = unquote(path, errors="surrogateescape")  # captures show that an HTTP API decodes the path
    raw_path = decoded if stage == "$default" else f"/{stage}{decoded}"
    found = _version_2(method, raw_path, query, body, headers=headers, stage=stage)
    found["requestContext"]["domainName"] = "abc.execute-api.us-east-1.amazonaws.com"
    if authorizer:
        found["requestContext"]["authorizer"] = authorizer
    return found


def url_event(
    method: str,
    target: str,
    body: str | bytes | None = None,
    *,
    headers: dict[str, str] | None = None,
    authorizer: dict[str, Any] | None = None,
    stage: str = "$default",
) -> dict[str, Any]:
    """https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html"""
    path, _, query = target.partition("?")
    found = _version_2(method, path, query, body, headers=headers, stage=stage)
    found["requestContext"]["domainName"] = "abc.lambda-url.us-east-1.on.aws"
    if authorizer:
        found["requestContext"]["authorizer"] = authorizer
    return found


EVENTS = {"REST API": rest_event, "HTTP API": http_event, "function URL": url_event}
KINDS = list(EVENTS)


def _version_2(
    method: str, path: str, query: str, body: str | bytes | None, *, headers: dict[str, str] | None, stage: str
) -> dict[str, Any]:
    parameters: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        parameters[name] = f"{parameters[name]},{value}" if name in parameters else value
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "cookies": ["crumb=1"],
        "headers": {"accept": "*/*", **{name.lower(): value for name, value in (headers or {}).items()}},
        **({"queryStringParameters": parameters} if parameters else {}),
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "abc",
            "authentication": None,
            "domainPrefix": "abc",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "203.0.113.7",
                "userAgent": "curl/8.5.0",
            },
            "requestId": "gateway-1",
            "routeKey": "$default",
            "stage": stage,
            "time": "21/Nov/2026:07:00:00 +0000",
            "timeEpoch": 1795244400000,
        },
        **_body(body),
    }


def _body(body: str | bytes | None) -> dict[str, Any]:
    if isinstance(body, bytes):
        return {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
    return {"body": body, "isBase64Encoded": False}
