"""The metrics of an invocation, as CloudWatch reads them off its log."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from app.handlers.metrics import Metrics
from tests.handlers_for_tests import written

LINE_METRICS = 100  # as CloudWatch documents its embedded metric format


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("Mill", {"handler": "test"})


def flushed(metrics: Metrics, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The one line, after what belongs to every line is found to be right."""
    metrics.flush()
    [line] = written(capsys).metrics
    about = line.pop("_aws")
    assert abs(about["Timestamp"] - time.time() * 1000) < 60_000
    [definition] = about["CloudWatchMetrics"]
    [dimensions] = definition["Dimensions"]
    names = [metric["Name"] for metric in definition["Metrics"]]
    assert sorted(names + dimensions) == sorted(line)  # each is told once, and has a value
    assert definition["Namespace"] == "Mill"
    return {name: line[name] for name in names}


def test_counts_add_up(metrics: Metrics, capsys: pytest.CaptureFixture[str]) -> None:
    metrics.count("rows")
    metrics.count("rows", 2)
    assert flushed(metrics, capsys) == {"rows": 3}


def test_what_is_written_is_not_written_again(metrics: Metrics, capsys: pytest.CaptureFixture[str]) -> None:
    metrics.count("rows", 3)
    metrics.flush()
    metrics.flush()
    metrics.count("rows", 4)
    metrics.flush()
    assert [line["rows"] for line in written(capsys).metrics] == [3, 4]


def test_a_success_is_no_failure_and_the_reverse(metrics: Metrics, capsys: pytest.CaptureFixture[str]) -> None:
    metrics.success("load")
    metrics.failure("check")
    metrics.success("copy")
    metrics.success("copy")
    metrics.failure("copy")
    assert flushed(metrics, capsys) == {
        "load_success": 1, "load_failure": 0,
        "check_success": 0, "check_failure": 1,
        "copy_success": 2, "copy_failure": 1,
    }  # fmt: skip


def test_a_duration_is_measured_also_when_the_block_raises(
    metrics: Metrics, capsys: pytest.CaptureFixture[str]
) -> None:
    def copy(seconds: float, error: Exception | None = None) -> None:
        with metrics.duration("copy"):
            time.sleep(seconds)
            if error:
                raise error

    with pytest.raises(KeyError):
        copy(0.002, KeyError())
    copy(0.002)
    metrics.flush()
    [line] = written(capsys).metrics
    assert 4 <= line["copy_duration"] < 10_000
    assert line["_aws"]["CloudWatchMetrics"][0]["Metrics"] == [{"Name": "copy_duration", "Unit": "Milliseconds"}]


def test_a_batchs_metrics_join_the_invocations(metrics: Metrics, capsys: pytest.CaptureFixture[str]) -> None:
    metrics.count("records", 1)
    metrics.measure("elsewhere", {"stream": "rides"}, {"records": 2}, {"model": 1.23456})
    metrics.dimension("pipeline", "bike")
    metrics.flush()
    [line] = written(capsys).metrics
    assert (line["records"], line["model"]) == (3, 1.235)
    assert line["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["handler", "stream", "pipeline"]]
    assert (line["handler"], line["stream"], line["pipeline"]) == ("test", "rides", "bike")


@pytest.mark.parametrize("count", [0, 1, LINE_METRICS, LINE_METRICS + 1, 3 * LINE_METRICS])
def test_no_line_has_more_than_cloudwatch_reads(
    count: int, metrics: Metrics, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(count):
        if number % 3:
            metrics.count(f"metric-{number}", number)
        else:
            metrics.milliseconds(f"metric-{number}", number)
    metrics.flush()
    lines = written(capsys).metrics
    assert len(lines) == -(-count // LINE_METRICS)
    told: dict[str, float] = {}
    for line in lines:
        assert line["handler"] == "test"
        names = [metric["Name"] for metric in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]]
        assert len(names) <= LINE_METRICS
        told |= {name: line[name] for name in names}
    assert told == {f"metric-{number}": number for number in range(count)}


def test_a_count_and_a_duration_of_one_name_are_each_written_once(
    metrics: Metrics, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics.count("rows", 3)
    for number in range(LINE_METRICS - 1):
        metrics.count(f"metric-{number}")
    metrics.milliseconds("rows", 7)
    metrics.flush()
    assert [line.get("rows") for line in written(capsys).metrics] == [3, 7]


def test_numpys_numbers_are_numbers(metrics: Metrics, capsys: pytest.CaptureFixture[str]) -> None:
    """A handler that counts rows with NumPy must not fail when all is done."""
    metrics.count("rows", np.int64(3))  # type: ignore[arg-type]
    metrics.milliseconds("model", np.float32(0.5))  # type: ignore[arg-type]
    assert flushed(metrics, capsys) == {"rows": 3, "model": 0.5}
