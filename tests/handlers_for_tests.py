"""Define a small typed handler, and read the logs and metrics of an invocation."""

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
    """Return a registry of handler classes by their short names."""
    return Registry(HandlerSpec(name=name, class_name=class_name) for name, class_name in class_names.items())


class Parcel(msgspec.Struct):
    """A parcel to weigh."""

    grams: int
    label: str = ""


class Postage(msgspec.Struct):
    """The cost of a parcel."""

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
    """The log lines and metric lines on standard error."""

    logs: list[dict[str, Any]]
    metrics: list[dict[str, Any]]
    text: str


class LambdaContext:
    """A Lambda context with a given remaining time."""

    aws_request_id = "request-1"

    def __init__(self, remaining_ms: int = 60_000) -> None:
        self.remaining_ms = remaining_ms

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining_ms


def written(capsys: pytest.CaptureFixture[str]) -> Written:
    """Return the log lines and the metric lines since the last call; each line is a JSON object."""
    text = capsys.readouterr().err
    lines = [json.loads(line) for line in text.splitlines()]
    return Written([line for line in lines if "_aws" not in line], [line for line in lines if "_aws" in line], text)


def log_everything() -> None:
    """Configure logging as in a function, at debug level."""
    telemetry.configure("DEBUG")
