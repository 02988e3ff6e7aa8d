"""The request headers that the API reads: client version, log level, correlation id, content type."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from app.errors import RequestError, UnsupportedMediaError
from app.telemetry import LEVELS
from app.text import sanitize_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Scope

CLIENT_VERSION, LOG_LEVEL = "x-client-version", "x-log-level"
CORRELATION_ID, REQUEST_ID = "x-correlation-id", "x-request-id"

_VERSION = re.compile(r"(\d{1,9}(?:\.\d{1,9}){0,5}?)(?:\.0{1,9})*", re.ASCII)  # without the noughts at its end
_JSON = re.compile(r"\s*(application/([\w.!#$&^-]+\+)?json\s*(;.*)?)?", re.ASCII | re.IGNORECASE | re.DOTALL)


def read_headers(scope: Scope) -> dict[str, str]:
    """Return a request's headers by name in lower case; values of one name are joined by commas (RFC 9110, 5.2)."""
    found: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def read_version(text: str) -> tuple[int, ...] | None:
    """Return dotted numbers without the noughts at the end, which change nothing; None for any other text."""
    found = _VERSION.fullmatch(text)
    return tuple(map(int, found[1].split("."))) if found else None


def check_version(headers: Mapping[str, str], least: tuple[int, ...] | None) -> None:
    """Raise RequestError for a client that is too old; one without a version is let in, as browsers and curl are."""
    text = headers.get(CLIENT_VERSION)
    if text is None:
        return
    found, field = read_version(text.strip()), f"header.{CLIENT_VERSION}"
    if found is None:
        raise RequestError(f"{CLIENT_VERSION}: not a version: send numbers with dots between", field)
    if least is not None and found < least:
        needed = ".".join(map(str, least))
        raise RequestError(f"{CLIENT_VERSION}: this client is too old: {needed} is needed", field)


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
