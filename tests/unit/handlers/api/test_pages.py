"""Pages beside the handlers: static files below a path, from each source."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from starlette.staticfiles import StaticFiles

from app.settings import Settings
from tests.handlers_for_tests import LambdaContext, log_everything, written
from tests.unit.handlers.api.rides import EVENTS, HANDLERS, KINDS, TOKEN, ask, function

if TYPE_CHECKING:
    from pathlib import Path

    from app.handlers.api.lambda_events import LambdaAdapter

PIXEL = b"\x89PNG\r\n\x1a\n\x00\xff"

any_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def site(tmp_path: Path) -> LambdaAdapter:
    (tmp_path / "index.html").write_text("<h1>Mühle</h1>")
    (tmp_path / "a pixel.png").write_bytes(PIXEL)
    (tmp_path.parent / "secret.txt").write_text("not of the page")
    page = StaticFiles(directory=tmp_path, html=True)
    return function(HANDLERS, Settings(api_base_path="/mill", api_cors_origins="*"), pages={"/page": page})


@any_kind
def test_static_files_are_served_beside_the_handlers(kind: str, site: LambdaAdapter) -> None:
    for path in ("/page/", "/page/index.html", "/mill/page/"):
        found = ask(site, kind, "GET", path, headers={"Origin": "https://elsewhere.example"})
        assert (found.status, found.text) == (200, "<h1>Mühle</h1>")
        assert found.headers["content-type"] == "text/html; charset=utf-8"
        assert found.headers["access-control-allow-origin"] == "*"
    assert ask(site, kind, "GET", "/rides/7").json["rideId"] == 7


@any_kind
def test_bytes_that_are_not_text_are_sent_in_base64(kind: str, site: LambdaAdapter) -> None:
    answer: dict[str, Any] = site(EVENTS[kind]("GET", "/page/a%20pixel.png"), LambdaContext())
    assert (answer["statusCode"], answer["isBase64Encoded"]) == (200, True)
    assert base64.b64decode(answer["body"]) == PIXEL


@any_kind
def test_the_path_of_a_page_leads_to_it(kind: str, site: LambdaAdapter) -> None:
    found = ask(site, kind, "GET", "/mill/page")
    path = found.headers["location"].removeprefix("https://").partition("/")[2]
    assert (found.status, path) == (307, "prod/mill/page/" if kind == "HTTP API, payload 1.0" else "mill/page/")


@any_kind
def test_what_a_page_has_not_is_a_problem_like_any_other(
    kind: str, site: LambdaAdapter, capsys: pytest.CaptureFixture[str]
) -> None:
    log_everything()
    for path in ("/page/nothing", "/page/../secret.txt", "/page/%2e%2e/secret.txt", "/pages"):
        found = ask(site, kind, "GET", path)
        assert (found.status, found.headers["content-type"]) == (404, "application/problem+json")
        assert len(written(capsys).metrics) == 1
    refused = ask(site, kind, "POST", "/page/", {})
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


@any_kind
def test_a_page_that_fails_tells_the_log_and_not_the_client(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    async def fails(*_: Any) -> None:
        raise KeyError(TOKEN)

    log_everything()
    found = ask(function([], pages={"/page": fails}), kind, "GET", "/page/")
    out = written(capsys)
    assert (found.status, found.json["status"], out.logs[0]["exception"]) == (500, 500, "KeyError")
    assert TOKEN not in found.text + out.text
