"""Emulate Lambda for tests: take invocations over HTTP and answer with a given reply."""

from __future__ import annotations

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from app.stream.mapping.emulator import INVOKE_PATH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Rie:
    """A Lambda emulator that fails on a second concurrent invocation, as the real one does."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.reply: Callable[[Any], tuple[int, bytes]] = lambda _event: (200, b"null")
        self.died = False
        busy = threading.Lock()
        rie = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path != INVOKE_PATH or not busy.acquire(blocking=False):
                    rie.died = True
                    self.close_connection = True
                    return
                rie.events.append(event)
                status, body = rie.reply(event)
                busy.release()
                with contextlib.suppress(ConnectionError):  # the caller has not waited; a trace would be another test's
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture
def rie() -> Iterator[Rie]:
    made = Rie()
    yield made
    made.server.shutdown()
    made.server.server_close()
