"""Features of the bike model, derived from a record's fields: calendar, sun and weather.

Training calls the same functions, so that what is learnt and what is served cannot drift apart.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Ints: TypeAlias = NDArray[np.int64]
    Bools: TypeAlias = NDArray[np.bool_]
    Dates: TypeAlias = NDArray[np.datetime64]

WEATHER = ("t1", "t2", "hum", "weather_code", "wind_speed", "is_holiday", "is_weekend", "season")
"""The numeric fields, in the order in which the fallback takes them."""
REQUIRED = WEATHER[:4]

DAY_TYPES = ("Monday", "Tuesday to Thursday", "Friday", "Saturday", "Sunday", "bank holiday", "Christmas Day")
_BANK_HOLIDAY, _CHRISTMAS_DAY = 5, 6
WORKING_DAY_TYPES = 3
"""How many of `DAY_TYPES`, the first ones, are working days."""

TERMS = ("growth", "cos 2a", "sin 2a", "temperature", "cos a", "sin a", "humidity", "wind", "wet", "festive season")
"""The columns of `Timed.terms`; `a` is the angle of the year."""
TREE_FEATURES = (
    *("t1", "t2", "hum", "weather_code", "wind_speed", "hour", "sun", "day_type"),
    *("weekday", "day_of_year", "t1 - t2", "growth"),
)
"""The columns of `Timed.tree`; bundles of earlier releases take the first eight."""

TYPICAL_WIND_KMH = 16.0  # the mean of 2015 and 2016: stands in for a wind that a record does not give
_FIRST_WET_CODE = 7  # 7 rain, 10 thunderstorm, 26 snow, 94 freezing fog; below: clear to cloudy
_LATITUDE = np.deg2rad(51.5)  # London
_DAYS_A_YEAR = 365.25


@dataclass(slots=True)
class Columns:
    """Records as columns of equal length.

    Attributes:
        t1: Temperature, °C.
        t2: Temperature as it feels, °C.
        hum: Relative humidity, %.
        weather_code: 1 clear, 2 scattered clouds, 3 broken clouds, 4 cloudy, 7 rain, 10 thunderstorm, 26 snow.
        wind_speed: Wind speed, km/h; NaN is missing, here as in all that follow.
        is_holiday: 1 on a bank holiday, 0 otherwise.
        is_weekend: 1 on Saturday and Sunday, 0 otherwise.
        season: 0 spring, 1 summer, 2 autumn, 3 winter.
        timestamp: The hour that the count is for, London's local time (datetime64[m]); NaT is missing.
    """

    t1: Floats
    t2: Floats
    hum: Floats
    weather_code: Floats
    wind_speed: Floats
    is_holiday: Floats
    is_weekend: Floats
    season: Floats
    timestamp: Dates

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.t1)

    def take(self, rows: slice | Bools | Ints) -> Columns:
        """Return the chosen rows."""
        return Columns(*(getattr(self, field.name)[rows] for field in fields(self)))

    def matrix(self) -> NDArray[np.float32]:
        """Return the numeric fields in the order of `WEATHER`: shape (rows, 8), NaN where missing."""
        return np.stack([getattr(self, name) for name in WEATHER], axis=1).astype(np.float32)


@dataclass(slots=True)
class Timed:
    """Features of the model for records with a timestamp.

    Attributes:
        day_type: Index into `DAY_TYPES`, shape (rows,).
        hour: 0 to 23, London's local time, shape (rows,).
        terms: The log-linear terms, shape (rows, len(TERMS)).
        tree: The inputs of the ratio trees, shape (rows, len(TREE_FEATURES)).
    """

    day_type: Ints
    hour: Ints
    terms: Floats
    tree: NDArray[np.float32]


def timed_features(columns: Columns) -> Timed:
    """Derive the features of the model for records with a timestamp; every row must have one.

    A missing wind is taken as typical, a missing `is_holiday` follows from the date, and `is_weekend` and `season`
    always do: the date knows better than a field.
    """
    day = columns.timestamp.astype("datetime64[D]")
    hour = (columns.timestamp - day).astype("timedelta64[h]").astype(np.int64)
    kind = day_type(day, columns.is_holiday)
    wind = np.where(np.isnan(columns.wind_speed), TYPICAL_WIND_KMH, columns.wind_speed)
    weather = columns.t1, columns.t2, columns.hum, columns.weather_code, wind
    day_of_year = _day_of_year(day)
    years = (day - np.datetime64("2016-01-01")).astype(np.int64) / _DAYS_A_YEAR
    growth = np.clip(years, -1, 1)  # it is known within the two years of the table, and held level beyond
    calendar = _weekday(day), day_of_year, columns.t1 - columns.t2, growth
    tree = np.stack([*weather, hour, sun_height(day, hour), kind, *calendar], axis=1).astype(np.float32)

    angle = 2 * np.pi * day_of_year / _DAYS_A_YEAR
    terms = np.stack(
        [
            growth,
            np.cos(2 * angle),
            np.sin(2 * angle),
            (columns.t1 - 12) / 8,  # centred and scaled, so that the ridge treats all terms alike
            np.cos(angle),
            np.sin(angle),
            (columns.hum - 72) / 15,
            (wind - TYPICAL_WIND_KMH) / 8,
            columns.weather_code >= _FIRST_WET_CODE,
            festive_season(day),
        ],
        axis=1,
    )
    return Timed(kind, hour, terms, tree)


def day_type(day: Dates, is_holiday: Floats) -> Ints:
    """Return the index of each day in `DAY_TYPES`, shape (rows,).

    Christmas Day is a type of its own: London has no public transport that day, whatever day of the week it is.

    Args:
        day: Dates (datetime64[D]).
        is_holiday: 1, 0, or NaN for what the calendar of England and Wales says.
    """
    weekday = _weekday(day)
    holiday = is_holiday == 1
    unsaid = np.isnan(is_holiday)
    holiday[unsaid] = bank_holiday(day[unsaid])
    christmas = day == _date(day, 12, 25)
    # Monday, Tuesday to Thursday, Friday, Saturday, Sunday
    kind = np.array([0, 1, 1, 1, 2, 3, 4])[weekday]
    return np.where(christmas, _CHRISTMAS_DAY, np.where(holiday, _BANK_HOLIDAY, kind))


def is_weekend(day: Dates) -> Ints:
    """Return 1 for Saturday and Sunday, 0 otherwise."""
    return (_weekday(day) >= 5).astype(np.int64)  # noqa: PLR2004 - Saturday


def season(day: Dates) -> Ints:
    """Return the season by whole months, as the data counts it: 0 for spring from March, up to 3 for winter."""
    month = day.astype("datetime64[M]").astype(np.int64) % 12  # January is 0
    return (month + 10) % 12 // 3


def bank_holiday(day: Dates) -> Bools:
    """Return whether a day is a bank holiday of England and Wales, without those proclaimed for one year only.

    The days and their substitutes: Banking and Financial Dealings Act 1971, schedule 1, and
    https://www.gov.uk/bank-holidays
    """
    easter = easter_sunday(day)
    first_of_may, last_of_may, last_of_august = _date(day, 5, 1), _date(day, 5, 31), _date(day, 8, 31)
    new_year, christmas = _date(day, 1, 1), _date(day, 12, 25)
    # A holiday that falls on a weekend moves to the next working day: New Year from Saturday by two days, and so on.
    moved_new_year = new_year + np.array([0, 0, 0, 0, 0, 2, 1])[_weekday(new_year)]
    moved_christmas = christmas + np.array([0, 0, 0, 0, 0, 2, 2])[_weekday(christmas)]
    moved_boxing = christmas + np.array([1, 1, 1, 1, 3, 3, 1])[_weekday(christmas)]
    holidays = (
        moved_new_year,
        easter - 2,
        easter + 1,
        first_of_may + -_weekday(first_of_may) % 7,
        last_of_may - _weekday(last_of_may),
        last_of_august - _weekday(last_of_august),
        moved_christmas,
        moved_boxing,
    )
    found: Bools = np.logical_or.reduce([day == each for each in holidays])
    return found


def easter_sunday(day: Dates) -> Dates:
    """Return Easter Sunday of each day's year.

    The anonymous Gregorian algorithm: Meeus, Astronomical Algorithms, 2nd edition, chapter 8.
    """
    year = day.astype("datetime64[Y]").astype(np.int64) + 1970
    century, rest = year // 100, year % 100
    golden = year % 19
    correction = century - century // 4 - (century - (century + 8) // 25 + 1) // 3
    epact = (19 * golden + correction + 15) % 30
    to_sunday = (32 + 2 * (century % 4) + 2 * (rest // 4) - epact - rest % 4) % 7
    late = (golden + 11 * epact + 22 * to_sunday) // 451
    days_after_22_march = epact + to_sunday - 7 * late
    sunday: Dates = _date(day, 3, 22) + days_after_22_march
    return sunday


def festive_season(day: Dates) -> Bools:
    """Return whether a day lies between 22 December and 2 January, when London works and travels less."""
    return (day >= _date(day, 12, 22)) | (day <= _date(day, 1, 2))


def sun_height(day: Dates, hour: Ints) -> Floats:
    """Return the sine of the sun's altitude over London in the middle of the hour; negative is night.

    sin(altitude) = sin(latitude) sin(declination) + cos(latitude) cos(declination) cos(hour angle), with the
    declination -23.44° cos(2 pi (day of the year + 10) / 365.25): https://en.wikipedia.org/wiki/Position_of_the_Sun.
    The equation of time (16 minutes at most) is left out, and the clock is London's, an hour ahead in summer.

    Args:
        day: Dates (datetime64[D]).
        hour: Hours of London's local time, 0 to 23.
    """
    turn = 2 * np.pi * (_day_of_year(day) + 11) / _DAYS_A_YEAR  # 1 January, the first day, is 0 here
    declination = np.deg2rad(-23.44) * np.cos(turn)
    hour_angle = np.deg2rad(15) * (hour + 0.5 - summer_time(day) - 12)
    across = np.cos(_LATITUDE) * np.cos(declination) * np.cos(hour_angle)
    height: Floats = np.sin(_LATITUDE) * np.sin(declination) + across
    return height


def summer_time(day: Dates) -> Bools:
    """Return whether London's clock is an hour ahead: from March's last Sunday to the day before October's last."""
    start, end = _date(day, 3, 31), _date(day, 10, 31)
    return (day >= start - (_weekday(start) + 1) % 7) & (day < end - (_weekday(end) + 1) % 7)


def _weekday(day: Dates) -> Ints:
    """Return the day of the week, 0 for Monday; day 0 of datetime64 was a Thursday."""
    weekday: Ints = (day.astype(np.int64) + 3) % 7
    return weekday


def _day_of_year(day: Dates) -> Ints:
    """Return the day of the year, 0 for 1 January."""
    elapsed: Ints = (day - day.astype("datetime64[Y]")).astype(np.int64)
    return elapsed


def _date(day: Dates, month: int, of_month: int) -> Dates:
    """Return a date in the year of each day."""
    first = (day.astype("datetime64[Y]").astype("datetime64[M]") + (month - 1)).astype("datetime64[D]")
    return first + (of_month - 1)
