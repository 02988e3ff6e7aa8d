"""Which pages may call from a browser."""

from __future__ import annotations

import pytest

from tests.unit.handlers.api.rides import KINDS, api, ask

PAGE = "https://mill.example"
some, anybody, nobody = api(api_cors_origins=f"{PAGE}/, http://localhost:3000"), api(api_cors_origins="*"), api()
any_kind = pytest.mark.parametrize("kind", KINDS)


@any_kind
def test_a_browser_that_asks_first_is_told_what_it_may(kind: str) -> None:
    asked = {"Origin": PAGE, "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "x-log-level"}
    found = ask(some, kind, "OPTIONS", "/rides/7", headers=asked)
    assert found.status == 204
    assert found.headers["access-control-allow-origin"] == PAGE
    assert found.headers["access-control-allow-methods"] == "DELETE,GET,HEAD,OPTIONS,PUT"
    allowed = {each.strip().lower() for each in found.headers["access-control-allow-headers"].split(",")}
    assert allowed >= {"authorization", "content-type", "x-client-version", "x-log-level", "x-correlation-id"}
    assert found.headers["access-control-max-age"] == "600"


@any_kind
@pytest.mark.parametrize(("method", "path"), [("GET", "/rides/7"), ("GET", "/rides/x"), ("PUT", "/rides/7"),
                                             ("GET", "/nowhere"), ("PATCH", "/rides"), ("POST", "/fail")])  # fmt: skip
def test_a_page_may_read_every_answer_errors_too(kind: str, method: str, path: str) -> None:
    found = ask(some, kind, method, path, {"rideId": 1} if method == "POST" else None, headers={"Origin": PAGE})
    assert found.headers["access-control-allow-origin"] == PAGE
    assert "x-request-id" in found.headers["access-control-expose-headers"]
    assert found.headers["vary"] == "Origin"


@any_kind
def test_other_pages_may_not(kind: str) -> None:
    for origin in ("https://mill.example.org", "null", "http://mill.example", f"{PAGE}/", "*", ""):
        found = ask(some, kind, "GET", "/rides/7", headers={"Origin": origin})
        assert (origin, found.status) == (origin, 200)
        assert "access-control-allow-origin" not in found.headers
        assert found.headers["vary"] == "Origin"


@any_kind
def test_any_page_may_where_the_setting_says_so(kind: str) -> None:
    found = ask(anybody, kind, "GET", "/rides/7", headers={"Origin": "https://anywhere.example"})
    assert found.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in found.headers
    assert "access-control-allow-origin" not in ask(anybody, kind, "GET", "/rides/7").headers


@any_kind
def test_without_the_setting_nothing_is_said(kind: str) -> None:
    asked = {"Origin": PAGE, "Access-Control-Request-Method": "PUT"}
    for method in ("GET", "OPTIONS"):
        found = ask(nobody, kind, method, "/rides/7", headers=asked)
        assert not [name for name in found.headers if name.startswith("access-control") or name == "vary"]
