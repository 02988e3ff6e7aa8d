"""The steps' handlers behind a bucket."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from app.domains.alerts.files import layout
from app.handlers.sources.s3 import object_of
from app.jobs.events import location_request, step_function

if TYPE_CHECKING:
    from app.handlers.base import LambdaHandler
    from app.handlers.sources.batch import SourceFunction
    from app.handlers.sources.s3 import S3Record


def alert_files_handler(handler_class: type[LambdaHandler[Any, Any]]) -> SourceFunction[S3Record]:
    """Return a step's handler behind a bucket; objects that start another step, or none, are passed over."""
    request_of = _corrections if handler_class.name == layout.UPDATE_LOOKUP else None
    return step_function(handler_class, layout.LAYOUT, request_of)


def _corrections(record: S3Record) -> dict[str, Any]:
    """Return the request of a table of corrections, which is as old as its object."""
    event_time = object_of(record).event_time
    time = {"time": datetime.fromisoformat(event_time).timestamp()} if event_time else {}
    return location_request(record) | time
