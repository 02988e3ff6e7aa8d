"""The API's server among hostile clients, over real sockets: each is refused, and the others are answered."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import re
import socket
import time
from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock

import pytest
from starlette.staticfiles import StaticFiles
from uvicorn.server import ServerState

from app.handlers.api import connection as connection_module
from app.handlers.api.application import Api
from app.handlers.api.connection import MOST_CONNECTIONS, MOST_HEAD_BYTES, MOST_HEADERS, Connection
from app.handlers.api.server import HOST, only_local, server
from app.settings import Settings
from tests.integration.test_serve import LONG_S, AddFewRidesHandler, ask, client, listening, raw, rides
from tests.unit.handlers.api.rides import HANDLERS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Address = tuple[str, int]

TOKEN = "correct-horse"
HOST_LINE = b"Host: localhost\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
SMUGGLED = b"GET /health HTTP/1.1\r\n" + HOST_LINE + b"\r\n"


def head(*lines: bytes, first: bytes = b"GET /health HTTP/1.1") -> bytes:
    return b"\r\n".join([first, b"Host: localhost", *lines, b"", b""])


def post(framing: bytes, body: bytes) -> bytes:
    return b"POST /rides HTTP/1.1\r\n" + HOST_LINE + framing + b"\r\n" + body


MALFORMED = {
    "no colon": head(b"nocolon"),
    "space before the colon": post(b"Content-Length : 5\r\n", b"hello" + SMUGGLED),
    "tab before the colon": post(b"Content-Length\t: 5\r\n", b"hello" + SMUGGLED),
    "no name": head(b": value"),
    "bare LF": b"GET /health HTTP/1.1\nHost: localhost\n\n",
    "bare LF in one line": head(b"a: b\nc: d"),
    "bare LF hides a framing": head(b"a: b\nTransfer-Encoding: chunked"),
    "bare LF at the end": b"GET /health HTTP/1.1\r\nHost: localhost\r\n\n",
    "bare LF first": b"\n" + SMUGGLED,
    "bare CR": head(b"a: b\rc: d"),
    "CR CR LF": head(b"a: b\r"),
    "folded": head(b"a: b", b" c"),
    "folded with a tab": head(b"a: b", b"\tc"),
    "folded framing": post(b"Transfer-Encoding:\r\n chunked\r\n", b"0\r\n\r\n" + SMUGGLED),
    "folded first": b"GET /health HTTP/1.1\r\n a: b\r\n" + HOST_LINE + b"\r\n",
    "two lengths": post(b"Content-Length: 5\r\nContent-Length: 0\r\n", b"hello" + SMUGGLED),
    "one length twice": post(b"Content-Length: 5\r\nContent-Length: 5\r\n", b"hello" + SMUGGLED),
    "one length twice in one line": post(b"Content-Length: 5, 5\r\n", b"hello" + SMUGGLED),
    "a length with a sign": post(b"Content-Length: +5\r\n", b"hello" + SMUGGLED),
    "a negative length": post(b"Content-Length: -5\r\n", b"hello" + SMUGGLED),
    "a length with an underscore": post(b"Content-Length: 1_0\r\n", b"hellohello"),
    "a hexadecimal length": post(b"Content-Length: 0x5\r\n", b"hello" + SMUGGLED),
    "a length of other digits": post(b"Content-Length: \xd9\xa5\r\n", b"hello" + SMUGGLED),
    "an empty length": post(b"Content-Length: \r\n", SMUGGLED),
    "a huge length": post(b"Content-Length: " + b"9" * 40 + b"\r\n", b""),
    "length and chunks": post(b"Content-Length: 5\r\n" + CHUNKED, b"0\r\n\r\n" + SMUGGLED),
    "chunks and length": post(CHUNKED + b"Content-Length: 5\r\n", b"0\r\n\r\n" + SMUGGLED),
    "chunked twice": post(CHUNKED * 2, b"0\r\n\r\n" + SMUGGLED),
    "nearly chunked": post(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n" + SMUGGLED),
    "chunked with another": post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n" + SMUGGLED),
    "another after chunked": post(b"Transfer-Encoding: chunked, identity\r\n", b"0\r\n\r\n" + SMUGGLED),
    "chunked with a control character": post(b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n" + SMUGGLED),
    "chunked in HTTP/1.0": b"POST /rides HTTP/1.0\r\n" + HOST_LINE + CHUNKED + b"\r\n0\r\n\r\n" + SMUGGLED,
    "a negative chunk": post(CHUNKED, b"-1\r\n\r\n0\r\n\r\n"),
    "a chunk with 0x": post(CHUNKED, b"0x5\r\nhello\r\n0\r\n\r\n"),
    "a huge chunk": post(CHUNKED, b"f" * 16 + b"\r\nhello"),
    "a chunk without size": post(CHUNKED, b"\r\n\r\n" + SMUGGLED),
    "a size with a blank": post(CHUNKED, b"5 \r\nhello\r\n0\r\n\r\n"),
    "a size with a bare LF": post(CHUNKED, b"5\nhello\r\n0\r\n\r\n"),
    "a chunk ended by a bare LF": post(CHUNKED, b"5\r\nhello\n0\r\n\r\n"),
    "a chunk that is longer": post(CHUNKED, b"5\r\nhelloXX\r\n0\r\n\r\n"),
    "a chunk extension": post(CHUNKED, b"5;a=b\r\nhello\r\n0\r\n\r\n"),
    "a chunk extension with a bare LF": post(CHUNKED, b"5;\nxx\r\nhello\r\n0\r\n\r\n"),
    "the last chunk with a bare LF": post(CHUNKED, b"0\r\n\n" + SMUGGLED),
    "a folded trailer": post(CHUNKED, b"0\r\na: b\r\n c\r\n\r\n"),
    "NUL in a value": head(b"a: b\0c"),
    "NUL in a name": head(b"a\0b: c"),
    "NUL in the target": head(first=b"GET /health\0 HTTP/1.1"),
    "ESC in a value": head(b"a: b\x1bc"),
    "DEL in a value": head(b"a: b\x7fc"),
    "an absolute target": head(first=b"GET http://localhost/health HTTP/1.1"),
    "another host's target": head(first=b"GET http://other.example/health HTTP/1.1"),
    "CONNECT": head(first=b"CONNECT localhost:80 HTTP/1.1"),
    "an authority": head(first=b"GET localhost:80 HTTP/1.1"),
    "a star": head(first=b"OPTIONS * HTTP/1.1"),
    "no host": b"GET /health HTTP/1.1\r\n\r\n",
    "two hosts": head(b"Host: other.example"),
    "two blanks": head(first=b"GET  /health HTTP/1.1"),
    "tabs": head(first=b"GET\t/health\tHTTP/1.1"),
    "a blank in the target": head(first=b"GET /health HTTP/1.1 HTTP/1.1"),
    "HTTP/0.9": b"GET /health\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/1.2": head(first=b"GET /health HTTP/1.2"),
    "a small http": head(first=b"GET /health http/1.1"),
    "letters in the target": head(first="GET /hälth HTTP/1.1".encode()),
    "TLS": b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
    "a request line without end": b"GET /" + b"a" * 3 * MOST_HEAD_BYTES,
    "a long request line": head(first=b"GET /" + b"a" * MOST_HEAD_BYTES + b" HTTP/1.1"),
    "a long header": head(b"a: " + b"b" * MOST_HEAD_BYTES),
    "many headers": head(*[b"a: b"] * MOST_HEADERS),
    "very many headers": head(*[b"a: b"] * 50_000),
}


@pytest.fixture(scope="module")
def address() -> Iterator[Address]:
    with listening(rides()) as found:
        yield found


def statuses(answer: bytes) -> list[int]:
    return [int(each) for each in re.findall(rb"HTTP/1\.1 (\d\d\d) ", answer)]


def answer_to(address: Address, sent: bytes) -> bytes:
    """All that the server says until it closes; the client itself never closes first."""
    found = b""
    with socket.create_connection(address, LONG_S) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(sent)
        while more := connection.recv(65536):
            found += more
    return found


@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED.keys())
def test_bytes_that_can_be_read_in_two_ways_are_refused_once_and_closed(address: Address, sent: bytes) -> None:
    found = answer_to(address, sent)
    assert statuses(found) == [400]
    assert b"connection: close" in found.lower()
    assert b'"detail":"not a request of HTTP/1.1' in found


@pytest.mark.parametrize("at", ["before", "after"])
def test_an_honest_neighbour_on_the_connection_is_answered_and_nothing_after_a_malformed_one(
    address: Address, at: str
) -> None:
    bad = MALFORMED["two lengths"]
    found = answer_to(address, SMUGGLED + bad if at == "before" else bad + SMUGGLED)
    assert statuses(found) == ([200, 400] if at == "before" else [400])


ORDINARY = {
    "curl": b"GET /health HTTP/1.1\r\nHost: localhost:8000\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n",
    "a tab and no blank": head(b"a:b", b"c:\td\t"),
    "letters of Latin-1": head("a: Müller".encode("latin-1")),
    "an empty value": head(b"a:", b"b: "),
    "HTTP/1.0": b"GET /health HTTP/1.0\r\n\r\n",
    "a query": head(first=b"GET /health?a=b%20c&d=%C3%A4 HTTP/1.1"),
    "a body that is not wanted": head(b"Content-Length: 5") + b"hello",
    "an upgrade that is not had": head(b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"),
    "a browser's cookies": head(b"Cookie: " + b"a=b; " * 3000),
    "many headers": head(*[b"a%d: b" % number for number in range(MOST_HEADERS - 1)]),
    "small chunks": post(CHUNKED, b'2\r\n[{\r\nb\r\n"rideId":1}\r\n1\r\n]\r\n0\r\n\r\n'),
    "a trailer": post(CHUNKED, b'E\r\n[{"rideId":1}]\r\n0\r\nDigest: x\r\n\r\n'),
    "chunks in capitals": post(b"transfer-encoding:Chunked \r\n", b'e\r\n[{"rideId":1}]\r\n0\r\n\r\n'),
    "a length with noughts": post(b"Content-Length: 0014\r\n", b'[{"rideId":1}]'),
}


@pytest.mark.parametrize("sent", ORDINARY.values(), ids=ORDINARY.keys())
def test_what_clients_send_is_answered(address: Address, sent: bytes) -> None:
    assert statuses(raw(address, sent)) in ([200], [201])


# ---- Before the token


@pytest.fixture(scope="module")
def with_tokens() -> Iterator[Address]:
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    api = Api([AddFewRidesHandler], Settings(api_tokens={digest: "*"}))
    with listening(api) as found:
        yield found


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 50000\r\n", CHUNKED, b"Content-Length: 5\r\nExpect: 100-continue\r\n"]
)
@pytest.mark.parametrize(
    "token", [b"", b"Authorization: Bearer wrong\r\n", b"Authorization: Bearer " + b"x" * 60_000 + b"\r\n"]
)
def test_without_a_token_no_body_is_waited_for(with_tokens: Address, framing: bytes, token: bytes) -> None:
    with socket.create_connection(with_tokens, LONG_S) as connection:
        connection.sendall(post(token + framing, b""))
        found = connection.recv(65536)
    assert statuses(found) == [401]
    assert b"xxx" not in found


def test_a_body_over_its_cap_is_refused_before_its_first_byte(with_tokens: Address) -> None:
    token = f"Authorization: Bearer {TOKEN}\r\n".encode()
    with socket.create_connection(with_tokens, LONG_S) as connection:
        connection.sendall(post(token + b"Content-Length: 100001\r\n", b""))
        assert statuses(connection.recv(65536)) == [413]


def test_a_method_is_not_overridden_by_a_header(address: Address) -> None:
    with client(address) as connection:
        for header in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
            assert ask(connection, "GET", "/rides", **{header: "POST"})[0] == 405
        assert ask(connection, "GET", "/rides?_method=POST")[0] == 405


def test_head_and_options_have_no_body(address: Address) -> None:
    for method in (b"HEAD", b"OPTIONS"):
        for target in (b"/health", b"/rides", b"/nowhere"):
            found = answer_to(address, head(b"Connection: close", first=method + b" " + target + b" HTTP/1.1"))
            assert len(statuses(found)) == 1
            assert found.partition(b"\r\n\r\n")[2] == b"" or method == b"OPTIONS"


def test_no_path_leaves_a_page_s_folder(tmp_path: Path) -> None:
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "index.html").write_text("welcome")
    (tmp_path / "secret.txt").write_text("hidden")
    api = Api(HANDLERS, Settings(), pages={"/page": StaticFiles(directory=tmp_path / "page", html=True)})
    ways = [
        "../secret.txt", "%2e%2e/secret.txt", "..%2fsecret.txt", "%252e%252e%252fsecret.txt", "..%5csecret.txt",
        "..\\secret.txt", ".%00./secret.txt", "index.html%00.txt", "/../secret.txt", f"/{tmp_path}/secret.txt",
        f"%2f{tmp_path}/secret.txt", "....//secret.txt", "..;/secret.txt", "%c0%ae%c0%ae/secret.txt", "%ff",
    ]  # fmt: skip
    with listening(api) as address:
        for way in ways:
            found = answer_to(address, head(b"Connection: close", first=f"GET /page/{way} HTTP/1.1".encode()))
            assert statuses(found) in ([404], [400]), way
            assert b"hidden" not in found
        assert b"welcome" in answer_to(address, head(b"Connection: close", first=b"GET /page/ HTTP/1.1"))


# ---- Slow and many clients


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> Iterator[Address]:
    """The server with deadlines of one second for a head and two for a request."""
    monkeypatch.setattr(connection_module, "HEAD_S", 1)
    monkeypatch.setattr(connection_module, "REQUEST_S", 2)
    with listening(rides()) as found:
        yield found


def test_slow_clients_are_ended_though_each_sends_bytes_all_the_time(hurried: Address) -> None:
    starts = {
        "nothing": b"",
        "head": b"GET /health HTTP/1.1\r\nHost: localhost\r\na: ",
        "body": post(b"Content-Length: 5000\r\n", b"["),
        "chunks": post(CHUNKED, b"5\r\n["),
        "after an answer": head() + b"GET /he",
        "refused body": post(b"Content-Length: 10000000\r\n", b"x"),
    }
    with contextlib.ExitStack() as stack:
        slow = {name: stack.enter_context(socket.create_connection(hurried, LONG_S)) for name in starts}
        for name, each in slow.items():
            each.sendall(starts[name])
        ended: dict[str, float] = {}
        began, answers = time.monotonic(), dict.fromkeys(starts, b"")
        while len(ended) < len(slow) and time.monotonic() - began < LONG_S:
            time.sleep(0.1)
            for name, each in slow.items():
                with contextlib.suppress(BlockingIOError):
                    try:
                        if name != "nothing" and name not in ended:
                            each.send(b"a")
                        more = each.recv(65536, socket.MSG_DONTWAIT)
                        answers[name] += more
                    except ConnectionError:
                        more = b""
                    if not more:
                        ended.setdefault(name, time.monotonic() - began)
            with client(hurried) as other:
                assert ask(other, "GET", "/health")[0] == 200
    assert ended.keys() == slow.keys()
    assert {name: statuses(answer) for name, answer in answers.items()} == {
        "nothing": [], "head": [408], "body": [408], "chunks": [408], "after an answer": [200, 408],
        "refused body": [413],
    }  # fmt: skip


def connection_over(wire: Any) -> Connection:
    config = server(rides()).config
    config.load()
    wire.get_extra_info.return_value = None
    wire.is_closing.return_value = False
    made = Connection(config=config, server_state=ServerState(), app_state={}, _loop=MagicMock())
    made.connection_made(wire)
    return made


def test_an_answer_that_nobody_reads_is_given_up() -> None:
    wire = MagicMock()
    wire.get_write_buffer_size.return_value = 1
    connection = connection_over(wire)
    for _ in range(connection_module.REQUEST_S):
        wire.abort.assert_not_called()
        connection.tick()
    wire.abort.assert_called_once()


def test_no_client_s_time_runs_while_a_handler_computes() -> None:
    wire = MagicMock()
    wire.get_write_buffer_size.return_value = 0
    connection = connection_over(wire)
    connection.cycle = MagicMock(response_complete=False, more_body=False)
    for _ in range(1000):
        connection.tick()
    wire.abort.assert_not_called()
    wire.close.assert_not_called()
    wire.write.assert_not_called()


def test_a_thousand_connections_lock_nobody_out_for_longer_than_the_deadline(hurried: Address) -> None:
    with contextlib.ExitStack() as stack:
        began = time.monotonic()
        held = [stack.enter_context(socket.create_connection(hurried, LONG_S)) for _ in range(400)]
        refused = 0
        for each in held[MOST_CONNECTIONS:]:
            each.settimeout(LONG_S)
            with contextlib.suppress(ConnectionError):
                assert statuses(each.recv(65536)) in ([503], [])
            refused += 1
        assert refused == 300
        answered = 0
        while not answered and time.monotonic() - began < LONG_S:
            with contextlib.suppress(OSError, http.client.HTTPException), client(hurried) as other:
                answered = ask(other, "GET", "/health")[0] == 200
            time.sleep(0.1)
        assert answered


def test_connections_that_only_stay_open_make_way(address: Address) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(MOST_CONNECTIONS + 20):
            assert ask(stack.enter_context(client(address)), "GET", "/health")[0] == 200


# ---- Web pages


@pytest.fixture(scope="module")
def local() -> Iterator[Address]:
    api = Api([*HANDLERS], Settings(api_cors_origins="https://trusted.example"))
    with listening(only_local(api)) as found:
        yield found


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/json"])
@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost:1", "http://127.0.0.1.evil.example"]
)
def test_a_post_of_a_foreign_page_is_refused(local: Address, origin: str, content_type: str | None) -> None:
    more = {"Content_Type": content_type} if content_type else {}
    with client(local) as connection:
        status, _, body = ask(connection, "POST", "/rides", [{"rideId": 1}], Origin=origin, **more)
    assert (status, b"name it in API_CORS_ORIGINS" in body) == (403, True)


def test_pages_of_the_server_s_own_and_of_trusted_origins_are_answered(local: Address) -> None:
    for host in (
        f"{HOST}:{local[1]}",
        f"localhost:{local[1]}",
        f"LOCALHOST:{local[1]}",
        f"[::1]:{local[1]}",
        "127.8.8.8",
    ):
        for origin in (f"http://{host}", "https://trusted.example"):
            with client(local) as connection:
                assert ask(connection, "POST", "/rides", [{"rideId": 1}], Host=host, Origin=origin)[0] == 201
                assert ask(connection, "POST", "/rides", [{"rideId": 1}], Host=host)[0] == 201


@pytest.mark.parametrize("origin", ["https://trusted.example", None], ids=["page", "program"])
def test_a_reverse_proxy_passes_on_a_name_that_is_trusted(local: Address, origin: str | None) -> None:
    more = {"Origin": origin} if origin else {}
    with client(local) as connection:
        assert ask(connection, "POST", "/rides", [{"rideId": 1}], Host="trusted.example", **more)[0] == 201


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:80",
        "x.trusted.example",
        "localhost.evil.example",
        "192.0.2.1",
        "0.0.0.1",
        "[",
        "a@b@c",
        "2130706433",
    ],
)
def test_another_name_for_this_machine_is_refused(local: Address, host: str) -> None:
    with client(local) as connection:
        status, _, body = ask(connection, "GET", "/health", Host=host)
    assert (status, b"not a name of this server" in body) == (403, True)


def test_the_connection_is_ours() -> None:
    assert server(rides()).config.http is Connection
