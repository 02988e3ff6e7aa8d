"""Defaults of the commands: names of streams, and the event for `invoke` without a payload."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from app.domains.bike import RECORD
from app.stream.mapping.event import build_event

INPUT_STREAM = "passenger_events"
OUTPUT_STREAM = "bike-predictions"
ALERT_STREAM = "alerts"
ALERT_PIPELINES = ("alerts",)
"""Prefixes of the names of pipelines that read alerts."""


def example_event() -> bytes:
    """Return an event with the bike example record, in the form of Lambda."""
    record = {
        "PartitionKey": "1",
        "SequenceNumber": "49633930873543048396023173467440720160140773540570857474",
        "Data": msgspec.json.encode(RECORD),
        "ApproximateArrivalTimestamp": datetime(2022, 10, 8, 3, 21, 6, tzinfo=UTC),
    }
    return build_event(INPUT_STREAM, "shardId-000000000000", [record])
