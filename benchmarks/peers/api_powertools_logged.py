"""Run (pt2): (pt) with a metric line for each call, the cold start, and ids in each log line, as Millrace has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from benchmarks.contract import Peer
from benchmarks.peers import api_powertools

if TYPE_CHECKING:
    from pathlib import Path


def open_peer(folder: Path) -> Peer:
    """Return the application of (pt) with Powertools' decorators."""
    inner = api_powertools.open_peer(folder)
    logger, metrics = Logger(service="bike"), Metrics(namespace="Bench", service="bike")

    def handler(event: dict[str, Any], context: object) -> Any:  # noqa: ANN401 - Powertools has no types here
        metrics.add_metric(name="invocations", unit=MetricUnit.Count, value=1)
        return inner.handler(event, context) if inner.handler else None

    measured = metrics.log_metrics(handler, capture_cold_start_metric=True)
    return Peer(
        logger.inject_lambda_context(measured, correlation_id_path="requestContext.requestId"), model=inner.model
    )
