"""A pipeline that raises: for a record, for the machine, or for a reason that all records share."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from app.errors import PipelineFailedError
from app.stream.testing import MemorySpine, sequence_number
from tests.pipelines_for_tests import CountingPipeline, EchoPipeline, orders

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.stream.batch import Batch
    from app.stream.outcomes import Outcomes
    from app.stream.pipeline import StateWrites
    from tests.pipelines_for_tests import Order


class Machine(EchoPipeline):
    """Raises an error on some records until it is mended."""

    def __init__(self, error: Exception, numbers: range) -> None:
        super().__init__()
        self.error: Exception | None = error
        self.numbers = numbers

    def process(self, batch: Batch[Order]) -> Outcomes:
        if self.error and any(order.n in self.numbers for order in batch.records):
            raise self.error
        return super().process(batch)


@pytest.mark.parametrize("rows", [1, 3, 1500])
@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device", "/tmp/secret"), ConnectionRefusedError()],  # noqa: S108
)
def test_a_fault_of_the_machine_quarantines_nothing(error: Exception, rows: int) -> None:
    pipeline = Machine(error, range(10**6))
    spine = MemorySpine(pipeline)
    with pytest.raises(PipelineFailedError, match="no record is quarantined for it") as raised:
        spine.run(orders(rows))
    assert "secret" not in str(raised.value)
    assert spine.quarantined() == spine.outputs() == []
    pipeline.error = None
    assert spine.run(orders(rows), start=0).resume_at is None
    assert len(spine.outputs()) == rows


@pytest.mark.parametrize("error", [FileNotFoundError(2, "No such file", "model.npz"), KeyError("secret")])
def test_what_is_raised_on_every_record_holds_the_batch(error: Exception) -> None:
    pipeline = Machine(error, range(10**6))
    spine = MemorySpine(pipeline)
    with pytest.raises(PipelineFailedError, match=r"on 16 records in a row.*MOST_RAISED_IN_A_ROW above 15") as raised:
        spine.run(orders(1500))
    assert "secret" not in str(raised.value)
    assert spine.quarantined() == []
    pipeline.error = None
    assert spine.run(orders(1500), start=0).resume_at is None
    assert len(spine.outputs()) == 1500


def test_records_before_the_fault_go_on_and_it_counts_on_over_small_batches() -> None:
    spine = MemorySpine(Machine(KeyError("n"), range(5, 10**6)))
    assert spine.run(orders(8)).resume_at is None  # three raise
    for start in range(8, 20, 4):
        assert spine.run(orders(20)[start : start + 4], start=start).resume_at is None
    assert len(spine.quarantined()) == 15
    with pytest.raises(PipelineFailedError, match="on 16 records in a row"):
        spine.run(orders(24)[20:], start=20)
    assert len(spine.quarantined()) == 15


def test_a_record_that_comes_again_is_counted_once() -> None:
    """Else an outage of the quarantine would hold it for good, once it had come sixteen times."""
    spine = MemorySpine(Machine(KeyError("n"), range(2)))
    spine.streams.fault = lambda _stream, keys: dict.fromkeys(
        range(len(keys)), "ProvisionedThroughputExceededException"
    )
    for _ in range(20):
        assert spine.run(orders(2), start=0, seconds=0.05).acknowledged == 0
    spine.streams.fault = None
    assert spine.run(orders(2), start=0).resume_at is None
    assert len(spine.quarantined()) == 2


def test_records_between_others_are_at_fault_themselves() -> None:
    spine = MemorySpine(Machine(FileNotFoundError(2, "No such file"), range(40, 50)))
    assert spine.run(orders(100)).resume_at is None
    assert len(spine.quarantined()) == 10
    assert len(spine.outputs()) == 90


def test_who_holds_the_records_at_fault_may_let_them_pass() -> None:
    spine = MemorySpine(Machine(KeyError("n"), range(10**6)), most_raised_in_a_row=10_000)
    assert spine.run(orders(1500)).resume_at is None
    assert len(spine.quarantined()) == 1500


def test_state_before_the_fault_is_committed() -> None:
    class Failing(CountingPipeline):
        def process_with(self, batch: Batch[Order], state: Mapping[str, bytes]) -> StateWrites:
            if any(order.n >= 10 for order in batch.records):
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().process_with(batch, state)

    spine = MemorySpine(Failing())
    result = spine.run(orders(14), ["a"] * 14)
    assert result.resume_at == sequence_number(10)
    assert isinstance(result.failure, PipelineFailedError)
    assert spine.state("a") == b"10"
