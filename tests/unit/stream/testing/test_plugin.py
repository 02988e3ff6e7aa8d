"""The pytest plugin: a pipeline that keeps the contract passes, and each way to break it is named."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from app.stream.outcomes import Outcomes
from app.stream.pipeline import Pipeline, StatefulPipeline, StateWrites

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.stream.batch import Batch
    from app.stream.testing.faults import FaultPlan
    from app.stream.testing.stream import PipelineStream

RECORDS = [msgspec.json.encode({"n": number}) for number in range(12)]
KEYS = ["a", "b", "a", "c"] * 3


class Doubled(Pipeline[dict[str, int]]):
    name = "doubled"
    record_type = dict[str, int]

    def process(self, batch: Batch[dict[str, int]]) -> Outcomes:
        outcomes = Outcomes(len(batch))
        for row, record in enumerate(batch.records):
            outcomes.emit(row, batch.partition_keys[row], msgspec.json.encode({"n": 2 * record["n"]}))
        return outcomes


class ByItsRow(Doubled):
    """Breaks the contract: its outputs depend on where a batch begins."""

    def process(self, batch: Batch[dict[str, int]]) -> Outcomes:
        outcomes = Outcomes(len(batch))
        for row in range(len(batch)):
            outcomes.emit(row, batch.partition_keys[row], msgspec.json.encode({"n": row}))
        return outcomes


class Summed(StatefulPipeline[dict[str, int]]):
    name = "summed"
    record_type = dict[str, int]

    def state_keys(self, batch: Batch[dict[str, int]]) -> list[str]:
        return batch.partition_keys

    def process_with(self, batch: Batch[dict[str, int]], state: Mapping[str, bytes]) -> StateWrites:
        sums = {key: int(value) for key, value in state.items()}
        writes = StateWrites(Outcomes(len(batch)))
        for row, (record, key) in enumerate(zip(batch.records, batch.partition_keys, strict=True)):
            sums[key] = sums.get(key, 0) + record["n"]
            writes.outcomes.emit(row, key, msgspec.json.encode({"sum": sums[key]}))
            writes.write(row, key, str(sums[key]).encode())
        return writes


class Remembering(Summed):
    """Breaks the contract: it keeps in itself what belongs in the state, and a crash takes it away."""

    def __init__(self) -> None:
        self.seen = 0

    def process_with(self, batch: Batch[dict[str, int]], state: Mapping[str, bytes]) -> StateWrites:
        del state
        writes = StateWrites(Outcomes(len(batch)))
        for row, key in enumerate(batch.partition_keys):
            self.seen += 1
            writes.outcomes.emit(row, key, msgspec.json.encode({"seen": self.seen}))
            writes.write(row, key, str(self.seen).encode())
        return writes


@pytest.mark.parametrize("pipeline", [Doubled, Summed])
@pytest.mark.parametrize(
    ("step", "kind"),
    [
        ("put", "some entries throttled"),
        ("put", "time-out after the write"),
        ("put", "answer that contradicts itself"),
        ("put", "no answer"),
        ("put", "crash after"),
        ("put to quarantine", "error"),
        ("invoke", "lost answer"),
        ("invoke", "crash after"),
    ],
)
def test_a_pipeline_that_keeps_the_contract_ends_as_without_faults(
    millrace_stream: Callable[..., PipelineStream], fault_plan: FaultPlan, pipeline: Any, step: str, kind: str
) -> None:
    fault_plan.add(step, kind, times=2)
    stream = millrace_stream(pipeline, shards=3, batch_size=4)
    stream.put([*RECORDS, b"?"], [*KEYS, "d"])
    stream.run()
    assert len(stream.outputs()) == 12
    assert len(stream.quarantined()) == 1
    assert any("FAULT" in line for line in stream.trace)


@pytest.mark.parametrize("kind", ["error", "time-out after the write", "conflict", "crash before", "crash after"])
def test_state_is_that_of_a_run_without_faults(
    millrace_stream: Callable[..., PipelineStream], fault_plan: FaultPlan, kind: str
) -> None:
    fault_plan.add("commit state", kind, call=1)
    stream = millrace_stream(Summed)
    stream.put(RECORDS, KEYS)
    stream.run()
    assert stream.state("a") == b"30"


def test_outputs_that_depend_on_where_a_batch_begins_are_named(
    millrace_stream: Callable[..., PipelineStream],
) -> None:
    stream = millrace_stream(ByItsRow, batch_size=3)
    stream.put(RECORDS, KEYS)
    with pytest.raises(AssertionError, match="has another content"):
        stream.run()


def test_a_pipeline_that_remembers_in_itself_is_named(
    millrace_stream: Callable[..., PipelineStream], crash_at: Callable[..., None]
) -> None:
    crash_at("commit state")
    stream = millrace_stream(Remembering)
    stream.put(RECORDS, KEYS)
    with pytest.raises(AssertionError, match="has two contents"):
        stream.run()


def test_a_fault_that_no_call_meets_is_named(
    millrace_stream: Callable[..., PipelineStream], fault_plan: FaultPlan
) -> None:
    fault_plan.add("commit state", "error")
    stream = millrace_stream(Doubled)
    stream.put(RECORDS)
    with pytest.raises(AssertionError, match="no call met the fault: error at `commit state` 0"):
        stream.run()


def test_a_wrong_fault_is_named_when_it_is_planned(
    millrace_stream: Callable[..., PipelineStream], fault_plan: FaultPlan
) -> None:
    with pytest.raises(ValueError, match="no step 'comit': one of 'put'"):
        fault_plan.add("comit", "error")
    with pytest.raises(ValueError, match="no fault 'conflict' of 'put'"):
        fault_plan.add("put", "conflict")
    fault_plan.add("get records", "error")
    with pytest.raises(ValueError, match="meets the faults of put, "):
        millrace_stream(Doubled).run()


def test_the_fixtures_import_nothing_of_aws() -> None:
    code = (
        "import sys, app.pytest_plugin, app.stream.testing.stream as stream, app.stream.testing.faults\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules} & {'boto3', 'botocore', 'urllib3'}))"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.split() == []


def test_pytest_starts_without_the_spine() -> None:
    """Every session of whoever has Millrace installed loads the plugin."""
    code = "import sys, app.pytest_plugin; print(*(name for name in sys.modules if name.startswith('app')))"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.split() == ["app", "app.pytest_plugin"]
