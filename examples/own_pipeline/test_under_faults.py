"""A pipeline of your own under faults: whatever happens, it ends as a run without faults does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from examples.own_pipeline.pipeline import TemperatureAlarms

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.stream.testing.faults import FaultPlan
    from app.stream.testing.stream import PipelineStream

HOT = [b'{"sensor": "oven", "celsius": %d}' % celsius for celsius in (20, 31, 32, 33, 34, 20, 35)]


def test_alarms_survive_throttling_and_a_crash(
    millrace_stream: Callable[..., PipelineStream], fault_plan: FaultPlan, crash_at: Callable[..., None]
) -> None:
    fault_plan.add("put", "some entries throttled", times=3)
    crash_at("commit state", after=True)
    stream = millrace_stream(TemperatureAlarms, batch_size=3)
    stream.put([*HOT, b"no reading"], ["oven"] * 8)
    stream.run()
    assert [each["celsius"] for each in stream.outputs("warnings")] == [31, 35]
    assert [each["celsius"] for each in stream.outputs("alarms")] == [33]
    assert len(stream.quarantined()) == 1
