"""Play Powertools for AWS Lambda's batch processor: a handler a record puts it, the processor answers for the batch.

The mapping delivers again from the first record that the answer names, as Lambda does with `ReportBatchItemFailures`.
"""

from __future__ import annotations

import base64
import importlib
from typing import Any

from benchmarks.controls.plan import MOST_ROUNDS, NoAnswerError, Service, Trace, data_of, records_of


def play(scenario: str, seed: int) -> Trace:
    """Deliver a history's records until all are acknowledged."""
    batch = importlib.import_module("aws_lambda_powertools.utilities.batch")
    processor = batch.BatchProcessor(event_type=batch.EventType.KinesisDataStreams, raise_on_entire_batch_failure=False)
    service, trace = Service(scenario, seed), Trace(records_of(seed))

    def put(record: Any) -> None:  # noqa: ANN401 - Powertools' data class, which is not installed here
        answer = service.call_like_boto3([record.kinesis.data_as_bytes()])
        if answer["FailedRecordCount"]:
            raise NoAnswerError(answer["Records"][0]["ErrorCode"])

    start = 0
    for _round in range(MOST_ROUNDS):
        event = {"Records": [_record(number, *trace.sent[number]) for number in range(start, len(trace.sent))]}
        answer = batch.process_partial_response(event=event, record_handler=put, processor=processor, context=None)
        failures = [int(failure["itemIdentifier"]) - 1 for failure in answer["batchItemFailures"]]
        if not failures:
            break
        start = min(failures)
    else:
        trace.stuck = True
    trace.delivered = service.delivered
    return trace


def _record(number: int, key: str, record: int) -> dict[str, Any]:
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": key,
            "sequenceNumber": str(number + 1),
            "data": base64.b64encode(data_of(record)).decode(),
            "approximateArrivalTimestamp": 1.0,
        },
        "eventSource": "aws:kinesis",
        "eventID": f"shardId-000000000000:{number + 1}",
        "eventName": "aws:kinesis:record",
        "awsRegion": "us-east-1",
        "eventSourceARN": "arn:aws:kinesis:us-east-1:000000000000:stream/input",
    }
