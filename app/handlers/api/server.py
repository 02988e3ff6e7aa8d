"""The API on this machine, for those who write handlers and pages: uvicorn on a loopback address, without TLS."""

from __future__ import annotations

import contextlib
import ipaddress
import signal
import socket
from typing import TYPE_CHECKING

import uvicorn

from app.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp

HOST = "127.0.0.1"
IDLE_S = 30  # a connection that asks nothing is closed then: API Gateway's own limit for an answer
GRACE_S = 5  # how long an answer that is being made when the server stops may take


def serve(
    app: ASGIApp, host: str, port: int, *, announce: Callable[[str], object] = print, any_host: bool = False
) -> None:
    """Answer until Ctrl-C or SIGTERM, one request at a time; what is being answered then is still answered.

    Args:
        app: An ASGI application, such as an `Api`.
        host: An address of this machine.
        port: 0 for any that is free.
        announce: Called with the URL, once requests are answered.
        any_host: Whether the host may be one that others reach.

    Raises:
        SettingsError: The host is not loopback, or host and port cannot be listened on.
    """
    loopback = host == "localhost"
    with contextlib.suppress(ValueError):
        loopback = ipaddress.ip_address(host).is_loopback
    if not any_host and not loopback:
        raise SettingsError(f"host {host} may be reached by others: give {HOST}, or say that others may")
    with listen(host, port) as listener, contextlib.suppress(KeyboardInterrupt):
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # uvicorn stops, and raises the signal once more
        announce(f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}")
        server(app).run([listener])


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
        app, http="h11", loop="asyncio", ws="none", lifespan="off", log_config=None, log_level="critical",
        access_log=False, server_header=False, timeout_keep_alive=IDLE_S, timeout_graceful_shutdown=GRACE_S,
    )  # fmt: skip
    return uvicorn.Server(config)
