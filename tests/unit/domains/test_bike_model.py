from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domains.bike.features import WEATHER, Columns
from app.domains.bike.model import BikeModel
from app.errors import DigestMismatchError, ModelError
from app.inference.bundle import Bundle, find_bundle
from app.storage.objects import MemoryObjects

NAN = float("nan")


def changed(bundle: Bundle, name: str, *, gone: bool = False) -> Bundle:
    """A bundle with one byte of one of its files changed, or one of them missing."""
    files = {each: bundle.objects.get(each) or b"" for each in bundle.manifest.files}
    data = files.pop(name)
    if not gone:
        files[name] = data[:-1] + bytes([data[-1] ^ 1])
    return replace(bundle, objects=MemoryObjects(files))


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return find_bundle("bike")


@pytest.fixture(scope="module")
def model(bundle: Bundle) -> BikeModel:
    return BikeModel.load(bundle)


def columns(*timestamps: str, **fields: float) -> Columns:
    """Mild dry hours at these times (NaT: none), with some fields set otherwise."""
    values = {"t1": 12.0, "t2": 11.0, "hum": 70.0, "weather_code": 1.0}
    values |= dict.fromkeys(("wind_speed", "is_holiday", "is_weekend", "season"), NAN)
    values |= fields
    each = {name: np.full(len(timestamps), value) for name, value in values.items()}
    return Columns(**each, timestamp=np.array(timestamps, "datetime64[m]"))


