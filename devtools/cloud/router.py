"""Serve one endpoint for the local AWS: moto in this process, and another program behind it.

The other program is the Kinesis emulator or LocalStack; `routes.py` lists the services that it answers. One port must
serve both, since LocalStack's clients have a single endpoint.

Run by the supervisor as `python -m devtools.cloud.router PORT BEHIND_HOST BEHIND_PORT SERVED,…`.
"""

from __future__ import annotations

import contextlib
import json
import socket
import sys
from http import HTTPStatus
from threading import Thread
from typing import TYPE_CHECKING, ClassVar

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from urllib3 import HTTPConnectionPool, Timeout
from urllib3.exceptions import HTTPError
from werkzeug.serving import DechunkedInput, make_server
from werkzeug.test import Client

from devtools.cloud.routes import is_passed_on, service_of
from devtools.cloud.state import LOOPBACK

if TYPE_CHECKING:
    from email.message import Message

CONNECT_TIMEOUT_S = 2  # the program behind is on this machine: longer means that it is gone
READ_TIMEOUT_S = 330  # SubscribeToShard streams for five minutes
CONNECTIONS_KEPT = 64  # more writers at once than two cores can serve
CHUNK_BYTES = 65_536  # one read of a loopback socket

_HOP_BY_HOP = frozenset({"connection", "content-length", "keep-alive", "transfer-encoding", "expect"})
_BODILESS = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})
_HTTP2_PREFACE = b"PRI"  # begins an HTTP/2 connection, and no HTTP/1 method

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

    def handle(self) -> None:
        """Answer requests until the client closes, or pass an HTTP/2 connection through.

        The Kinesis Client Library opens HTTP/2 without asking first, to Kinesis alone.
        """
        start = self.connection.recv(len(_HTTP2_PREFACE), socket.MSG_PEEK | socket.MSG_WAITALL)
        if start == _HTTP2_PREFACE:
            with socket.create_connection((self.behind.host, self.behind.port), CONNECT_TIMEOUT_S) as behind:
                behind.settimeout(None)
                _splice(self.connection, behind)
        else:
            super().handle()

    def handle_expect_100(self) -> bool:
        """Leave `100 Continue` to the reader of the body: werkzeug sends its own."""
        return True

    def run_wsgi(self) -> None:
        """Answer one request."""
        if is_passed_on(self.served, self.path, self.headers):
            self._pass_on()
        else:
            super().run_wsgi()  # closes the connection after its answer, as werkzeug always does

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Write nothing: the log is for errors."""

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
        headers: Message = self.headers
        if headers.get("Expect", "").lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if "chunked" in headers.get("Transfer-Encoding", ""):
            return DechunkedInput(self.rfile).read()
        return bytes(self.rfile.read(int(headers.get("Content-Length", 0))))

    def _unavailable(self, error: HTTPError) -> None:
        service = service_of(self.path, self.headers) or "this"
        text = f"what serves {service} does not answer ({error}): millrace cloud up mends it"
        body = json.dumps({"__type": "ServiceUnavailableException", "message": text}).encode()
        self.send_response_only(503)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
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


def serve(port: int, behind_host: str, behind_port: int, served: frozenset[str]) -> None:
    """Serve the local AWS on a loopback port until the process ends."""
    moto = DomainDispatcherApplication(create_backend_app)
    Client(moto).post("/moto-api/config", json=_MOTO_CONFIG)
    pool = HTTPConnectionPool(
        behind_host,
        behind_port,
        maxsize=CONNECTIONS_KEPT,
        timeout=Timeout(connect=CONNECT_TIMEOUT_S, read=READ_TIMEOUT_S),
    )
    handler = type("ThisRouter", (Router,), {"behind": pool, "served": served})
    make_server(LOOPBACK, port, moto, threaded=True, request_handler=handler).serve_forever()


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), frozenset(sys.argv[4].split(",")))
