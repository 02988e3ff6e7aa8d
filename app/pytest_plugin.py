"""The pytest plugin: fixtures with which a pipeline of your own is tested under faults, in fifteen lines.

    def test_alarms_survive_a_crash(millrace_stream, fault_plan, crash_at):
        fault_plan.add("put", "some entries throttled", times=3)
        crash_at("commit state")
        stream = millrace_stream(TemperatureAlarms)
        stream.put(readings, keys)
        stream.run()

pytest finds it by its entry point, where Millrace is installed. It imports nothing before a fixture is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.stream.pipeline import AnyPipeline
    from app.stream.testing.faults import FaultPlan
    from app.stream.testing.stream import PipelineStream


@pytest.fixture
def fault_plan() -> FaultPlan:
    """Return the plan of faults of `millrace_stream`; add to it before the stream runs."""
    from app.stream.testing.faults import FaultPlan  # noqa: PLC0415 - a session without such tests imports nothing

    return FaultPlan()


@pytest.fixture
def crash_at(fault_plan: FaultPlan) -> Callable[..., None]:
    """Return a function that ends the process at a step: `crash_at("commit state", after=True, call=0)`."""
    from app.stream.testing.faults import CRASH_AFTER, CRASH_BEFORE  # noqa: PLC0415 - as above

    def add(step: str, *, after: bool = False, call: int = 0) -> None:
        fault_plan.add(step, CRASH_AFTER if after else CRASH_BEFORE, call=call)

    return add


@pytest.fixture
def millrace_stream(fault_plan: FaultPlan) -> Callable[..., PipelineStream]:
    """Return a function that puts a pipeline behind a stream with the test's faults; see `PipelineStream`."""
    from app.stream.testing.stream import PipelineStream  # noqa: PLC0415 - as above

    def make(pipeline: type[AnyPipeline] | AnyPipeline, **options: Any) -> PipelineStream:  # noqa: ANN401 - its options
        return PipelineStream(pipeline, fault_plan, **options)

    return make
