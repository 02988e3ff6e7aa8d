"""The API on this machine, for those who write handlers and pages: uvicorn on a loopback address, without TLS."""

from __future__ import annotations

import contextlib
import ipaddress
import signal
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import uvicorn
from starlette.datastructures import Headers

from app.errors import ForbiddenError, SettingsError
from app.handlers.api.connection import MOST_CONNECTIONS, Connection
from app.handlers.api.openapi import problem_response

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from app.handlers.api.application import Api

HOST = "127.0.0.1"
IDLE_S = 30  # a connection that asks nothing is closed then: API Gateway's own limit for an answer
GRACE_S = 5  # how long an answer that is being made when the server stops may take


def serve(api: Api, host: str, port: int, *, announce: Callable[[str], object] = print, any_host: bool = False) -> None:
    """Answer until Ctrl-C or SIGTERM, one request at a time; what is being answered then is still answered.

    Args:
        api: The API.
        host: An address of this machine.
        port: 0 for any that is free.
        announce: Called with the URL, once requests are answered.
        any_host: Whether the host may be one that others reach.

    Raises:
        SettingsError: The host is not loopback, and not allowed or without tokens; or host and port cannot be listened
            on.
    """
    loopback = is_loopback(host)
    if not any_host and not loopback:
        raise SettingsError(f"host {host} may be reached by others: give {HOST}, or say that others may")
    if not loopback and not api.gate.needs_token:
        raise SettingsError(f"host {host} may be reached by others: set API_TOKENS, or give {HOST}")
    with listen(host, port) as listener, contextlib.suppress(KeyboardInterrupt):
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # uvicorn stops, and raises the signal once more
        announce(f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}")
        server(only_local(api) if loopback else api).run([listener])


def only_local(api: Api) -> ASGIApp:
    """Return an application that answers requests that name this machine and come from no foreign web page.

    A browser lets any page send a request here, and a page's domain may be made to point here (DNS rebinding). Pages of
    `API_CORS_ORIGINS` are answered, and so are requests by the names in them, which a reverse proxy may pass on.
    """

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        foreign = [each for each in headers.getlist("origin") if each.lower() != f"http://{host}".lower()]
        refusal = None
        named = _names_loopback(host) or any(api.allows_origin(f"{scheme}://{host}") for scheme in ("https", "http"))
        if host and not named:
            mend = f"ask for localhost or {HOST}, or name its origin in API_CORS_ORIGINS"
            refusal = ForbiddenError(f"host: not a name of this server: {mend}")
        elif not all(map(api.allows_origin, foreign)):
            refusal = ForbiddenError("origin: a page of another origin: name it in API_CORS_ORIGINS")
        await (problem_response(refusal, "") if refusal else api)(scope, receive, send)

    return answer


def _names_loopback(authority: str) -> bool:
    try:
        return is_loopback(urlsplit(f"//{authority}").hostname or "")
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine's own, which no other machine reaches."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host.lower() == "localhost"


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on an address, or raise SettingsError."""
    if port not in range(2**16):
        raise SettingsError(f"cannot listen on {host}:{port}: give a port from 0 to 65535")
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        reason = error.strerror or str(error)
        raise SettingsError(f"cannot listen on {host}:{port}: {reason}: give another host or port") from None


def server(app: ASGIApp) -> uvicorn.Server:
    """Return the server, not started; it logs nothing, since the application logs each request."""
    config = uvicorn.Config(
        app, http=Connection, loop="asyncio", ws="none", lifespan="off", log_config=None, log_level="critical",
        access_log=False, server_header=False, proxy_headers=False, timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=GRACE_S, backlog=MOST_CONNECTIONS, timeout_notify=0,
    )  # fmt: skip
    running = uvicorn.Server(config)

    async def tick() -> None:
        for each in list(running.server_state.connections):
            if isinstance(each, Connection):
                each.tick()

    config.callback_notify = tick  # each second, by the server's own clock
    return running
