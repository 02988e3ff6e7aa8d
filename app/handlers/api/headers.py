"""The headers that the API reads besides credentials: client version, log level, correlation id, content type."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from app.errors import RequestError, SettingsError, UnsupportedMediaError
from app.handlers.invocation import legible
from app.telemetry import LEVELS

if TYPE_CHECKING:
    from collections.abc import Mapping

CLIENT_VERSION = "x-client-version"
LOG_LEVEL = "x-log-level"
CORRELATION_ID = "x-correlation-id"
REQUEST_ID = "x-request-id"

_TRACE = "x-amzn-trace-id"
_VERSION = re.compile(r"^\d{1,9}(\.\d{1,9}){0,5}$", re.ASCII)  # calendar versions have four numbers, some have a build
_JSON = re.compile(r"^\s*application/([\w.!#$&^-]+\+)?json\s*(;.*)?$", re.ASCII | re.IGNORECASE | re.DOTALL)


def read_version(text: str) -> tuple[int, ...] | None:
    """Dotted numbers, without the noughts at the end that change nothing; None for anything else."""
    if not _VERSION.match(text) or text.endswith("\n"):
        return None
    numbers = [int(part) for part in text.split(".")]
    while len(numbers) > 1 and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def least_version(text: str) -> tuple[int, ...] | None:
    """The oldest client that is answered, from `API_MIN_CLIENT_VERSION`; None where any is.

    Raises:
        SettingsError: It is no version.
    """
    found = read_version(text) if text else None
    if text and found is None:
        raise SettingsError(f"API_MIN_CLIENT_VERSION is {text!r}: write numbers with dots between, such as 1.4.0")
    return found


def check_version(headers: Mapping[str, str], least: tuple[int, ...] | None) -> None:
    """Holds a client to the oldest version; one that does not say its version is let in, as browsers and curl are.

    Raises:
        RequestError: It is older, or what it says is no version.
    """
    text = headers.get(CLIENT_VERSION)
    if text is None:
        return
    found = read_version(text.strip())
    if found is None:
        raise RequestError(
            f"{CLIENT_VERSION}: not a version: send numbers with dots between", f"header.{CLIENT_VERSION}"
        )
    if least is not None and found < least:
        needed = ".".join(map(str, least))
        raise RequestError(f"{CLIENT_VERSION}: this client is too old: {needed} is needed", f"header.{CLIENT_VERSION}")


def log_level(headers: Mapping[str, str]) -> str | None:
    """The level at which this request is to be logged, if it says one.

    Raises:
        RequestError: It is none.
    """
    text = headers.get(LOG_LEVEL)
    if text is None:
        return None
    level = text.strip().upper()
    if level not in LEVELS:
        raise RequestError(f"{LOG_LEVEL}: none of {', '.join(LEVELS)}", f"header.{LOG_LEVEL}")
    return level


def correlation_id(headers: Mapping[str, str], gateway_id: object) -> str:
    """What ties a request to what caused it: what the client says, else AWS's trace, else the gateway's own id."""
    if CORRELATION_ID in headers:
        said = legible(headers[CORRELATION_ID])
        if said:
            return said
    for part in headers.get(_TRACE, "").split(";"):
        name, _, value = part.partition("=")
        if name.strip() == "Root" and (root := legible(value)):
            return root
    return legible(gateway_id) if isinstance(gateway_id, str) else ""


def check_json(headers: Mapping[str, str]) -> None:
    """Holds a body to JSON, if its type is said.

    Raises:
        UnsupportedMediaError: It is said to be something else.
    """
    text = headers.get("content-type", "")
    if text.strip() and not _JSON.match(text):
        raise UnsupportedMediaError("content-type: send application/json", "header.content-type")
