"""Run (b2): Powertools' BatchProcessor with its parser for the records, then one `predict` for the batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import boto3
import joblib
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType

from benchmarks.contract import FEATURES, Peer
from benchmarks.peers.powertools_model import Record, Ride
from benchmarks.peers.writing import put_all, result_of

if TYPE_CHECKING:
    from pathlib import Path


def open_peer(folder: Path) -> Peer:
    """Load the model and make client and processor once, as a function's module would."""
    model = joblib.load(folder / "model.joblib")
    client = boto3.client("kinesis")
    processor = BatchProcessor(event_type=EventType.KinesisDataStreams, model=Record)

    def record_handler(record: Record) -> Ride:
        return cast("Ride", record.kinesis.data)

    def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
        with processor(records=event["Records"], handler=record_handler, lambda_context=context):
            processed = processor.process()
        rides = [ride for status, ride, _ in processed if status == "success"]
        counts = model.predict([[getattr(ride.features, name) for name in FEATURES] for ride in rides]).tolist()
        put_all(client, [result_of(count, ride.pred_id) for count, ride in zip(counts, rides, strict=True)])
        return cast("dict[str, Any]", processor.response())

    return Peer(handler, client)
