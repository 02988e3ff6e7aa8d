"""The two kinds of pipeline, and the state that one of them stages."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeAlias, TypeVar

import msgspec

from app.errors import SettingsError
from app.settings import DEFAULT_ROLE
from app.stream.batch import Batch
from app.stream.outcomes import Quarantine, Retry, Skip, readable
from app.text import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

    from app.settings import Settings
    from app.stream.outcomes import Outcomes
    from app.stream.payload import Decoder

T = TypeVar("T")

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")  # no slash, which separates the parts of an id, and no quotes


class BasePipeline(ABC, Generic[T]):
    """The attributes that every pipeline declares; write a subclass of `Pipeline` or `StatefulPipeline`.

    Attributes:
        name: The name that `PIPELINE` selects. It is also the stage in the ids of outputs, so it never changes.
        record_type: The type that a record's JSON must have. The spine decodes and checks each record; one that does
            not fit is quarantined and never reaches the pipeline. It may be set per instance where it depends on a
            model.
        decoder: Turns a record's text into a value where that is not JSON of `record_type`; None means it is.
        example: A record for `millrace explain`, `feed`, `invoke` and `doctor` where none is given: a value that
            becomes JSON (a `record_type`, or a dictionary), or a payload in bytes; None means there is none.
        roles: The stream roles that the pipeline emits to. Each must have a stream when the process starts.
        unordered_roles: The roles whose outputs need no order: many outputs of one partition key travel in one call.
    """

    name: str
    record_type: type[Any]
    decoder: Decoder[Any] | None = None
    example: ClassVar[Any] = None
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

    @abstractmethod
    def explain(self, record: T) -> Mapping[str, object]:
        """Return the steps from a record to its result, named and in order, for a person to read."""


class Pipeline(BasePipeline[T]):
    """A pipeline whose outcomes depend on nothing but the records."""

    @abstractmethod
    def process(self, batch: Batch[T]) -> Outcomes:
        """Return an outcome for each row of the batch.

        It must give the same outcomes for the same records however they are cut into batches. If it raises, it is
        called again with halves of the batch until the record at fault stands alone; that one is quarantined.
        A `MillraceError` is not a record's fault and ends the batch.
        """

    def explain(self, record: T) -> Mapping[str, object]:
        """Return the record and its outcome."""
        return _explained(record, self.process(Batch.of([record])))


class Staged(Protocol):
    """The outcomes of a batch, and its state after any of its records."""

    @property
    def outcomes(self) -> Outcomes:
        """Return an outcome for each row of the batch."""

    def at(self, rows: int) -> Mapping[str, bytes]:
        """Return the state, after the first `rows` records, of each key that they touched."""


class StatefulPipeline(BasePipeline[T]):
    """A pipeline whose outcomes depend on earlier records; it needs `STATE_TABLE`.

    A record's state key is best its partition key (a stream keyed by tenant, say): only the records of one partition
    key are sure to come in order. Where several partition keys share a state key, the mapping's `ParallelizationFactor`
    must be 1: batches of one shard that run side by side would take each other's records for applied ones.

    Attributes:
        state_namespace: Stands before the state keys in the table, so that pipelines can share one and no record's key
            reaches what another keeps there; None means the pipeline's name.
    """

    state_namespace: ClassVar[str | None] = None

    def stored_key(self, key: str) -> str:
        """Return a state key as it is in the table: behind the pipeline's namespace."""
        return f"{self.state_namespace or self.name}/{key}"

    def state_key(self, stored_key: str) -> str:
        """Return the state key that is `stored_key` in the table."""
        return stored_key.removeprefix(self.stored_key(""))

    def former_key(self, key: str) -> str | None:  # noqa: ARG002 - for those that had another
        """Return the key in the table under which an earlier release stored a state key; None if there is none."""
        return None

    def is_former(self, key: str, value: bytes) -> bool:  # noqa: ARG002 - for those that had another
        """Return whether the value at `former_key`, in today's form of items, is to be taken over for a state key."""
        return False

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

    def explain(self, record: T) -> Mapping[str, object]:
        """Return the record and the outcome that it has as the first of its key."""
        return _explained(record, self.process_with(Batch.of([record]), {}).outcomes)


@dataclass(slots=True)
class StateWrites:
    """State that a pipeline writes record by record, as small values are; one kind of `Staged`.

    Attributes:
        outcomes: An outcome for each row of the batch.
    """

    outcomes: Outcomes
    _rows: list[int] = field(default_factory=list)
    _writes: list[tuple[str, bytes]] = field(default_factory=list)

    def write(self, row: int, key: str, value: bytes) -> None:
        """Set a key's state as it is after a row.

        Raises:
            IndexError: The batch has no such row.
            ValueError: The row comes before one that was written already: the state could not be cut between them.
        """
        if not 0 <= row < len(self.outcomes):
            raise IndexError(f"state of row {row} of a batch of {len(self.outcomes)}")
        if self._rows and row < self._rows[-1]:
            raise ValueError(f"state of row {row} after that of row {self._rows[-1]}: write in the order of the rows")
        self._rows.append(row)
        self._writes.append((key, value))

    def at(self, rows: int) -> Mapping[str, bytes]:
        """Return the state, after the first `rows` records, of each key that they wrote."""
        return dict(self._writes[: bisect_left(self._rows, rows)])


_EXPLAINED_AS = {Skip: "skipped", Quarantine: "quarantined", Retry: "handed back"}


def _explained(record: object, outcomes: Outcomes) -> dict[str, object]:
    """Return a record and its outcome for a person to read."""
    outcomes.quarantine_invalid()
    [outcome] = outcomes.as_list()
    if isinstance(outcome, tuple):
        outputs = [{"role": each.role, "data": readable(each.data)} for each in outcome]
        return {"record": msgspec.to_builtins(record), "outputs": outputs}
    return {
        "record": msgspec.to_builtins(record),
        _EXPLAINED_AS[type(outcome)]: msgspec.to_builtins(outcome),
    }


def check_declared(pipeline: BasePipeline[Any] | type[BasePipeline[Any]]) -> None:
    """Check the attributes that a pipeline or its class declares.

    Raises:
        SettingsError: One of them cannot be used.
    """
    name = pipeline.name
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise SettingsError(
            f"pipeline {quoted(name)}: its name stands in ids and in names of objects: use letters, digits, _ . -"
        )
    namespace = getattr(pipeline, "state_namespace", None)
    if namespace is not None and not (isinstance(namespace, str) and _NAME.fullmatch(namespace)):
        raise SettingsError(
            f"pipeline {name}: state_namespace {quoted(namespace)} keeps its state apart from others': use letters, "
            "digits, _ . -"
        )
    for attribute in ("roles", "unordered_roles"):
        roles = getattr(pipeline, attribute)
        if isinstance(roles, str) or not all(isinstance(role, str) for role in roles):
            raise SettingsError(f"pipeline {name}: {attribute} is {quoted(roles)}: give a tuple or set of names")
    if unknown := sorted(set(pipeline.unordered_roles) - set(pipeline.roles)):
        raise SettingsError(f"pipeline {name}: unordered_roles has {', '.join(unknown)}, which roles has not")


AnyPipeline: TypeAlias = Pipeline[Any] | StatefulPipeline[Any]
