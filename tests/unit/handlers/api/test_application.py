"""The API as its callers see it, from each source: what is answered with which status, and what is logged."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import sys
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
import pytest

from app.errors import EventError, MillraceError, SettingsError
from app.handlers.api.application import Api
from app.handlers.api.handler import ApiLambdaHandler
from app.handlers.registry import discover
from app.settings import Settings
from tests.handlers_for_tests import LambdaContext, log_everything, written
from tests.unit.handlers.api.rides import (
    DECODING,
    EVENTS,
    GATEWAYS,
    HANDLERS,
    KINDS,
    LAST_ONLY,
    MAX_BODY_BYTES,
    TOKEN,
    AddRidesHandler,
    GetRideHandler,
    Ride,
    api,
    ask,
    function,
    http_event,
    reply,
    rest_event,
)

if TYPE_CHECKING:
    from app.handlers.invocation import Invocation

JSON, PROBLEM = "application/json", "application/problem+json"

resolver = api()
any_kind = pytest.mark.parametrize("kind", KINDS)


@any_kind
def test_path_query_and_body_become_one_typed_request(kind: str) -> None:
    found = ask(resolver, kind, "GET", "/rides/7?label=by%20the%20mill&tags=a&tags=b&minutes=12.5&isReturn=true")
    assert found.status == 200
    assert found.json == {
        "rideId": 7,
        "label": "by the mill",
        "tags": ["b"] if kind in LAST_ONLY else ["a", "b"],
        "minutes": 12.5,
        "isReturn": True,
    }
    assert found.headers["content-type"] == JSON


@any_kind
def test_one_or_many_with_the_status_of_the_handler(kind: str) -> None:
    one = ask(resolver, kind, "POST", "/rides", {"rideId": 1}, headers={"Content-Type": "application/json"})
    many = ask(resolver, kind, "POST", "/rides/", [{"rideId": 1}, {"rideId": 2}])
    assert (one.status, [each["rideId"] for each in one.json]) == (201, [1])
    assert (many.status, [each["rideId"] for each in many.json]) == (201, [1, 2])


@any_kind
def test_nothing_to_say_is_204(kind: str) -> None:
    found = ask(resolver, kind, "DELETE", "/rides/7", "whatever a client sends along")
    assert (found.status, found.text) == (204, "")
    assert "content-type" not in found.headers


@any_kind
def test_400_names_the_field_at_fault(kind: str) -> None:
    found = ask(resolver, kind, "POST", "/rides", [{"rideId": 1}, {"rideId": "two"}])
    assert (found.status, found.headers["content-type"]) == (400, PROBLEM)
    assert found.json == {
        "title": "Bad Request",
        "status": 400,
        "detail": "$[1].rideId: expected `int`, got `str`",
        "request_id": "request-1",
        "field": "$[1].rideId",
    }
    assert ask(resolver, kind, "GET", "/rides/seven").json["field"] == "path.ride_id"
    assert ask(resolver, kind, "GET", "/rides/7?minutes=soon").json["field"] == "query.minutes"
    assert ask(resolver, kind, "GET", "/rides/count?colour=red").json["field"] == "query.colour"


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "nul",
        "[" * 100_000,
        '{"rideId": NaN}',
        '{"rideId": 1e999}',
        b"\xff\xfe",
        b"",
        '"s3://bucket/key"',
        "\ud800",
    ],
    ids=lambda body: repr(body)[:20],
)
@any_kind
def test_400_for_what_is_no_json(kind: str, body: str | bytes) -> None:
    found = ask(resolver, kind, "POST", "/rides", body)
    assert (found.status, found.json["status"]) == (400, 400)


@any_kind
def test_400_says_what_a_body_seems_to_be(kind: str) -> None:
    for body, hint in ((gzip.compress(b"{}"), "gzip"), ('{"rideId": 1}'.encode("utf-16"), "UTF-16")):
        for target in ("/rides", "/rides?rideId=1"):
            found = ask(resolver, kind, "POST", target, body)
            assert (found.status, f"it looks like {hint}" in found.json["detail"]) == (400, True)


@any_kind
def test_bodies_come_in_base64_too(kind: str) -> None:
    assert ask(resolver, kind, "POST", "/rides", '{"rideId": 1, "label": "Mühle"}'.encode()).json[0]["label"] == "Mühle"


@any_kind
def test_400_for_bad_base64(kind: str) -> None:
    for body in ("a", "!!!!", "Mühle", "YWJj\n"):
        event = {**EVENTS[kind]("POST", "/rides", b"sent as base64"), "body": body}
        found = reply(resolver(event, LambdaContext()))
        assert (found.status, found.json["field"]) == (400, "body")


@any_kind
def test_401_without_a_caller_that_the_gateway_knows(kind: str) -> None:
    found = ask(resolver, kind, "PUT", "/rides/7", {})
    assert (found.status, found.headers["www-authenticate"]) == (401, "Bearer")


@any_kind
def test_401_and_403_and_409_and_422_are_a_handlers_too(kind: str) -> None:
    for status, text in ((401, "who"), (403, "not you"), (404, "no such"), (409, "already"), (422, "unknown_label")):
        found = ask(resolver, kind, "POST", "/fail", {"rideId": 1, "label": str(status)})
        assert (found.status, text in found.json["detail"]) == (status, True)
    assert found.json["field"] == "$.label"


@any_kind
def test_404_where_no_route_is(kind: str) -> None:
    for path in ("/", "/rides/7/8", "/Rides", "/rides//7", "//", "/openapiXjson", "/rides%2F7", "/%00", "", "no slash"):
        found = ask(resolver, kind, "GET", path)
        expected = 200 if kind in DECODING and path == "/rides%2F7" else 404  # decoded before it is sent
        assert (path, found.status) == (path, expected)


@any_kind
def test_405_says_what_is_allowed(kind: str) -> None:
    found = ask(resolver, kind, "PATCH", "/rides/7")
    assert (found.status, found.headers["allow"]) == (405, "DELETE, GET, HEAD, OPTIONS, PUT")
    assert ask(resolver, kind, "GET", "/rides").headers["allow"] == "OPTIONS, POST"
    assert ask(resolver, kind, "BREW", "/rides/").status == 405
    assert ask(resolver, kind, "BREW", "/tea").status == 404


@any_kind
def test_options_and_head(kind: str) -> None:
    options = ask(resolver, kind, "OPTIONS", "/rides/count")
    assert (options.status, options.text) == (204, "")
    assert options.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PUT"  # also those of /rides/<ride_id>
    assert ask(resolver, kind, "OPTIONS", "/nowhere").status == 404
    head = ask(resolver, kind, "HEAD", "/rides/7")
    assert (head.status, head.text, head.headers["content-type"]) == (200, "", JSON)
    assert ask(resolver, kind, "HEAD", "/rides/seven").status == 400
    assert ask(resolver, kind, "HEAD", "/rides").status == 405


@any_kind
def test_413_for_a_body_that_is_too_large(kind: str) -> None:
    tokens = api(api_tokens={hashlib.sha256(TOKEN.encode()).hexdigest(): "rides:write"})

    def put(body: str | bytes) -> int:
        return ask(tokens, kind, "PUT", "/rides/7", body, headers={"Authorization": f"Bearer {TOKEN}"}).status

    fits = json.dumps({"label": ""})
    fits = fits.replace('""', f'"{"x" * (MAX_BODY_BYTES - len(fits))}"')
    assert len(fits) == MAX_BODY_BYTES
    assert [put(fits), put(fits.encode()), put(fits + " "), put(fits.encode() + b" ")] == [200, 200, 413, 413]
    assert put("ü" * (MAX_BODY_BYTES // 2 + 1)) == 413  # counted in bytes
    assert put("{" * 50_000_000) == 413


@any_kind
def test_415_for_another_kind_of_body(kind: str) -> None:
    def post(content_type: str, body: str = '{"rideId": 1}') -> int:
        return ask(resolver, kind, "POST", "/rides", body, headers={"Content-Type": content_type}).status

    for taken in ("application/json", "Application/JSON; charset=utf-8", "application/merge-patch+json", "", " "):
        assert (taken, post(taken)) == (taken, 201)
    for refused in ("text/plain", "application/x-www-form-urlencoded", "application/jsonp", "multipart/form-data; x=1"):
        assert (refused, post(refused)) == (refused, 415)


@any_kind
def test_500_tells_the_client_nothing_and_the_log_where(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    log_everything()
    found = ask(resolver, kind, "POST", "/fail", {"rideId": 1, "label": "Bang"})
    assert found.status == 500
    assert found.json == {
        "title": "Internal Server Error",
        "status": 500,
        "detail": "something went wrong here: ask with the request id",
        "request_id": "request-1",
    }
    out = written(capsys)
    [line] = out.logs
    assert (line["exception"], line["request_id"]) == ("KeyError", "request-1")
    assert any("rides.py" in frame for frame in line["frames"])
    assert "secret" not in out.text
    assert "Bang" not in out.text


@any_kind
def test_503_does_not_say_what_was_not_there(kind: str) -> None:
    found = ask(resolver, kind, "POST", "/fail", {"rideId": 1, "label": "503"})
    assert (found.status, "secret-table" in found.text) == (503, False)


@any_kind
def test_each_request_is_counted_once_by_handler_and_route(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    log_everything()
    expected = [
        ("GET", "/rides/7", "get-ride", "/rides/<ride_id>", "status_2xx"),
        ("GET", "/rides/x", "get-ride", "/rides/<ride_id>", "status_4xx"),
        ("PUT", "/rides/7", "put-ride", "/rides/<ride_id>", "status_4xx"),
        ("GET", "/private/path", "api", "none", "status_4xx"),
        ("POST", "/rides/7", "api", "/rides/<ride_id>", "status_4xx"),
        ("OPTIONS", "/rides", "api", "/rides", "status_2xx"),
        ("POST", "/fail", "fail", "/fail", "status_5xx"),
        ("GET", "/health", "health", "/health", "status_2xx"),
    ]
    for method, path, handler, route, status in expected:
        ask(resolver, kind, method, path, {"rideId": 1} if method == "POST" else None)
        out = written(capsys)
        [line] = out.metrics
        assert (line["handler"], line["route"]) == (handler, route)
        assert {name: value for name, value in line.items() if name.startswith("status_")} == {status: 1}
        assert (line["invocations"], line["success"]) == (1, int(status == "status_2xx"))
        assert "private" not in out.text
        assert len([each for each in out.logs if each["level"] == "ERROR"]) == (status != "status_2xx")


@any_kind
def test_ids_tie_an_answer_to_its_log(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    log_everything()
    trace = "Self=1-2-3;Root=1-65f0c2a4-0123456789abcdef01234567;Sampled=1"
    for sent, correlation_id in (
        ({"X-Correlation-Id": "order 66\r\nx: y", "X-Amzn-Trace-Id": trace}, "order66x:y"),
        ({"X-Amzn-Trace-Id": trace}, "1-65f0c2a4-0123456789abcdef01234567"),
        ({"X-Amzn-Trace-Id": "Root=;;="}, "gateway-1" if kind in GATEWAYS else "request-1"),
        ({}, "gateway-1" if kind in GATEWAYS else "request-1"),
    ):
        found = ask(resolver, kind, "GET", "/rides/x", headers=sent)
        assert found.headers["x-correlation-id"] == correlation_id
        assert found.headers["x-request-id"] == "request-1"
        [line] = written(capsys).logs
        assert (line["correlation_id"], line["request_id"]) == (correlation_id, "request-1")


@any_kind
def test_a_log_level_is_for_one_request_alone(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    log_everything()
    ask(resolver, kind, "GET", "/rides/7", headers={"X-Log-Level": "error"})
    assert written(capsys).logs == []
    ask(resolver, kind, "GET", "/rides/7")
    assert [line["message"] for line in written(capsys).logs] == ["looked up"]
    found = ask(resolver, kind, "GET", "/rides/7", headers={"X-Log-Level": "LOUD"})
    assert (found.status, found.json["field"]) == (400, "header.x-log-level")


@any_kind
def test_an_old_client_is_told_what_is_needed(kind: str) -> None:
    strict = api(api_min_client_version="1.10")

    def get(version: str) -> tuple[int, str]:
        found = ask(strict, kind, "GET", "/rides/7", headers={"X-Client-Version": version})
        return found.status, found.json.get("detail", "")

    assert [get(each)[0] for each in ("1.10", "1.10.0", "1.11", "2", "1.10.0.1")] == [200] * 5
    assert get("1.9.9") == (400, "x-client-version: this client is too old: 1.10 is needed")
    noughts = ask(api(api_min_client_version="2.0.0"), kind, "GET", "/rides/7", headers={"X-Client-Version": "2"})
    assert noughts.status == 200
    for malformed in ("", "v2", "2.", "-1", "1.10-rc1", "٢", "9" * 5000):
        assert (malformed[:9], get(malformed)[0]) == (malformed[:9], 400)
    assert ask(strict, kind, "GET", "/rides/7").status == 200  # who says nothing is let in
    assert ask(strict, kind, "GET", "/health", headers={"X-Client-Version": "0"}).status == 200


@any_kind
def test_events_come_as_bytes_too(kind: str) -> None:
    event = EVENTS[kind]("GET", "/rides/7")
    assert reply(resolver(json.dumps(event).encode(), LambdaContext())).json["rideId"] == 7


@pytest.mark.parametrize(
    "event",
    [
        None, 5, "text", [], {}, b"", b"{", b"[" * 100_000, {"Records": []}, {"version": "2.0"}, {"httpMethod": "GET"},
        {"httpMethod": None, "path": "/"}, {"httpMethod": "GET", "path": 5}, {"requestContext": {"http": None}},
        {"requestContext": {"elb": {}}, "path": "/"}, {"version": "2.0", "method": "GET"}, {"raw_path": "/"},
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_no_http_request_is_one_line(event: Any, capsys: pytest.CaptureFixture[str]) -> None:
    log_everything()
    with pytest.raises(EventError) as refused:
        resolver(event, LambdaContext())
    assert "\n" not in str(refused.value)
    out = written(capsys)
    assert ([line["level"] for line in out.logs], [line["failure"] for line in out.metrics]) == (["ERROR"], [1])


def test_a_stage_is_no_part_of_a_route() -> None:
    for stage in ("prod", "v1"):
        assert ask(resolver, "REST API", "GET", "/rides/7", stage=stage).status == 200
        assert ask(resolver, "HTTP API", "GET", "/rides/7", stage=stage).status == 200
        assert ask(resolver, "HTTP API, payload 1.0", "GET", "/rides/7", stage=stage).status == 200
    event = http_event("GET", "/rides/7", stage="prod")
    event["rawPath"] = "/rides/7"  # behind a domain of one's own
    assert reply(resolver(event)).status == 200
    assert ask(resolver, "HTTP API, payload 1.0", "GET", "/rides/7", stage="$default").status == 200
    assert ask(resolver, "HTTP API", "GET", "", stage="prod").status == 404


def test_the_base_path_and_a_prefix_are_taken_off() -> None:
    resolver = function([GetRideHandler], Settings(api_base_path="/mill"), prefix="/v1")
    for kind in KINDS:
        assert [ask(resolver, kind, "GET", path).status for path in ("/mill/v1/rides/7", "/v1/rides/7")] == [200, 200]
        assert ask(resolver, kind, "GET", "/rides/7").status == 404
        assert ask(resolver, kind, "GET", "/millers/v1/rides/7").status == 404
        assert ask(resolver, kind, "PUT", "/mill/v1/rides/7").headers["allow"] == "GET, HEAD, OPTIONS"


@any_kind
def test_a_paths_field_holds_any_text(kind: str) -> None:
    class Echo(ApiLambdaHandler[Word, Word]):
        """Says it again."""

        route = "/echo/<word>"
        method = "GET"

        def handle(self, request: Word, invocation: Invocation) -> Word:
            invocation.metrics.count("echoes")
            return request

    echo = function([Echo])
    for sent, word in (
        ("a%20b", "a b"), ("M%C3%BChle", "Mühle"), ("%25", "%"), ("a%2541", "a%41"), ("%22%5C%60%23%3F%0A", '"\\`#?\n'),
        ("+", "+"), ("%f0%9f%9a%b2", "\N{BICYCLE}"),
    ):  # fmt: skip
        assert ask(echo, kind, "GET", f"/echo/{sent}").json == {"word": word}
    broken = ask(echo, kind, "GET", "/echo/%FF")
    assert (broken.status, broken.json["field"]) == (400, "path.word")
    if kind not in DECODING:
        assert ask(echo, kind, "GET", "/echo/a%2Fb").json == {"word": "a/b"}


def test_an_http_api_in_the_older_format_has_decoded_the_path() -> None:
    event = {**rest_event("GET", "/rides/7"), "version": "1.0", "path": "/rides/%37"}
    assert reply(resolver(event)).status == 400
    assert reply(resolver({**event, "path": "/rides/7"})).json["rideId"] == 7


def test_headers_and_query_are_read_from_either_form() -> None:
    event = rest_event("GET", "/rides/7?tags=a&tags=b&label=c", headers={"X-Log-Level": "LOUD"})
    assert reply(resolver({**event, "headers": None})).status == 400
    event = rest_event("GET", "/rides/7?tags=a&tags=b&label=c")
    assert reply(resolver({**event, "multiValueQueryStringParameters": None})).json["tags"] == ["b"]
    assert reply(resolver({**event, "queryStringParameters": None})).json["tags"] == ["a", "b"]
    event = http_event("GET", "/rides/7?label=x%2By+z")
    assert reply(resolver(event)).json["label"] == "x+y z"
    del event["rawQueryString"]
    assert reply(resolver(event)).json["label"] == "x+y z"


@pytest.mark.parametrize("query", ["&".join(["a=b"] * 1001), "label=%FF"])
def test_400_for_a_query_that_cannot_be_read(query: str) -> None:
    assert ask(resolver, "HTTP API", "GET", f"/rides/7?{query}").json["field"] == "query"


def test_400_for_half_a_character_which_json_may_escape() -> None:
    for name in ("label", "tags", "other"):
        event = {**rest_event("GET", "/rides/7"), "queryStringParameters": {name: "\ud83d"}}
        found = reply(resolver(event, LambdaContext()))
        assert (found.status, found.json["field"]) == (400, "query")


def test_an_api_is_discovered_in_a_module() -> None:
    module = sys.modules[GetRideHandler.__module__]
    found = Api(discover(module, kind=ApiLambdaHandler), Settings(), title="Rides")  # type: ignore[type-abstract]
    operations = [each["operationId"] for path in found.openapi()["paths"].values() for each in path.values()]
    assert sorted(operations) == sorted(each.name for each in HANDLERS)
    assert found.openapi()["info"]["title"] == "Rides"
    assert Api([], Settings()).openapi()["paths"] == {}


def test_a_handler_is_opened_once_with_the_settings() -> None:
    settings = Settings(run_id="42")

    class Opened(GetRideHandler):
        """Counts how often it is made."""

        name = "opened"
        with_settings: ClassVar[list[Settings]] = []

        @classmethod
        def open(cls, settings: Settings) -> Opened:
            cls.with_settings.append(settings)
            return cls()

    resolver = function([Opened], settings)
    for kind in KINDS * 2:
        ask(resolver, kind, "GET", "/rides/1")
    assert Opened.with_settings == [settings]


def test_a_handler_says_how_it_decodes_and_encodes() -> None:
    class Shouting(AddRidesHandler):
        """Answers in capitals."""

        name = "shouting"

        @classmethod
        def decode(cls, payload: Any) -> Ride:
            return Ride(len(payload))

        @classmethod
        def encode(cls, response: Any) -> Any:
            return {"RIDES": [each.ride_id for each in response]}

    found = ask(function([Shouting]), "HTTP API", "POST", "/rides", "hello")
    assert found.json == {"RIDES": [5]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"route": "/rides/<other>"}, "GET /rides/<other> of changed and /rides/<ride_id> of get-ride are one route"),
        ({"route": "/health", "name": "well"}, "of health and /health of well are one route"),
        ({"route": "/elsewhere/<ride_id>", "name": "get-ride"}, "two handlers are named get-ride"),
        ({"route": "/elsewhere", "name": "openapi"}, "two handlers are named openapi"),
        ({"route": "rides"}, "does not start with a slash"),
        ({"route": "/a b"}, "has 'a b': write a word, or a field as <name>"),
        ({"route": "/<a>/<a>"}, "has a field twice"),
        ({"route": "/x/<nothing>"}, "<nothing>, which its request has not"),
        ({"route": "/x", "method": "BREW"}, "method 'BREW' is none of GET, POST, PUT, PATCH, DELETE"),
        ({"route": "/x", "request_type": list[Ride]}, "its request is to be a Struct or None"),
        ({"route": "/x/<ride_id>", "request_type": list[Ride], "method": "POST"}, "which its request has not"),
    ],
    ids=lambda value: "" if isinstance(value, str) else str(value),
)
def test_a_route_that_cannot_be_is_refused_at_start_with_one_line(changes: dict[str, Any], message: str) -> None:
    changed = type("ChangedHandler", (GetRideHandler,), changes)
    with pytest.raises(MillraceError) as refused:
        Api([GetRideHandler, changed], Settings())
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"api_min_client_version": "two"}, "API_MIN_CLIENT_VERSION is 'two'"),
        ({"api_base_path": "mill"}, "API_BASE_PATH is 'mill'"),
        ({"api_base_path": "/a b"}, "API_BASE_PATH is '/a b'"),
        ({"api_cors_origins": "example.org"}, "API_CORS_ORIGINS has 'example.org'"),
        ({"api_tokens": {"river-bank": "*"}}, "API_TOKENS has a token that is no SHA-256"),
        ({"api_tokens": {"a" * 64: "a b"}}, "API_TOKENS has scopes of another form"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_at_start_with_one_line(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as refused:
        api(**setting)
    assert message in str(refused.value)
    assert "river-bank" not in str(refused.value)


def test_a_field_in_a_route_gives_way_to_a_word() -> None:
    assert ask(resolver, "HTTP API", "GET", "/rides/count?limit=3").json == 3
    assert ask(resolver, "HTTP API", "DELETE", "/rides/count").status == 400  # of /rides/<ride_id>


def test_of_two_fields_the_later_gives_way() -> None:
    def handler(name: str, route: str) -> Any:
        return type(name, (GetRideHandler,), {"name": name, "route": route})

    early, late = handler("early", "/<ride_id>/5"), handler("late", "/7/<ride_id>")
    for handlers in ([early, late], [late, early]):  # however they were found
        found = function(handlers)
        assert ask(found, "HTTP API", "GET", "/7/5").json["rideId"] == 5
        assert ask(found, "HTTP API", "GET", "/6/5").json["rideId"] == 6


@any_kind
def test_the_api_says_that_it_is_well(kind: str) -> None:
    assert ask(resolver, kind, "GET", "/health").json == {"status": "ok"}


def test_no_library_logs_what_is_sent(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    own = api()
    with caplog.at_level("DEBUG"):
        for kind in KINDS:
            ask(
                own,
                kind,
                "POST",
                "/rides?label=hush",
                {"rideId": 1, "label": "whisper"},
                headers={"Authorization": "Bearer hush"},
            )
            ask(own, kind, "GET", "/whisper")
    out = capsys.readouterr()
    assert not [word for word in ("whisper", "hush") for text in (caplog.text, out.out, out.err) if word in text]


def test_a_full_event_of_lambda_is_answered() -> None:
    body = base64.b64encode(json.dumps({"rideId": 1, "label": "x" * 4_000_000}).encode()).decode()
    event = {**http_event("POST", "/rides"), "body": body, "isBase64Encoded": True}
    assert len(reply(resolver(event)).json[0]["label"]) == 4_000_000


class Word(msgspec.Struct):
    """A word."""

    word: str
