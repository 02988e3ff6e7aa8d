from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import ModelError
from app.stream.direct import run_directly
from tests.pipelines_for_tests import EchoPipeline, Order

if TYPE_CHECKING:
    from app.stream.batch import Batch
    from app.stream.outcomes import Outcomes

orders = st.lists(st.sampled_from(["emit", "skip", "retry", "raise"]), max_size=20).map(
    lambda found: [Order(number, do) for number, do in enumerate(found)]
)


def numbers(outputs: list[bytes]) -> list[int]:
    return [msgspec.json.decode(each)["n"] for each in outputs]


@given(orders)
def test_each_record_has_what_it_asks_for_whatever_stands_beside_it(records: list[Order]) -> None:
    found = run_directly(EchoPipeline(), records)
    by = {do: [order.n for order in records if order.do == do] for do in ("emit", "retry", "raise")}
    assert numbers(found.outputs) == by["emit"]
    assert list(found.retried) == by["retry"]
    assert list(found.quarantined) == by["raise"]


def test_records_that_are_no_fault_are_processed_in_one_call() -> None:
    pipeline = EchoPipeline()
    run_directly(pipeline, [Order(number) for number in range(9)])
    assert pipeline.calls == [9]


def test_what_an_exception_says_is_not_passed_on() -> None:
    found = run_directly(EchoPipeline(), [Order(1, "raise")])
    assert found.quarantined[0].reason == "pipeline_error"
    assert "ValueError" not in found.quarantined[0].message


def test_once_it_is_late_no_further_part_is_started() -> None:
    pipeline = EchoPipeline()
    found = run_directly(pipeline, [Order(0), Order(1, "raise")], is_late=lambda: True)
    assert (found.outputs, list(found.retried), pipeline.calls) == ([], [0, 1], [2])


def test_what_is_no_records_fault_is_raised() -> None:
    class Broken(EchoPipeline):
        def process(self, batch: Batch[Order]) -> Outcomes:
            raise ModelError(f"no model for {len(batch)} records")

    with pytest.raises(ModelError, match="no model for 2 records"):
        run_directly(Broken(), [Order(0), Order(1)])


def test_a_pipeline_finds_a_place_and_a_key_for_each_record() -> None:
    seen: list[Batch[Any]] = []

    class Looks(EchoPipeline):
        def process(self, batch: Batch[Order]) -> Outcomes:
            seen.append(batch)
            return super().process(batch)

    run_directly(Looks(), [Order(0), Order(1)])
    [batch] = seen
    assert batch.sequence_numbers == batch.partition_keys == ["0", "1"]
    assert batch.places()[0] < batch.places()[1]
