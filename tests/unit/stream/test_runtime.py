from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from app.errors import NoOutputStreamError, UnacknowledgedError, UnknownPipelineError
from app.settings import Settings
from app.stream.outcomes import Outcomes
from app.stream.runtime import Runtime
from app.stream.testing import FakeStreams, event_of, sequence_number
from tests.pipelines_for_tests import EchoPipeline, Order, orders

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.stream.batch import Batch

PIPELINES: Any = {"echo": lambda _settings: EchoPipeline()}


def runtime(streams: FakeStreams | None = None, **settings: Any) -> Runtime:
    values: dict[str, Any] = {"pipeline": "echo", "output_stream": "out", "quarantine_stream": "aside", **settings}
    return Runtime(Settings(**values), PIPELINES, streams or FakeStreams())


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_without_partial_responses_an_unsafe_batch_raises_whole() -> None:
    with pytest.raises(UnacknowledgedError, match=f"3 of 5 records are not safe.*{sequence_number(2)}"):
        runtime().handle(event_of(orders(5, _2="retry")))


def test_with_partial_responses_the_one_entry_is_where_the_shard_resumes() -> None:
    answer = runtime(partial_responses=True).handle(event_of(orders(5, _2="retry")))
    assert answer["batchItemFailures"] == [{"itemIdentifier": sequence_number(2)}]
    assert [each["n"] for each in answer["predictions"]] == [0, 1]


def test_a_safe_batch_returns_its_first_results() -> None:
    answer = runtime(response_results=2).handle(event_of([*orders(5), b"?", b"?", b"?"]))
    assert [each["n"] for each in answer["predictions"]] == [0, 1]
    assert [each["reason"] for each in answer["quarantined"]] == ["not_json", "not_json"]
    assert "batchItemFailures" not in answer
    json.dumps(answer)


def test_a_batch_is_acknowledged_when_its_metrics_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def write(self, _text: str) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    streams = FakeStreams()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", Full())
        answer = runtime(streams).handle(event_of([*orders(2), b"?"]))
    assert [each["n"] for each in answer["predictions"]] == [0, 1]


def test_a_test_run_returns_everything_and_needs_no_stream() -> None:
    streams = FakeStreams()
    answer = runtime(streams, test_run=True, output_stream="", quarantine_stream="").handle(
        event_of([*orders(150), b"?"])
    )
    assert len(answer["predictions"]) == 150
    assert len(answer["quarantined"]) == 1
    assert streams.calls == []


def test_a_test_run_returns_each_output_of_a_record() -> None:
    class TwicePipeline(EchoPipeline):
        def process(self, batch: Batch[Order]) -> Outcomes:
            outcomes = Outcomes(len(batch))
            for row, order in enumerate(batch.records):
                outcomes.emit(row, "key", msgspec.json.encode({"n": order.n}))
                outcomes.emit(row, "key", msgspec.json.encode({"n": -order.n}))
            return outcomes

    settings = Settings(pipeline="twice", test_run=True)
    answer = Runtime(settings, {"twice": lambda _settings: TwicePipeline()}).handle(event_of(orders(3)))
    assert [each["n"] for each in answer["predictions"]] == [0, 0, 1, -1, 2, -2]


def test_each_stream_has_its_pipeline() -> None:
    made: dict[str, EchoPipeline] = {"one": EchoPipeline(), "two": EchoPipeline()}
    pipelines: Any = {name: lambda _settings, name=name: made[name] for name in made}
    settings = Settings(pipeline="one", pipelines={"second": "two"}, output_stream="out")
    both = Runtime(settings, pipelines, FakeStreams())
    both.handle(event_of(orders(3), stream="first"))
    both.handle(event_of(orders(2), stream="second"))
    assert (made["one"].calls, made["two"].calls) == ([3], [2])


def test_settings_that_cannot_work_are_refused_at_start() -> None:
    with pytest.raises(UnknownPipelineError, match="no pipeline 'bikes': set PIPELINE to one of echo"):
        runtime(pipeline="bikes")
    with pytest.raises(UnknownPipelineError, match="no pipeline 'nope'"):
        runtime(pipelines={"stream": "nope"})
    with pytest.raises(NoOutputStreamError, match="set TEST_RUN=True"):
        runtime(output_stream="")


class ThreeRoles(EchoPipeline):
    roles = ("first", "second")


