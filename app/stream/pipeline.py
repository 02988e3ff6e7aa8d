"""The two kinds of pipeline, and how the record at fault is found when one raises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeAlias, TypeVar

import msgspec

from app.errors import MillraceError
from app.settings import DEFAULT_ROLE
from app.stream.batch import Batch, Outcomes, Quarantine, Retry, listed
from app.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Self

    from app.settings import Settings
    from app.stream.payload import Decoder

T = TypeVar("T")


class BasePipeline(ABC, Generic[T]):
    """The attributes that every pipeline declares; write a subclass of `Pipeline` or `StatefulPipeline`.

    Attributes:
        name: The name that `PIPELINE` selects. It is also the stage in the ids of outputs, so it never changes.
        record_type: The type that a record's JSON must have. The spine decodes and checks each record; one that does
            not fit is quarantined and never reaches the pipeline. It may be set per instance where it depends on a
            model.
        decoder: Turns a record's text into a value where that is not JSON of `record_type`; None means it is.
        roles: The stream roles that the pipeline emits to. Each must have a stream when the process starts.
        unordered_roles: The roles whose outputs need no order: many outputs of one partition key travel in one call.
    """

    name: str
    record_type: type[Any]
    decoder: Decoder[Any] | None = None
    roles: ClassVar[Sequence[str]] = (DEFAULT_ROLE,)
    unordered_roles: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def open(cls, settings: Settings) -> Self:  # noqa: ARG003 - for those that load something
        """Return the pipeline, ready for records; load models and tables here.

        Args:
            settings: What the environment says.

        Raises:
            MillraceError: Something that it needs is missing; the message says how to mend it.
        """
        return cls()

    def explain(self, record: T) -> Mapping[str, object]:
        """Return the steps from a record to its result, named and in order, for a person to read."""
        return {"record": msgspec.to_builtins(record)}


class Pipeline(BasePipeline[T]):
    """A pipeline whose outcomes depend on nothing but the records."""

    @abstractmethod
    def process(self, batch: Batch[T]) -> Outcomes:
        """Return one outcome for each record, in the batch's order.

        It must give the same outcomes for the same records however they are cut into batches. If it raises, it is
        called again with halves of the batch until the record at fault stands alone; that one is quarantined.
        A `MillraceError` is not a record's fault and ends the batch.
        """


class Staged(Protocol):
    """The outcomes of a batch, and its state after any of its records."""

    @property
    def outcomes(self) -> Outcomes:
        """Return one outcome for each record."""

    def at(self, rows: int) -> Mapping[str, bytes]:
        """Return the state, after the first `rows` records, of each key that they touched."""


class StatefulPipeline(BasePipeline[T]):
    """A pipeline whose outcomes depend on earlier records; it needs `STATE_TABLE`.

    A record's state key must follow from its partition key (a stream keyed by tenant, say): batches of one shard
    may run side by side, and only the records of one partition key are sure to come in order.
    """

    @abstractmethod
    def state_keys(self, batch: Batch[T]) -> list[str]:
        """Return the state key of each record."""

    @abstractmethod
    def process_with(self, batch: Batch[T], state: Mapping[str, bytes]) -> Staged:
        """Return outcomes and staged state.

        It changes nothing, so that it may be called again for any part of the batch; else as `Pipeline.process`.

        Args:
            batch: Records that were not applied before.
            state: The state of each key of the batch that has one.
        """


AnyPipeline: TypeAlias = Pipeline[Any] | StatefulPipeline[Any]


@dataclass(slots=True)
class Plain:
    """What a pipeline without state made of a batch."""

    outcomes: Outcomes

    def at(self, _rows: int) -> Mapping[str, bytes]:
        """No state."""
        return {}


@dataclass(slots=True)
class Isolated:
    """The outcomes of a batch in whose parts a pipeline may have raised, with the state of each part.

    Attributes:
        outcomes: One a record, so far.
        state: The state after them; a later part's state of a key replaces an earlier one's.
    """

    outcomes: Outcomes = field(default_factory=list)
    state: dict[str, bytes] = field(default_factory=dict)
    _parts: list[tuple[int, Staged]] = field(default_factory=list)

    def add(self, part: Staged) -> None:
        """Adds the next part, in the batch's order; nothing is added where its state cannot be told."""
        state = part.at(len(part.outcomes))
        self._parts.append((len(self.outcomes), part))
        # A part that is the whole batch, which is usual, stays in columns.
        self.outcomes = part.outcomes if len(self._parts) == 1 else [*listed(self.outcomes), *listed(part.outcomes)]
        self.state.update(state)

    def at(self, rows: int) -> dict[str, bytes]:
        """The state after the first `rows` records."""
        state: dict[str, bytes] = {}
        for start, part in self._parts:
            if start < rows:
                state.update(part.at(min(rows - start, len(part.outcomes))))
        return state


def isolate(
    run: Callable[[Batch[Any], Mapping[str, bytes]], Staged],
    batch: Batch[Any],
    state: Mapping[str, bytes],
    is_late: Callable[[], bool] = lambda: False,
) -> Isolated:
    """Runs a batch; where it raises, halves it until each record at fault stands alone and is quarantined.

    Once it is late no further part is started: what is left is to be tried again.
    """
    found = Isolated()
    waiting = [(0, len(batch))] if len(batch) else []  # a pipeline need not know what to make of no records
    while waiting:
        start, stop = waiting.pop()
        if start and is_late():
            found.add(Plain([Retry("deadline")] * (len(batch) - start)))
            break
        part = batch if stop - start == len(batch) else batch.cut(start, stop, batch.records[start:stop])
        try:
            staged = run(part, {**state, **found.state})
            if len(staged.outcomes) != len(part):
                raise TypeError(f"{len(staged.outcomes)} outcomes for {len(part)} records")  # noqa: TRY301
            found.add(staged)  # it may raise as well: a record after which the state cannot be written is at fault
        except MillraceError:
            raise
        except Exception as error:  # noqa: BLE001 - a pipeline may raise anything; a record must not block its shard
            if len(part) > 1:
                middle = (start + stop) // 2
                waiting += [(middle, stop), (start, middle)]
                if is_late():
                    found.add(Plain([Retry("deadline")] * (len(batch) - start)))
                    break
                continue
            logger.warning(
                "pipeline raised on a record",
                extra={"exception": type(error).__name__, "sequence_number": part.sequence_numbers[0]},
            )
            found.add(Plain([Quarantine("pipeline_error", f"{type(error).__name__}: {_text_of(error)}")]))
    return found


def _text_of(error: Exception) -> str:
    """What an exception says, where it can say it."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - its own __str__ may raise
        return "(no text)"
