"""A small typed handler, and what an invocation writes, as the tests of the base read it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from app import telemetry
from app.domain import HandlerSpec
from app.handlers.base import LambdaHandler
from app.handlers.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

    from app.handlers.invocation import Invocation


def registry_of(class_names: Mapping[str, str]) -> Registry:
    """A registry of classes by their short names."""
    return Registry(HandlerSpec(name=name, class_name=class_name) for name, class_name in class_names.items())


class Parcel(msgspec.Struct):
    """What is weighed."""

    grams: int
    label: str = ""


class Postage(msgspec.Struct):
    """What it costs."""

    cents: int


class WeighParcelHandler(LambdaHandler[Parcel, Postage]):
    """Says what a parcel costs.

    A cent for each gram.
    """

    def handle(self, request: Parcel, invocation: Invocation) -> Postage:
        invocation.logger.info("weighed", extra={"grams": request.grams})
        invocation.metrics.count("parcels")
        return Postage(request.grams)


class Written(NamedTuple):
    """What was written to standard error, line by line."""

    logs: list[dict[str, Any]]
    metrics: list[dict[str, Any]]
    text: str


class LambdaContext:
    """A context of Lambda's, with as many milliseconds left as one says."""

    aws_request_id = "request-1"

    def __init__(self, remaining_ms: int = 60_000) -> None:
        self.remaining_ms = remaining_ms

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining_ms


def written(capsys: pytest.CaptureFixture[str]) -> Written:
    """The log lines and the metric lines since the last look; each line is a JSON object."""
    text = capsys.readouterr().err
    lines = [json.loads(line) for line in text.splitlines()]
    return Written([line for line in lines if "_aws" not in line], [line for line in lines if "_aws" in line], text)


def log_everything() -> None:
    """Logs as a function does, down to its debug lines."""
    telemetry.configure("DEBUG")
