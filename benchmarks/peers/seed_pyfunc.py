"""Run (a2): the seed's code with MLflow, for each record a DataFrame of one row and `mlflow.pyfunc`."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import boto3
import mlflow.pyfunc
import pandas as pd

from benchmarks.contract import OUTPUT_STREAM, Peer
from benchmarks.peers.writing import result_of

if TYPE_CHECKING:
    from pathlib import Path


def open_peer(folder: Path) -> Peer:
    """Load the model and make the client once, as a function's module would."""
    model = mlflow.pyfunc.load_model(str(folder / "mlflow"))
    client = boto3.client("kinesis")

    def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
        results = []
        for record in event["Records"]:
            ride = json.loads(base64.b64decode(record["kinesis"]["data"]).decode("utf-8"))
            count = float(model.predict(pd.DataFrame([ride["features"]]))[0])
            result = result_of(count, ride["pred_id"])
            client.put_record(StreamName=OUTPUT_STREAM, Data=json.dumps(result), PartitionKey=str(ride["pred_id"]))
            results.append(result)
        return {"predictions": results}

    return Peer(handler, client)
