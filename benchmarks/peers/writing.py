"""Put the peers' results with boto3's `put_records`, 500 at a time, one call after another, as its docs show."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.contract import MODEL_NAME, OUTPUT_STREAM, VERSION

CALL_RECORDS = 500  # PutRecords' own limit


def result_of(count: float, pred_id: int | str) -> dict[str, Any]:
    """Return a result in the seed document's format."""
    return {"model": MODEL_NAME, "version": VERSION, "prediction": {"cnt": count, "pred_id": pred_id}}


def put_all(client: Any, results: list[dict[str, Any]]) -> None:  # noqa: ANN401 - boto3 makes its clients at run time
    """Put all results.

    Raises:
        RuntimeError: Some were not accepted, so Lambda retries the batch.
    """
    entries = [{"Data": json.dumps(result), "PartitionKey": str(result["prediction"]["pred_id"])} for result in results]
    for start in range(0, len(entries), CALL_RECORDS):
        answer = client.put_records(StreamName=OUTPUT_STREAM, Records=entries[start : start + CALL_RECORDS])
        if answer["FailedRecordCount"]:
            raise RuntimeError(f"{answer['FailedRecordCount']} records were not accepted")
