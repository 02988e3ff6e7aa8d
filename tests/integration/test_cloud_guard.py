"""The local cloud obeys programs of this machine, and no web page: what a browser or a smuggler sends is refused."""

from __future__ import annotations

import http.server
import json
import shutil
import socket
import stat
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest
from localstack_client.session import Session

from devtools.cloud.routes import HEALTH
from devtools.cloud.state import port_dir

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from devtools.cloud import supervisor

pytestmark = pytest.mark.cloud

SMITHY = "/service/Kinesis_20131202/operation/ListStreams"
CHROMIUM_WITHIN_S = 60


@pytest.fixture
def port(cloud: supervisor.Cloud) -> int:
    """The port of the tests' one cloud."""
    return int(cloud.url.rpartition(":")[2])


@pytest.fixture
def queue(cloud: supervisor.Cloud) -> str:  # noqa: ARG001 - the environment first
    """A queue that a web page would like to lose."""
    url: str = Session().client("sqs").create_queue(QueueName="precious")["QueueUrl"]
    return url


def send(port: int, raw: bytes, address: str = "127.0.0.1") -> tuple[int, bytes]:
    """Send bytes as they are; return the status of the first answer, and all that came back."""
    with socket.create_connection((address, port), timeout=20) as connection:
        connection.sendall(raw)
        back = b"".join(iter(lambda: connection.recv(65_536), b""))
    return int(back.split(None, 2)[1]), back


def request(first: str, *fields: str, body: bytes = b"", host: str = "127.0.0.1") -> bytes:
    lines = [first + " HTTP/1.1", f"Host: {host}", *fields, "Connection: close", "", ""]
    return "\r\n".join(lines).encode() + body


SIMPLE = "Content-Type: text/plain"  # with which a page may send any POST without asking first


@pytest.mark.parametrize(
    "field",
    ["Origin: https://evil.example", "Sec-Fetch-Site: cross-site"],
)
@pytest.mark.parametrize("target", ["/moto-api/reset", "/?Action=DeleteQueue&QueueUrl=precious", SMITHY])
def test_a_request_of_a_page_is_refused(port: int, queue: str, field: str, target: str) -> None:
    status, back = send(port, request(f"POST {target}", field, SIMPLE, "Content-Length: 0"))
    assert status == 403, back
    assert b"access-control" not in back.lower()
    assert queue in Session().client("sqs").list_queues()["QueueUrls"]


def test_a_foreign_host_is_refused(port: int) -> None:
    for target in (HEALTH, SMITHY, "/bucket/key"):
        status, back = send(port, request(f"GET {target}", host=f"evil.example:{port}"))
        assert status == 403, back
        assert b"localhost" in back  # how to mend it


@pytest.mark.parametrize("target", ["/moto-api/reset", "/bucket/key", SMITHY])
def test_a_page_that_asks_first_is_refused(port: int, target: str) -> None:
    fields = ("Origin: https://evil.example", "Access-Control-Request-Method: POST")
    for given in (fields, fields[1:], ()):
        status, back = send(port, request(f"OPTIONS {target}", *given))
        assert status == 403, back
        assert b"access-control" not in back.lower()


@pytest.mark.parametrize(
    "path",
    ["/moto-api/reset", "/moto-api/recorder/upload-recording", "/moto-api/config", "/%6doto-api/reset",
     "//moto-api/reset", "/_localstack/health"],
)  # fmt: skip
def test_the_emulators_own_pages_are_closed(port: int, queue: str, path: str) -> None:
    for method in ("GET", "POST"):
        status, back = send(port, request(f"{method} {path}", SIMPLE, "Content-Length: 0"))
        assert status == 403, back
    assert queue in Session().client("sqs").list_queues()["QueueUrls"]


def test_they_are_closed_to_a_request_that_is_signed_for_them_too(port: int, queue: str) -> None:
    for service in ("motoapi", "motoapi.amazonaws.com#", "moto_api", "s3"):
        signed = f"Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/{service}/aws4_request, x"
        status, back = send(port, request("POST /moto-api/reset", signed, "Content-Length: 0"))
        assert status == 403, back
    assert queue in Session().client("sqs").list_queues()["QueueUrls"]


SMUGGLED = b"POST /moto-api/reset HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    "head",
    [b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", b"Content-Length: 4\r\nContent-Length: 5\r\n",
     b"Content-Length : 4\r\n", b"no colon\r\n", b"X: " + b"x" * 70_000 + b"\r\n"],
    ids=lambda head: repr(head[:40]),
)  # fmt: skip
def test_a_request_that_two_programs_could_read_differently_is_refused(port: int, queue: str, head: bytes) -> None:
    """`tests/unit/devtools/test_cloud_guard.py` has them all."""
    raw = b"POST " + SMITHY.encode() + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n" + head + b"\r\n0\r\n\r\n" + SMUGGLED
    status, back = send(port, raw)
    assert status in {400, 431}, back
    assert back.count(b"HTTP/1.1 ") == 1  # nothing that came after it is a request
    assert queue in Session().client("sqs").list_queues()["QueueUrls"]


def test_what_only_begins_as_http2_is_checked_like_any_other(port: int) -> None:
    """A page may choose the method PRI: without the whole preface it is no HTTP/2."""
    assert send(port, request("PRI " + SMITHY, host="evil.example"))[0] == 403


