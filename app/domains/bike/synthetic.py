"""A synthetic table of bike hire, of our own making, for those who do not have London's.

Nothing in it is measured: a few formulas make weather that could be London's and demand that follows it, so that
training, tests and demonstrations run without the data file. A model trained on it knows these formulas, not London.
"""

from __future__ import annotations

import math
import random
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

START = datetime(2015, 1, 1)  # noqa: DTZ001 - London's local time, as in the real table
MEAN_HIRES = 1100.0  # an hour, over day and night
WET_SHARE = 0.65  # of the riders still ride when it rains
HIRES_PER_DEGREE = 0.035  # log count per °C
NOISE = 0.12  # standard deviation of the log count
_BELLS = {  # (hour of the peak, its width in hours, its weight): commuting twice a day, or one long afternoon
    True: ((8.0, 0.75, 2.8), (17.4, 1.1, 2.2), (13.5, 4.0, 0.95), (21.0, 2.0, 0.45)),
    False: ((14.2, 3.4, 1.75), (22.5, 2.5, 0.3), (0.0, 2.0, 0.3)),
}
_FLOOR = 0.08  # of the mean hour: the night is never empty
_SATURDAY = 5


def synthetic_rows(count: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Makes hourly rows from 1 January 2015 on, with the keys of the real table.

    The temperature is a yearly and a daily cosine plus slowly changing weather; humidity falls as the day warms;
    rain comes in spells. The count is MEAN_HIRES x profile(hour, working day) x exp(HIRES_PER_DEGREE (t1 - 12)) x
    (WET_SHARE in rain) x log-normal noise.

    Args:
        count: How many hours.
        seed: Other seeds make other weather.

    Yields:
        `timestamp` (ISO 8601, London's local time), `t1` and `t2` (°C), `hum` (%), `wind_speed` (km/h),
        `weather_code`, `is_holiday`, `is_weekend`, `season` and `cnt`.
    """
    chance = random.Random(seed)  # noqa: S311 - weather needs no secrecy
    spell, wet, wind = 0.0, False, 15.0
    for row in range(count):
        time = START + timedelta(hours=row)
        spell = 0.98 * spell + chance.gauss(0, 0.5)  # °C: a front takes about two days to pass
        wet = chance.random() < (0.85 if wet else 0.02)  # an hour of rain mostly follows another
        wind = max(0.0, 15 + 0.9 * (wind - 15) + chance.gauss(0, 3))
        yearly = math.cos(2 * math.pi * (time.timetuple().tm_yday - 200) / 365.25)  # warmest in late July
        daily = math.cos(2 * math.pi * (time.hour - 15) / 24)  # and at three in the afternoon
        t1 = round(2 * (12 + 7 * yearly + 3 * daily + spell)) / 2
        weekend = time.weekday() >= _SATURDAY
        holiday = time.date() in _holidays(time.year)
        demand = MEAN_HIRES * profile(time.hour, working=not (weekend or holiday))
        demand *= math.exp(HIRES_PER_DEGREE * (t1 - 12) + chance.gauss(0, NOISE)) * (WET_SHARE if wet else 1)
        yield {
            "timestamp": time.isoformat(sep=" "),
            "cnt": round(demand),
            "t1": t1,
            "t2": t1 - round(wind / 10),
            "hum": round(min(100.0, max(25.0, 74 - 9 * daily + (12 if wet else 0) + chance.gauss(0, 5)))),
            "wind_speed": round(wind, 1),
            "weather_code": chance.choice((7, 7, 7, 7, 26 if t1 < 1 else 7)) if wet else chance.choice((1, 1, 2, 3, 4)),
            "is_holiday": int(holiday),
            "is_weekend": int(weekend),
            "season": (time.month + 9) % 12 // 3,
        }


def profile(hour: int, *, working: bool) -> float:
    """Demand of an hour relative to the mean hour: bells on a floor."""
    bells = (weight * math.exp(-(((hour - peak) / width) ** 2) / 2) for peak, width, weight in _BELLS[working])
    return _FLOOR + sum(bells)


def _holidays(year: int) -> set[date]:
    """The two that never move are enough here."""
    return {date(year, 1, 1), date(year, 12, 25)}
