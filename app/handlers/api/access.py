"""Authorization: bearer tokens of our own, or the scopes that the gateway's authorizer gives.

With `API_TOKENS` every handler needs a token whose digest is set; a handler's `scope` must be among the token's scopes.
Without it the gateway's authorizer has let the caller in, and only a handler's `scope` is compared with the scopes that
the authorizer gives. Tokens are kept and compared as digests, and never logged.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from app.errors import ForbiddenError, SettingsError, UnauthorizedError

if TYPE_CHECKING:
    from collections.abc import Mapping

EVERY_SCOPE = "*"

_DIGEST = re.compile(r"[0-9a-f]{64}")
_SCOPES = re.compile(r"\*|[\w./:-]+(\+[\w./:-]+)*", re.ASCII)
_BEARER = re.compile(r"bearer +([\w.~+/-]+=*)", re.ASCII | re.IGNORECASE)  # RFC 6750, 2.1


class Access:
    """Decides whether a request may be answered."""

    def __init__(self, tokens: Mapping[str, str]) -> None:
        """Take the scopes of each token by its SHA-256 in hex, or raise SettingsError."""
        for digest, scopes in tokens.items():
            if not _DIGEST.fullmatch(digest):
                raise SettingsError(
                    "API_TOKENS has a token that is no SHA-256 in 64 small hex digits: `printf %s TOKEN | sha256sum`"
                    " makes one"
                )
            if not _SCOPES.fullmatch(scopes):
                raise SettingsError(f"API_TOKENS has the scopes {scopes!r}: write one, several as a+b, or * for all")
        self._scopes = {digest: frozenset(scopes.split("+")) for digest, scopes in tokens.items()}
        self.needs_token = bool(tokens)

    def check(self, headers: Mapping[str, str], authorizer: object, scope: str) -> None:
        """Let a caller in.

        Args:
            headers: The request's, by name in lower case.
            authorizer: The gateway's word on the caller: `requestContext.authorizer` of a Lambda event.
            scope: The handler's; empty where any known caller will do.

        Raises:
            UnauthorizedError: The caller is not known.
            ForbiddenError: The caller is known, and does not have the scope.
        """
        scopes = self._of_token(headers) if self.needs_token else _of_authorizer(authorizer, scope)
        if scope and scope not in scopes and EVERY_SCOPE not in scopes:
            raise ForbiddenError(f"this needs the scope {scope}")

    def _of_token(self, headers: Mapping[str, str]) -> frozenset[str]:
        token = _BEARER.fullmatch(headers.get("authorization", "").strip())
        if token is None:
            raise UnauthorizedError("send a token: authorization: Bearer …")
        scopes = self._scopes.get(hashlib.sha256(token[1].encode()).hexdigest())
        if scopes is None:
            raise UnauthorizedError("this token is not known")
        return scopes


def _of_authorizer(authorizer: object, scope: str) -> frozenset[str]:
    """Return the scopes of a JWT, of a REST API's claims, or of a Lambda authorizer."""
    known = authorizer if isinstance(authorizer, dict) else {}
    if scope and not known:
        raise UnauthorizedError("this needs a caller that is known, and nothing before this API says who calls")
    parts = [part for part in (known, *map(known.get, ("claims", "jwt", "lambda"))) if isinstance(part, dict)]
    parts += [part["claims"] for part in parts if isinstance(part.get("claims"), dict)]
    found = [_words(part.get(name)) for part in parts for name in ("scope", "scopes")]
    return frozenset().union(*found) - {EVERY_SCOPE}  # a word of our own setting, which no identity provider gives


def _words(found: object) -> set[str]:
    if isinstance(found, str):
        return set(found.split())
    return {each for each in found if isinstance(each, str)} if isinstance(found, list) else set()
