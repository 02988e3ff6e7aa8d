"""Made-up rows of bike hire, for training, tests and demonstrations without London's data file.

No row is measured. Weather is drawn at random around London's climate, and the count follows averages of London's bike
hire in 2015 and 2016 by hour, kind of day, time of year and weather, with noise. So a model trained on the real table
predicts these rows well, while nothing about London can be learnt from them but those averages.

Source of the averages: the hourly table published as "London bike sharing dataset" (Transport for London's open data
terms, based on version 2.0 of the Open Government Licence): NOTICE has the attribution.
"""

from __future__ import annotations

import math
import random
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from app.domains.bike.features import bank_holiday

if TYPE_CHECKING:
    from collections.abc import Iterator

START = datetime(2015, 1, 1)  # noqa: DTZ001 - London's local time, as in the real table
NOISE = 0.1  # standard deviation of the log count that neither hour nor weather explains

# Average hires an hour, from midnight on, with the time of year taken out; rounded to ten.
MONDAY_TO_THURSDAY = (
    190, 110, 70, 50, 50, 120, 640, 2080, 4040, 2040, 990, 930,
    1190, 1230, 1160, 1280, 1780, 3340, 3230, 1910, 1180, 810, 620, 410,
)  # fmt: skip
FRIDAY = (
    280, 170, 110, 70, 60, 120, 560, 1810, 3700, 2050, 1070, 1060,
    1340, 1380, 1290, 1440, 1900, 3080, 2600, 1610, 1020, 730, 640, 560,
)  # fmt: skip
SATURDAY = (
    460, 360, 260, 180, 120, 90, 120, 250, 490, 870, 1260, 1630,
    1920, 2050, 2090, 2150, 2050, 1840, 1560, 1260, 910, 650, 600, 570,
)  # fmt: skip
SUNDAY_OR_HOLIDAY = (
    490, 390, 280, 200, 130, 100, 120, 180, 340, 690, 1150, 1570,
    1920, 2090, 2140, 2140, 2010, 1780, 1560, 1150, 820, 580, 470, 330,
)  # fmt: skip
_WEEK = (*[MONDAY_TO_THURSDAY] * 4, FRIDAY, SATURDAY, SUNDAY_OR_HOLIDAY)
_SATURDAY = 5

WARMEST_DAY = 205  # of the year: late July
# How far the hires of an hour rise above their average on the warmest day, and fall below it half a year later.
YEARLY_SWING = {
    "working": (
        0.41, 0.40, 0.39, 0.35, 0.30, 0.27, 0.23, 0.18, 0.13, 0.14, 0.21, 0.25,
        0.26, 0.27, 0.30, 0.31, 0.31, 0.28, 0.31, 0.36, 0.39, 0.39, 0.38, 0.38,
    ),
    "free": (
        0.44, 0.40, 0.40, 0.40, 0.41, 0.41, 0.40, 0.39, 0.35, 0.33, 0.34, 0.35,
        0.35, 0.37, 0.40, 0.45, 0.50, 0.58, 0.64, 0.67, 0.66, 0.61, 0.55, 0.54,
    ),
}  # fmt: skip
HIRES_PER_DEGREE = {"working": 0.015, "free": 0.036}  # of the log count, for each °C above the usual
WEATHER = {"working": (1.04, 0.72), "free": (1.06, 0.62)}  # dry and wet hours, relative to the average over both
WET_AFTER_WET, WET_AFTER_DRY = 0.66, 0.05  # probability that an hour is wet: one in eight is
DRY_CODES, DRY_WEIGHTS = (1, 2, 3, 4), (40, 27, 23, 10)  # clear, scattered clouds, broken clouds, cloudy
RAIN, SNOW = 7, 26
MEAN_WIND_KMH = 16.0


def synthetic_rows(count: int, seed: int = 0, start: datetime = START) -> Iterator[dict[str, Any]]:
    """Make hourly rows with the keys of the real table.

    Temperature is a yearly and a daily cosine plus a slowly changing deviation; humidity falls as the day warms; rain
    comes in spells. The count is average(hour, kind of day) x (1 + YEARLY_SWING cos(time of year)) x
    WEATHER(dry or wet) x exp(HIRES_PER_DEGREE x deviation of the temperature) x log-normal noise.

    Args:
        count: Number of rows, one an hour.
        seed: Another seed makes other weather.
        start: The first hour, London's local time.

    Yields:
        `timestamp` (ISO 8601, London's local time), `t1` and `t2` (°C), `hum` (%), `wind_speed` (km/h),
        `weather_code`, `is_holiday`, `is_weekend`, `season` and `cnt`.
    """
    chance = random.Random(seed)  # noqa: S311 - weather needs no secrecy
    deviation, wet, wind, holiday = 0.0, False, MEAN_WIND_KMH, False
    for row in range(count):
        time = start + timedelta(hours=row)
        if row == 0 or time.hour == 0:
            holiday = bool(bank_holiday(np.array([time.date()], "datetime64[D]"))[0])
        deviation = 0.98 * deviation + chance.gauss(0, 0.5)  # °C: a front takes about two days to pass
        wet = chance.random() < (WET_AFTER_WET if wet else WET_AFTER_DRY)
        wind = max(0.0, MEAN_WIND_KMH + 0.9 * (wind - MEAN_WIND_KMH) + chance.gauss(0, 3.4))
        yearly = math.cos(2 * math.pi * (time.timetuple().tm_yday - WARMEST_DAY) / 365.25)
        daily = math.cos(2 * math.pi * (time.hour - 15) / 24)  # warmest at three in the afternoon
        t1 = round(2 * (12.5 + 6.2 * yearly + (2.3 + 0.9 * yearly) * daily + deviation)) / 2
        humidity = 71 - 5.7 * yearly - (10.3 + 3.7 * yearly) * daily + (10 if wet else 0)
        average = (SUNDAY_OR_HOLIDAY if holiday else _WEEK[time.weekday()])[time.hour]
        day = "free" if holiday or time.weekday() >= _SATURDAY else "working"
        usual = average * (1 + YEARLY_SWING[day][time.hour] * yearly)
        weather = WEATHER[day][wet] * math.exp(HIRES_PER_DEGREE[day] * deviation + chance.gauss(0, NOISE))
        yield {
            "timestamp": time.isoformat(sep=" "),
            "cnt": round(usual * weather),
            "t1": t1,
            "t2": t1 - max(0, round((14 - t1) / 3)),  # it feels colder than it is below 14 °C
            "hum": round(min(100.0, max(25.0, humidity + chance.gauss(0, 5)))),
            "wind_speed": round(wind, 1),
            "weather_code": (SNOW if t1 < 1 else RAIN) if wet else chance.choices(DRY_CODES, DRY_WEIGHTS)[0],
            "is_holiday": int(holiday),
            "is_weekend": int(time.weekday() >= _SATURDAY),
            "season": (time.month + 9) % 12 // 3,
        }


def synthetic_records(count: int, seed: int = 0) -> Iterator[bytes]:
    """Make records of the input stream out of made-up rows, as JSON."""
    for number, row in enumerate(synthetic_rows(count, seed), 1):
        yield msgspec.json.encode(record_of(row, number))


def record_of(row: dict[str, Any], pred_id: int) -> dict[str, Any]:
    """Return a table's row as a record of the input stream."""
    return {"features": {name: value for name, value in row.items() if name != "cnt"}, "pred_id": pred_id}
