"""Define the names, the types and the tables that all candidates of the benchmark share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

OUTPUT_STREAM = "bike-predictions"
MODEL_NAME = "bike-bench"
VERSION = "0123456789abcdef0123456789abcdef"  # the form of an MLflow run's id
FEATURES = ("t1", "t2", "hum", "weather_code")
LATENCY_MS = 15  # a usual PutRecords call within a region

FLOOR, MILLRACE, POWERTOOLS, SEQUENTIAL = "floor", "millrace", "powertools", "by_hand"

Handler: TypeAlias = Callable[[dict[str, Any], object], dict[str, Any]]
"""An ordinary Lambda handler: the parsed event and a context to a response."""


@dataclass(frozen=True)
class Peer:
    """A candidate that is ready for events.

    Attributes:
        handle: Raw event bytes to response bytes; if None, `handler` is called as Lambda's runtime does.
        handler: An ordinary handler.
        client: Its boto3 client; None if it has a `service`.
        service: Millrace's PutRecords implementation.
        model: For candidates that answer HTTP, the model that can be stubbed (`benchmarks.peers.api_model.Model`).
    """

    handler: Handler | None = None
    client: Any = None
    handle: Callable[[bytes], bytes] | None = None
    service: Any = None
    model: Any = None


@dataclass(frozen=True)
class Candidate:
    """One row of the tables.

    Attributes:
        name: Its module in `benchmarks.peers`; the floor has none.
        title: The row's title; `benchmarks/README.md` describes each candidate.
        most: The most records to measure, by network; times of larger events are scaled from it.
    """

    name: str
    title: str
    most: dict[str, int] = field(default_factory=dict)


# One record at a time, a full event takes up to a minute of CPU and minutes of latency, so these rows are scaled.
_ONE_BY_ONE = {"stub": 1000, "server": 100}

CANDIDATES = (
    Candidate("seed", "(a) seed's way, put_record", _ONE_BY_ONE),
    Candidate("seed_pyfunc", "(a2) the same with pyfunc", {"stub": 1000, "server": 50}),
    Candidate(POWERTOOLS, "(b) Powertools"),
    Candidate("powertools_batch", "(b2) Powertools, a batch"),
    Candidate("pyfunc", "(c) mlflow.pyfunc, a batch"),
    Candidate(SEQUENTIAL, "(s) by hand, boto3"),
    Candidate(MILLRACE, "(d) Millrace"),
)

API_POWERTOOLS, API_MILLRACE, API_MODEL = "api_powertools", "api_millrace", "api_model"

API_CANDIDATES = (
    Candidate(API_POWERTOOLS, "(pt) Powertools, its validation"),
    Candidate("api_powertools_logged", "(pt2) with its logger and metrics"),
    Candidate("api_by_hand", "(hand) Powertools routes, no models"),
    Candidate(API_MILLRACE, "(d) Millrace"),
)

API_TIMEOUT_MS = 29_000  # API Gateway's limit


class Context:
    """The attributes of Lambda's context object that the API's candidates read."""

    aws_request_id = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"
    function_name = "bike-api"
    function_version = "$LATEST"
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:bike-api"
    memory_limit_in_mb = "512"
    log_group_name = "/aws/lambda/bike-api"
    log_stream_name = "2026/11/21/[$LATEST]0123456789abcdef0123456789abcdef"

    def get_remaining_time_in_millis(self) -> int:
        """Return a constant: the milliseconds left at the start of an invocation."""
        return API_TIMEOUT_MS
