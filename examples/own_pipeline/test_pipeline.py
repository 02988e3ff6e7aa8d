"""How a pipeline of your own is tested: the delivery spine of production, with services in memory."""

from __future__ import annotations

import msgspec

from app.stream.testing import MemorySpine
from examples.own_pipeline.pipeline import TemperatureAlarms


def readings(*celsius: float) -> list[bytes]:
    return [msgspec.json.encode({"sensor": "oven", "celsius": each}) for each in celsius]


def test_the_first_hot_reading_warns_and_the_third_raises_an_alarm() -> None:
    spine = MemorySpine(TemperatureAlarms(30))
    spine.run(readings(20, 31, 32), ["oven"] * 3)
    spine.run(readings(33, 20), ["oven"] * 2)
    assert [each["celsius"] for each in spine.outputs("warnings")] == [31]
    assert [each["celsius"] for each in spine.outputs("alarms")] == [33]
    assert spine.state("oven") == b"0"


def test_after_a_crash_the_outputs_come_again_with_their_ids() -> None:
    spine = MemorySpine(TemperatureAlarms(30))
    spine.run_and_crash("commit", readings(31, 32, 33), ["oven"] * 3)
    spine.run(readings(31, 32, 33), ["oven"] * 3, start=0)
    assert spine.outputs("alarms")[0] == spine.outputs("alarms")[1]


def test_what_is_no_reading_is_quarantined() -> None:
    spine = MemorySpine(TemperatureAlarms(30))
    spine.run([b'{"sensor": "oven", "celsius": "hot"}'], ["oven"])
    assert [each["reason"] for each in spine.quarantined()] == ["mistyped_field"]
