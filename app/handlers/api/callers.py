"""What the API reads of a caller: token or authorizer, client version, log level, correlation id, content type.

With `API_TOKENS` every handler needs a token whose digest is set; a handler's `scope` must be among the token's scopes.
Without it the gateway's authorizer has let the caller in, and only a handler's `scope` is compared with the scopes that
the authorizer gives. Tokens are kept and compared as digests, and never logged.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import TYPE_CHECKING

from app.errors import ForbiddenError, RequestError, SettingsError, UnauthorizedError, UnsupportedMediaError
from app.telemetry import LEVELS
from app.text import sanitize_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.settings import Settings

CLIENT_VERSION, LOG_LEVEL = "x-client-version", "x-log-level"
CORRELATION_ID, REQUEST_ID = "x-correlation-id", "x-request-id"
EVERY_SCOPE = "*"

_DIGEST = re.compile(r"[0-9a-f]{64}")
_SCOPES = re.compile(r"\*|[\w./:-]+(\+[\w./:-]+)*", re.ASCII)
_BEARER = re.compile(r"bearer {1,9}([\w.~+/-]{1,8192}={0,9})", re.ASCII | re.IGNORECASE)
"""RFC 6750, 2.1; the lengths are far above those of any token."""
_VERSION = re.compile(r"(\d{1,9}(?:\.\d{1,9}){0,5}?)(?:\.0{1,9})*", re.ASCII)  # without the noughts at its end
_JSON = re.compile(r"\s*(application/([\w.!#$&^-]+\+)?json\s*(;.*)?)?", re.ASCII | re.IGNORECASE | re.DOTALL)


class Gate:
    """Decides which callers and clients are answered."""

    def __init__(self, settings: Settings) -> None:
        """Read the settings, or raise SettingsError."""
        for digest, scopes in settings.api_tokens.items():
            if not _DIGEST.fullmatch(digest):
                made = "`printf %s TOKEN | sha256sum` makes one"
                raise SettingsError(f"API_TOKENS has a token that is no SHA-256 in 64 small hex digits: {made}")
            if not _SCOPES.fullmatch(scopes):
                raise SettingsError("API_TOKENS has scopes of another form: write one, several as a+b, or * for all")
        self._scopes = {digest: frozenset(scopes.split("+")) for digest, scopes in settings.api_tokens.items()}
        self.needs_token = bool(self._scopes)
        self._least = _version(text := settings.api_min_client_version)
        if text and not self._least:
            raise SettingsError(f"API_MIN_CLIENT_VERSION is {text!r}: write numbers with dots between, such as 1.4.0")

    def check(self, headers: Mapping[str, str], authorizer: object, scope: str) -> None:
        """Let a caller in.

        Args:
            headers: The request's, by name in lower case.
            authorizer: The gateway's word on the caller: `requestContext.authorizer` of a Lambda event.
            scope: The handler's; empty where any known caller will do.

        Raises:
            UnauthorizedError: The caller is not known.
            ForbiddenError: The caller is known, and does not have the scope.
            RequestError: The client is too old; one that sends no version is let in, as browsers and curl are.
        """
        if self.needs_token or scope:
            scopes = self._of_token(headers) if self.needs_token else _of_authorizer(authorizer)
            if scope and scope not in scopes and EVERY_SCOPE not in scopes:
                raise ForbiddenError(f"this needs the scope {scope}")
        if CLIENT_VERSION in headers:
            found, field = _version(headers[CLIENT_VERSION].strip()), f"header.{CLIENT_VERSION}"
            if not found:
                raise RequestError(f"{CLIENT_VERSION}: not a version: send numbers with dots between", field)
            if found < self._least:
                needed = ".".join(map(str, self._least))
                raise RequestError(f"{CLIENT_VERSION}: this client is too old: {needed} is needed", field)

    def _of_token(self, headers: Mapping[str, str]) -> frozenset[str]:
        token = _BEARER.fullmatch(headers.get("authorization", "").strip())
        if token is None:
            raise UnauthorizedError("send a token: authorization: Bearer …")
        digest = hashlib.sha256(token[1].encode()).hexdigest()
        for known, scopes in self._scopes.items():
            if hmac.compare_digest(known, digest):
                return scopes
        raise UnauthorizedError("this token is not known")


def log_level(headers: Mapping[str, str]) -> str | None:
    """Return the log level that the client asks for with this request; raise RequestError if there is no such level."""
    level = headers.get(LOG_LEVEL, "").strip().upper()
    if LOG_LEVEL in headers and level not in LEVELS:
        raise RequestError(f"{LOG_LEVEL}: none of {', '.join(LEVELS)}", f"header.{LOG_LEVEL}")
    return level or None


def correlation_id(headers: Mapping[str, str], gateway_id: object) -> str:
    """Return the client's correlation id, else the id of AWS's trace, else the gateway's request id."""
    trace = (part.partition("=") for part in headers.get("x-amzn-trace-id", "").split(";"))
    roots = (value for name, _, value in trace if name.strip() == "Root")
    said = (sanitize_id(each) for each in (headers.get(CORRELATION_ID), *roots, gateway_id) if isinstance(each, str))
    return next(filter(None, said), "")


def check_json(headers: Mapping[str, str]) -> None:
    """Raise UnsupportedMediaError for a content type that is not JSON; none at all is taken for JSON."""
    if not _JSON.fullmatch(headers.get("content-type", "")):
        raise UnsupportedMediaError("content-type: send application/json", "header.content-type")


def _version(text: str) -> tuple[int, ...]:
    """Return dotted numbers without the noughts at the end, which change nothing; nothing for any other text."""
    found = _VERSION.fullmatch(text)
    return tuple(map(int, found[1].split("."))) if found else ()


def _of_authorizer(authorizer: object) -> frozenset[str]:
    """Return the scopes of a JWT, of a REST API's claims, or of a Lambda authorizer."""
    if not isinstance(authorizer, dict) or not authorizer:
        raise UnauthorizedError("this needs a caller that is known, and nothing before this API says who calls")
    parts = [part for part in (authorizer, *map(authorizer.get, ("claims", "jwt", "lambda"))) if isinstance(part, dict)]
    parts += [part["claims"] for part in parts if isinstance(part.get("claims"), dict)]
    found = [part.get(name) for part in parts for name in ("scope", "scopes")]
    words = [each.split() if isinstance(each, str) else each for each in found if isinstance(each, (str, list))]
    return frozenset(word for each in words for word in each if isinstance(word, str)) - {EVERY_SCOPE}
