"""Run (b): Powertools for AWS Lambda, its BatchProcessor with its parser, and a scikit-learn `predict` a record.

Results of the processed messages are put 500 a call; a `put_record` in each record's handler would be slower.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import boto3
import joblib
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType

from benchmarks.contract import FEATURES, Peer
from benchmarks.peers.powertools_model import Record
from benchmarks.peers.writing import put_all, result_of

if TYPE_CHECKING:
    from pathlib import Path


def open_peer(folder: Path) -> Peer:
    """Load the model and make client and processor once, as a function's module would."""
    model = joblib.load(folder / "model.joblib")
    client = boto3.client("kinesis")
    processor = BatchProcessor(event_type=EventType.KinesisDataStreams, model=Record)

    def record_handler(record: Record) -> dict[str, Any]:
        ride = record.kinesis.data
        count = float(model.predict([[getattr(ride.features, name) for name in FEATURES]])[0])
        return result_of(count, ride.pred_id)

    def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
        with processor(records=event["Records"], handler=record_handler, lambda_context=context):
            processed = processor.process()
        put_all(client, [result for status, result, _ in processed if status == "success"])
        return cast("dict[str, Any]", processor.response())

    return Peer(handler, client)
