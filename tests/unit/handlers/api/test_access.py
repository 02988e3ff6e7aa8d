"""Who may call: with tokens of our own, and behind a gateway's authorizer."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from tests.handlers_for_tests import log_everything, written
from tests.unit.handlers.api.rides import EVERY_TOKEN, GATEWAYS, KINDS, OTHER_TOKEN, TOKEN, api, ask


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


TOKENS = {digest(TOKEN): "rides:read+rides:write", digest(OTHER_TOKEN): "rides:read", digest(EVERY_TOKEN): "*"}
with_tokens, without = api(api_tokens=TOKENS), api()
any_kind = pytest.mark.parametrize("kind", KINDS)


def put(kind: str, header: str | None, **options: Any) -> tuple[int, str]:
    headers = {} if header is None else {"Authorization": header}
    found = ask(with_tokens, kind, "PUT", "/rides/7", {}, headers=headers, **options)
    return found.status, found.headers.get("www-authenticate", "")


@any_kind
def test_a_token_lets_in_and_its_scope_decides(kind: str) -> None:
    assert put(kind, f"Bearer {TOKEN}") == (200, "")
    assert put(kind, f"bearer   {EVERY_TOKEN}") == (200, "")
    assert put(kind, f"Bearer {OTHER_TOKEN}") == (403, "")


@any_kind
def test_without_a_known_token_nobody_is_let_in(kind: str) -> None:
    for header in (None, "", "Bearer", "Bearer ", TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN} x",
                   f"Bearer {digest(TOKEN)}", "Bearer Mühle", f"Bearer {TOKEN}\n"[:-1] + "\x00"):  # fmt: skip
        assert (header, *put(kind, header)) == (header, 401, "Bearer")
    assert ask(with_tokens, kind, "GET", "/rides/7").status == 401  # each handler needs one, also without a scope


@pytest.mark.parametrize("kind", GATEWAYS)
def test_an_authorizer_is_no_token(kind: str) -> None:
    assert put(kind, None, authorizer={"claims": {"scope": "rides:write"}})[0] == 401


@any_kind
def test_what_the_api_is_needs_no_token(kind: str) -> None:
    assert ask(with_tokens, kind, "GET", "/openapi.json").status == 200
    assert ask(with_tokens, kind, "GET", "/health").status == 200
    assert ask(with_tokens, kind, "OPTIONS", "/rides/7").status == 204


@any_kind
def test_a_token_is_never_logged(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    log_everything()
    for header in (f"Bearer {TOKEN}", f"Bearer {TOKEN}x", f"Basic {TOKEN}"):
        put(kind, header)
    text = written(capsys).text
    assert TOKEN not in text
    assert digest(TOKEN) not in text


@any_kind
def test_who_is_not_let_in_cannot_make_the_log_longer(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    log_everything()
    found = ask(with_tokens, kind, "GET", "/rides/7", headers={"X-Log-Level": "LOUD"})
    assert found.status == 401
    assert len(written(capsys).logs) == 1


@pytest.mark.parametrize(
    ("kind", "authorizer", "status"),
    [
        ("REST API", {"claims": {"scope": "openid rides:write"}}, 200),
        ("REST API", {"claims": {"scope": "openid rides:writer"}}, 403),
        ("REST API", {"principalId": "mill", "integrationLatency": 5, "scope": "rides:write"}, 200),
        ("REST API", {"principalId": "mill"}, 403),
        ("HTTP API, payload 1.0", {"claims": {"scope": "rides:write"}, "scopes": ["rides:write"]}, 200),
        ("HTTP API", {"jwt": {"claims": {"scope": "rides:read rides:write"}, "scopes": None}}, 200),
        ("HTTP API", {"jwt": {"claims": {"sub": "mill"}, "scopes": ["rides:write"]}}, 200),
        ("HTTP API", {"jwt": {"claims": {"sub": "mill"}, "scopes": ["rides:read"]}}, 403),
        ("HTTP API", {"lambda": {"scope": "rides:write"}}, 200),
        ("HTTP API", {"jwt": {"claims": {"scope": "*"}}}, 403),
        ("HTTP API", {"jwt": None, "claims": ["rides:write"], "scope": 5}, 403),
        ("function URL", {"iam": {"userArn": "arn:aws:iam::1:user/rides:write"}}, 403),
    ],
)
def test_without_tokens_the_gateway_vouches_for_scopes(kind: str, authorizer: dict[str, Any], status: int) -> None:
    assert ask(without, kind, "PUT", "/rides/7", {}, authorizer=authorizer).status == status
    assert ask(without, kind, "GET", "/rides/7", authorizer=authorizer).status == 200


@any_kind
def test_without_anybody_who_vouches_only_what_needs_no_scope_is_answered(kind: str) -> None:
    assert ask(without, kind, "GET", "/rides/7").status == 200
    for header in ({}, {"Authorization": f"Bearer {TOKEN}"}):
        assert ask(without, kind, "PUT", "/rides/7", {}, headers=header).status == 401
