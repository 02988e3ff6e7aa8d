"""Requests that the local cloud refuses before anything is done with them, and its private folder."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from http import HTTPStatus
from pathlib import Path

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

import devtools.cloud
from app.errors import CloudError
from devtools.cloud.guard import BodyError, fault_of, is_own_page, read_chunked, read_head, read_length
from devtools.cloud.state import private_folder, read_state

PRELOADED = Path(devtools.cloud.__file__).parent / "npm" / "loopback.cjs"

FIRST = b"POST / HTTP/1.1\r\n"
HOST = b"Host: 127.0.0.1:4566\r\n"
END = b"\r\n"
FOREIGN = [
    "evil.example", "evil.example:4566", "127.0.0.1.evil.example", "localhost.evil.example", "notlocalhost",
    "localhos", "evil@localhost", "localhost@evil.example", "evil/.localhost", "evil,localhost", "evil localhost",
    "::", "127.1", "127.0.0.1.1", "128.0.0.1", "2130706433", "0x7f.1", "[::2]", "::1", "[::1", "localhost:",
    "localhost:x", "localhost:4566:1", "localhost.", "docker.internal", "motoapi.amazonaws.com",
    "localhost.localstack.cloud", ""
]  # fmt: skip
OWN = [
    "127.0.0.1", "127.0.0.1:4566", "127.0.0.2:4566", "localhost:4566", "LOCALHOST", "[::1]:4566",
    "bucket.s3.localhost:4566", "a_b.localhost", "host.docker.internal:4566", "localhost:9000"
]  # fmt: skip


def status_of(fields: bytes, first: bytes = FIRST) -> int | None:
    fault = fault_of(first + fields + END)
    return fault.status if fault else None


@pytest.mark.parametrize("service", ["kinesis", "s3", "sqs", "dynamodb"])
def test_what_botocore_sends_is_taken(service: str) -> None:
    request = AWSRequest("PUT", "http://localhost:4566/bucket/a%20key?x=1", data=b"{}", headers={"X-Amz-Meta-A_b": "é"})
    SigV4Auth(Credentials("test", "test", "token"), service, "us-east-1").add_auth(request)
    fields = {**dict(request.headers), "Content-Length": "2", "Expect": "100-continue", "Host": "b.s3.localhost:4566"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items()).encode()
    assert fault_of(b"PUT /bucket/a%20key?x=1 HTTP/1.1\r\n" + lines + END) is None


@pytest.mark.parametrize(
    "field",
    ["Origin: https://evil.example", "Origin: null", "Origin:", "oRiGiN: http://127.0.0.1:4566",
     "Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site", "Sec-Fetch-Site: same-origin", "sec-fetch-site: x",
     "Sec-Fetch-Site: none"],
)  # fmt: skip
def test_a_page_is_refused(field: str) -> None:
    assert status_of(HOST + field.encode() + b"\r\n") == HTTPStatus.FORBIDDEN


def test_asking_first_is_refused() -> None:
    assert status_of(HOST, b"OPTIONS / HTTP/1.1\r\n") == HTTPStatus.FORBIDDEN


@pytest.mark.parametrize("host", FOREIGN)
def test_a_foreign_host_is_refused(host: str) -> None:
    assert status_of(f"Host: {host}\r\n".encode()) == HTTPStatus.FORBIDDEN


def test_so_is_none_at_all() -> None:
    assert status_of(b"") == HTTPStatus.FORBIDDEN


@pytest.mark.parametrize("host", OWN)
def test_the_names_of_this_machine_are_not(host: str) -> None:
    assert status_of(f"Host: {host}\r\n".encode()) is None


def test_the_emulator_behind_takes_the_names_that_the_router_passes_on() -> None:
    [pattern] = re.findall(r"^const OWN_HOST =.*\n? +/(.*)/i;$", PRELOADED.read_text(), re.MULTILINE)
    own_host = re.compile(pattern, re.IGNORECASE)
    assert [host for host in OWN if not own_host.search(f"\r\nHost: {host}\r\n")] == []
    assert [host for host in FOREIGN if own_host.search(f"\r\nHost: {host}\r\n")] == []


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 4\r\nContent-Length: 5\r\n",
        b"Content-Length: 4\r\nContent-Length: 4\r\n",
        b"content-length: 4\r\nCONTENT-LENGTH: 4\r\n",
        b"Content-Length: 4, 4\r\n",
        b"Content-Length: +4\r\n",
        b"Content-Length: -4\r\n",
        b"Content-Length: 4_0\r\n",
        b"Content-Length: 0x4\r\n",
        b"Content-Length: \r\n",
        "Content-Length: \N{ARABIC-INDIC DIGIT FOUR}\r\n".encode(),
        b"Content-Length : 4\r\n",
        b"Content-Length: 99999999999999999999\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: \x0bchunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding\r\n",
        b"no colon\r\n",
        b": no name\r\n",
        b"X: folded\r\n further\r\n",
        b" X: begins with a space\r\n",
        b"X: a\rTransfer-Encoding: chunked\r\n",
        b"X: a\nContent-Length: 4\r\n",
        b"X: a\n\r\n",
        b"X: a\x00b\r\n",
        b"X\x00: a\r\n",
        b"From somebody\r\n",
        b"Host: 127.0.0.1\r\n",
        b"\xc3\xa9: a\r\n",
    ],
)
def test_a_head_with_two_readings_is_refused(fields: bytes) -> None:
    assert status_of(HOST + fields) == HTTPStatus.BAD_REQUEST
    assert status_of(fields + HOST) == HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize(
    "first",
    [b"GET http://127.0.0.1/ HTTP/1.1", b"GET evil HTTP/1.1", b"GET  / HTTP/1.1", b"GET / HTTP/1.1 ", b"GET / HTTP/2.0",
     b"GET / HTTP/1.10", b"GET /", b"GET / x HTTP/1.1", b"G@T / HTTP/1.1", b"GET /\x7f HTTP/1.1", b"GET\t/ HTTP/1.1",
     b"PRI * HTTP/2.0", b"CONNECT evil:80 HTTP/1.1", b" GET / HTTP/1.1", b""],
)  # fmt: skip
def test_a_malformed_first_line_is_refused(first: bytes) -> None:
    assert status_of(HOST, first + b"\r\n") == HTTPStatus.BAD_REQUEST


def test_a_head_that_does_not_end_is_refused() -> None:
    for head in (FIRST, FIRST + HOST, b"", FIRST + HOST + b"\n", FIRST + HOST + b"\r"):
        found = fault_of(head)
        assert found is not None
        assert found.status == HTTPStatus.BAD_REQUEST
    endless = read_head(io.BufferedReader(io.BytesIO(b"X: y\r\n" * 1_000_000)), FIRST)
    assert len(endless) < 70_000
    found = fault_of(endless)
    assert found is not None
    assert found.status == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_of_any_head_that_is_taken_there_is_one_reading(before: bytes, after: bytes) -> None:
    head = FIRST + before + HOST + after + END
    if fault_of(head) is None:
        lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
        assert not any(letter in line for line in lines for letter in b"\r\n\x00")
        names = [line.partition(b":")[0].lower() for line in lines[1:]]
        assert names.count(b"host") == 1
        assert b"origin" not in names
        assert names.count(b"content-length") + names.count(b"transfer-encoding") <= 1


@pytest.mark.parametrize(
    "body",
    [b"4;x=y\r\nabcd\r\n0\r\n\r\n", b"+4\r\nabcd\r\n0\r\n\r\n", b"0x4\r\nabcd\r\n0\r\n\r\n", b"-1\r\n", b"4_0\r\n",
     b"\r\n", b" 4\r\nabcd\r\n", b"4\nabcd\r\n", b"4\r\nabcde\r\n0\r\n\r\n", b"4\r\nabcd\n0\r\n\r\n", b"5\r\nabc",
     b"0\r\nTrailer: x\r\n\r\n", b"", b"F" * 16 + b"\r\n", b"0" * 17 + b"\r\n\r\n"],
)  # fmt: skip
def test_a_bad_chunk_is_refused(body: bytes) -> None:
    with pytest.raises(BodyError):
        read_chunked(io.BytesIO(body))


@given(st.lists(st.binary(min_size=1, max_size=9), max_size=4), st.binary(max_size=9))
def test_good_chunks_are_the_body_and_leave_what_follows(pieces: list[bytes], behind: bytes) -> None:
    sent = b"".join(b"%X\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    stream = io.BytesIO(sent + b"0\r\n\r\n" + behind)
    assert read_chunked(stream) == b"".join(pieces)
    assert stream.read() == behind


def test_a_body_takes_memory_as_it_comes() -> None:
    with pytest.raises(BodyError):
        read_length(io.BytesIO(b"short"), 5 * 1024**3)
    with pytest.raises(BodyError) as raised:
        read_length(io.BytesIO(b"short"), 5 * 1024**3 + 1)
    assert raised.value.fault.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


@pytest.mark.parametrize(
    ("target", "own"),
    [("/moto-api/reset", True), ("/moto-api", True), ("/%6doto-api/reset", True), ("//moto-api/", True),
     ("/_localstack/config?x", True), ("/%5flocalstack/init", True), ("/_aws/sqs/messages", True),
     ("/bucket/_key", False), ("/bucket/moto-api/reset", False), ("/?x=/moto-api", False), ("/", False)],
)  # fmt: skip
def test_emulators_own_pages_are_told_from_services(target: str, own: bool) -> None:
    assert is_own_page(target) == own


def test_a_confined_process_reaches_nothing_else() -> None:
    program = """
