"""Driving an emulator over HTTP: a stand-in that answers as the Runtime Interface Emulator was seen to."""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading
import time
from typing import Any

import pytest

from app.errors import SettingsError
from app.stream.mapping import Mapping, MappingSettings, emulator
from app.stream.mapping.emulator import INVOKE_PATH, Emulator, read_answer
from app.stream.mapping.invoke import Threads
from tests.emulator_for_tests import Rie
from tests.mapping_for_tests import STREAM, FakeClock, FakeKinesis


@pytest.mark.parametrize(
    ("status", "body", "fault", "invoked"),
    [
        (200, b"null", None, True),
        (200, b"{}", None, True),
        (200, b"[]", None, True),
        (200, b"", "an empty answer", True),
        (200, b" \n", "an empty answer", True),
        (200, b"<html>It works!</html>", "an answer that is not JSON", True),
        (200, b'{"batchItemFailures": []', "an answer that is not JSON", True),  # cut off
        (200, b'{"batchItemFailures": []}\n{}', "an answer that is not JSON", True),
        (200, b'{"batchItemFailures": []}', None, True),
        (200, b'"text"', None, True),
        (200, b'{"errorMessage": "secret", "errorType": "KeyError", "stackTrace": []}', "KeyError", True),
        (200, b'{"errorMessage": "secret"}', "Unhandled", True),
        (200, b"Task timed out after 3.00 seconds", "Task timed out after 3.00 seconds", True),
        (502, b'{"errorType": "Runtime.ExitError", "errorMessage": "exit 1"}', "Runtime.ExitError", True),
        (502, b'{"errorType": "Function.ResponseSizeTooLarge"}', "Function.ResponseSizeTooLarge", True),
        (413, b'{"message": "too large"}', "HTTP 413", True),
        (502, b"", "HTTP 502", True),
        (429, b'{"Reason": "ConcurrentInvocationLimitExceeded"}', "HTTP 429", False),
        (503, b"", "HTTP 503", False),
        (404, b"404 page not found", "HTTP 404", False),
        (404, b'{"errorType": "ResourceNotFoundException"}', "HTTP 404", False),
        (202, b"", "HTTP 202", False),  # accepted for later, as of an asynchronous invocation
        (204, b"", "HTTP 204", False),
        (301, b"moved", "HTTP 301", False),
        (403, b'{"message": "Forbidden"}', "HTTP 403", False),
        (500, b'{"errorType": "ReserveFailed", "errorMessage": "AlreadyReserved"}', "busy", False),
    ],
)
def test_what_an_answer_means(status: int, body: bytes, fault: str | None, invoked: bool) -> None:
    """A service error "where the batch didn't reach the function" uses no attempt (with-kinesis.html); what the
    function does wrong does.
    """
    answer = read_answer(status, {}, body)
    assert answer.invoked is invoked
    assert (fault in answer.fault) if fault and answer.fault else answer.fault is None
    assert "secret" not in str(answer.fault)


def test_lambdas_own_header_tells_too() -> None:
    for body in (b'"what"', b"null", b'{"batchItemFailures": []}', b""):
        assert read_answer(200, {"X-Amz-Function-Error": "Unhandled"}, body).fault == "Unhandled"
    assert read_answer(200, {"x-amzn-RequestId": "abc"}, b"null").request_id == "abc"


@pytest.mark.parametrize("body", [b"", b"<html>It works!</html>"])
def test_what_no_function_answers_acknowledges_nothing(rie: Rie, body: bytes) -> None:
    rie.reply = lambda _event: (200, body)
    clock = FakeClock()
    kinesis = FakeKinesis(clock)
    kinesis.put([b"1"] * 5)
    settings = MappingSettings(stream_name=STREAM, maximum_retry_attempts=1)
    mapping = Mapping(settings, [Emulator(rie.url)], kinesis=kinesis, clock=clock)
    assert mapping.run(drain=True) == 0
    assert mapping.discarded == 5
    assert len(rie.events) == 2


def test_an_emulator_that_is_not_up_is_not_reached() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        answer = Emulator(f"http://127.0.0.1:{taken.getsockname()[1]}").invoke(b"{}")
    assert not answer.invoked
    assert "is it up?" in str(answer.fault)


