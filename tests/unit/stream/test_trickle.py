"""An answer whose bytes come slowly, each before any timeout of the socket: every wait for one has an end."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from app.errors import CloudError
from app.stream import putrecords, shards
from app.stream.mapping.emulator import Emulator
from app.stream.putrecords import SignedPutRecords
from app.stream.puts import TransientError
from app.stream.shards import StartingPosition, StreamReader

if TYPE_CHECKING:
    from collections.abc import Iterator

BODY = b"{" + b" " * 600 + b"}"
PAUSE_S = 0.05  # so an answer takes half a minute


@pytest.fixture(params=["head", "body"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server that answers everything with 200, its head or its body a byte at a time."""
    stopped = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            head = f"HTTP/1.1 200 OK\r\nX-Long: {'x' * 600}\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()
            if request.param == "body":
                self.wfile.write(head)
            try:
                for byte in BODY if request.param == "body" else head:
                    if stopped.wait(PAUSE_S):
                        return
                    self.wfile.write(bytes([byte]))
            except OSError:  # the client has left
                return

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    stopped.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def began_s() -> Iterator[float]:
    """The beginning; the test has to end long before the answer does."""
    began_s = time.monotonic()
    yield began_s
    assert time.monotonic() - began_s < len(BODY) * PAUSE_S / 2


@pytest.mark.usefixtures("began_s")
def test_of_a_function(url: str) -> None:
    answer = Emulator(url, timeout_s=0.3).invoke(b"{}")
    assert answer.invoked
    assert "no answer in time" in str(answer.fault)


@pytest.mark.usefixtures("began_s")
def test_of_put_records(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    monkeypatch.setattr(putrecords, "ANSWER_WITHIN_S", 0.3)
    with pytest.raises(TransientError, match="does not end"):
        SignedPutRecords(1).put("stream", ["k"], [b"{}"])


@pytest.mark.usefixtures("began_s")
def test_of_kinesis_to_a_reader(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    monkeypatch.setattr(shards, "ANSWER_WITHIN_S", 0.3)
    with pytest.raises(CloudError, match="stream events"):
        StreamReader("events", StartingPosition())


@pytest.mark.usefixtures("began_s")
def test_a_process_does_not_wait_for_a_call_that_it_has_abandoned(url: str) -> None:
    program = f"""
import urllib.request
from app.stream.workers import Threads, call_within
try:
    call_within(Threads(1), 0.3, lambda: urllib.request.urlopen({url!r}, b"{{}}").read())
except TimeoutError:
    print("abandoned")
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout.strip() == "abandoned"
