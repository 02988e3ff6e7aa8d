"""Define two small pipelines for tests of the stream: one without state, one that counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from app.stream.outcomes import Outcomes
from app.stream.pipeline import Pipeline, StatefulPipeline, StateWrites

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.stream.batch import Batch


class Order(msgspec.Struct):
    """A record: `n` is its number; `do` is its outcome."""

    n: int
    do: str = "emit"


class EchoPipeline(Pipeline[Order]):
    """Emits each record's number; skips, retries or raises if the record's `do` names it."""

    name = "echo"
    record_type = Order

    def __init__(self) -> None:
        self.calls: list[int] = []

    def process(self, batch: Batch[Order]) -> Outcomes:
        self.calls.append(len(batch))
        if any(order.do == "raise" for order in batch.records):
            raise ValueError("cannot")
        outcomes = Outcomes(len(batch))
        for row, (order, key) in enumerate(zip(batch.records, batch.partition_keys, strict=True)):
            if order.do == "skip":
                outcomes.skip(row, "asked")
            elif order.do == "retry":
                outcomes.retry(row, "asked")
            else:
                outcomes.emit(row, key, msgspec.json.encode({"n": order.n}))
        return outcomes

    def explain(self, record: Order) -> Mapping[str, object]:
        return {"n": record.n}


class CountingPipeline(StatefulPipeline[Order]):
    """Emits how many records of a partition key there have been; its state key is the partition key."""

    name = "count"
    record_type = Order

    def state_keys(self, batch: Batch[Order]) -> list[str]:
        return batch.partition_keys

    def process_with(self, batch: Batch[Order], state: Mapping[str, bytes]) -> StateWrites:
        if any(order.do == "raise" for order in batch.records):
            raise ValueError("cannot")
        counts = {key: int(value) for key, value in state.items()}
        staged = StateWrites(Outcomes(len(batch)))
        for row, (key, order) in enumerate(zip(batch.partition_keys, batch.records, strict=True)):
            counts[key] = counts.get(key, 0) + 1
            staged.write(row, key, str(counts[key]).encode())
            if order.do == "retry":
                staged.outcomes.retry(row, "asked")
            else:
                staged.outcomes.emit(row, key, msgspec.json.encode({"count": counts[key], "n": order.n}))
        return staged

    def explain(self, record: Order) -> Mapping[str, object]:
        return {"n": record.n}


def orders(count: int, **special: str) -> list[bytes]:
    """Return the payloads of `count` orders; `_3="skip"` sets the outcome of number 3."""
    return [msgspec.json.encode({"n": number, "do": special.get(f"_{number}", "emit")}) for number in range(count)]
