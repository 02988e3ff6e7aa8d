"""Run (pt): Powertools' HTTP resolver with its validation, as its page on data validation shows, and Pydantic models.

The models have the bounds of Millrace's records, but only the fields in the requests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver
from aws_lambda_powertools.event_handler.exceptions import ServiceError
from aws_lambda_powertools.event_handler.openapi.params import Body
from pydantic import BaseModel, Field

from benchmarks.contract import Peer
from benchmarks.peers.api_model import columns_from, open_model, weather_codes

if TYPE_CHECKING:
    from pathlib import Path


class Features(BaseModel):
    """The weather."""

    t1: float = Field(ge=-90, le=60)
    t2: float = Field(ge=-90, le=60)
    hum: float = Field(ge=0, le=100)
    weather_code: float


class Ride(BaseModel):
    """One record."""

    features: Features
    pred_id: Annotated[int, Field(ge=-(2**63), le=2**63 - 1)] | Annotated[str, Field(min_length=1, max_length=256)]


class Prediction(BaseModel):
    """The predicted count."""

    cnt: int
    pred_id: int | str


class Result(BaseModel):
    """One prediction."""

    model: str
    version: str
    prediction: Prediction


class NotPredicted(BaseModel):
    """A record without a prediction."""

    index: int
    reason: str
    message: str


class Answer(BaseModel):
    """The response."""

    predictions: list[Result]
    quarantined: list[NotPredicted]


def open_peer(_folder: Path) -> Peer:
    """Load the model and make the application once, as a function's module would."""
    model, manifest = open_model()
    known = weather_codes(manifest)

    def predict(records: Annotated[Ride | list[Ride], Body()]) -> Answer:
        rides = records if isinstance(records, list) else [records]
        weather = [ride.features for ride in rides]
        counts = model.predict(columns_from([(each.t1, each.t2, each.hum, each.weather_code) for each in weather]))
        predictions, quarantined = [], []
        for index, (ride, count) in enumerate(zip(rides, counts.tolist(), strict=True)):
            if ride.features.weather_code not in known:
                if ride is records:
                    raise ServiceError(422, "unknown weather code")
                quarantined.append(
                    NotPredicted(index=index, reason="unknown_weather_code", message="$.features.weather_code")
                )
                continue
            prediction = Prediction(cnt=count, pred_id=ride.pred_id)
            predictions.append(Result(model=manifest.model, version=manifest.run_id, prediction=prediction))
        return Answer(predictions=predictions, quarantined=quarantined)

    app = APIGatewayHttpResolver(enable_validation=True)
    app.post("/bike/predictions")(predict)
    return Peer(app.resolve, model=model)
