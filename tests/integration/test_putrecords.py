"""Both ways of putting records, against a real emulator over HTTP, and a signature that a server checks."""

from __future__ import annotations

import http.server
import itertools
import json
import threading
import urllib.request
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from moto.server import ThreadedMotoServer

from app import aws
from app.errors import CloudError, CredentialsError, MissingStreamError, SettingsError
from app.stream.deadline import Deadline
from app.stream.emit import Writer
from app.stream.putrecords import GeneratedPutRecords, SignedPutRecords
from app.stream.puts import PutRecords, TransientError
from app.stream.shards import StartingPosition, read_stream
from app.stream.tracker import Tracker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.cloud

_numbers = itertools.count()
SERVICES = [lambda: SignedPutRecords(4), GeneratedPutRecords]
IDS = ["signed", "generated"]


@pytest.mark.parametrize("service", SERVICES, ids=IDS)
def test_records_arrive_as_they_were_put(service: Callable[[], PutRecords], new_stream: Callable[..., str]) -> None:
    stream = new_stream()
    datas = [b"{}", "käse \u2603".encode(), bytes(range(256)), b"x" * 900_000]
    assert service().put(stream, ["a", "ü", "c", "d"], datas) == {}
    assert list(read_stream(stream, StartingPosition())) == datas


@pytest.mark.parametrize("service", SERVICES, ids=IDS)
def test_a_stream_tells_its_record_limit(service: Callable[[], PutRecords], new_stream: Callable[..., str]) -> None:
    assert service().record_limit_bytes(new_stream()) >= 1024 * 1024


@pytest.mark.parametrize("service", SERVICES, ids=IDS)
@pytest.mark.usefixtures("cloud")
def test_a_missing_stream_is_named(service: Callable[[], PutRecords]) -> None:
    with pytest.raises(MissingStreamError, match="stream nowhere: not found"):
        service().put("nowhere", ["k"], [b"{}"])
    with pytest.raises(MissingStreamError, match="stream nowhere: not found"):
        service().record_limit_bytes("nowhere")


@pytest.mark.parametrize("service", SERVICES, ids=IDS)
def test_an_endpoint_that_does_not_answer_passes(
    service: Callable[[], PutRecords], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    aws.forget()
    with pytest.raises(TransientError):
        service().put("stream", ["k"], [b"{}"])


def test_without_credentials_the_error_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    aws.forget()
    with pytest.raises(CredentialsError, match="set AWS_ACCESS_KEY_ID"):
        SignedPutRecords(1)


def test_two_thousand_records_over_four_shards_in_order_per_key(new_stream: Callable[..., str]) -> None:
    stream, tracker = new_stream(shards=4), Tracker(2000)
    keys = [f"key-{row % 700}" for row in range(2000)]
    emission = Writer(SignedPutRecords(8)).begin(tracker, Deadline(60))
    tracker.expect(range(2000))
    emission.add(stream, range(2000), keys, [f"{key}:{row}".encode() for row, key in enumerate(keys)])
    tracker.settle(range(2000))
    emission.finish()
    assert tracker.prefix == 2000
    arrived: dict[str, list[int]] = {}
    for data in read_stream(stream, StartingPosition()):
        key, _, row = data.decode().partition(":")
        arrived.setdefault(key, []).append(int(row))
    assert sum(map(len, arrived.values())) == 2000
    assert all(rows == sorted(rows) for rows in arrived.values())


@pytest.fixture
def checking_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """moto with its authentication on: it computes the signature itself. Gives a user's good keys."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    aws.forget()
    user = f"writer-{next(_numbers)}"
    iam = aws.client("iam")
    iam.create_user(UserName=user)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    statement = {"Effect": "Allow", "Action": "kinesis:*", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName=user, PolicyName="put", PolicyDocument=policy)
    aws.client("kinesis").create_stream(StreamName=f"checked-{user}", ShardCount=1)

    def check_from_now_on(unchecked_calls: bytes) -> None:
        headers = {"Content-Type": "text/plain"}
        urllib.request.urlopen(  # noqa: S310 - loopback
            urllib.request.Request(f"{url}/moto-api/reset-auth", data=unchecked_calls, headers=headers)  # noqa: S310
        ).close()

    check_from_now_on(b"0")
    yield {
        "stream": f"checked-{user}",
        "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
    }
    check_from_now_on(b"inf")
    server.stop()


def test_a_server_that_checks_signatures_accepts_ours(
    checking_server: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = checking_server.pop("stream")
    for name, value in checking_server.items():
        monkeypatch.setenv(name, value)
    aws.forget()
    service = SignedPutRecords(1)
    assert service.put(stream, ["k"], ["{ü}".encode()]) == {}
    assert service.record_limit_bytes(stream) == 1024 * 1024


@pytest.mark.parametrize("wrong", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_wrong_keys_are_one_clear_error(
    wrong: str, checking_server: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = checking_server.pop("stream")
    for name, value in {**checking_server, wrong: "wrong"}.items():
        monkeypatch.setenv(name, value)
    aws.forget()
    with pytest.raises(CredentialsError, match=f"stream {stream}: AWS refuses the credentials"):
        SignedPutRecords(1).put(stream, ["k"], [b"{}"])


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-2", "cn-north-1", "us-gov-west-1"])
def test_the_endpoint_is_the_one_that_the_generated_client_finds(region: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", region)
    aws.forget()
    assert aws.endpoint("kinesis") == aws.client("kinesis").meta.endpoint_url


def test_a_region_that_is_none_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "nowhere")
    aws.forget()
    with pytest.raises(SettingsError, match="'nowhere' is not an AWS region"):
        aws.endpoint("kinesis")


class _Answers(http.server.BaseHTTPRequestHandler):
    """Answers each call with the next of the prepared ones: no emulator throttles."""

    protocol_version = "HTTP/1.1"
    prepared: ClassVar[list[tuple[int, bytes]]] = []

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        status, body = self.prepared.pop(0)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: Any) -> None:
        """Says nothing."""


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, bytes]]]:
    """A server whose answers the test prepares, in the words that Kinesis uses."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    aws.forget()
    _Answers.prepared = []
    yield _Answers.prepared
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "raised"),
    [
        (500, b'{"__type": "InternalFailure"}', TransientError),
        (503, b"<html>busy</html>", TransientError),
        (400, b'{"__type": "com.amazonaws.kinesis#ProvisionedThroughputExceededException"}', TransientError),
        (400, b'{"__type": "ThrottlingException", "message": "slow down"}', TransientError),
        (400, b'{"__type": "UnrecognizedClientException"}', CredentialsError),
        (400, b'{"__type": "ExpiredTokenException"}', CredentialsError),
        (400, b'{"__type": "AccessDeniedException"}', CredentialsError),
        (400, b'{"__type": "ResourceNotFoundException"}', MissingStreamError),
        (400, b'{"__type": "ValidationException", "message": "no"}', CloudError),
        (418, b"", CloudError),
    ],
)
def test_each_refusal_is_passing_or_final(
    status: int, body: bytes, raised: type[Exception], answers: list[tuple[int, bytes]]
) -> None:
    answers.append((status, body))
    with pytest.raises(raised) as refused:
        SignedPutRecords(1).put("stream", ["k"], [b"{}"])
    assert type(refused.value) is raised


