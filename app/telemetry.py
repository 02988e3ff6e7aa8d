"""Logs and metrics as JSON lines on standard error, with ids, sizes and reasons, never payloads.

Standard error, because Lambda sends it to CloudWatch just as it does standard output, and because a person's
`millrace invoke | jq` wants the result alone on standard output.

Metrics follow CloudWatch's embedded metric format (one line; CloudWatch makes the metrics out of it):
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
`docs/decisions/0005-own-log-line.md` says why these few lines stand where Powertools could.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from app.text import json_text, whole_line, without_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    MetricsSink = Callable[[str, Mapping[str, str], Mapping[str, float], Mapping[str, float]], None]

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

logger = logging.getLogger("millrace")

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
"""The levels that `LOG_LEVEL` may name."""

LEVELS_OF_LAMBDA = {"TRACE": "DEBUG", "WARN": "WARNING", "FATAL": "CRITICAL"}
"""The levels of Lambda's logging controls that have other names, in `AWS_LAMBDA_LOG_LEVEL`, as ours."""

_bound: ContextVar[Mapping[str, object]] = ContextVar("millrace_bound", default=MappingProxyType({}))
_metrics_sink: ContextVar[MetricsSink | None] = ContextVar("millrace_metrics_sink", default=None)


class JsonLine(logging.Formatter):
    """A log record as one JSON object: time, level, message, the bound fields, then the `extra` fields.

    Where a Lambda function's log format is JSON, the time is `timestamp`: Lambda filters by the level only lines with a
    field that it takes for a time, and holds all others to be `INFO`
    (https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html).
    """

    def format(self, record: logging.LogRecord) -> str:
        """Format one record; an exception is named by its type, since its text may quote a payload."""
        time_field = "timestamp" if os.environ.get("AWS_LAMBDA_LOG_FORMAT") == "JSON" else "time"
        line: dict[str, Any] = {
            time_field: time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{record.msecs:03.0f}Z",
            "level": record.levelname,
            "message": record.getMessage(),
        }
        line.update(_bound.get())
        line.update((key, value) for key, value in vars(record).items() if key not in _STANDARD)
        if record.exc_info and record.exc_info[0]:
            line["exception"] = record.exc_info[0].__name__
        return json_text(line)


class _StandardError(logging.StreamHandler[Any]):
    """Writes to the present `sys.stderr`, so that redirection works as a caller expects."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)

    def format(self, record: logging.LogRecord) -> str:
        return without_credentials(super().format(record))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        """Name the code of a line that cannot be written; logging would show its arguments, maybe a payload."""
        line = {"level": "ERROR", "message": "cannot write a log line", "place": f"{record.module}:{record.lineno}"}
        write_line(json_text(line))


def configure(level: str = "INFO") -> None:
    """Send Millrace's own log lines to standard error at `level` and above; calling again is harmless."""
    logger.setLevel(level.upper())
    logger.propagate = False
    if not logger.handlers:
        handler = _StandardError()
        handler.setFormatter(JsonLine())
        logger.addHandler(handler)


@contextlib.contextmanager
def bound(fields: Mapping[str, object], level: str | None = None) -> Iterator[None]:
    """Add fields to every line that this thread logs within the block, and log at `level` if one is given.

    The level is the process's: one invocation at a time may set it.
    """
    before = logger.level
    if level is not None:
        logger.setLevel(level)
    token = _bound.set({**_bound.get(), **fields})
    try:
        yield
    finally:
        if level is not None:  # setting a level, even the same, empties the caches of all loggers
            logger.setLevel(before)
        _bound.reset(token)


@contextlib.contextmanager
def metrics_to(sink: MetricsSink) -> Iterator[None]:
    """Hand the metrics of the block's thread to `sink`, in place of writing a line of JSON."""
    token = _metrics_sink.set(sink)
    try:
        yield
    finally:
        _metrics_sink.reset(token)


def emit_metrics(
    namespace: str,
    dimensions: Mapping[str, str],
    counts: Mapping[str, float],
    milliseconds: Mapping[str, float],
) -> None:
    """Write one line in CloudWatch's embedded metric format.

    Args:
        namespace: The CloudWatch namespace.
        dimensions: Dimension names and values; one dimension set holds them all.
        counts: Metrics with the unit Count.
        milliseconds: Metrics with the unit Milliseconds.
    """
    sink = _metrics_sink.get()
    if sink is not None:
        sink(namespace, dimensions, counts, milliseconds)
        return
    definitions = [{"Name": name, "Unit": "Count"} for name in counts]
    definitions += [{"Name": name, "Unit": "Milliseconds"} for name in milliseconds]
    metadata = {
        "Timestamp": int(time.time() * 1000),
        "CloudWatchMetrics": [{"Namespace": namespace, "Dimensions": [list(dimensions)], "Metrics": definitions}],
    }
    line = {"_aws": metadata, **dimensions, **counts, **milliseconds}
    _write(json_text(line, float))  # names of ours and numbers, NumPy's too


def write_line(line: str) -> None:
    """Write a line to standard error, without credentials and unprintable characters."""
    _write(whole_line(without_credentials(line)))


def _write(line: str) -> None:
    """Write to standard error unless that is gone: a full disk or a closed pipe must not fail a batch."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(line + "\n")
