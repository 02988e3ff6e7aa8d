"""Define the bike record as a Pydantic model for Powertools' parser, as its page on batch processing shows."""

from __future__ import annotations

from aws_lambda_powertools.utilities.parser import BaseModel
from aws_lambda_powertools.utilities.parser.models import KinesisDataStreamRecord, KinesisDataStreamRecordPayload
from aws_lambda_powertools.utilities.parser.types import Json  # noqa: TC002 - Pydantic reads the annotation


class Features(BaseModel):  # type: ignore[misc]  # not installed where types are checked
    """The weather."""

    t1: float
    t2: float
    hum: float
    weather_code: float


class Ride(BaseModel):  # type: ignore[misc]
    """One record's JSON."""

    features: Features
    pred_id: int | str


class Payload(KinesisDataStreamRecordPayload):  # type: ignore[misc]
    """The envelope's inner part, with the record decoded."""

    data: Json[Ride]


class Record(KinesisDataStreamRecord):  # type: ignore[misc]
    """The envelope."""

    kinesis: Payload