def test_a_bundle_of_an_earlier_release_gets_the_features_that_it_was_fitted_on(
    model: BikeModel, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    former = BikeModel.load(bundle)
    widths = []

    class Former:
        features = 8
        dtype = np.float32

        def predict(self, features: Any) -> Any:
            widths.append(features.shape[1])
            return np.ones(len(features))

    monkeypatch.setattr(former, "_ratio", Former())
    hour = columns("2016-07-06T08:00")
    assert former.predict(hour)[0] > 0
    assert len(former.steps(hour)["features"]) == 8  # type: ignore[arg-type]
    assert set(widths) == {8}
    assert list(model.steps(hour)["features"])[-1] == "growth"  # type: ignore[call-overload]


def test_the_committed_bundle_says_what_the_licence_asks(bundle: Bundle) -> None:
    manifest = bundle.manifest
    for line in (
        "Powered by TfL Open Data",
        "Contains OS data © Crown copyright and database rights 2016",
        "Geomni UK Map data © and database rights [2019]",
    ):
        assert line in manifest.attribution
        assert line in bundle.read("card.md").decode()
    required = [field.name for field in manifest.signature if field.required]
    assert required == ["t1", "t2", "hum", "weather_code"]
    (codes,) = (field.categories for field in manifest.signature if field.name == "weather_code")
    assert codes == [1, 2, 3, 4, 7, 10, 26]
    assert sum(file.size_bytes for file in manifest.files.values()) < 1_000_000


def test_the_card_keeps_its_promises(bundle: Bundle) -> None:
    metrics = bundle.manifest.metrics
    assert metrics["test_rmse_all"] < 230
    assert metrics["test_rmse_required_four"] < 1005 < metrics["test_rmse_linear"]
    assert metrics["onnx_difference"] < 0.01


def test_the_hour_makes_the_count(model: BikeModel) -> None:
    night, morning, evening = model.predict(columns("2016-06-08T03:00", "2016-06-08T08:00", "2016-06-08T17:30"))
    assert morning > 20 * night
    assert evening > 20 * night
    sunday_morning, sunday_afternoon = model.predict(columns("2016-06-12T08:00", "2016-06-12T14:00"))
    assert sunday_afternoon > 2 * sunday_morning


def test_rain_cold_and_wind_keep_people_off_bikes(model: BikeModel) -> None:
    (fine,) = model.predict(columns("2016-06-08T17:00"))
    for worse in ({"weather_code": 7.0}, {"t1": 2.0, "t2": 0.0}, {"wind_speed": 45.0}, {"hum": 95.0}):
        assert model.predict(columns("2016-06-08T17:00", **worse))[0] < fine


def test_christmas_day_is_an_afternoon_on_a_bike_since_nothing_else_runs(model: BikeModel) -> None:
    for year in (2015, 2016, 2017):
        christmas, boxing_day = model.predict(columns(f"{year}-12-25T14:00", f"{year}-12-26T14:00"))
        assert christmas > 2 * boxing_day


def test_a_bank_holiday_follows_from_the_date(model: BikeModel) -> None:
    unsaid, said, denied = (model.predict(columns("2016-08-29T08:00", is_holiday=flag))[0] for flag in (NAN, 1.0, 0.0))
    assert unsaid == said < denied / 3


def test_what_follows_from_the_timestamp_need_not_be_said(model: BikeModel) -> None:
    told = columns("2016-06-11T14:00", is_holiday=0.0, is_weekend=1.0, season=1.0)
    assert model.predict(told) == model.predict(columns("2016-06-11T14:00"))


@pytest.mark.parametrize("missing", ["wind_speed", "is_holiday", "is_weekend", "season", "timestamp"])
def test_any_optional_field_may_be_missing(model: BikeModel, missing: str) -> None:
    whole = columns("2016-06-08T14:00", wind_speed=10.0, is_holiday=0.0, is_weekend=0.0, season=1.0)
    gap = np.array(["NaT" if missing == "timestamp" else NAN], "datetime64[m]" if missing == "timestamp" else float)
    assert 100 < model.predict(replace(whole, **{missing: gap}))[0] < 5000


def test_the_required_four_alone_follow_the_weather(model: BikeModel) -> None:
    fine, foul = columns("NaT", t1=24.0, t2=24.0, hum=45.0), columns("NaT", t1=3.0, t2=-1.0, hum=95.0, weather_code=7.0)
    assert model.predict(fine)[0] > 3 * model.predict(foul)[0] > 0


def test_weather_beyond_what_training_saw_counts_as_the_nearest_that_it_saw(model: BikeModel) -> None:
    hot, hotter = columns("2016-06-08T14:00", t1=34.0, t2=34.0), columns("2016-06-08T14:00", t1=60.0, t2=60.0)
    assert model.predict(hot) == model.predict(hotter)
    assert model.predict(columns("2350-06-08T14:00", wind_speed=450.0, hum=0.0))[0] < 10_000


ROWS = st.lists(
    st.tuples(
        st.floats(-90, 60),
        st.floats(-90, 60),
        st.floats(0, 100),
        st.sampled_from([1, 2, 3, 4, 7, 10, 26]),
        st.none() | st.floats(0, 450),
        st.none() | st.integers(0, 1),
        st.none() | st.integers(0, 1),
        st.none() | st.integers(0, 3),
        st.none() | st.datetimes(),
    ),
    min_size=1,
    max_size=40,
)


@given(rows=ROWS, cut=st.integers(0, 40))
def test_a_count_is_a_natural_number_and_the_same_in_any_batch(
    model: BikeModel, rows: list[tuple[Any, ...]], cut: int
) -> None:
    *fields, times = zip(*rows, strict=True)
    weather = {name: np.array(values, np.float64) for name, values in zip(WEATHER, fields, strict=True)}
    batch = Columns(**weather, timestamp=np.array(times, "datetime64[m]"))
    counts = model.predict(batch)
    assert counts.dtype == np.int64
    assert counts.shape == (len(rows),)
    assert (counts >= 0).all()
    parts = [batch.take(slice(cut)), batch.take(slice(cut, None))]
    assert np.concatenate([model.predict(part) for part in parts]).tolist() == counts.tolist()
    assert [model.predict(batch.take(slice(row, row + 1)))[0] for row in range(len(rows))] == counts.tolist()


def test_no_rows_give_no_counts(model: BikeModel) -> None:
    assert model.predict(columns()).shape == (0,)


def test_steps_show_how_a_count_comes_about(model: BikeModel) -> None:
    row = columns("2016-12-25T14:00", t1=14.0)
    steps: dict[str, Any] = model.steps(row)
    assert (steps["day_type"], steps["hour"], steps["is_weekend"], steps["season"]) == ("Christmas Day", 14, 1, 3)
    assert steps["base"] == pytest.approx(steps["level"] * np.prod(list(steps["factors"].values())))
    assert steps["count"] == pytest.approx(steps["base"] * steps["ratio"])
    assert round(steps["count"]) == model.predict(row)[0]


def test_steps_without_a_timestamp_name_the_fallback_and_what_it_was_given(model: BikeModel) -> None:
    row = columns("NaT", wind_speed=20.0)
    steps: dict[str, Any] = model.steps(row)
    assert steps["model"] == "fallback.onnx"
    assert steps["features"] == {"t1": 12, "t2": 11, "hum": 70, "weather_code": 1, "wind_speed": 20}
    assert round(steps["count"]) == model.predict(row)[0]


@pytest.mark.parametrize("name", ["ratio.onnx", "fallback.onnx", "tables.npz"])
def test_a_changed_or_missing_file_is_never_loaded(bundle: Bundle, name: str) -> None:
    with pytest.raises(DigestMismatchError, match=name):
        BikeModel.load(changed(bundle, name))
    with pytest.raises(ModelError, match=f"{name} is missing"):
        BikeModel.load(changed(bundle, name, gone=True))


def test_ten_thousand_rows_take_milliseconds(model: BikeModel) -> None:
    hours = np.datetime64("2016-01-01T00:00") + 60 * np.arange(10_000)
    batch = replace(columns(*["NaT"] * len(hours)), timestamp=hours)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        model.predict(batch)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.2  # 20 ms on one core; ten times that is no longer the machine
