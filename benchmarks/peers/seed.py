"""Run (a): the seed's code, for each record base64, json, a scikit-learn `predict` and a `put_record`."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import boto3
import joblib

from benchmarks.contract import FEATURES, OUTPUT_STREAM, Peer
from benchmarks.peers.writing import result_of

if TYPE_CHECKING:
    from pathlib import Path


def open_peer(folder: Path) -> Peer:
    """Load the model and make the client once, as a function's module would."""
    model = joblib.load(folder / "model.joblib")
    client = boto3.client("kinesis")

    def predict(features: dict[str, float]) -> float:
        return float(model.predict([[features[name] for name in FEATURES]])[0])

    def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
        results = []
        for record in event["Records"]:
            ride = json.loads(base64.b64decode(record["kinesis"]["data"]).decode("utf-8"))
            result = result_of(predict(ride["features"]), ride["pred_id"])
            client.put_record(StreamName=OUTPUT_STREAM, Data=json.dumps(result), PartitionKey=str(ride["pred_id"]))
            results.append(result)
        return {"predictions": results}

    return Peer(handler, client)
