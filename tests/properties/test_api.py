"""Whatever is sent to the API, there is an answer, and never one that tells of the inside."""

from __future__ import annotations

import base64
import enum
import hashlib
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import EventError
from app.handlers.api.handler import ApiLambdaHandler
from app.settings import Settings
from tests.unit.handlers.api.rides import (
    DECODING,
    EVENTS,
    GATEWAYS,
    HANDLERS,
    KINDS,
    LISTING,
    TOKEN,
    Reply,
    ask,
    function,
    reply,
)

if TYPE_CHECKING:
    from app.handlers.api.lambda_events import LambdaAdapter
    from app.handlers.invocation import Invocation

STATUSES = {200, 201, 204, 400, 401, 403, 404, 405, 413, 415}
WELL = tuple(each for each in HANDLERS if each.route != "/fail")  # the one that fails on purpose

resolvers = [
    function(WELL),
    function(
        WELL,
        Settings(
            api_tokens={hashlib.sha256(TOKEN.encode()).hexdigest(): "rides:write"},
            api_cors_origins="https://mill.example",
            api_min_client_version="1.2",
            api_base_path="/mill",
        ),
    ),
]

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
texts = st.text(st.characters(), max_size=20) | st.sampled_from(["\ud800", "a\udcffb"])  # parsed JSON may have halves
segments = st.sampled_from(["rides", "count", "7", "health", "openapi.json", "..", ".", "", "prod", "mill", "%", "%2F",
                            "%ff", "%00", "<ride_id>", "%253C"]) | texts  # fmt: skip
paths = st.lists(segments, max_size=4).map(lambda found: "/" + "/".join(found)) | texts
methods = st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "get", "TRACE", ""]) | texts
ROUTED = [
    ("GET", "/rides/7"), ("PUT", "/rides/7"), ("POST", "/rides"), ("DELETE", "/rides/%37"), ("GET", "/rides/count"),
    ("GET", "/openapi.json"), ("HEAD", "/mill/rides/7"),
]  # fmt: skip
targets = st.one_of(  # most of them somewhere
    st.sampled_from(ROUTED), st.sampled_from(ROUTED), st.sampled_from(ROUTED),
    st.tuples(methods, st.just("/rides/7")), st.tuples(methods, paths),
)  # fmt: skip
names = st.sampled_from(["rideId", "label", "tags", "minutes", "isReturn", "limit"]) | texts
queries = st.lists(st.tuples(names, st.sampled_from(["1", "true", "", "a,b", "NaN"]) | texts), max_size=5)
headers = st.sampled_from([{}, {"Authorization": f"Bearer {TOKEN}"}]) | st.dictionaries(
    st.sampled_from(["Content-Type", "x-log-level", "X-Client-Version", "x-correlation-id", "X-Amzn-Trace-Id", "Origin",
                     "authorization", "Access-Control-Request-Method", "accept-encoding"]) | texts,
    st.sampled_from(["application/json", "DEBUG", "1.2", "https://mill.example", f"Bearer {TOKEN}", "Root=1", "gzip"])
    | texts,
    max_size=4,
)  # fmt: skip
rides = st.fixed_dictionaries(
    {"rideId": st.integers(0, 9) | anything},
    optional={"label": texts | anything, "tags": anything, "minutes": anything, "x": anything},
)
bodies = (
    st.none()
    | texts
    | st.binary(max_size=40).map(lambda found: base64.b64encode(found).decode())
    | (rides | st.lists(rides, max_size=3) | anything).map(json.dumps)
    | st.integers(1, 3000).map(lambda depth: "[" * depth)
    | st.just("x" * 3000)
)
damages = st.lists(
    st.tuples(
        st.sampled_from([
            "headers", "multiValueHeaders", "queryStringParameters", "multiValueQueryStringParameters",
            "rawQueryString", "pathParameters", "stageVariables", "isBase64Encoded", "body", "cookies", "resource",
        ]),
        anything | st.just(...),
    ),
    max_size=4,
)  # fmt: skip
context_damages = st.lists(
    st.tuples(
        st.sampled_from(["authorizer", "stage", "requestId", "domainName", "identity", "path"]), anything | st.just(...)
    ),
    max_size=3,
)


