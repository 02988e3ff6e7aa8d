"""Serve one endpoint for the local AWS: moto in this process, and another program behind it.

The other program is the Kinesis emulator or LocalStack; `routes.py` lists the services that it answers. One port must
serve both, since LocalStack's clients have a single endpoint.

A request is checked before anything is done with it (`guard.py`), and this process reaches nothing but itself and the
program behind (`outward.py`). The emulators' own pages are closed: moto's forget everything, write files and call other
ports on request.

Run by the supervisor as `python -m devtools.cloud.router PORT BEHIND_HOST BEHIND_PORT SERVED,…`.
"""

from __future__ import annotations

import contextlib
import io
import json
import socket
import sys
from http import HTTPStatus
from threading import Thread
from typing import TYPE_CHECKING, ClassVar

from moto.core.config import default_user_config
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from urllib3 import HTTPConnectionPool, Timeout
from urllib3.exceptions import HTTPError
from werkzeug.serving import make_server

from devtools.cloud.guard import (
    HTTP2_PREFACE,
    BodyError,
    Fault,
    fault_of,
    is_own_page,
    read_chunked,
    read_head,
    read_length,
)
from devtools.cloud.outward import REFUSED, confine
from devtools.cloud.routes import HEALTH, is_passed_on, service_of
from devtools.cloud.state import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

CONNECT_TIMEOUT_S = 2  # the program behind is on this machine: longer means that it is gone
READ_TIMEOUT_S = 330  # SubscribeToShard streams for five minutes
CONNECTIONS_KEPT = 64  # more writers at once than two cores can serve
CHUNK_BYTES = 65_536  # one read of a loopback socket

LINGER_S = 0.2  # for what a refused client still sends: closing at once would take the answer from it
LINGER_BYTES = 10 * 1024 * 1024

_HOP_BY_HOP = frozenset(  # RFC 9110, 7.6.1; an Upgrade would make another protocol of a connection that is kept
    {"connection", "content-length", "expect", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding",
     "upgrade"}
)  # fmt: skip
_FOR_PAGES = "access-control-"  # begins the fields that let a page read an answer
_BODILESS = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})
_CLOSED = Fault(HTTPStatus.FORBIDDEN, "the emulators' own pages are closed: to reset it, millrace cloud down, then up")

# Executions of state machines really execute; functions and jobs need no container.
_MOTO_CONFIG = {
    "stepfunctions": {"execute_state_machine": True},
    "lambda": {"use_docker": False},
    "batch": {"use_docker": False},
}


