"""The pipelines of the checker: outputs that depend on their record alone, or on all earlier ones of the key."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import msgspec

from app.stream.outcomes import Outcomes
from app.stream.pipeline import Pipeline, StatefulPipeline, StateWrites

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.stream.batch import Batch
    from app.stream.pipeline import Staged

ROLES = ("default", "copy", "loose")
LOOSE = "loose"  # the unordered one


class Moment(NamedTuple):
    """Conditions while a batch is processed.

    Attributes:
        version: The model's.
        is_early: Whether records of the kind `later` have to wait.
    """

    version: str = ""
    is_early: bool = False


class Item(msgspec.Struct, gc=False, omit_defaults=True):
    """An input record.

    Attributes:
        rid: Its number, in the order in which all records were put.
        kind: What becomes of it: `ok`, `skip`, `done`, `quarantine`, `raise`, `bad_output`, `too_few`, `later`.
        fan: Number of its outputs.
        pad: Bytes added to each.
    """

    rid: int
    kind: str = "ok"
    fan: int = 1
    pad: int = 0


class Product(msgspec.Struct, gc=False, omit_defaults=True):
    """An output.

    Attributes:
        rid: The record that it is of.
        part: Its number among the outputs of the record.
        version: Of the model that it was computed with.
        count: With state: how many records of the key there were.
        chain: With state: a digest over all of them.
        pad: What makes it larger.
    """

    rid: int
    part: int
    version: str = ""
    count: int = 0
    chain: str = ""
    pad: str = ""


class Chain(msgspec.Struct, gc=False):
    """The state of a key: how many records there were, a digest over all of them, and some weight."""

    count: int = 0
    digest: str = ""
    weight: str = ""

    def after(self, rid: int, weight: int) -> Chain:
        """Return the state after one more record."""
        digest = hashlib.md5(f"{self.digest}/{rid}".encode(), usedforsecurity=False).hexdigest()[:12]
        return Chain(self.count + 1, digest, "x" * weight)


_encode = msgspec.json.Encoder().encode
_chain = msgspec.json.Decoder(Chain)


def role_of(part: int, roles: int) -> str:
    """Return the role of a record's output."""
    return ROLES[part % roles]


class Echo(Pipeline[Item]):
    """Outputs that depend on their record alone."""

    name = "echo"
    record_type = Item
    roles = ROLES
    unordered_roles = frozenset({LOOSE})

    def __init__(self, roles: int, before: Callable[[int], Moment]) -> None:
        """Take the number of roles in use, and a function that returns the conditions of each batch."""
        self._roles, self._before = roles, before

    def process(self, batch: Batch[Item]) -> Outcomes:
        """Give each record its outputs."""
        version, is_early = self._before(len(batch))
        outcomes = Outcomes(len(batch) - _gives_too_few(batch))
        if _gives_too_few(batch):
            return outcomes
        for row, item in enumerate(batch.records):
            if _set_aside(outcomes, row, item, is_early=is_early):
                continue
            for part in range(item.fan):
                data = _encode(Product(item.rid, part, version, pad="x" * item.pad))
                outcomes.emit(row, batch.partition_keys[row], data, role=role_of(part, self._roles), version=version)
        return outcomes


class Chained(StatefulPipeline[Item]):
    """Outputs that depend on all earlier records of their key."""

    name = "chained"
    record_type = Item
    roles = ROLES
    unordered_roles = frozenset({LOOSE})
    shared: ClassVar[str] = "shared"

    def __init__(
        self, roles: int, before: Callable[[int], Moment], *, weight: int = 0, key_of: Callable[[str], str] = str
    ) -> None:
        """As `Echo`; a state's weight in bytes, and the state key of a partition key."""
        self._roles, self._before, self._weight, self._key_of = roles, before, weight, key_of

    def state_keys(self, batch: Batch[Item]) -> list[str]:
        """Return the state key of each record."""
        return [self._key_of(key) for key in batch.partition_keys]

    def process_with(self, batch: Batch[Item], state: Mapping[str, bytes]) -> Staged:
        """Give each record its outputs, and its key the state after it."""
        version, is_early = self._before(len(batch))
        chains = {key: _chain.decode(value) for key, value in state.items()}
        outcomes = Outcomes(len(batch) - _gives_too_few(batch))
        writes = StateWrites(outcomes)
        if _gives_too_few(batch):
            return writes
        for row, (item, key) in enumerate(zip(batch.records, self.state_keys(batch), strict=True)):
            if _set_aside(outcomes, row, item, is_early=is_early):
                continue
            chain = chains[key] = chains.get(key, Chain()).after(item.rid, self._weight)
            writes.write(row, key, _encode(chain))
            for part in range(item.fan):
                data = _encode(Product(item.rid, part, version, chain.count, chain.digest, "x" * item.pad))
                outcomes.emit(row, batch.partition_keys[row], data, role=role_of(part, self._roles), version=version)
        return writes


def _gives_too_few(batch: Batch[Item]) -> bool:
    """Return whether a record lets the pipeline break its contract: an outcome for each record."""
    return any(item.kind == "too_few" for item in batch.records)


def _set_aside(outcomes: Outcomes, row: int, item: Item, *, is_early: bool) -> bool:
    """Skip, quarantine or hand back a record that asks for it; return whether it asks for any of them."""
    if item.kind == "raise":
        raise ValueError(f"record {item.rid}")
    if item.kind == "later" and is_early:
        outcomes.retry(row, "too_early")
        return True
    if item.kind == "skip":
        outcomes.skip(row, "asked_for")
    elif item.kind == "done" or (item.kind in {"ok", "later"} and not item.fan):
        outcomes.done(row)
    elif item.kind == "bad_output":
        outcomes.emit(row, "x" * 300, b"{}")  # longer than a partition key may be
    elif item.kind == "quarantine":
        outcomes.quarantine(row, "asked_for", "the record asks for it")
    return item.kind not in {"ok", "later"}
