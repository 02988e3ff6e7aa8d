"""One client's connection to the API on loopback: what is read of it, and what is refused before it is read."""

from __future__ import annotations

import contextlib
import socket
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

import msgspec

from app.handlers.api.local_event import http_api_event
from app.handlers.api.problem import CONTENT_TYPE, Problem

if TYPE_CHECKING:
    from app.handlers.api.server import Server

DRAIN_BYTES, DRAIN_S = 16 * 1024 * 1024, 2.0
"""What is read and thrown away of a body that is refused: a client that still sends would never see the answer."""

_CHUNK_BYTES = 64 * 1024
_CONTENT_LENGTH_DIGITS = 18
_WITH_LENGTH = frozenset({"POST", "PUT", "PATCH"})


class RefusedError(Exception):
    """A request that is answered without being read to its end."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        """Takes the answer."""
        super().__init__(detail)
        self.status = status


class Connection(BaseHTTPRequestHandler):
    """One client's requests, one after the other."""

    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes: the second must not wait for a client's word
    default_request_version = "HTTP/1.0"  # an answer to garbage has a status line too
    server_version, sys_version = "Millrace", ""

    def setup(self) -> None:
        """Sets the time after which a silent client is left."""
        self.request.settimeout(self.server.client_timeout_s)
        super().setup()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - http.server asks for do_<METHOD>
        """Every method is answered by the resolver, which knows which there are."""
        if name.startswith("do_"):
            return self._answer
        raise AttributeError(name)

    def _answer(self) -> None:
        try:
            body = self.rfile.read(self._length())
        except RefusedError as refusal:
            self._refuse(refusal.status, str(refusal))
            return
        if len(body) < self._length():  # the client has gone
            self.close_connection = True
            return
        with self.server.answering():
            event = http_api_event(
                self.command,
                self.path,
                self.headers.items(),
                body,
                source_ip=self.client_address[0],
                protocol=self.request_version,
            )
            self._send(self.server.resolve(event))

    def _length(self) -> int:
        """How long the body is said to be.

        Raises:
            RefusedError: It is not said, or not so that it can be read.
        """
        lengths = {value.strip() for value in self.headers.get_all("Content-Length", [])}
        if "Transfer-Encoding" in self.headers:
            raise RefusedError(HTTPStatus.LENGTH_REQUIRED, "a body in chunks is not taken: send content-length")
        if not lengths:
            if self.command in _WITH_LENGTH:
                raise RefusedError(HTTPStatus.LENGTH_REQUIRED, "content-length is missing")
            return 0
        text = lengths.pop()
        if lengths or not (text.isascii() and text.isdigit() and len(text) <= _CONTENT_LENGTH_DIGITS):
            raise RefusedError(HTTPStatus.BAD_REQUEST, "content-length is no number")
        if int(text) > self.server.max_body_bytes:
            raise RefusedError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"body: larger than {self.server.max_body_bytes} bytes"
            )
        return int(text)

    def handle_expect_100(self) -> bool:
        """A client that asks before it sends a body is told at once if it need not."""
        try:
            self._length()
        except RefusedError as refusal:
            self._refuse(refusal.status, str(refusal))
            return False
        return super().handle_expect_100()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What http.server refuses by itself: a request that is none."""
        del explain
        self._refuse(HTTPStatus(code), message or HTTPStatus(code).phrase)

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        """Answers a request that is not read to its end, and closes: where the next one begins is not known."""
        problem = Problem(status.phrase, status, "".join(each for each in detail if each.isprintable()), "")
        body = msgspec.json.encode(problem)
        self.close_connection = True
        self.send_response(status)
        for name, value in (
            ("Content-Type", CONTENT_TYPE),
            ("Content-Length", str(len(body))),
            ("Connection", "close"),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self._drain()

    def _drain(self) -> None:
        """Reads for a moment what the client still sends: closing on it would take the answer away."""
        until = time.monotonic() + DRAIN_S
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(DRAIN_S)
            left = DRAIN_BYTES
            while left > 0 and time.monotonic() < until:
                found = self.connection.recv(_CHUNK_BYTES)
                if not found:
                    return
                left -= len(found)

    def _send(self, answer: dict[str, Any]) -> None:
        body = answer["body"].encode()
        status = HTTPStatus(answer["statusCode"])
        self.send_response(status)
        for name, value in answer["headers"].items():
            self.send_header(name, value)
        if status != HTTPStatus.NO_CONTENT and self.command != "HEAD":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - http.server's own
        """Nothing: the resolver logs each request, without its path."""
