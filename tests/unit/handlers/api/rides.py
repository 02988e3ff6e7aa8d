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
from app.handlers.api.application import Api
from app.handlers.api.handler import ApiLambdaHandler
from app.handlers.api.lambda_events import LambdaAdapter
from app.settings import Settings
from tests.handlers_for_tests import LambdaContext

if TYPE_CHECKING:
    from collections.abc import Iterable

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


def function(handlers: Iterable[Any], settings: Settings | None = None, **options: Any) -> LambdaAdapter:
    """An API as the function that Lambda calls."""
    made = Api(handlers, settings or Settings(), **options)
    return LambdaAdapter(lambda: made)


def api(**settings: Any) -> LambdaAdapter:
    return function(HANDLERS, Settings(**settings))


def reply(answer: dict[str, Any]) -> Reply:
    """What a source makes of an answer: header names in lower case, and one value each."""
    headers = answer.get("headers") or {name: ",".join(each) for name, each in answer["multiValueHeaders"].items()}
    described = answer.get("statusDescription")
    assert described is None or described.split()[0] == str(answer["statusCode"])
    assert all(isinstance(value, str) for value in headers.values())
    assert answer["isBase64Encoded"] is False
    return Reply(answer["statusCode"], {name.lower(): value for name, value in headers.items()}, answer["body"])


def ask(resolver: LambdaAdapter, kind: str, method: str, target: str, body: Any = None, **options: Any) -> Reply:
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


def http_1_event(
    method: str,
    target: str,
    body: str | bytes | None = None,
    *,
    headers: dict[str, str] | None = None,
    authorizer: dict[str, Any] | None = None,
    stage: str = "prod",
) -> dict[str, Any]:
    """https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html

    A named stage stands before the path: https://github.com/jeremydaly/lambda-api/issues/136.
    """
    path, _, query = target.partition("?")
    path = unquote(path, errors="surrogateescape")
    found = rest_event(method, f"{path}?{query}", body, headers=headers, authorizer=authorizer, stage=stage)
    full = path if stage == "$default" else f"/{stage}{path}"
    found |= {"version": "1.0", "resource": "$default", "path": full, "pathParameters": None}
    found["requestContext"] |= {"path": full, "resourceId": None, "resourcePath": "$default"}
    return found


def balancer_event(
    method: str, target: str, body: str | bytes | None = None, *, headers: dict[str, str] | None = None
) -> dict[str, Any]:
    """https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html"""
    found = balancer_lists_event(method, target, body, headers=headers)
    for name in ("headers", "queryStringParameters"):
        found[name] = {key: values[-1] for key, values in found.pop(f"multiValue{name[0].upper()}{name[1:]}").items()}
    return found


def balancer_lists_event(
    method: str, target: str, body: str | bytes | None = None, *, headers: dict[str, str] | None = None
) -> dict[str, Any]:
    """The same with multi-value headers turned on: neither path nor query is decoded."""
    path, _, query = target.partition("?")
    sent = {"accept": "*/*", "host": "lambda-1.us-east-1.elb.amazonaws.com", "x-forwarded-for": "203.0.113.7"}
    return {
        "requestContext": {
            "elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/lambda/6d0ecf8"}
        },
        "httpMethod": method,
        "path": path,
        "multiValueQueryStringParameters": _raw_pairs(query),
        "multiValueHeaders": {name: [value] for name, value in {**sent, **_lower(headers)}.items()},
        **_body(body if body is not None else ""),
    }


def lattice_1_event(
    method: str, target: str, body: str | bytes | None = None, *, headers: dict[str, str] | None = None
) -> dict[str, Any]:
    """https://docs.aws.amazon.com/vpc-lattice/latest/ug/lambda-functions.html"""
    path, _, query = target.partition("?")
    sent = _body(body)
    return {
        "raw_path": path,
        "method": method,
        "headers": {"accept": "*/*", "host": "svc-1.vpc-lattice-svcs.us-east-1.on.aws", **_lower(headers)},
        "query_string_parameters": {name: values[-1] for name, values in _raw_pairs(query).items()},
        "body": sent["body"],
        "is_base64_encoded": sent["isBase64Encoded"],
    }


def lattice_2_event(
    method: str, target: str, body: str | bytes | None = None, *, headers: dict[str, str] | None = None
) -> dict[str, Any]:
    """The same in version 2."""
    path, _, query = target.partition("?")
    sent = {"accept": "*/*", "host": "svc-1.vpc-lattice-svcs.us-east-1.on.aws", **_lower(headers)}
    return {
        "version": "2.0",
        "path": path,
        "method": method,
        "headers": {name: [value] for name, value in sent.items()},
        "queryStringParameters": _raw_pairs(query),
        **_body(body),
        "requestContext": {
            "serviceNetworkArn": "arn:aws:vpc-lattice:us-east-1:123456789012:servicenetwork/sn-1",
            "serviceArn": "arn:aws:vpc-lattice:us-east-1:123456789012:service/svc-1",
            "targetGroupArn": "arn:aws:vpc-lattice:us-east-1:123456789012:targetgroup/tg-1",
            "identity": {"sourceVpcArn": "arn:aws:ec2:us-east-1:123456789012:vpc/vpc-1", "type": "AWS_IAM"},
            "region": "us-east-1",
            "timeEpoch": "1795244400000000",
        },
    }


GATEWAYS = {
    "REST API": rest_event,
    "HTTP API": http_event,
    "HTTP API, payload 1.0": http_1_event,
    "function URL": url_event,
}
"""The sources whose authorizer says who calls."""

EVENTS: dict[str, Any] = {
    **GATEWAYS,
    "load balancer": balancer_event,
    "load balancer, lists": balancer_lists_event,
    "VPC Lattice, version 1": lattice_1_event,
    "VPC Lattice, version 2": lattice_2_event,
}
KINDS = list(EVENTS)
LISTING = {"REST API", "HTTP API, payload 1.0", "load balancer, lists"}
"""These take an answer's headers as lists."""
DECODING = {"HTTP API", "HTTP API, payload 1.0"}
"""These send a path decoded."""
LAST_ONLY = {"load balancer", "VPC Lattice, version 1"}
"""Of a parameter that is sent several times, these have the last value alone."""


def _raw_pairs(query: str) -> dict[str, list[str]]:
    """A query's parameters as they were sent, escapes and all."""
    found: dict[str, list[str]] = {}
    for pair in filter(None, query.split("&")):
        name, _, value = pair.partition("=")
        found.setdefault(name, []).append(value)
    return found


def _lower(headers: dict[str, str] | None) -> dict[str, str]:
    return {name.lower(): value for name, value in (headers or {}).items()}


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
        "headers": {"accept": "*/*", "host": "abc.us-east-1.on.aws", **_lower(headers)},
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
