"""Turn temperature readings into alarms: a warning for the first hot reading of a sensor, an alarm for the third."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Self

import msgspec

from app.settings import about
from app.stream.outcomes import Outcomes
from app.stream.pipeline import StatefulPipeline, StateWrites

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.settings import Settings
    from app.stream.batch import Batch


class AlarmSettings(msgspec.Struct, frozen=True):
    """The environment variables of this pipeline."""

    alarm_celsius: Annotated[float, about("temperature above which a reading is hot")] = 30.0


class Reading(msgspec.Struct):
    """One record: its JSON is checked against this type before the pipeline sees it."""

    sensor: str
    celsius: Annotated[float, msgspec.Meta(ge=-273.15)]


class TemperatureAlarms(StatefulPipeline[Reading]):
    """The state of a sensor, whose name is the partition key, is its number of hot readings in a row."""

    name = "temperature-alarms"
    record_type = Reading
    example = Reading("oven", 31)
    roles = ("warnings", "alarms")

    def __init__(self, limit_celsius: float) -> None:
        """Take the temperature above which a reading is hot."""
        self._limit_celsius = limit_celsius

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Read the limit from `ALARM_CELSIUS`."""
        return cls(settings.read(AlarmSettings).alarm_celsius)

    def state_keys(self, batch: Batch[Reading]) -> list[str]:
        """Return the sensors."""
        return batch.partition_keys

    def process_with(self, batch: Batch[Reading], state: Mapping[str, bytes]) -> StateWrites:
        """Count hot readings; emit a warning for the first in a row and an alarm for the third."""
        staged = StateWrites(Outcomes(len(batch)))
        hot = {sensor: int(count) for sensor, count in state.items()}
        for row, (sensor, reading) in enumerate(zip(batch.partition_keys, batch.records, strict=True)):
            hot[sensor] = hot.get(sensor, 0) + 1 if reading.celsius > self._limit_celsius else 0
            staged.write(row, sensor, str(hot[sensor]).encode())
            if role := {1: "warnings", 3: "alarms"}.get(hot[sensor]):  # one or two may be the sun on the sensor
                staged.outcomes.emit(row, sensor, msgspec.json.encode(reading), role=role)
            else:
                staged.outcomes.done(row)
        return staged
