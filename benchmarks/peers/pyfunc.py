"""Run (c): `mlflow.pyfunc` on the batch, with base64 and json for each record, one DataFrame, one `predict`."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import boto3
import mlflow.pyfunc
import pandas as pd

from benchmarks.contract import Peer
from benchmarks.peers.writing import put_all, result_of

if TYPE_CHECKING:
    from pathlib import Path


def open_peer(folder: Path) -> Peer:
    """Load the model and make the client once, as a function's module would."""
    model = mlflow.pyfunc.load_model(str(folder / "mlflow"))
    client = boto3.client("kinesis")

    def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
        rides = [json.loads(base64.b64decode(record["kinesis"]["data"])) for record in event["Records"]]
        counts = model.predict(pd.DataFrame([ride["features"] for ride in rides])).tolist()
        put_all(client, [result_of(count, ride["pred_id"]) for count, ride in zip(counts, rides, strict=True)])
        return {"batchItemFailures": []}

    return Peer(handler, client)
