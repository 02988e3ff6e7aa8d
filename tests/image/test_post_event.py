"""`scripts/test_docker.py` and what the emulator may answer: most failures come with status 200."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest

from app.stream.event import read_event
from devtools.cloud.process import free_ports
from scripts.test_docker import EVENT_BYTES, InvokeError, invoke, seed_event
from tests.image.containers import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def answering() -> Iterator[Callable[[int, bytes], str]]:
    """A server that gives one answer to every event; None hangs up."""
    servers: list[HTTPServer] = []

    def start(status: int, body: bytes) -> str:
        class Emulator(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                if status:
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Emulator)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_the_seed_event_is_the_seed_documents() -> None:
    batch, faults = read_event(seed_event())
    assert not faults
    assert (batch.stream, batch.partition_keys) == ("passenger_events", ["1"])
    [payload] = batch.payloads
    assert json.loads(payload) == {"features": {"t1": 2, "t2": 3, "hum": 50, "weather_code": 2}, "pred_id": 123}


def test_gives_the_answer(answering: Callable[[int, bytes], str]) -> None:
    assert invoke(b"{}", answering(200, b'{"predictions": []}')) == {"predictions": []}


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (
            200,
            b'{"errorType": "EventError", "errorMessage": "event:\\nno Records", "stackTrace": []}',
            "EventError: event: no",
        ),
        (200, b"2026-01-01 Task timed out after 3.00 seconds\n\n", "Task timed out after 3.00 seconds"),
        (502, b'{"errorType": "Function.ResponseSizeTooLarge", "errorMessage": "x"}', "Function.ResponseSizeTooLarge"),
        (502, b"", "ended without an answer"),
        (500, b'"odd"', "status 500"),
        (0, b"", "one event at a time"),
    ],
)
def test_tells_failures_apart(answering: Callable[[int, bytes], str], status: int, body: bytes, told: str) -> None:
    with pytest.raises(InvokeError, match=told) as raised:
        invoke(b"{}", answering(status, body))
    assert "\n" not in str(raised.value)


def test_refuses_what_the_emulator_would_cut(answering: Callable[[int, bytes], str]) -> None:
    url = answering(200, b"{}")
    assert invoke(b" " * EVENT_BYTES, url) == {}
    with pytest.raises(InvokeError, match="send fewer records"):
        invoke(b" " * (EVENT_BYTES + 1), url)


@pytest.mark.parametrize(
    ("arguments", "exit_code", "told"),
    [
        (["--event", "none.json"], 2, "none.json"),
        (["--event", "README.md"], 2, "README.md"),
        ([], 1, "nothing answers"),
    ],
)
def test_the_script_says_one_line(arguments: list[str], exit_code: int, told: str) -> None:
    [port] = free_ports(1)
    command = [sys.executable, "scripts/test_docker.py", "--url", f"http://127.0.0.1:{port}/", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == exit_code
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