_TAKEN = b'{"SequenceNumber": "1", "ShardId": "shardId-000000000000"}'
_REFUSED = b'{"ErrorCode": "InternalFailure", "ErrorMessage": "Internal service failure."}'


def _answer_of(failed: bytes, *results: bytes) -> bytes:
    return b'{"FailedRecordCount": %b, "Records": [%b]}' % (failed, b", ".join(results))


@pytest.mark.parametrize("service", SERVICES, ids=IDS)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"null",
        b"<html>maintenance</html>",
        b'{"message": "maintenance"}',
        b'{"FailedRecordCount": 0}',
        b'{"FailedRecordCount": 0, "Records": null}',
        _answer_of(b"0"),
        _answer_of(b"0", _TAKEN, _TAKEN),
        _answer_of(b"0", _TAKEN, _TAKEN, _TAKEN, _TAKEN),
        _answer_of(b"0", _TAKEN, _REFUSED, _TAKEN),
        _answer_of(b"0", _TAKEN, b"{}", _TAKEN),
        _answer_of(b"0", _TAKEN, b'{"SequenceNumber": ""}', _TAKEN),
        _answer_of(b"1", _TAKEN, _TAKEN, _TAKEN),
        _answer_of(b"1", _TAKEN, _REFUSED, _REFUSED),
        _answer_of(b"1", _TAKEN, b"{}", _TAKEN),
        _answer_of(b"1", _TAKEN, _REFUSED, b"{}"),
        _answer_of(b"1", _REFUSED),
        _answer_of(b"3", b"{}", b"{}", b"{}"),
        _answer_of(b"null", _TAKEN, _TAKEN, _TAKEN),
        b'{"Records": [%b]}' % b", ".join([_TAKEN] * 3),
    ],
)
def test_an_answer_that_contradicts_itself_accepts_nothing(
    body: bytes, service: Callable[[], PutRecords], answers: list[tuple[int, bytes]]
) -> None:
    answers.append((200, body))
    with pytest.raises(TransientError, match="an answer that"):
        service().put("stream", ["a", "b", "c"], [b"{}"] * 3)


@pytest.mark.parametrize("service", SERVICES, ids=IDS)
@pytest.mark.parametrize("body", [b"", b"{}", b"<html>maintenance</html>", b'{"StreamDescriptionSummary": null}'])
def test_a_record_limit_that_is_not_kinesis_s_passes(
    body: bytes, service: Callable[[], PutRecords], answers: list[tuple[int, bytes]]
) -> None:
    answers.append((200, body))
    with pytest.raises(TransientError, match="an answer that is not Kinesis's"):
        service().record_limit_bytes("stream")


@pytest.mark.parametrize("service", SERVICES, ids=IDS)
def test_only_the_failed_entries_are_named(service: Callable[[], PutRecords], answers: list[tuple[int, bytes]]) -> None:
    results = [
        {"SequenceNumber": "1", "ShardId": "shardId-000000000000"},
        {"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "Rate exceeded"},
        {"ErrorCode": "InternalFailure", "ErrorMessage": "Internal service failure."},
    ]
    answers.append((200, json.dumps({"FailedRecordCount": 2, "Records": results}).encode()))
    failed = service().put("stream", ["a", "b", "c"], [b"{}"] * 3)
    assert failed == {1: "ProvisionedThroughputExceededException", 2: "InternalFailure"}
