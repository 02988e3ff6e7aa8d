"""Who may call: bearer tokens of our own, or what the gateway's authorizer says.

With `API_TOKENS` every handler needs a token that it has the digest of; a handler's `scope` must be among the token's.
Without it the gateway is in charge: its authorizer has let the caller in, and only a handler's `scope` is compared with
the scopes that the authorizer gives. Tokens are kept and compared as digests, and logged in no form.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from app.errors import ForbiddenError, SettingsError, UnauthorizedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.handlers.api.event import HttpEvent

EVERY_SCOPE = "*"

_DIGEST = re.compile(r"[0-9a-f]{64}")
_SCOPES = re.compile(r"\*|[\w./:-]+(\+[\w./:-]+)*", re.ASCII)
_BEARER = re.compile(r"bearer +([\w.~+/-]+=*)", re.ASCII | re.IGNORECASE)  # RFC 6750, 2.1


class Access:
    """Decides whether a request may be answered."""

    def __init__(self, tokens: Mapping[str, str]) -> None:
        """Takes the scopes of each token, by the token's SHA-256 in hex.

        Raises:
            SettingsError: A digest is none, or a scope is.
        """
        for digest, scopes in tokens.items():
            if not _DIGEST.fullmatch(digest):
                raise SettingsError(
                    "API_TOKENS has a token that is no SHA-256 in 64 small hex digits: `printf %s TOKEN | sha256sum`"
                    " makes one"
                )
            if not _SCOPES.fullmatch(scopes):
                raise SettingsError(f"API_TOKENS has the scopes {scopes!r}: write one, several as a+b, or * for all")
        self._scopes = {digest: frozenset(scopes.split("+")) for digest, scopes in tokens.items()}

    @property
    def needs_token(self) -> bool:
        """Whether each handler needs one of our tokens."""
        return bool(self._scopes)

    def check(self, http: HttpEvent, scope: str) -> None:
        """Lets a caller in.

        Raises:
            UnauthorizedError: Who calls is not known.
            ForbiddenError: Who calls is known, and may not.
        """
        scopes = self._of_token(http.headers) if self._scopes else _of_authorizer(http, scope)
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


def _of_authorizer(http: HttpEvent, scope: str) -> frozenset[str]:
    """The scopes that the gateway vouches for: a JWT's, those of a REST API's claims, or of a Lambda authorizer."""
    authorizer = http.context.get("authorizer")
    if not isinstance(authorizer, dict) or not authorizer:
        if scope:
            raise UnauthorizedError("this needs a caller that is known, and nothing before this API says who calls")
        return frozenset()
    found: set[str] = set()
    for part in (authorizer, authorizer.get("claims"), authorizer.get("jwt"), authorizer.get("lambda")):
        for holder in (part, part.get("claims")) if isinstance(part, dict) else ():
            if isinstance(holder, dict):
                found |= _words(holder.get("scope")) | _words(holder.get("scopes"))
    return frozenset(found - {EVERY_SCOPE})  # a word of our own setting; an identity provider means nothing by it


def _words(found: object) -> set[str]:
    if isinstance(found, str):
        return set(found.split())
    return {each for each in found if isinstance(each, str)} if isinstance(found, list) else set()
