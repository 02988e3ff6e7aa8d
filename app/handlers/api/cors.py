"""Cross-origin requests (CORS): the pages named in `API_CORS_ORIGINS` may call the API from a browser."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware

from app.errors import SettingsError
from app.handlers.api.headers import CLIENT_VERSION, CORRELATION_ID, LOG_LEVEL, REQUEST_ID

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

MAX_AGE_S = 600  # how long a browser remembers; ten minutes is what a change of the setting may take

_ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://[^/\s,]+")


class Cors(CORSMiddleware):
    """Starlette's CORS, with preflights left to the application: it knows the methods of each path."""

    def __init__(self, app: ASGIApp, setting: str) -> None:
        """Read `API_CORS_ORIGINS`, or raise SettingsError."""
        origins = [each.strip().rstrip("/") for each in setting.split(",") if each.strip()]
        for each in origins:
            if not _ORIGIN.fullmatch(each):
                raise SettingsError(f"API_CORS_ORIGINS has {each!r}: write https://host, or * for any")
        allowed, exposed = ["Authorization", CLIENT_VERSION, LOG_LEVEL, CORRELATION_ID], [REQUEST_ID, CORRELATION_ID]
        super().__init__(app, origins, allow_headers=allowed, expose_headers=exposed, max_age=MAX_AGE_S)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the headers that let the page read the answer, errors too."""
        await self.simple_response(scope, receive, send, Headers(scope=scope))

    def preflight(self, methods: list[str]) -> dict[str, str]:
        """Return the headers that tell a browser what it may send to a path."""
        return {**self.preflight_headers, "Access-Control-Allow-Methods": ",".join(methods)}
