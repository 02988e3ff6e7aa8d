from __future__ import annotations

from itertools import islice, pairwise

import numpy as np
import pytest

from app.domains.bike.features import (
    DAY_TYPES,
    bank_holiday,
    day_type,
    easter_sunday,
    is_weekend,
    season,
    summer_time,
    sun_height,
)
from app.domains.bike.synthetic import synthetic_rows


def days(*texts: str) -> np.typing.NDArray[np.datetime64]:
    return np.array(texts, "datetime64[D]")


@pytest.mark.parametrize(
    ("year", "holidays"),
    [
        (2015, ["01-01", "04-03", "04-06", "05-04", "05-25", "08-31", "12-25", "12-28"]),
        (2016, ["01-01", "03-25", "03-28", "05-02", "05-30", "08-29", "12-26", "12-27"]),
        (2021, ["01-01", "04-02", "04-05", "05-03", "05-31", "08-30", "12-27", "12-28"]),
        (2022, ["01-03", "04-15", "04-18", "05-02", "05-30", "08-29", "12-26", "12-27"]),
    ],
)
def test_bank_holidays_and_their_substitutes_are_those_of_the_calendar(year: int, holidays: list[str]) -> None:
    # Without what was proclaimed once: in 2022 the spring holiday moved to June for a jubilee.
    all_days = np.arange(f"{year}-01-01", f"{year + 1}-01-01", dtype="datetime64[D]")
    assert [str(day)[5:] for day in all_days[bank_holiday(all_days)]] == holidays


def test_easter_is_where_the_church_puts_it() -> None:
    years = days("1961-06-01", "2000-06-01", "2024-06-01", "2038-06-01")
    assert easter_sunday(years).astype(str).tolist() == ["1961-04-02", "2000-04-23", "2024-03-31", "2038-04-25"]


def test_a_day_is_what_its_date_says_unless_the_record_knows_better() -> None:
    dates = days("2016-06-06", "2016-06-08", "2016-06-10", "2016-06-11", "2016-06-12", "2016-08-29", "2016-12-25")
    unknown = np.full(len(dates), np.nan)
    assert [DAY_TYPES[kind] for kind in day_type(dates, unknown)] == list(DAY_TYPES)
    assert DAY_TYPES[day_type(days("2022-09-19"), np.array([1.0]))[0]] == "bank holiday"  # a state funeral
    assert DAY_TYPES[day_type(days("2016-08-29"), np.array([0.0]))[0]] == "Monday"
    assert DAY_TYPES[day_type(days("2016-12-25"), np.array([0.0]))[0]] == "Christmas Day"


def test_weekend_and_season_follow_from_the_date() -> None:
    assert is_weekend(days("2016-06-10", "2016-06-11", "2016-06-12", "2016-06-13")).tolist() == [0, 1, 1, 0]
    months = np.arange("2015-01", "2016-01", dtype="datetime64[M]").astype("datetime64[D]")
    assert season(months).tolist() == [3, 3, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3]


def test_clocks_change_on_the_last_sundays_of_march_and_october() -> None:
    dates = days("2016-03-26", "2016-03-27", "2016-10-29", "2016-10-30", "2024-03-31", "2024-10-27")
    assert summer_time(dates).tolist() == [False, True, True, False, True, False]


def test_the_sun_stands_where_an_almanac_has_it() -> None:
    # Altitude at noon (London): 62 degrees at midsummer, 15 at midwinter; below the horizon at midnight.
    noon = sun_height(days("2016-06-21", "2016-12-21"), np.array([12, 12]))
    assert np.rad2deg(np.arcsin(noon)) == pytest.approx([61.9, 15.1], abs=1)
    assert (sun_height(days("2016-06-21", "2016-12-21"), np.array([0, 0])) < 0).all()


def test_synthetic_rows_are_hourly_repeatable_and_plausible() -> None:
    rows = list(synthetic_rows(24 * 200))
    assert rows == list(synthetic_rows(24 * 200))
    assert rows[:24] != list(islice(synthetic_rows(24, seed=1), 24))
    times = np.array([row["timestamp"] for row in rows], "datetime64[h]")
    assert all(later - earlier == np.timedelta64(1, "h") for earlier, later in pairwise(times))
    by_day = times.astype("datetime64[D]")
    assert [row["is_weekend"] for row in rows] == is_weekend(by_day).tolist()
    assert [row["season"] for row in rows] == season(by_day).tolist()
    assert {row["weather_code"] for row in rows} <= {1, 2, 3, 4, 7, 26}
    assert 600 < np.mean([row["cnt"] for row in rows]) < 1600