import os, socket, subprocess
from devtools.cloud.outward import confine
open_to, closed = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
confine({open_to.getsockname()})
socket.create_connection(open_to.getsockname()).close()
for attempt in (
    lambda: socket.create_connection(closed.getsockname()),
    lambda: socket.create_connection(("localhost", closed.getsockname()[1])),
    lambda: socket.create_connection(("192.0.2.1", 80)),
    lambda: socket.socket().connect_ex(closed.getsockname()),
    lambda: socket.socket(socket.AF_UNIX).connect("/var/run/docker.sock"),
    lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"", ("192.0.2.1", 53)),
    lambda: socket.getaddrinfo("evil.example", 80),
    lambda: subprocess.run(["true"]),
    lambda: os.popen("true"),
    lambda: os.system("true"),
):
    try:
        attempt()
    except OSError as error:
        assert "reaches nothing outside itself" in str(error), error
    else:
        raise AssertionError(attempt)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_state_folder_is_its_users_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "cloud"
    monkeypatch.setenv("MILLRACE_CLOUD_DIR", str(folder))
    before = os.umask(0)
    try:
        private_folder(folder / "4566")
    finally:
        os.umask(before)
    assert [each.stat().st_mode & 0o777 for each in (folder, folder / "4566")] == [0o700, 0o700]


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777, 0o1777])
def test_a_state_folder_that_others_may_write_to_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: int
) -> None:
    monkeypatch.setenv("MILLRACE_CLOUD_DIR", str(tmp_path / "cloud"))
    (tmp_path / "cloud" / "4566").mkdir(parents=True)
    (tmp_path / "cloud" / "4566" / "state.json").write_bytes(b"{}")
    for each in (tmp_path / "cloud" / "4566", tmp_path / "cloud"):
        each.chmod(mode)
        with pytest.raises(CloudError, match=r"may be written by others: chmod go-w .*cloud"):
            read_state(4566)


def test_a_state_folder_of_another_user_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MILLRACE_CLOUD_DIR", str(tmp_path / "cloud"))
    private_folder(tmp_path / "cloud")
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)
    if tmp_path.stat().st_uid == 0:  # root's own are always trusted
        os.chown(tmp_path / "cloud", 12345, -1)
    with pytest.raises(CloudError, match="belongs to another user"):
        private_folder(tmp_path / "cloud" / "4566")