@pytest.mark.parametrize("size", [b"4;x=y", b"+4", b"FFFFFFFFFFFFFFFF"])
@pytest.mark.parametrize("target", ["/bucket/key", SMITHY])
def test_a_bad_chunk_is_refused(port: int, size: bytes, target: str) -> None:
    signed = "Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/kinesis/aws4_request, x"
    raw = request(f"POST {target}", "Transfer-Encoding: chunked", *([signed] if target == SMITHY else []))
    status, back = send(port, raw + size + b"\r\nabcd\r\n0\r\n\r\n" + SMUGGLED)
    assert status in {400, 413}, back
    assert back.count(b"HTTP/1.1 ") == 1


def test_good_chunks_are_taken(port: int, cloud: supervisor.Cloud) -> None:
    s3 = Session().client("s3")
    s3.create_bucket(Bucket="chunked")
    raw = request("PUT /chunked/key", "Transfer-Encoding: chunked", "Expect: 100-continue")
    status, back = send(port, raw + b"4\r\nabcd\r\n2\r\nef\r\n0\r\n\r\n")
    assert status == 100, back
    assert back.count(b"100 Continue") == 1
    with s3.get_object(Bucket="chunked", Key="key")["Body"] as body:
        assert body.read() == b"abcdef", cloud.url


@pytest.mark.usefixtures("cloud")
def test_no_answer_lets_a_page_read_it(port: int) -> None:
    """Not even of a bucket that allows every page."""
    s3 = Session().client("s3")
    s3.create_bucket(Bucket="pages")
    rule = {"AllowedOrigins": ["*"], "AllowedMethods": ["GET", "PUT"], "AllowedHeaders": ["*"]}
    s3.put_bucket_cors(Bucket="pages", CORSConfiguration={"CORSRules": [rule]})
    s3.put_object(Bucket="pages", Key="key", Body=b"body")
    for target in ("/pages/key", "/pages", "/none", SMITHY, HEALTH):
        assert b"access-control" not in send(port, request(f"GET {target}"))[1].lower()


@pytest.mark.parametrize(
    "raw",
    [
        request("GET /healthcheck", "Origin: https://evil.example"),
        request("GET /healthcheck", "Sec-Fetch-Site: cross-site"),
        request("GET /healthcheck", host="evil.example"),
        request("OPTIONS /", "Access-Control-Request-Method: POST"),
    ],
    ids=lambda raw: repr(raw[:60]),
)
def test_the_port_behind_the_router_refuses_pages_too(
    cloud: supervisor.Cloud, raw: bytes, use_localstack: bool
) -> None:
    """Its client is tried in `test_cloud.py`."""
    host, _, port = cloud.kinesis_url.removeprefix("http://").partition(":")
    status, back = send(int(port), raw, host)
    assert status == 403 or (use_localstack and raw.startswith(b"OPTIONS") and status == 204), back
    assert b"access-control" not in back.lower()


def test_its_files_are_its_users_alone(port: int) -> None:
    folder = port_dir(port)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for file in folder.rglob("*"):
        assert not stat.S_IMODE(file.lstat().st_mode) & 0o077 or file.is_symlink() or file.is_dir(), file


@pytest.fixture
def bystander() -> Iterator[tuple[int, list[str]]]:
    """Another server of this machine, and what it was asked."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Write nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1], asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_moto_calls_no_other_port(
    cloud: supervisor.Cloud, bystander: tuple[int, list[str]], use_localstack: bool
) -> None:
    if use_localstack:
        pytest.skip("LocalStack answers for SNS, and delivers to any address")
    port, asked = bystander
    sns = Session().client("sns")
    topic = sns.create_topic(Name="outward")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=f"http://127.0.0.1:{port}/sns")
    with pytest.raises(Exception, match="reaches nothing outside itself"):
        sns.publish(TopicArn=topic, Message="news")
    assert asked == [], cloud.url


PAGE = """
<!doctype html><title>evil</title><iframe name=out></iframe><form id=form method=POST target=out
 action="http://127.0.0.1:%(cloud)d/moto-api/reset"></form><img src="http://127.0.0.1:%(cloud)d/?Action=ListQueues">
<script>
const at = "http://127.0.0.1:%(cloud)d";
const tries = {
  reset: () => fetch(at + "/moto-api/reset", {method: "POST", mode: "no-cors"}).then(() => "sent"),
  read: () => fetch(at + "/?Action=ListQueues").then((answer) => answer.text()),
  target: () => fetch(at, {method: "POST", body: "{}", headers: {"X-Amz-Target": "Kinesis_20131202.ListStreams"}})
    .then((answer) => answer.text()),
  pri: () => fetch(at, {method: "PRI"}).then((answer) => answer.text()),
};
(async () => {
  const found = {};
  for (const [name, attempt] of Object.entries(tries)) found[name] = await attempt().catch(() => "refused");
  document.getElementById("form").submit();
  setTimeout(() => fetch("/done", {method: "POST", body: JSON.stringify(found)}), 500);
})();
</script>
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed (Debian's chromium)")
def test_a_page_in_a_real_browser_reaches_nothing(port: int, queue: str, tmp_path: Path) -> None:
    found: list[dict[str, str]] = []
    done = threading.Event()

    class Evil(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = (PAGE % {"cloud": port}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            found.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()
            done.set()

        def log_message(self, *_: object) -> None:
            """Write nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Evil)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    page = f"http://localhost:{server.server_address[1]}/"
    browser = subprocess.Popen(
        [str(shutil.which("chromium")), *arguments, f"--user-data-dir={tmp_path}", page],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert done.wait(CHROMIUM_WITHIN_S)
    finally:
        browser.terminate()
        browser.wait()
        server.shutdown()
        thread.join()
        server.server_close()
    assert {name: found[0][name] for name in ("read", "target", "pri")} == dict.fromkeys(
        ("read", "target", "pri"), "refused"
    )
    assert queue in Session().client("sqs").list_queues()["QueueUrls"]