class Router(MotoRequestHandler):  # type: ignore[misc] # moto has no types
    """Answers a connection: some requests with the program behind, with keep-alive, all others with moto."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes: Nagle would hold the second for 40 ms
    behind: ClassVar[HTTPConnectionPool]
    served: ClassVar[frozenset[str]]
    rfile: io.BufferedIOBase

    def handle(self) -> None:
        """Answer requests until the client closes, or pass an HTTP/2 connection through.

        The Kinesis Client Library opens HTTP/2 without asking first, to Kinesis alone.
        """
        if self._peek(3) == HTTP2_PREFACE[:3] and self._peek(len(HTTP2_PREFACE)) == HTTP2_PREFACE:
            with socket.create_connection((self.behind.host, self.behind.port), CONNECT_TIMEOUT_S) as behind:
                behind.settimeout(None)
                _splice(self.connection, behind)
        else:
            super().handle()

    def parse_request(self) -> bool:
        """Read a request's head; refuse what no AWS client sends."""
        head = read_head(self.rfile, self.raw_requestline)
        if fault := fault_of(head):
            self._refuse(fault)
            return False
        stream = self.rfile
        self.rfile = io.BytesIO(head[len(self.raw_requestline) :])
        try:
            return bool(super().parse_request())
        finally:
            self.rfile = stream

    def handle_expect_100(self) -> bool:
        """Leave `100 Continue` to the reader of the body: werkzeug sends its own."""
        return True

    def run_wsgi(self) -> None:
        """Answer one request."""
        if self.path == HEALTH:
            self.close_connection = True  # a body is not read
            self._answer(HTTPStatus.OK, b"{}")
        elif is_own_page(self.path):
            self._refuse(_CLOSED)
        else:
            try:
                self._route()
            except BodyError as error:
                self._refuse(error.fault)

    def send_header(self, keyword: str, value: str) -> None:
        """Write a field of an answer, unless it lets a web page read it."""
        if not keyword.lower().startswith(_FOR_PAGES):
            super().send_header(keyword, value)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Write nothing: the log is for errors."""

    def _peek(self, count: int) -> bytes:
        return bytes(self.connection.recv(count, socket.MSG_PEEK | socket.MSG_WAITALL))

    def _route(self) -> None:
        if is_passed_on(self.served, self.path, self.headers):
            self._pass_on()
            return
        stream = self.rfile
        if "Transfer-Encoding" in self.headers:  # werkzeug reads sizes such as `+4`
            body = self._body()
            del self.headers["Transfer-Encoding"], self.headers["Expect"]
            self.headers["Content-Length"] = str(len(body))
            self.rfile = io.BytesIO(body)
        try:
            super().run_wsgi()  # closes the connection after its answer, as werkzeug always does
        finally:
            self.rfile = stream

    def _pass_on(self) -> None:
        try:
            answer = self.behind.urlopen(
                self.command, self.path, self._body(),
                headers={name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP},
                retries=False, redirect=False, preload_content=False, decode_content=False,
            )  # fmt: skip
        except HTTPError as error:
            self._unavailable(error)
            return
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.headers.items():
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        length = answer.headers.get("Content-Length")
        bodiless = self.command == "HEAD" or answer.status in _BODILESS
        if length is None and not bodiless:
            self.send_header("Transfer-Encoding", "chunked")
        elif length is not None:
            self.send_header("Content-Length", length)
        self.end_headers()
        try:
            for chunk in answer.stream(CHUNK_BYTES):
                self.wfile.write(chunk if length is not None else b"%x\r\n%b\r\n" % (len(chunk), chunk))
            if length is None and not bodiless:
                self.wfile.write(b"0\r\n\r\n")
        except (HTTPError, OSError):  # half an answer: only a closed connection tells the client
            self.close_connection = True
            answer.close()
        finally:
            answer.release_conn()

    def _body(self) -> bytes:
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if "Transfer-Encoding" in self.headers:
            return read_chunked(self.rfile)
        return read_length(self.rfile, int(self.headers.get("Content-Length", 0)))

    def _unavailable(self, error: HTTPError) -> None:
        service = service_of(self.path, self.headers) or "this"
        text = f"what serves {service} does not answer ({error}): millrace cloud up mends it"
        content = {"__type": "ServiceUnavailableException", "message": text}
        self._answer(HTTPStatus.SERVICE_UNAVAILABLE, json.dumps(content).encode())

    def _refuse(self, fault: Fault) -> None:
        """Answer a request that is not taken, and close: where the next one would begin is not known."""
        self.close_connection = True
        self.request_version = self.protocol_version  # of a first line that could not be read
        self._answer(fault.status, _denied(fault.message))
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(LINGER_S)
            left = LINGER_BYTES
            while left > 0 and (data := self.connection.recv(CHUNK_BYTES)):
                left -= len(data)

    def _answer(self, status: HTTPStatus, body: bytes) -> None:
        self.send_response_only(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)


def _splice(client: socket.socket, behind: socket.socket) -> None:
    back = Thread(target=_pour, args=(behind, client), daemon=True)
    back.start()
    _pour(client, behind)
    back.join()


def _pour(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):  # either side may go at any time
        while data := source.recv(CHUNK_BYTES):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def _backend(service: str) -> Callable[..., Iterable[bytes]]:
    """Return the WSGI application of a service; moto's own pages are closed, however a request got to them."""
    if service == "moto_api":
        return lambda _, start_response: _forbidden(start_response, _CLOSED.message)
    application = create_backend_app(service)

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            answered: Iterable[bytes] = application(environ, start_response)
        except Exception as error:  # a library's own, with ours in its text
            if REFUSED not in str(error):
                raise
            return _forbidden(start_response, f"{REFUSED}: {service} would call another address, or Docker")
        return answered

    return answer


def _forbidden(start_response: Callable[..., Any], message: str) -> Iterable[bytes]:
    start_response("403 Forbidden", [("Content-Type", "application/x-amz-json-1.1")])
    return [_denied(message)]


def _denied(message: str) -> bytes:
    return json.dumps({"__type": "AccessDeniedException", "message": message}).encode()


def serve(port: int, behind_host: str, behind_port: int, served: frozenset[str]) -> None:
    """Serve the local AWS on a loopback port until the process ends."""
    default_user_config.update(_MOTO_CONFIG)
    moto = DomainDispatcherApplication(_backend)
    pool = HTTPConnectionPool(
        behind_host,
        behind_port,
        maxsize=CONNECTIONS_KEPT,
        timeout=Timeout(connect=CONNECT_TIMEOUT_S, read=READ_TIMEOUT_S),
    )
    handler = type("ThisRouter", (Router,), {"behind": pool, "served": served})
    server = make_server(LOOPBACK, port, moto, threaded=True, request_handler=handler)
    confine({(LOOPBACK, port), (behind_host, behind_port)})
    server.serve_forever()


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), frozenset(sys.argv[4].split(",")))
