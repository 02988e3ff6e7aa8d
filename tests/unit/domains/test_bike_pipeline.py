from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from app.domains.bike.pipeline import BikePipeline
from app.domains.bike.records import BikeRecord, columns_of
from app.settings import Settings
from app.stream.testing import MemorySpine

WEATHER: dict[str, Any] = {"t1": 2, "t2": 3, "hum": 50, "weather_code": 2}


@pytest.fixture(scope="module")
def pipeline() -> BikePipeline:
    return BikePipeline.open(Settings())


def record(pred_id: Any = 1, beside: dict[str, Any] | None = None, **features: Any) -> bytes:
    return msgspec.json.encode({"features": {**WEATHER, **features}, "pred_id": pred_id, **(beside or {})})


def counts(pipeline: BikePipeline, *payloads: bytes) -> list[int]:
    spine = MemorySpine(pipeline)
    spine.run(payloads)
    assert spine.quarantined() == []
    by_place = {each["source"]["sequence_number"]: each["prediction"]["cnt"] for each in spine.outputs()}
    return [by_place[number] for number in sorted(by_place)]


def test_the_seeds_record_is_enough(pipeline: BikePipeline) -> None:
    spine = MemorySpine(pipeline)
    spine.run([b'{\n  "features": {"t1": 2, "t2": 3, "hum": 50, "weather_code": 2},\n  "pred_id": 123\n}'])
    [(key, _)] = spine.streams.records["output"]
    [result] = spine.outputs()
    assert key == "123"
    assert result["prediction"]["pred_id"] == 123
    assert isinstance(result["prediction"]["cnt"], int)
    assert list(result) == ["model", "version", "prediction", "id", "source"]


def test_optional_fields_may_stand_among_the_features_or_beside_them(pipeline: BikePipeline) -> None:
    more: dict[str, Any] = {
        "timestamp": "2026-07-06T08:00:00",
        "wind_speed": 5.5,
        "is_holiday": 0,
        "is_weekend": False,
        "season": 1,
    }
    without, among, beside = counts(pipeline, record(1), record(2, **more), record(3, more))
    assert among == beside != without


def test_a_time_with_an_offset_is_told_by_londons_clock(pipeline: BikePipeline) -> None:
    local, utc, winter, winter_utc = counts(
        pipeline,
        record(1, timestamp="2026-07-06T08:00:00"),
        record(2, timestamp="2026-07-06T07:00:00Z"),
        record(3, timestamp="2026-01-12 08:00:00"),
        record(4, timestamp="2026-01-12T08:00:00Z"),
    )
    assert (local, winter) == (utc, winter_utc)


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_the_ends_of_time_are_no_fault(time: str, pipeline: BikePipeline) -> None:
    assert len(counts(pipeline, record(1, timestamp=time))) == 1


def test_what_no_record_has_is_missing_in_the_columns() -> None:
    some = [msgspec.json.decode(each, type=BikeRecord) for each in (record(1), record(2, wind_speed=7))]
    columns = columns_of(some)
    assert np.isnan(columns.season).all()
    assert np.isnat(columns.timestamp).all()
    assert columns.wind_speed.tolist()[1:] == [7.0]
    assert np.isnan(columns.wind_speed[0])


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (record(weather_code=5), "unknown_weather_code"),
        (record(weather_code=94), "unknown_weather_code"),
        (record(weather_code=2.5), "unknown_weather_code"),
        (record(weather_code="2"), "mistyped_field"),
        (record(hum=101), "out_of_range"),
        (record(t1=-91), "out_of_range"),
        (record(season=4), "out_of_range"),
        (record(is_holiday=2), "out_of_range"),
        (record(timestamp="yesterday"), "mistyped_field"),
        (record(""), "out_of_range"),
        (record(2**64), "out_of_range"),
        (record(None), "mistyped_field"),
        (record(1.5), "mistyped_field"),
        (msgspec.json.encode({"features": WEATHER}), "missing_field"),
        (msgspec.json.encode({"pred_id": 1}), "missing_field"),
    ],
)
def test_each_fault_has_its_reason_and_its_neighbours_go_on(
    payload: bytes, reason: str, pipeline: BikePipeline
) -> None:
    spine = MemorySpine(pipeline)
    spine.run([record(1), payload, record(2)])
    assert [each["reason"] for each in spine.quarantined()] == [reason]
    assert [each["prediction"]["pred_id"] for each in spine.outputs()] == [1, 2]


def test_pred_ids_are_keys_as_text(pipeline: BikePipeline) -> None:
    spine = MemorySpine(pipeline)
    spine.run([record("ride-ü"), record(-7)])
    assert [key for key, _ in spine.streams.records["output"]] == ["ride-ü", "-7"]
