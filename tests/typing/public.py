"""The public classes as their users write them, checked by mypy and never run.

`./scripts/test.sh types` reads this. A line that has to be refused says so with `type: ignore` and mypy's code; once
mypy accepts it, the comment is unused, which is an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Self, assert_type

import msgspec

from app.handlers.base import LambdaHandler
from app.stream.outcomes import Outcomes
from app.stream.pipeline import Pipeline, StatefulPipeline, StateWrites
from app.stream.testing import MemorySpine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.handlers.invocation import Invocation
    from app.settings import Settings
    from app.stream.batch import Batch


class Reading(msgspec.Struct):
    sensor: str
    celsius: float


class Warm(Pipeline[Reading]):
    name = "warm"
    record_type = Reading

    @classmethod
    def open(cls, settings: Settings) -> Self:
        assert_type(settings.output_stream, str)
        return cls()

    def process(self, batch: Batch[Reading]) -> Outcomes:
        assert_type(batch.records[0], Reading)
        outcomes = Outcomes(len(batch))
        outcomes.emit(0, batch.partition_keys[0], b"{}", role="alarms")
        outcomes.skip(1, "cold")
        outcomes.quarantine(2, "too_hot", "no oven is that hot")
        outcomes.emit(3, 1, b"{}")  # type: ignore[arg-type]
        outcomes.emit(3, "key", "{}")  # type: ignore[arg-type]
        outcomes.quarantine(3, "too_hot")  # type: ignore[call-arg]
        return outcomes


class WithoutOutcomes(Pipeline[Reading]):
    name = "without-outcomes"

    def process(self, batch: Batch[Reading]) -> list[bytes]:  # type: ignore[override]
        return [b"" for _ in batch.records]


class Count(StatefulPipeline[Reading]):
    name = "count"
    record_type = Reading

    def state_keys(self, batch: Batch[Reading]) -> list[str]:
        return batch.partition_keys

    def process_with(self, batch: Batch[Reading], state: Mapping[str, bytes]) -> StateWrites:
        staged = StateWrites(Outcomes(len(batch)))
        staged.write(0, "oven", state.get("oven", b"0"))
        staged.write(0, "oven", 1)  # type: ignore[arg-type]
        return staged


class NoKeys(StatefulPipeline[Reading]):
    name = "no-keys"

    def process_with(self, batch: Batch[Reading], state: Mapping[str, bytes]) -> StateWrites:
        raise NotImplementedError


class Hottest(LambdaHandler[list[Reading], Reading]):
    """Returns the hottest reading."""

    def handle(self, request: list[Reading], invocation: Invocation) -> Reading:
        assert_type(invocation.request_id, str)
        return max(request, key=lambda reading: reading.celsius)


class Coldest(LambdaHandler[list[Reading], Reading]):
    """Returns a number, which is no reading."""

    def handle(self, request: list[Reading], invocation: Invocation) -> float:  # type: ignore[override]
        del invocation
        return min(reading.celsius for reading in request)


class EachAbove(LambdaHandler[list[Reading], Iterator[Reading]]):
    """Yields the readings that are warm."""

    def handle(self, request: list[Reading], invocation: Invocation) -> Iterator[Reading]:
        del invocation
        yield from request
        yield 7.0  # type: ignore[misc]


def use() -> None:
    spine = MemorySpine(Warm())
    spine.run([b"{}"], ["oven"])
    spine.run(["{}"], ["oven"])  # type: ignore[list-item]
    MemorySpine(Reading("oven", 1))  # type: ignore[arg-type]
    NoKeys()  # type: ignore[abstract]
    assert_type(Hottest().handle([], Hottest.__new__), Reading)  # type: ignore[arg-type]
