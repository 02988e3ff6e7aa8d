"""The API on loopback: each HTTP request becomes an event of an HTTP API, and its answer an HTTP answer.

For a person who writes handlers, and for tests: the same resolver answers as in Lambda, one request at a time. It is no
server for strangers: it knows neither TLS nor load.
"""

from __future__ import annotations

import contextlib
import ipaddress
import signal
import socket
import socketserver
import sys
import threading
from http.server import ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from app import telemetry
from app.errors import SettingsError
from app.handlers.api.connection import Connection
from app.handlers.api.handler import MAX_BODY_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Resolver = Callable[[dict[str, Any]], dict[str, Any]]

HOST, PORT = "127.0.0.1", 8000
CLIENT_TIMEOUT_S = 30.0
"""A connection that says nothing for so long is closed: API Gateway's own limit for an answer is about as long."""
GRACE_S = 5.0
"""How long an answer that is being made when the server stops may take."""


def serve(
    resolver: Resolver,
    host: str = HOST,
    port: int = PORT,
    *,
    announce: Callable[[str], object] = print,
    any_host: bool = False,
    max_body_bytes: int = MAX_BODY_BYTES,
) -> None:
    """Answers until Ctrl-C or SIGTERM; what is being answered then is still answered.

    Args:
        resolver: An `ApiResolver`.
        host: An address of this machine.
        port: 0 for any that is free.
        announce: Told the URL, once requests are answered.
        any_host: Whether the host may be one that others reach.
        max_body_bytes: The largest body that is read at all.

    Raises:
        SettingsError: The host is not loopback, or host and port cannot be listened on.
    """
    stop = threading.Event()
    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, lambda *_: stop.set()) if main else None
    try:
        with listening(resolver, host, port, any_host=any_host, max_body_bytes=max_body_bytes) as url:
            announce(url)
            with contextlib.suppress(KeyboardInterrupt):
                stop.wait()
    finally:
        if main:
            signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


@contextlib.contextmanager
def listening(
    resolver: Resolver,
    host: str = HOST,
    port: int = 0,
    *,
    any_host: bool = False,
    max_body_bytes: int = MAX_BODY_BYTES,
    client_timeout_s: float = CLIENT_TIMEOUT_S,
) -> Iterator[str]:
    """Answers in threads of its own for as long as the block lasts; gives the URL.

    Args:
        resolver: As for `serve`.
        host: As for `serve`.
        port: As for `serve`.
        any_host: As for `serve`.
        max_body_bytes: As for `serve`.
        client_timeout_s: Seconds after which a silent connection is closed.

    Raises:
        SettingsError: As for `serve`.
    """
    if not any_host and not _is_loopback(host):
        raise SettingsError(f"host {host} may be reached by others: give {HOST}, or say that others may")
    try:
        server = Server(resolver, host, port, max_body_bytes, client_timeout_s)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SettingsError(f"cannot listen on {host}:{port}: {reason}: give another host or port") from None
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        shown = f"[{host}]" if ":" in host else host
        yield f"http://{shown}:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.settle()
        server.server_close()


class Server(ThreadingHTTPServer):
    """A thread a connection, and one request at a time."""

    daemon_threads = True  # a connection that is kept open and says nothing does not hold up the end
    request_queue_size = 128  # clients that wait their turn are not refused

    def __init__(self, resolver: Resolver, host: str, port: int, max_body_bytes: int, client_timeout_s: float) -> None:
        """Listens."""
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.max_body_bytes = max_body_bytes
        self.client_timeout_s = client_timeout_s
        self._resolver = resolver
        self._one_at_a_time = threading.Lock()
        self._answering = 0
        self._settled = threading.Condition()
        super().__init__((host, port), Connection)

    def server_bind(self) -> None:
        """Binds, without asking a name server what this machine is called, as http.server would."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def resolve(self, event: dict[str, Any]) -> dict[str, Any]:
        """Powertools holds the event of the moment for the whole process, so requests wait for each other."""
        with self._one_at_a_time:
            return self._resolver(event)

    @contextlib.contextmanager
    def answering(self) -> Iterator[None]:
        """A request whose answer is waited for when the server stops."""
        with self._settled:
            self._answering += 1
        try:
            yield
        finally:
            with self._settled:
                self._answering -= 1
                self._settled.notify_all()

    def settle(self) -> None:
        """Waits for the answers that are being made."""
        with self._settled:
            self._settled.wait_for(lambda: not self._answering, GRACE_S)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - socketserver's own
        """Names what ended a connection; socketserver would print a stack trace, also of a client that has gone."""
        del request, client_address
        error = sys.exc_info()[0]
        if error is not None and not issubclass(error, OSError):
            telemetry.logger.error("connection failed", extra={"exception": error.__name__})


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
