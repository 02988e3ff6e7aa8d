"""What a pipeline is to the spine, and how the record at fault is found when one raises."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from app.errors import MillraceError
from app.stream.batch import Batch, Outcomes, Quarantine, Retry, listed
from app.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")


class Pipeline(Protocol[T]):
    """What happens to the records of a stream.

    Attributes:
        name: As `PIPELINE` names it; also the stage in the ids of its outputs.
        record_type: The type that a record's JSON must have; the spine decodes and checks it. Records that do not fit
            are quarantined and never reach the pipeline.

    It may also have, each with a default:
        decoder: What makes a record of a text (`app.stream.payload.Decoder`), where that is not JSON of `record_type`.
        roles: The stream roles that it emits to; by default the default role alone. Each must have a stream at start.
        unordered_roles: Those of them whose outputs say all by themselves: the order of a partition key is not kept
            there, so that many outputs of one key travel in one call.
    """

    name: str
    record_type: type[Any]

    def process(self, batch: Batch[T]) -> Outcomes:
        """One outcome a record, in the batch's order; in columns where each record gives one output, as most do.

        It must give the same outcomes for the same records however they are cut into batches. If it raises, it is
        called again with halves of the batch until the record at fault stands alone; that one is quarantined.
        A `MillraceError` is not a record's fault and ends the batch.
        """

    def explain(self, record: T) -> Mapping[str, object]:
        """The steps from a record to its prediction, named and in order, for a person to read."""


class Staged(Protocol):
    """What a stateful pipeline made of a batch: outcomes, and state that can be cut at any record."""

    outcomes: Outcomes

    def at(self, rows: int) -> Mapping[str, bytes]:
        """The state, after the first `rows` records, of each key that they touched."""


class StatefulPipeline(Protocol[T]):
    """A pipeline whose outcomes depend on what came before.

    A record's state key must follow from its partition key (a stream keyed by tenant, say): batches of one shard
    may run side by side, and only the records of one partition key are sure to come in order.
    """

    name: str
    record_type: type[Any]

    def state_keys(self, batch: Batch[T]) -> list[str]:
        """The state key of each record."""

    def process_with(self, batch: Batch[T], state: Mapping[str, bytes]) -> Staged:
        """Outcomes and staged state; it changes nothing, so that it may be called again for any part."""

    def explain(self, record: T) -> Mapping[str, object]:
        """As a pipeline without state."""


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
