"""Events through the container, confined as Lambda confines it: an unknown user, a read-only root, 256 MB."""

from __future__ import annotations

import base64
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from app.inference.bundle import find_bundle
from app.stream.shards import StartingPosition, read_stream
from app.stream.testing import event_of, sequence_number
from scripts.test_docker import EVENT_BYTES, InvokeError, seed_event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.image.containers import Function

RUN_ID = find_bundle("bike").manifest.run_id


def ride(pred_id: int, **features: float) -> bytes:
    """A record of the bike pipeline."""
    weather = {"t1": 2, "t2": 3, "hum": 50, "weather_code": 2, **features}
    return json.dumps({"features": weather, "pred_id": pred_id}).encode()


def full_event(padding: int = 0) -> tuple[bytes, int]:
    """An event that no further record fits in, and how many it holds.

    Args:
        padding: Bytes that each record carries besides; without them it is small, and there are many.
    """
    first = 100_000  # ids of one length make records of one size
    pad = b"{" + b" " * padding
    one, two = (len(event_of([pad + ride(first)[1:]] * count, ["100000"] * count)) for count in (1, 2))
    count = 1 + (EVENT_BYTES - one) // (two - one)
    ids = range(first, first + count)
    event = event_of([pad + ride(pred_id)[1:] for pred_id in ids], [str(pred_id) for pred_id in ids])
    assert 0 <= EVENT_BYTES - len(event) < two - one
    return event, count


