"""Serve a Kinesis that accepts everything after a fixed latency: `python -m benchmarks.server MS`.

It prints its port on standard output, and ends when its standard input ends. Answers are cached, so that the server
adds no time of its own; the latency counts from the moment a request has been read.
"""

from __future__ import annotations

import asyncio
import functools
import os
import re
import sys

from benchmarks.contract import LATENCY_MS

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_ONE = b'{"SequenceNumber":"49633930873543048396023173467440720160140773540570857474","ShardId":"shardId-000000000000"}'


@functools.cache
def answer_body(entries: int) -> bytes:
    """Return Kinesis's answer to a PutRecords call with this many entries, or to a PutRecord call if 0."""
    if not entries:
        return _ONE
    return b'{"FailedRecordCount":0,"Records":[' + b",".join([_ONE] * entries) + b"]}"


def entries_of(action: bytes | str, body: bytes) -> int:
    """Return the number of entries in a request; 0 for a PutRecord."""
    return body.count(b'"PartitionKey"') if "PutRecords" in str(action) else 0


class Connection(asyncio.Protocol):
    """A connection that is kept open."""

    def __init__(self, latency_s: float) -> None:
        """Start without any data."""
        self._latency_s = latency_s
        self._parts: list[bytes] = []
        self._missing: int | None = None  # bytes of the request that are still to come
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport for the answers."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Collect a request, and answer it after the latency."""
        self._parts.append(data)
        if self._missing is None:
            head, end, rest = b"".join(self._parts).partition(b"\r\n\r\n")
            if not end:
                return
            length = _LENGTH.search(head)
            self._missing = (int(length[1]) if length else 0) - len(rest)
            if self._missing > 0 and b"100-continue" in head and self._transport:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        else:
            self._missing -= len(data)
        if self._missing <= 0:
            asyncio.get_running_loop().call_later(self._latency_s, self._answer, b"".join(self._parts))
            self._parts, self._missing = [], None

    def _answer(self, request: bytes) -> None:
        head, _, body = request.partition(b"\r\n\r\n")
        answer = answer_body(entries_of(head.decode("latin-1"), body))
        if self._transport and not self._transport.is_closing():
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: %d\r\n\r\n%b"
                % (len(answer), answer)
            )


def _note_end(ended: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 1):
        ended.set()


async def serve(latency_s: float) -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(latency_s), "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), _note_end, ended)
    await ended.wait()


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1] if len(sys.argv) > 1 else LATENCY_MS) / 1000))
