"""Defaults of the commands: names of streams, and the event for `invoke` without a payload."""

from __future__ import annotations

from datetime import UTC, datetime

from app.domain import INPUT_STREAM
from app.registry import example_record
from app.settings import Settings
from app.stream.mapping.event import build_event

OUTPUT_STREAM = "bike-predictions"


def example_event(pipeline: str = Settings().pipeline) -> bytes:
    """Return an event with the example record of a pipeline, as Lambda hands it over."""
    record = {
        "PartitionKey": "1",
        "SequenceNumber": "49633930873543048396023173467440720160140773540570857474",
        "Data": example_record(pipeline),
        "ApproximateArrivalTimestamp": datetime(2022, 10, 8, 3, 21, 6, tzinfo=UTC),
    }
    return build_event(INPUT_STREAM, "shardId-000000000000", [record])