def test_each_role_of_a_pipeline_needs_a_stream_at_start() -> None:
    pipelines: Any = {"echo": lambda _settings: ThreeRoles()}
    Runtime(Settings(pipeline="echo", output_streams={"first": "a", "second": "b"}), pipelines, FakeStreams())
    Runtime(Settings(pipeline="echo", test_run=True), pipelines, FakeStreams())
    with pytest.raises(NoOutputStreamError, match="no stream for second: set OUTPUT_STREAMS=first:<stream>,second"):
        Runtime(Settings(pipeline="echo", output_streams={"first": "a"}), pipelines, FakeStreams())


def test_without_a_quarantine_there_is_a_warning_at_start(capsys: pytest.CaptureFixture[str]) -> None:
    runtime(quarantine_stream="")
    assert "blocks its shard" in lines(capsys)[0]["message"]
    runtime()
    assert lines(capsys) == []


def test_one_metric_line_a_batch(capsys: pytest.CaptureFixture[str]) -> None:
    runtime().handle(event_of([*orders(6, _1="skip", _2="raise"), b"?"]))
    [metrics] = [line for line in lines(capsys) if "_aws" in line]
    assert metrics["pipeline"] == "echo"
    assert metrics["stream"] == "input"
    expected = {"records": 7, "emitted": 4, "skipped": 1, "quarantined": 2, "retried": 0}
    assert {name: metrics[name] for name in expected} == expected
    assert metrics["quarantined_not_json"] == metrics["quarantined_pipeline_error"] == 1
    assert {"decode", "predict", "emit", "iterator_age"} <= metrics.keys()
    [directive] = metrics["_aws"]["CloudWatchMetrics"]
    assert directive["Dimensions"] == [["pipeline", "stream"]]
    assert all(each["Name"] in metrics for each in directive["Metrics"])


def test_no_line_carries_a_payload(capsys: pytest.CaptureFixture[str]) -> None:
    secret = b"swordfish"
    throttled: list[str] = []

    def fault(_stream: str, keys: Sequence[str]) -> dict[int, str]:
        throttled.extend(keys)
        return {} if len(throttled) > len(keys) else {0: "ProvisionedThroughputExceededException"}

    class Leaky(EchoPipeline):
        def process(self, batch: Any) -> Any:
            raise ValueError(f"cannot read {batch.payloads}")

    for pipeline in (EchoPipeline(), Leaky()):
        own: Any = {"echo": lambda _settings, pipeline=pipeline: pipeline}
        settings = Settings(pipeline="echo", output_stream="o", quarantine_stream="q", log_level="DEBUG")
        Runtime(settings, own, FakeStreams(fault)).handle(
            event_of([*orders(2), secret, b'{"n": "swordfish"}', b'{"n": 1, "do": "swordfish"}', b"\xffswordfish"])
        )
    said = capsys.readouterr().err
    assert "quarantined" in said
    assert "swordfish" not in said


@pytest.mark.parametrize(
    ("variables", "code", "words"),
    [
        ({}, 12, "OUTPUT_STREAM is not set"),
        ({"OUTPUT_STREAM": "x", "PIPELINE": "bikes"}, 11, "no pipeline 'bikes'"),
        ({"OUTPUT_STREAM": "x", "RUN_ID": "nope"}, 21, "run 'nope' of bike"),
    ],
)
def test_in_lambda_a_start_that_cannot_work_is_one_line(variables: dict[str, str], code: int, words: str) -> None:
    environment = {**os.environ, "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001", **variables}
    done = subprocess.run(
        [sys.executable, "-c", "import app.lambda_function"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == code
    assert words in json.loads(done.stderr.splitlines()[-1])["message"]
    assert "Traceback" not in done.stderr


def test_in_lambda_the_model_is_loaded_at_init() -> None:
    environment = {**os.environ, "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001", "TEST_RUN": "True"}
    probe = "import sys, app.lambda_function; sys.exit('onnxruntime' not in sys.modules)"
    subprocess.run([sys.executable, "-c", probe], env=environment, check=True)


def test_what_a_function_needs_not_is_not_imported() -> None:
    probe = "import sys, app.lambda_function; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    for absent in ("boto3", "typer", "rich", "onnxruntime", "sklearn", "pandas", "mlflow", "moto", "app.cli"):
        assert absent not in loaded
    assert "app.stream.mapping" not in loaded
