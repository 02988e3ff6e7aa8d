"""Play Quix Streams' Kinesis sink: records are flushed at each checkpoint, and added again after back-pressure."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any
from unittest import mock

from benchmarks.controls.plan import NoAnswerError, Service, Trace, records_of

CHECKPOINT_RECORDS = 20  # the framework flushes its sinks by time; by number, so that a history is the same each time


class _Client:
    """The part of boto3's client that the sink calls."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def describe_stream(self, **_: object) -> dict[str, Any]:
        return {}

    def put_records(self, Records: list[dict[str, Any]], **_: object) -> dict[str, Any]:  # noqa: N803 - boto3's name
        return self._service.call_like_boto3([record["Data"].encode() for record in Records])


def play(scenario: str, seed: int) -> Trace:
    """Put a history's records through the sink."""
    stub = ModuleType("mypy_boto3_kinesis")  # types alone, and not installable everywhere
    stub.KinesisClient = object  # type: ignore[attr-defined]  # a module made here
    sys.modules.setdefault("mypy_boto3_kinesis", stub)
    sink_module = importlib.import_module("quixstreams.sinks.community.kinesis")
    back_pressure = importlib.import_module("quixstreams.sinks.base.exceptions").SinkBackpressureError
    service, trace = Service(scenario, seed), Trace(records_of(seed))
    with mock.patch("boto3.client", return_value=_Client(service)):
        sink = sink_module.KinesisSink("output")
        sink.setup()
    for start in range(0, len(trace.sent), CHECKPOINT_RECORDS):
        for _attempt in range(5):
            for offset, (key, record) in enumerate(trace.sent[start : start + CHECKPOINT_RECORDS], start):
                sink.add({"n": record}, key.encode(), 0, [], "input", 0, offset)
            try:
                sink.flush()
                break
            except (back_pressure, NoAnswerError):
                sink.on_paused()  # then the framework reads on from the last checkpoint
        else:
            trace.stuck = True
            break
    trace.delivered = service.delivered
    return trace