def test_an_answer_that_does_not_come_is_a_failure_of_the_function(rie: Rie) -> None:
    def late(_event: Any) -> tuple[int, bytes]:
        time.sleep(1)
        return 200, b"null"

    rie.reply = late
    answer = Emulator(rie.url, timeout_s=0.2).invoke(b"{}")
    assert answer.invoked
    assert "no answer in time" in str(answer.fault)


def test_a_broken_connection_is_a_failure_of_the_function(rie: Rie) -> None:
    answer = Emulator(f"{rie.url}/other/path").invoke(b"{}")
    assert answer.invoked
    assert answer.fault


def test_a_page_is_no_answer_of_a_function(rie: Rie) -> None:
    rie.reply = lambda _event: (200, b"<html>It works!</html>")
    assert Emulator(rie.url).invoke(b"{}").fault == "an answer that is not JSON"


@pytest.mark.parametrize("url", ["localhost:9000", "ftp://host", "http://"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="http://host:port"):
        Emulator(url)


def test_a_path_is_kept() -> None:
    assert Emulator("http://h:1").url == f"http://h:1{INVOKE_PATH}"
    assert Emulator("http://h:1/").url == f"http://h:1{INVOKE_PATH}"
    path = "http://h:1/2015-03-31/functions/mine/invocations"
    assert Emulator(path).url == path


def test_each_emulator_has_one_invocation_at_a_time_and_several_run_beside_each_other(rie: Rie) -> None:
    other = Rie()
    both, meeting = [rie, other], threading.Barrier(2)

    def meet(_event: Any) -> tuple[int, bytes]:
        if len(rie.events) + len(other.events) <= 2:
            meeting.wait(10)  # breaks unless both are invoked at once
        return 200, b"null"

    rie.reply = other.reply = meet
    clock = FakeClock()
    kinesis = FakeKinesis(clock, shards=4)
    kinesis.put([str(n).encode() for n in range(200)])
    settings = MappingSettings(stream_name=STREAM, batch_size=5, parallelization_factor=4)
    mapping = Mapping(settings, [Emulator(each.url) for each in both], kinesis=kinesis, clock=clock)
    assert mapping.run(drain=True) == 200
    assert not rie.died
    assert not other.died
    assert rie.events
    assert other.events
    other.server.shutdown()
    other.server.server_close()


def test_a_fault_of_ours_in_a_thread_is_raised_where_the_answers_are_taken() -> None:
    class Broken:
        def invoke(self, _event: bytes) -> Any:
            raise AssertionError("ours")

    pool: Threads[str] = Threads([Broken(), Broken()])
    pool.start("invocation", b"")
    with pytest.raises(AssertionError, match="ours"):
        pool.answers(5)


@pytest.mark.parametrize("framing", [b"", b"Content-Length: 1000000000000\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_an_answer_without_end_is_not_read_on(framing: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emulator, "MOST_ANSWER_BYTES", 100_000)
    sent = 0
    with socket.create_server(("127.0.0.1", 0)) as server:

        def pour() -> None:
            nonlocal sent
            connection, _ = server.accept()
            with connection, contextlib.suppress(OSError):
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n")
                while True:
                    connection.sendall(b"1000\r\n" + b"x" * 4096 + b"\r\n")
                    sent += 4096

        pouring = threading.Thread(target=pour)
        pouring.start()
        answer = Emulator(f"http://127.0.0.1:{server.getsockname()[1]}").invoke(b"{}")
        pouring.join(10)
    assert not pouring.is_alive()
    assert (answer.invoked, "an answer of more than 100000 bytes" in str(answer.fault)) == (True, True)
    assert sent < 50_000_000


def test_a_redirect_is_not_followed_and_a_compressed_answer_is_not_inflated(rie: Rie) -> None:
    rie.reply = lambda _event: (200, gzip.compress(b"null"))
    assert "not JSON" in str(Emulator(rie.url).invoke(b"{}").fault)
    rie.reply = lambda _event: (307, b"")
    assert Emulator(rie.url).invoke(b"{}").fault == "HTTP 307"
    assert len(rie.events) == 2
