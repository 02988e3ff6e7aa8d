"""The types of bike records and results, and records as the columns that the model takes.

The seed's record, `{"features": {"t1", "t2", "hum", "weather_code"}, "pred_id"}`, is enough. The optional fields
`timestamp`, `wind_speed`, `is_holiday`, `is_weekend` and `season`, in the features or in the record itself, make the
prediction better; the time most of all.
"""

from __future__ import annotations

import operator
from datetime import MAXYEAR, MINYEAR, datetime
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from app.domains.bike.features import Columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# Bounds catch a sensor's nonsense, not an unusual day: the world's extremes, and what a percentage can be.
Celsius = Annotated[float, msgspec.Meta(ge=-90, le=60)]
Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]
Flag = Annotated[int, msgspec.Meta(ge=0, le=1)]
Time = Annotated[datetime, msgspec.Meta(description="The hour, ISO 8601; without an offset it is London's local time.")]
Wind = Annotated[float, msgspec.Meta(ge=0, le=450, description="The wind speed in kilometres an hour.")]
Holiday = Annotated[bool, msgspec.Meta(description="Whether it is a bank holiday.")] | Flag
Weekend = (
    Annotated[bool, msgspec.Meta(description="Whether it is Saturday or Sunday; follows from the timestamp.")] | Flag
)
Season = Annotated[
    int, msgspec.Meta(ge=0, le=3, description="0 spring, 1 summer, 2 autumn, 3 winter; follows from the timestamp.")
]
PredictionId = (
    Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
)

_NO_TIME = np.datetime64("NaT", "m")


class _Optional(msgspec.Struct, gc=False, omit_defaults=True):
    """Optional fields of a record."""

    timestamp: Time | None = None
    wind_speed: Wind | None = None
    is_holiday: Holiday | None = None
    is_weekend: Weekend | None = None
    season: Season | None = None


class Features(_Optional, kw_only=True, gc=False):
    """The weather.

    Attributes:
        t1: The temperature in °C.
        t2: The temperature as it feels, in °C.
        hum: The relative humidity in percent.
        weather_code: 1 clear, 2 scattered clouds, 3 broken clouds, 4 cloudy, 7 rain, 10 thunderstorm, 26 snow.
    """

    t1: Celsius
    t2: Celsius
    hum: Percent
    weather_code: float


class BikeRecord(_Optional, kw_only=True, gc=False):
    """One record of the input stream.

    Attributes:
        features: The weather.
        pred_id: The id that the result repeats; its text is the result's partition key.
    """

    features: Features
    pred_id: PredictionId


class Prediction(msgspec.Struct, frozen=True, gc=False):
    """A prediction.

    Attributes:
        cnt: The predicted number of hires in the hour.
        pred_id: The record's id.
    """

    cnt: int
    pred_id: int | str


class BikeResult(msgspec.Struct, frozen=True, gc=False):
    """One record of the output stream, without the `id` and `source` that the spine adds.

    Attributes:
        model: The model's kind.
        version: The run id of its bundle.
        prediction: The prediction.
    """

    model: str
    version: str
    prediction: Prediction


def columns_of(records: Sequence[BikeRecord]) -> Columns:
    """Return records as columns; a missing value is NaN (NaT for the timestamp)."""
    features = [record.features for record in records]
    missing = np.full(len(records), np.nan)  # one for all fields that no record has: nobody writes into columns
    return Columns(
        t1=np.array([each.t1 for each in features]),
        t2=np.array([each.t2 for each in features]),
        hum=np.array([each.hum for each in features]),
        weather_code=np.array([each.weather_code for each in features]),
        wind_speed=_numbers("wind_speed", records, features, missing),
        is_holiday=_numbers("is_holiday", records, features, missing),
        is_weekend=_numbers("is_weekend", records, features, missing),
        season=_numbers("season", records, features, missing),
        timestamp=_timestamps(records, features),
    )


def _either(name: str, records: Sequence[BikeRecord], features: Sequence[Features]) -> list[Any] | None:
    """Return an optional field, from the features or from the record; None when no record has it, as is usual."""
    field = operator.attrgetter(name)
    values: list[Any] = list(map(field, features))
    if None in values:
        values = [field(record) if value is None else value for value, record in zip(values, records, strict=True)]
    return None if values.count(None) == len(values) else values


def _numbers(
    name: str, records: Sequence[BikeRecord], features: Sequence[Features], missing: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return an optional numeric field; NaN where a record does not have it."""
    values = _either(name, records, features)
    return missing if values is None else np.array(values, np.float64)


def _timestamps(records: Sequence[BikeRecord], features: Sequence[Features]) -> NDArray[np.datetime64]:
    """Return timestamps in London's local time, to the minute; NaT where a record has none."""
    times = _either("timestamp", records, features)
    if times is None:
        return np.full(len(features), _NO_TIME)
    return np.array([None if time is None else _local(time) for time in times], "datetime64[m]")


def _local(time: datetime) -> datetime:
    """Return a time on London's clock, without an offset."""
    if time.tzinfo is None:
        return time
    if not MINYEAR < time.year < MAXYEAR:
        return time.replace(tzinfo=None)  # an hour does not matter, and datetime's limits have no offset
    return time.astimezone(ZoneInfo("Europe/London")).replace(tzinfo=None)
