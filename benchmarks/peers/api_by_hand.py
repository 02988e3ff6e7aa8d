"""Run (hand): Powertools' HTTP resolver for routing only, with json, dicts, and fields checked by hand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver
from aws_lambda_powertools.event_handler.exceptions import BadRequestError, ServiceError

from benchmarks.contract import FEATURES, Peer
from benchmarks.peers.api_model import columns_from, open_model, weather_codes

if TYPE_CHECKING:
    from pathlib import Path

BOUNDS = {"t1": (-90, 60), "t2": (-90, 60), "hum": (0, 100), "weather_code": (float("-inf"), float("inf"))}
LONGEST_ID = 256


def checked(ride: Any) -> tuple[float, float, float, float]:  # noqa: ANN401 - JSON may be anything
    """Check a record and return its features.

    Raises:
        BadRequestError: The value is not a valid record.
    """
    if not isinstance(ride, dict) or not isinstance(ride.get("features"), dict):
        raise BadRequestError("a record has features")
    pred_id = ride.get("pred_id")
    if not (type(pred_id) is int or (isinstance(pred_id, str) and 0 < len(pred_id) <= LONGEST_ID)):
        raise BadRequestError("pred_id: a number or a string")
    features = ride["features"]
    for name, (lowest, highest) in BOUNDS.items():
        value = features.get(name)
        if type(value) not in {int, float} or not lowest <= value <= highest:
            raise BadRequestError(f"{name}: a number from {lowest} to {highest}")
    return tuple(features[name] for name in FEATURES)


def open_peer(_folder: Path) -> Peer:
    """Load the model and make the application once, as a function's module would."""
    model, manifest = open_model()
    known = weather_codes(manifest)
    app = APIGatewayHttpResolver()

    def predict() -> dict[str, Any]:
        try:
            asked = json.loads(app.current_event.body or "")
        except ValueError:
            raise BadRequestError("not JSON") from None
        rides = asked if isinstance(asked, list) else [asked]
        counts = model.predict(columns_from([checked(ride) for ride in rides])).tolist()
        predictions, quarantined = [], []
        for index, (ride, count) in enumerate(zip(rides, counts, strict=True)):
            if ride["features"]["weather_code"] not in known:
                if ride is asked:
                    raise ServiceError(422, "unknown weather code")
                reason, message = "unknown_weather_code", "$.features.weather_code"
                quarantined.append({"index": index, "reason": reason, "message": message})
                continue
            prediction = {"cnt": count, "pred_id": ride["pred_id"]}
            predictions.append({"model": manifest.model, "version": manifest.run_id, "prediction": prediction})
        return {"predictions": predictions, "quarantined": quarantined}

    app.post("/bike/predictions")(predict)
    return Peer(app.resolve, model=model)
