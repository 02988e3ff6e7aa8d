"""Which pages may call the API from a browser: `API_CORS_ORIGINS`, answered with Powertools' own configuration.

The headers are put on every answer, errors too, or a browser would hide from its page what was wrong.
"""

from __future__ import annotations

import re
from typing import Any

from app.errors import SettingsError
from app.handlers.api import headers

ANY_ORIGIN = "*"
MAX_AGE_S = 600  # how long a browser remembers; ten minutes is what a change of the setting may take

_ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://[^/\s,]+")


class Cors:
    """Says which headers let a browser's page read an answer."""

    def __init__(self, origins: list[str]) -> None:
        """Takes the origins; with none, no page is let in."""
        self._config: Any = None
        self._by_origin = bool(origins) and ANY_ORIGIN not in origins
        if origins:
            from aws_lambda_powertools.event_handler import CORSConfig  # noqa: PLC0415 - not imported without need

            self._config = CORSConfig(
                allow_origin=origins[0],
                extra_origins=origins[1:],
                allow_headers=[headers.CLIENT_VERSION, headers.LOG_LEVEL, headers.CORRELATION_ID],
                expose_headers=[headers.REQUEST_ID, headers.CORRELATION_ID],
                max_age=MAX_AGE_S,
            )

    @classmethod
    def of(cls, setting: str) -> Cors:
        """Reads `API_CORS_ORIGINS`.

        Raises:
            SettingsError: It has something that is no origin.
        """
        origins = [each.strip().rstrip("/") for each in setting.split(",") if each.strip()]
        for each in origins:
            if not _ORIGIN.fullmatch(each):
                raise SettingsError(f"API_CORS_ORIGINS has {each!r}: write https://host, or * for any")
        return cls(origins)

    def headers(self, origin: str | None) -> tuple[tuple[str, str], ...]:
        """What is put on an answer to a page of this origin."""
        vary = (("Vary", "Origin"),) if self._by_origin else ()
        allowed = self._config.allowed_origin(origin) if self._config else None
        return (*(self._config.to_dict(allowed).items() if allowed else ()), *vary)

    def preflight(self, methods: list[str]) -> tuple[tuple[str, str], ...]:
        """What is put on the answer to a browser that asks before it calls."""
        return (("Access-Control-Allow-Methods", ",".join(methods)),) if self._config else ()