@st.composite
def events(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A source, and an event of it that anybody may have sent, or that nobody would send."""
    kind = draw(st.sampled_from(KINDS))
    query = draw(queries)
    method, path = draw(targets)
    event = EVENTS[kind]("GET", "/", None, headers=draw(headers))
    if "httpMethod" in event:
        event |= {"httpMethod": method, "path": path, "queryStringParameters": dict(query)}
        event["multiValueQueryStringParameters"] = {name: [value] for name, value in query}
    elif "method" in event:
        event |= {"method": method, "raw_path" if "raw_path" in event else "path": path}
        event |= {
            "query_string_parameters": dict(query),
            "queryStringParameters": {name: [value] for name, value in query},
        }
    else:
        event |= {"rawPath": path, "rawQueryString": draw(st.just(urlencode(query, errors="replace")) | texts)}
        event["requestContext"]["http"]["method"] = method
    event |= {"body": draw(bodies), "isBase64Encoded": draw(st.booleans())}
    spoil(event, draw(damages))
    spoil(event.get("requestContext", {}), draw(context_damages))
    return kind, event


@settings(max_examples=300)
@given(events(), st.sampled_from(resolvers))
def test_whatever_is_sent_is_answered(sent: tuple[str, dict[str, Any]], resolver: LambdaAdapter) -> None:
    kind, event = sent
    answer = resolver(event)
    well_formed(reply(answer), answer, kind)


def spoil(found: dict[str, Any], damage: list[tuple[str, Any]]) -> None:
    """Takes members out, or puts others in."""
    for name, value in damage:
        if value is ...:
            found.pop(name, None)
        else:
            found[name] = value


def well_formed(found: Reply, envelope: dict[str, Any], kind: str) -> None:
    """An answer as its source takes it, of a status that a client's mistakes may have, and nothing of the inside."""
    assert found.status in STATUSES
    assert json.loads(json.dumps(envelope)) == envelope
    envelope["body"].encode()
    assert set(envelope) - {"multiValueHeaders", "headers"} == {"statusCode", "body", "isBase64Encoded"} | (
        {"cookies"} if kind in {"HTTP API", "function URL"} else set()
    ) | (set() if kind in GATEWAYS else {"statusDescription"})
    if not kind.startswith("load balancer"):  # an answer has the request's form, which may be spoiled
        assert ("multiValueHeaders" in envelope) == (kind in LISTING)
    for value in found.headers.values():
        assert value.isascii()
        assert value.isprintable()
    assert "Traceback" not in found.text
    assert '.py"' not in found.text
    if found.status >= 400 and found.text:
        problem = json.loads(found.text)
        assert problem["status"] == found.status
        assert "\n" not in problem["detail"]
        assert found.headers["content-type"] == "application/problem+json"


@given(st.sampled_from(KINDS), anything | st.binary(max_size=60))
def test_no_event_is_an_accident(kind: str, event: Any) -> None:
    try:
        answer = resolvers[0](event)
    except EventError as error:
        assert "\n" not in str(error)
    else:
        well_formed(reply(answer), answer, kind)


class Gear(enum.Enum):
    LOW = "low"
    HIGH = "high"


class Part(msgspec.Struct, tag=True):
    number: int
    share: float = 0.5


class Machine(msgspec.Struct, rename="camel"):
    """A request with something of everything."""

    serial_number: str
    is_on: bool = False
    gear: Gear = Gear.LOW
    parts: list[Part] = []
    revolutions: float | None = None
    by_name: dict[str, int] = {}
    pair: tuple[int, str] = (0, "")


class StartHandler(ApiLambdaHandler[Machine, Machine]):
    """Starts a machine."""

    route = "/machines"

    def handle(self, request: Machine, invocation: Invocation) -> Machine:
        invocation.metrics.count("machines")
        return request


class LookHandler(ApiLambdaHandler[Machine, Machine]):
    """Looks at a machine."""

    route = "/machines/<serial_number>"
    method = "GET"

    def handle(self, request: Machine, invocation: Invocation) -> Machine:
        invocation.metrics.count("machines")
        return request


class SetHandler(LookHandler):
    """Sets a machine going."""

    route = "/machines/<serial_number>"
    method = "PUT"


machines_api = function([StartHandler, LookHandler, SetHandler])
INT64 = st.integers(-(2**63), 2**64 - 1)
whole = st.text(st.characters(codec="utf-8"), max_size=12)
machines = st.builds(
    Machine,
    serial_number=whole,
    is_on=st.booleans(),
    gear=st.sampled_from(Gear),
    parts=st.lists(st.builds(Part, number=INT64, share=st.floats(allow_nan=False, allow_infinity=False)), max_size=3),
    revolutions=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    by_name=st.dictionaries(whole, INT64, max_size=3),
    pair=st.tuples(INT64, whole),
)


def decoded(found: Reply) -> Machine:
    assert found.status == 200, found.text
    return msgspec.json.decode(found.text, type=Machine)


@given(st.sampled_from(KINDS), machines, st.booleans())
def test_a_request_goes_through_the_api_and_back(kind: str, machine: Machine, as_bytes: bool) -> None:
    body = msgspec.json.encode(machine)
    assert decoded(ask(machines_api, kind, "POST", "/machines", body if as_bytes else body.decode())) == machine


@given(st.sampled_from(KINDS), machines)
def test_a_request_in_path_and_query_and_body_is_one_request(kind: str, machine: Machine) -> None:
    name = machine.serial_number
    if not name or (kind in DECODING and "/" in name):  # which an HTTP API cannot send: it decodes slashes
        return
    query = {"isOn": str(machine.is_on).lower(), "gear": machine.gear.value}
    if machine.revolutions is not None:
        query["revolutions"] = repr(machine.revolutions)
    rest = msgspec.to_builtins(machine)
    rest = {key: value for key, value in rest.items() if key not in query and key != "serialNumber"}
    target = f"/machines/{quote(name, safe='')}?{urlencode(query)}"
    assert decoded(ask(machines_api, kind, "PUT", target, json.dumps(rest))) == machine
    plain = Machine(name, machine.is_on, machine.gear, [], machine.revolutions)
    assert decoded(ask(machines_api, kind, "GET", target)) == plain
