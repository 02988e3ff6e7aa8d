"""A bucket's notification as the request of a step's handler."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.errors import RequestError
from app.handlers.sources.s3 import object_of, s3_handler
from app.storage.location import check_allowed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.handlers.base import LambdaHandler
    from app.handlers.sources.batch import SourceFunction
    from app.handlers.sources.s3 import S3Record
    from app.jobs.layout import Layout

CREATED = "ObjectCreated"


def step_function(
    handler_class: type[LambdaHandler[Any, Any]],
    layout: Layout,
    request_of: Callable[[S3Record], dict[str, Any]] | None = None,
) -> SourceFunction[S3Record]:
    """Return a step's handler behind a bucket; objects that start another step, or none, are passed over.

    So one notification for the whole bucket may go to all functions, and a filter only spares calls.

    Args:
        handler_class: The step's handler.
        layout: Which step an object starts.
        request_of: Makes the request; without it, the request is the object's location alone.
    """
    should_process = starts(handler_class.name, layout)
    return s3_handler(handler_class, should_process=should_process, request_of=request_of or location_request)


def starts(step: str, layout: Layout) -> Callable[[S3Record], bool]:
    """Return a test whether an object's arrival starts a step."""

    def is_started(record: S3Record) -> bool:
        found = layout.arrival(object_of(record).key)
        return record.event_name.removeprefix("s3:").startswith(CREATED) and found is not None and found.step == step

    return is_started


def location_request(record: S3Record) -> dict[str, Any]:
    """Return the request of an object that has arrived."""
    arrived = object_of(record)
    return {"location": f"s3://{arrived.bucket}/{arrived.key}"}


def located(location: str, step: str, layout: Layout, allowed: Sequence[str] = ()) -> tuple[str, str]:
    """Return the root of a run's files, and the name below it of the object in a request.

    Args:
        location: The object.
        step: The step that it is to start.
        layout: Which step an object starts.
        allowed: `ALLOWED_LOCATIONS`: a step reads and writes anywhere below the root.

    Raises:
        RequestError: The object does not start the step, or is not in S3: whoever may call a function need not be
            allowed to read its files. Or its root is below none of the locations allowed.
    """
    if not location.startswith("s3://"):
        raise RequestError("$.location: give s3://bucket/…; a folder is worked on by `run_file` alone", "$.location")
    bucket, _, key = location.removeprefix("s3://").partition("/")
    found = layout.arrival(key)
    if not bucket or found is None or found.step != step:
        _, begin, end = layout.steps[step]
        raise RequestError(f"$.location: give s3://bucket/…{begin}…{end}", "$.location")
    root = f"s3://{bucket}/{found.root}".rstrip("/")
    check_allowed(root, allowed, "$.location")
    return root, found.name
