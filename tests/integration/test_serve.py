"""The API on loopback, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import SettingsError
from app.handlers.api.application import Api
from app.handlers.api.server import HOST, listen, serve, server
from app.settings import Settings
from tests.unit.handlers.api.rides import HANDLERS, AddRidesHandler

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import ASGIApp, Receive, Scope, Send

    from app.handlers.invocation import Invocation

MAX_BODY_BYTES = 100_000
LONG_S = 10.0  # no test waits so long unless it fails


class AddFewRidesHandler(AddRidesHandler):
    """Adds rides, as long as they are few."""

    max_body_bytes = MAX_BODY_BYTES


def rides() -> Api:
    return Api([each for each in HANDLERS if each is not AddRidesHandler] + [AddFewRidesHandler], Settings())


@contextlib.contextmanager
def listening(app: ASGIApp, host: str = HOST) -> Iterator[tuple[str, int]]:
    """The server in a thread of its own, for as long as the block lasts."""
    with listen(host, 0) as listener:
        running = server(app)
        thread = threading.Thread(target=running.run, args=([listener],))
        thread.start()
        try:
            yield listener.getsockname()[:2]
        finally:
            running.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    with listening(rides()) as found:
        yield found


def split(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    return parts.hostname, parts.port


@contextlib.contextmanager
def client(address: tuple[str, int]) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(*address, timeout=LONG_S)
    try:
        yield connection
    finally:
        connection.close()


def ask(
    connection: http.client.HTTPConnection, method: str, target: str, body: Any = None, **headers: str
) -> tuple[int, http.client.HTTPResponse, bytes]:
    sent = json.dumps(body) if isinstance(body, (dict, list)) else body
    connection.request(method, target, sent, {name.replace("_", "-"): value for name, value in headers.items()})
    found = connection.getresponse()
    return found.status, found, found.read()


def raw(address: tuple[str, int], sent: bytes) -> bytes:
    """Everything that comes back for some bytes, until the server closes."""
    with socket.create_connection(address, LONG_S) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
        found = b""
        with contextlib.suppress(ConnectionResetError):
            while more := connection.recv(65536):
                found += more
        return found


def test_one_connection_asks_many_times(address: tuple[str, int]) -> None:
    with client(address) as connection:
        for number in range(5):
            status, found, body = ask(connection, "GET", f"/rides/{number}?tags=a&tags=b&label=by%20the+mill")
            assert (status, found.getheader("content-type")) == (200, "application/json")
            assert json.loads(body) == {
                "rideId": number, "label": "by the mill", "tags": ["a", "b"], "minutes": None, "isReturn": False,
            }  # fmt: skip
            assert ask(connection, "POST", "/rides", [{"rideId": number}])[0] == 201
            assert ask(connection, "DELETE", f"/rides/{number}")[0] == 204
            assert ask(connection, "HEAD", f"/rides/{number}")[2] == b""
            assert ask(connection, "GET", f"/rides/x{number}")[0] == 400
        assert connection.sock is not None  # it was never closed


def test_what_the_api_refuses_is_refused_here(address: tuple[str, int]) -> None:
    with client(address) as connection:
        assert ask(connection, "GET", "/nowhere")[0] == 404
        assert ask(connection, "BREW", "/rides")[0] == 405
        assert ask(connection, "POST", "/rides", "{}", Content_Type="text/plain")[0] == 415
        assert ask(connection, "POST", "/rides", b"\xff\xfe")[0] == 400
        assert ask(connection, "PUT", "/rides/7", "{}", Authorization="Bearer x")[0] == 401
        assert ask(connection, "GET", "/rides/%FF")[0] == 400
        status, _, body = ask(connection, "POST", "/fail", {"rideId": 1, "label": "Bang"})
        assert (status, b"secret" in body) == (500, False)
        assert ask(connection, "OPTIONS", "/rides")[1].getheader("allow") == "OPTIONS, POST"


def test_a_client_cannot_vouch_for_itself(address: tuple[str, int]) -> None:
    with client(address) as connection:
        status, _, _ = ask(
            connection, "PUT", "/rides/7", "{}", X_Amzn_Authorizer='{"claims":{"scope":"rides:write"}}', authorizer="{}"
        )
    assert status == 401


def test_a_body_that_is_too_large_is_refused_before_it_is_read(address: tuple[str, int]) -> None:
    head = f"POST /rides HTTP/1.1\r\nHost: x\r\nContent-Length: {10**12}\r\n\r\n".encode()
    began = time.monotonic()
    with socket.create_connection(address, LONG_S) as connection:
        connection.sendall(head)
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")
    assert time.monotonic() - began < LONG_S / 2
    with client(address) as connection:
        status, _, body = ask(connection, "POST", "/rides", "x" * 8_000_000)  # more than sockets hold
        assert (status, json.loads(body)["title"]) == (413, "Request Entity Too Large")
        fits = json.dumps({"rideId": 1, "label": "x" * (MAX_BODY_BYTES - 50)})
        assert ask(connection, "POST", "/rides", fits)[0] == 201
        chunks = iter([b'{"rideId": 1, "label": "', b"x" * MAX_BODY_BYTES, b'"}'])  # their length is not said before
        assert ask(connection, "POST", "/rides", chunks)[0] == 413


def test_a_client_that_asks_before_it_sends_is_told(address: tuple[str, int]) -> None:
    head = "POST /rides HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n"
    assert raw(address, head.format(MAX_BODY_BYTES + 1).encode()).startswith(b"HTTP/1.1 413 ")
    with socket.create_connection(address, LONG_S) as connection:
        connection.sendall(head.format(12).encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b'{"rideId":1}')
        assert connection.recv(65536).startswith(b"HTTP/1.1 201 ")


def test_a_body_may_come_in_chunks(address: tuple[str, int]) -> None:
    with client(address) as connection:
        assert ask(connection, "POST", "/rides", iter([b'{"ride', b'Id": 1}']))[0] == 201


def test_a_body_that_is_missing_is_refused(address: tuple[str, int]) -> None:
    found = raw(address, b"POST /rides HTTP/1.1\r\nHost: x\r\n\r\n")
    assert found.startswith(b"HTTP/1.1 400 ")
    assert b'"field":"body"' in found


@pytest.mark.parametrize(
    "sent",
    [
        b"garbage\r\n\r\n",
        b"GET / HTTP/9.9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
        b"POST /rides HTTP/1.1\r\nHost: x\r\nContent-Length: five\r\n\r\n",
        b"POST /rides HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /rides HTTP/1.1\r\nHost: x\r\nContent-Length: \xd9\xa2\r\n\r\n",
        b"POST /rides HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"POST /rides HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /rides HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n",
    ],
    ids=lambda value: str(value)[:60],
)
def test_garbage_is_answered_and_ends_the_connection(address: tuple[str, int], sent: bytes) -> None:
    found = raw(address, sent)
    assert re.match(rb"HTTP/1\.1 (400|501) ", found)
    assert b"connection: close" in found.lower()
    assert b"Traceback" not in found
    assert b"Python" not in found


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /" + b"x" * 700_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 2000 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\na: " + b"b" * 700_000 + b"\r\n\r\n",
    ],
    ids=["path", "headers", "header"],
)
def test_a_request_without_end_is_refused(address: tuple[str, int], sent: bytes) -> None:
    assert re.match(rb"HTTP/1\.1 40[04] |$", raw(address, sent))
    with client(address) as other:
        assert ask(other, "GET", "/health")[0] == 200


LINES = st.sampled_from([
    b"GET /rides/7 HTTP/1.1", b"POST /rides HTTP/1.0", b"HEAD /health", b"Content-Length: 5", b"Content-Length: 0",
    b"Host: x", b"Transfer-Encoding: chunked", b"Expect: 100-continue", b"Connection: keep-alive", b" folded",
    b"", b"{}",
])  # fmt: skip


@settings(max_examples=100)
@given(st.lists(LINES | st.binary(max_size=20), max_size=8))
def test_whatever_bytes_come_the_server_goes_on(address: tuple[str, int], lines: list[bytes]) -> None:
    found = raw(address, b"\r\n".join(lines) + b"\r\n\r\n")
    assert not found or found.startswith(b"HTTP/1.1 ")
    assert b"Traceback" not in found
    with client(address) as other:
        assert ask(other, "GET", "/health")[0] == 200


def test_an_address_of_the_newer_protocol_is_loopback_too() -> None:
    try:
        with listening(rides(), "::1") as address, client(address) as connection:
            assert ask(connection, "GET", "/health")[0] == 200
    except SettingsError as error:
        assert "cannot listen on ::1" in str(error)


def test_an_address_of_the_newer_protocol_stands_in_brackets_in_the_url() -> None:
    urls = []

    def stop_at_once(url: str) -> None:
        urls.append(url)
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGTERM)
    try:
        serve(rides(), "::1", 0, announce=stop_at_once)
        assert re.fullmatch(r"http://\[::1\]:\d+", urls[0])
    except SettingsError as error:
        assert "cannot listen on ::1" in str(error)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_requests_may_come_before_the_answers_are_read(address: tuple[str, int]) -> None:
    two = b"GET /rides/1 HTTP/1.1\r\nHost: x\r\n\r\nGET /rides/2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    found = raw(address, two)
    assert found.count(b"HTTP/1.1 200 ") == 2
    assert found.index(b'"rideId":1') < found.index(b'"rideId":2')


def test_many_clients_each_get_their_own_answer(address: tuple[str, int]) -> None:
    def one(number: int) -> list[int]:
        with client(address) as connection:
            return [
                json.loads(ask(connection, "GET", f"/rides/{number * 100 + count}")[2])["rideId"] for count in range(20)
            ]

    with ThreadPoolExecutor(16) as pool:
        for number, found in enumerate(pool.map(one, range(16))):
            assert found == [number * 100 + count for count in range(20)]


def test_one_request_is_answered_at_a_time() -> None:
    within, most = [0], [0]

    class SlowHandler(AddRidesHandler):
        """Takes its time."""

        def handle(self, request: Any, invocation: Invocation) -> Any:
            within[0] += 1
            most[0] = max(most[0], within[0])
            time.sleep(0.005)  # for another to come in, if it could
            within[0] -= 1
            return super().handle(request, invocation)

    def one(address: tuple[str, int]) -> int:
        with client(address) as connection:
            return ask(connection, "POST", "/rides", {"rideId": 1})[0]

    with listening(Api([SlowHandler], Settings())) as address, ThreadPoolExecutor(8) as pool:
        assert list(pool.map(one, [address] * 16)) == [201] * 16
    assert most == [1]


def test_a_slow_client_holds_up_neither_others_nor_the_end() -> None:
    with contextlib.ExitStack() as stack:
        slow = [b"", b"GET /rid", b"POST /rides HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{"]
        with listening(rides()) as address:
            for sent in slow:
                stack.enter_context(socket.create_connection(address, LONG_S)).sendall(sent)
            with client(address) as other:
                assert ask(other, "GET", "/rides/7")[0] == 200
            began = time.monotonic()
        assert time.monotonic() - began < LONG_S


def test_a_client_that_goes_is_no_error(address: tuple[str, int], capsys: pytest.CaptureFixture[str]) -> None:
    for sent in (b"GET /rides/7 HTTP/1.1\r\n\r\n", b"POST /rides HTTP/1.1\r\nContent-Length: 50\r\n\r\n{"):
        with socket.create_connection(address, LONG_S) as connection:
            connection.sendall(sent)
    with client(address) as other:
        assert ask(other, "GET", "/rides/7")[0] == 200
    assert "Traceback" not in capsys.readouterr().err


def test_what_is_being_answered_is_answered_before_the_end() -> None:
    began, go_on = threading.Event(), threading.Event()
    api = rides()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        began.set()
        await asyncio.to_thread(go_on.wait, LONG_S)
        await api(scope, receive, send)

    with ThreadPoolExecutor(1) as pool:
        with listening(slow) as address:
            connection = http.client.HTTPConnection(*address, timeout=LONG_S)
            answer = pool.submit(ask, connection, "GET", "/rides/7")
            assert began.wait(LONG_S)
            threading.Timer(0.1, go_on.set).start()
        assert go_on.is_set()  # leaving has waited for it
        assert answer.result()[0] == 200
        connection.close()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.org", ""])  # noqa: S104 - what is refused
def test_a_host_that_others_reach_is_refused(host: str) -> None:
    with pytest.raises(SettingsError, match="may be reached by others"):
        serve(rides(), host, 0)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::"])  # noqa: S104 - the same
def test_a_host_that_others_reach_is_refused_without_tokens_though_it_is_meant(host: str) -> None:
    with pytest.raises(SettingsError, match=f"host {host} may be reached by others: set API_TOKENS, or give 127.0.0.1"):
        serve(rides(), host, 0, any_host=True)


def test_a_port_that_is_taken_is_one_line(address: tuple[str, int]) -> None:
    with pytest.raises(SettingsError, match=r"cannot listen on 127\.0\.0\.1"):
        serve(rides(), "127.0.0.1", address[1])
    with pytest.raises(SettingsError, match=r"cannot listen on 127\.0\.0\.1:70000"):
        serve(rides(), "127.0.0.1", 70_000)


PROGRAM = """
from app.handlers.api.server import serve
from tests.integration.test_serve import rides
serve(rides(), "127.0.0.1", 0, announce=lambda url: print(url, flush=True))
print("stopped", flush=True)
"""


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_it_is_told_to_stop(by: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": "."},
    ) as process:
        assert process.stdout
        with client(split(process.stdout.readline().strip())) as connection:
            assert ask(connection, "GET", "/health")[0] == 200
            process.send_signal(by)  # with a connection still open
            out, err = process.communicate(timeout=LONG_S)
    assert (process.returncode, out) == (0, "stopped\n")
    assert "Traceback" not in err
