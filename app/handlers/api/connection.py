"""One client's connection to the API: strict, and with an end.

Bytes that can be read in two ways are refused, since a proxy may read them the other way, and connections are limited
in number, size and time (docs/decisions/0043-http-server.md).
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import h11
import msgspec
from h11._receivebuffer import ReceiveBuffer
from uvicorn.protocols.http.h11_impl import H11Protocol

from app.handlers.api.openapi import PROBLEM_TYPE, Problem

if TYPE_CHECKING:
    import asyncio

HEAD_S = 10  # a first request is to begin, and each request's head to be whole, within this: one packet, as a rule
REQUEST_S = 30  # a whole request, body and all, and then the reading of its answer: 6 MB at 2 Mbit/s
MOST_CONNECTIONS = 100  # a browser has six, a load test of one machine some dozens
MOST_HEAD_BYTES = 65_536  # load balancers' own limit; API Gateway's is 10,240
MOST_HEADERS = 100  # a browser sends some 20
READ_BYTES = 16_384  # taken from one connection before the next one's turn: in chunks of a byte, some 30 ms of work

_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")  # a tab may stand in a header's value
_FRAMING = (b"content-length", b"transfer-encoding")
_ONE_FRAMING = re.compile(rb"content-length:[ \t]*\d{1,15}[ \t]*|transfer-encoding:[ \t]*chunked[ \t]*", re.IGNORECASE)
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,8}\r\n")


class _StrictLines(ReceiveBuffer):
    """Bytes of which lines are taken as RFC 9112 writes them, where h11 takes more.

    h11 has no hook for lines; its version is pinned, and `test_serve_hostile.py` fails if another one passes this by.
    """

    def maybe_extract_lines(self) -> list[bytearray] | None:
        """Return the lines of a head or of trailers once they are there."""
        size = len(self)
        lines = super().maybe_extract_lines()
        if lines is None:
            return None
        taken = size - len(self)
        if taken > MOST_HEAD_BYTES or len(lines) > MOST_HEADERS + 1:
            raise h11.LocalProtocolError("too many headers, or too long ones")
        if taken != sum(map(len, lines)) + 2 * len(lines) + 2:  # CR LF has two bytes
            raise h11.LocalProtocolError("a line does not end with CR LF")
        if any(line[:1] in b" \t" or _CONTROL.search(line) for line in lines):
            raise h11.LocalProtocolError("a line that continues another, or a control character")
        framing = [line for line in lines if line.lower().startswith(_FRAMING)]
        if len(framing) > 1 or not all(map(_ONE_FRAMING.fullmatch, framing)):
            raise h11.LocalProtocolError("the length of the body is said twice, or in no known way")
        return lines

    def maybe_extract_next_line(self) -> bytearray | None:
        """Return the line with a chunk's size once it is there; nobody sends extensions but to be misread."""
        line = super().maybe_extract_next_line()
        if line is not None and not _CHUNK_SIZE.fullmatch(line):
            raise h11.LocalProtocolError("not the size of a chunk")
        return line


class _StrictConnection(h11.Connection):
    """A connection that takes requests of this server alone: HTTP/1.0 or 1.1, with a path as their target."""

    def __init__(self) -> None:
        super().__init__(h11.SERVER, MOST_HEAD_BYTES)
        self._receive_buffer = _StrictLines()

    def next_event(self) -> Any:  # noqa: ANN401 - h11's events have no type in common
        """Return the next event, or raise RemoteProtocolError."""
        event = super().next_event()
        if isinstance(event, h11.Request):
            if not event.target.startswith(b"/") or event.http_version not in {b"1.0", b"1.1"}:
                raise h11.RemoteProtocolError("not a path, or another version of HTTP")
            if event.http_version == b"1.0" and any(name == b"transfer-encoding" for name, _ in event.headers):
                raise h11.RemoteProtocolError("HTTP/1.0 has no chunks")
        return event


class Connection(H11Protocol):
    """One client's connection; what is refused is answered once, and then nothing more is taken from it."""

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - uvicorn's own
        """Take what uvicorn gives."""
        super().__init__(*arguments, **options)
        self.conn = _StrictConnection()
        self.is_idle = False  # answered, and nothing asked since
        self._seconds = 0
        self._is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Take a connection; above the most that there may be, an idle one makes way for it, or it is refused."""
        super().connection_made(transport)
        transport.max_size = READ_BYTES  # type: ignore[attr-defined]  # of asyncio's transports of sockets
        if len(self.connections) <= MOST_CONNECTIONS:
            return
        idle = next((each for each in self.connections if isinstance(each, Connection) and each.is_idle), None)
        if idle:
            idle.is_idle = False
            idle.transport.close()
        else:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections: try again later")
            transport.close()

    def data_received(self, data: bytes) -> None:
        """Take bytes."""
        if self._is_refused:
            return
        if self.is_idle:
            self.is_idle, self._seconds = False, 0
        super().data_received(data)

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._seconds, self.is_idle = 0, self.conn.their_state in {h11.DONE, h11.IDLE}
        super().on_response_complete()  # takes the next request, if it is there already
        self.is_idle = self.is_idle and self.cycle.response_complete and not self.conn.trailing_data[0]

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - h11 names bytes in it
        """Refuse bytes that are no request."""
        self._refuse(HTTPStatus.BAD_REQUEST, "not a request of HTTP/1.1, or one that can be read in two ways")

    def tick(self) -> None:
        """Count a second in which the client keeps the server waiting, and end what takes too long.

        Seconds are the event loop's: while a handler computes, no client's time runs.
        """
        unread = self.transport.get_write_buffer_size()
        computes = self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body
        if (self.is_idle or computes) and not unread:
            self._seconds = 0
            return
        self._seconds += 1
        is_head = self.conn.their_state is h11.IDLE and not unread
        if self._seconds < (HEAD_S if is_head or self._is_refused else REQUEST_S):
            return
        if unread or self._is_refused or self.transport.is_closing():
            self.transport.abort()
        elif is_head and not self.conn.trailing_data[0]:
            self.transport.close()
        else:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, f"the request is not whole after {self._seconds} seconds")

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        """Answer that the connection ends, if an answer can still be given, and take no more bytes from it.

        It is closed when the client does so, or some seconds later: closed at once, with bytes unread, it would be
        reset, and the client would not see the answer.
        """
        self._is_refused, self._seconds = True, 0
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            self.transport.close()
            return
        body = msgspec.json.encode(Problem(status.phrase, int(status), detail, ""))
        headers = {"content-type": PROBLEM_TYPE, "content-length": str(len(body)), "connection": "close"}
        response = h11.Response(status_code=status, headers=list(headers.items()), reason=status.phrase.encode())
        for event in (response, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.flow.resume_reading()
        self.transport.write_eof()
