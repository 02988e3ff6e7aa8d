"""Two small pipelines that tests of the spine run: one without state, one that counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from app.stream.batch import Batch, Emit, Outcome, Output, Retry, Skip
from app.stream.pipeline import Pipeline, StatefulPipeline

if TYPE_CHECKING:
    from collections.abc import Mapping


class Order(msgspec.Struct):
    """A record: `n` is its number; `do` says what shall become of it."""

    n: int
    do: str = "emit"


class EchoPipeline(Pipeline[Order]):
    """Emits each record's number; skips, retries or raises where the record says so."""

    name = "echo"
    record_type = Order

    def __init__(self) -> None:
        self.calls: list[int] = []

    def process(self, batch: Batch[Order]) -> list[Outcome]:
        self.calls.append(len(batch))
        if any(order.do == "raise" for order in batch.records):
            raise ValueError("cannot")
        made: dict[str, Outcome] = {"skip": Skip("asked"), "retry": Retry("asked")}
        return [
            made.get(order.do) or Emit((Output(key, msgspec.json.encode({"n": order.n})),))
            for order, key in zip(batch.records, batch.partition_keys, strict=True)
        ]

    def explain(self, record: Order) -> Mapping[str, object]:
        return {"n": record.n}


@dataclass
class Counts:
    """Staged counts: the count of a key after each record of the batch."""

    outcomes: list[Outcome]
    steps: list[tuple[str, int]]

    def at(self, rows: int) -> Mapping[str, bytes]:
        return {key: str(count).encode() for key, count in self.steps[:rows]}


class CountingPipeline(StatefulPipeline[Order]):
    """Emits how many records of a partition key there have been; its state key is the partition key."""

    name = "count"
    record_type = Order

    def state_keys(self, batch: Batch[Order]) -> list[str]:
        return batch.partition_keys

    def process_with(self, batch: Batch[Order], state: Mapping[str, bytes]) -> Counts:
        if any(order.do == "raise" for order in batch.records):
            raise ValueError("cannot")
        counts = {key: int(value) for key, value in state.items()}
        staged = Counts([], [])
        for key, order in zip(batch.partition_keys, batch.records, strict=True):
            counts[key] = counts.get(key, 0) + 1
            staged.steps.append((key, counts[key]))
            data = msgspec.json.encode({"count": counts[key], "n": order.n})
            staged.outcomes.append(Retry("asked") if order.do == "retry" else Emit((Output(key, data),)))
        return staged

    def explain(self, record: Order) -> Mapping[str, object]:
        return {"n": record.n}
