"""HTTP: the API's server beside a strict reading of RFC 9112 that shares no code with it."""

from __future__ import annotations

import asyncio
import functools
import re
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple

from uvicorn.server import ServerState

from app.handlers.api.connection import Connection
from app.handlers.api.server import server
from devtools.fuzz.target import promise

if TYPE_CHECKING:
    from collections.abc import Iterator

    import uvicorn
    from starlette.types import Receive, Scope, Send

_TURNS = 500  # of the event loop: each request takes about five, and the inputs hold some dozens at the most

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_LINE = re.compile(rb"(%b) (/[!-~]*) HTTP/1\.([01])\r\n" % _TOKEN)
_HEADER = re.compile(rb"(%b):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)\r\n" % _TOKEN)
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})\r\n")
_LENGTH = re.compile(rb"[0-9]{1,15}")


class Request(NamedTuple):
    """A request that is whole."""

    method: bytes
    target: bytes
    body: bytes


def check_requests(data: bytes) -> None:
    """Send bytes to the API's server: it takes no request but those that a strict reading finds, in their order."""
    taken, answers = _runner().run(_served(data))
    found = list(_read(data))
    promise(taken == found[: len(taken)], "a request is taken that a strict reading does not find")
    promise(answers <= len(taken) + 1, "there are more answers than requests and a refusal")


def _read(data: bytes) -> Iterator[Request]:
    """Yield the requests that bytes hold, until one breaks off or can be read in two ways."""
    at = 0
    while line := _LINE.match(data, at):
        at, framing = line.end(), []
        while header := _HEADER.match(data, at):
            at = header.end()
            name, value = header[1].lower(), header[2].strip(b" \t")
            if name in {b"content-length", b"transfer-encoding"}:
                framing.append((name, value.lower()))
        if data[at : at + 2] != b"\r\n" or len(framing) > 1:
            return
        at += 2
        body: bytes | None = b""
        for name, value in framing:
            if name == b"transfer-encoding":
                body, at = _chunks(data, at) if (value, line[3]) == (b"chunked", b"1") else (None, at)
            elif _LENGTH.fullmatch(value):
                body, at = data[at : at + int(value)], at + int(value)
            else:
                body = None
        if body is None or at > len(data):
            return
        path, _, query = line[2].partition(b"?")
        yield Request(line[1], _target(path, query), body)


def _chunks(data: bytes, at: int) -> tuple[bytes | None, int]:
    """Return a body in chunks and where it ends; None if it is not whole."""
    body = b""
    while size := _CHUNK.match(data, at):
        at, length = size.end(), int(size[1], 16)
        if not length:
            while trailer := _HEADER.match(data, at):
                at = trailer.end()
            return (body, at + 2) if data[at : at + 2] == b"\r\n" else (None, at)
        body += data[at : at + length]
        at += length + 2
        if data[at - 2 : at] != b"\r\n":
            break
    return None, at


def _target(path: bytes, query: bytes) -> bytes:
    """Return a target; ASGI tells no empty query from none."""
    return path + (b"?" + query if query else b"")


class _Wire(asyncio.Transport):
    """A connection without a network: keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.is_closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    abort = close

    def get_extra_info(self, _name: str, default: object = None) -> object:
        return default

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        """Go on: all bytes are there."""

    resume_reading = write_eof = pause_reading


async def _served(data: bytes) -> tuple[list[Request], int]:
    """Return the requests that the server's application was given whole, and the number of answers."""
    taken: list[Request] = []
    wire, state = _Wire(), ServerState()
    connection = Connection(config=_config(), server_state=state, app_state={}, _loop=asyncio.get_running_loop())
    token = _TAKEN.set(taken)
    connection.connection_made(wire)
    if data:  # none of them would be the connection's end
        connection.data_received(data)
    await _done(state)
    connection.connection_lost(None)
    await _done(state)
    _TAKEN.reset(token)
    return taken, len(re.findall(rb"HTTP/1\.1 \d{3} ", bytes(wire.written)))


async def _done(state: ServerState) -> None:
    """Wait until nothing is answered any more, or all that is wait for bytes."""
    for _ in range(_TURNS):
        if not state.tasks:
            break
        await asyncio.sleep(0)


_TAKEN: ContextVar[list[Request]] = ContextVar("taken")


async def _application(scope: Scope, receive: Receive, send: Send) -> None:
    """Keep a request that is whole, and answer it."""
    body, is_whole = b"", False
    while not is_whole:
        message = await receive()
        if message["type"] != "http.request":
            return
        body, is_whole = body + message.get("body", b""), not message.get("more_body")
    target = _target(scope["raw_path"], scope["query_string"])
    _TAKEN.get().append(Request(scope["method"].encode(), target, body))
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


@functools.cache
def _config() -> uvicorn.Config:
    config = server(_application).config
    config.load()
    return config


@functools.cache
def _runner() -> asyncio.Runner:
    return asyncio.Runner()
