"""Our local cloud's Kinesis in LocalStack's place: on its port, for all addresses, with its health page."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess

from devtools.cloud import services
from devtools.cloud.node import install_emulator

PORT = 4566
BEHIND, BEHIND_TLS = 4567, 4568  # on loopback, as the local cloud always is
HOST = re.compile(rb"(\r\nhost: *)[^:\r]*", re.IGNORECASE)
"""The name or address that other containers call it by; the emulator answers under its own machine's alone."""
HEALTH = b"GET /_localstack/health "
CHUNK_BYTES = 65_536


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers the health page once the emulator listens; joins any other connection to the emulator."""
    with contextlib.suppress(OSError):
        head = await reader.read(CHUNK_BYTES)
        behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", BEHIND)
        if head.startswith(HEALTH):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
            behind_writer.close()
        else:
            behind_writer.write(HOST.sub(rb"\1localhost", head, count=1))
            await asyncio.gather(pour(reader, behind_writer), pour(behind_reader, writer))
    writer.close()


async def pour(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Carries bytes one way until they end."""
    with contextlib.suppress(OSError):
        while data := await source.read(CHUNK_BYTES):
            sink.write(data)
            await sink.drain()
    sink.close()


async def serve() -> None:
    """Serves until the container ends."""
    server = await asyncio.start_server(answer, "0.0.0.0", PORT)  # noqa: S104 - other containers are to reach it
    await server.serve_forever()


if __name__ == "__main__":
    signal.signal(
        signal.SIGTERM, lambda *_: os._exit(0)
    )  # the first process of a container: nothing ends it by default
    emulator = services.kinesis(install_emulator(print), BEHIND, BEHIND_TLS)
    with subprocess.Popen(emulator.command, env=emulator.environ):
        asyncio.run(serve())