class _Acknowledging(BaseHTTPRequestHandler):
    """Kinesis as a fast service is: it acknowledges at once. The emulator takes a second for each 500 records."""

    published: ClassVar[list[int]]

    def do_POST(self) -> None:
        records = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["Records"]
        self.published.extend([json.loads(base64.b64decode(each["Data"]))["prediction"]["pred_id"] for each in records])
        placed = [{"SequenceNumber": "1", "ShardId": "shardId-000000000000"}] * len(records)
        body = json.dumps({"FailedRecordCount": 0, "Records": placed}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def acknowledging() -> Iterator[tuple[str, list[int]]]:
    """A stream service's address, and the ids of the predictions that it took."""
    published: list[int] = []
    handler = type("Handler", (_Acknowledging,), {"published": published})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", published
        server.shutdown()


def predictions(answer: dict[str, Any]) -> list[dict[str, Any]]:
    return [each["prediction"] for each in answer["predictions"]]


def on_stream(name: str) -> list[dict[str, Any]]:
    return [json.loads(data) for data in read_stream(name, StartingPosition())]


@pytest.mark.parametrize("handler", ["app.lambda_function.lambda_handler", "lambda_function.lambda_handler"])
def test_answers_the_seed_event(start_function: Callable[..., Function], handler: str, figures: dict[str, str]) -> None:
    function = start_function(handler, TEST_RUN="True")
    answer = function.invoke(seed_event())
    assert predictions(answer) == [{"cnt": 1427, "pred_id": 123}]
    assert answer["predictions"][0]["version"] == RUN_ID
    assert "telemetry" not in function.logs()  # ONNX Runtime's, which would go over the network
    figures[f"INIT ({handler})"] = f"{function.init_ms():.0f} ms"


def test_the_shipped_bundle_is_taken_unsigned_where_it_is_named(start_function: Callable[..., Function]) -> None:
    keys = f"{base64.b64encode(bytes(32)).decode()},shipped"
    assert len(predictions(start_function(TEST_RUN="True", MODEL_KEYS=keys).invoke(seed_event()))) == 1


def test_computes_a_full_event_in_256_mb(start_function: Callable[..., Function], figures: dict[str, str]) -> None:
    event, count = full_event()
    function = start_function(TEST_RUN="True")
    assert len(predictions(function.invoke(event))) == count
    figures[f"memory, full event computed, {count} records"] = str(function.memory())


def test_publishes_a_full_event_in_256_mb(
    start_function: Callable[..., Function], acknowledging: tuple[str, list[int]], figures: dict[str, str]
) -> None:
    event, count = full_event()
    url, published = acknowledging
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    function = start_function(AWS_ENDPOINT_URL=url, OUTPUT_STREAM="output", PARTIAL_RESPONSES="True", **keys)
    assert function.invoke(event)["batchItemFailures"] == []
    assert sorted(published) == list(range(100_000, 100_000 + count))
    figures[f"memory, full event published, {count} records"] = str(function.memory())


def test_publishes_six_megabytes_to_the_local_cloud(
    start_function: Callable[..., Function], publishing: dict[str, str]
) -> None:
    event, count = full_event(padding=10_000)
    function = start_function(**publishing)
    assert function.invoke(event)["batchItemFailures"] == []
    published = [each["prediction"]["pred_id"] for each in on_stream(publishing["OUTPUT_STREAM"])]
    assert sorted(published) == list(range(100_000, 100_000 + count))


def test_sets_poison_aside_and_goes_on(start_function: Callable[..., Function], publishing: dict[str, str]) -> None:
    payloads = [ride(0), b"rides: none", ride(2), ride(3, weather_code=999), ride(4), ride(5)]
    event = json.loads(event_of(payloads))
    event["Records"][4]["kinesis"]["data"] += "?"
    function = start_function(**publishing)

    answer = function.invoke(json.dumps(event).encode())
    assert answer["batchItemFailures"] == []
    assert [each["pred_id"] for each in predictions(answer)] == [0, 2, 5]
    reasons = {each["source"]["sequence_number"]: each["reason"] for each in on_stream(publishing["QUARANTINE_STREAM"])}
    assert reasons == {
        sequence_number(1): "not_json",
        sequence_number(3): "unknown_weather_code",
        sequence_number(4): "bad_base64",
    }
    assert len(on_stream(publishing["OUTPUT_STREAM"])) == 3


def test_hands_back_what_is_not_safe_before_the_timeout(
    start_function: Callable[..., Function], publishing: dict[str, str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and never answers
        function = start_function(
            **publishing
            | {
                "AWS_LAMBDA_FUNCTION_TIMEOUT": "3",
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{silent.getsockname()[1]}",
            }
        )
        answer = function.invoke(event_of([ride(0), ride(1)]))
    assert answer["batchItemFailures"] == [{"itemIdentifier": sequence_number(0)}]
    assert "Task timed out" not in function.logs()


@pytest.mark.parametrize(
    ("environ", "exit_code", "line"),
    [
        ({}, 12, "OUTPUT_STREAM is not set"),
        ({"TEST_RUN": "True", "RUN_ID": "none"}, 21, "run 'none' of bike"),
        ({"TEST_RUN": "perhaps"}, 10, "TEST_RUN is 'perhaps'"),
        ({"TEST_RUN": "True", "MODEL_KEYS": base64.b64encode(bytes(32)).decode()}, 23, "no signature by a key"),
    ],
)
def test_a_wrong_setting_ends_init_with_one_line(
    start_function: Callable[..., Function], environ: dict[str, str], exit_code: int, line: str
) -> None:
    function = start_function(**environ)
    with pytest.raises(InvokeError, match="ended without an answer"):
        function.invoke(seed_event())
    logs = function.logs()
    assert f"exit status {exit_code}" in logs
    assert "Traceback" not in logs
    told = {row for row in logs.splitlines() if line in row}
    assert {json.loads(row)["exit_code"] for row in told} == {exit_code}


def test_a_broken_event_is_an_error_not_a_loss(
    start_function: Callable[..., Function], publishing: dict[str, str]
) -> None:
    function = start_function(**publishing)
    with pytest.raises(InvokeError, match=r"EventError: event: comes from aws:sqs"):
        function.invoke(json.dumps({"Records": [{"eventSource": "aws:sqs"}]}).encode())
    assert [each["pred_id"] for each in predictions(function.invoke(event_of([ride(7)])))] == [7]
