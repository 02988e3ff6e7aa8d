"""How an object's arrival becomes a request: what a bucket notification says, as each step's handler takes it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from app.domains.alerts.files import layout
from app.errors import RequestError
from app.handlers.sources.s3 import object_of, s3_handler

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.handlers.base import LambdaHandler
    from app.handlers.sources.batch import SourceFunction
    from app.handlers.sources.s3 import S3Record

CREATED = "ObjectCreated"


def alert_files_handler(handler_class: type[LambdaHandler[Any, Any]]) -> SourceFunction[S3Record]:
    """A step's handler behind a bucket: objects that start another step, or none, need nothing done here.

    So one notification for the whole bucket may go to all seven functions, and a filter only spares calls.
    """
    return s3_handler(handler_class, should_process=starts(handler_class.name), request_of=request_of)


def starts(step: str) -> Callable[[S3Record], bool]:
    """Whether an object's arrival starts a step."""

    def is_started(record: S3Record) -> bool:
        found = layout.split_location(object_of(record).key)
        return record.event_name.removeprefix("s3:").startswith(CREATED) and found is not None and found[2] == step

    return is_started


def request_of(record: S3Record) -> dict[str, Any]:
    """The request of an object that has arrived; a table of corrections is as old as its object."""
    arrived = object_of(record)
    request: dict[str, Any] = {"location": f"s3://{arrived.bucket}/{arrived.key}"}
    if arrived.key.endswith(".csv") and arrived.event_time:
        request["time"] = datetime.fromisoformat(arrived.event_time).timestamp()
    return request


def placed(location: str, step: str) -> tuple[str, str]:
    """Where a run's files are, and the name among them of the object that a request gives.

    Raises:
        RequestError: It is none that the step is started by, or not in S3: whoever may call a function need not be
            allowed to read its files.
    """
    if not location.startswith("s3://"):
        raise RequestError("$.location: give s3://bucket/…; a folder is worked on by `run_file` alone", "$.location")
    bucket, _, key = location.removeprefix("s3://").partition("/")
    found = layout.split_location(key)
    if not bucket or found is None or found[2] != step:
        begins = next((begin, end) for begin, end, each in layout.STARTS if each == step)
        raise RequestError(f"$.location: give s3://bucket/…{begins[0]}…{begins[1]}", "$.location")
    root, name, _ = found
    return f"s3://{bucket}/{root}".rstrip("/"), name
