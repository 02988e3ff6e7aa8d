"""A step as flows see it: its entities with their roles, its severity, and its place in time. Also as stored bytes."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from app.domains.alerts.aliases import StoredAliases
from app.domains.alerts.clusters.clusters import type_text
from app.domains.alerts.entities import kind
from app.domains.alerts.flows.causality import CLUSTER, ITSELF, MENTIONED, PROBED, SOURCE, TARGET, Touch
from app.domains.alerts.flows.severity import HIGH, severity_of
from app.domains.alerts.incidents import Step
from app.domains.alerts.state_bytes import (
    Count,
    Index,
    Indexes,
    Number,
    Severity,
    Time,
    check_clock,
    pack_state,
    unpack_state,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.domains.alerts.aliases import AliasTable
    from app.domains.alerts.attack import AttackTable
    from app.domains.alerts.flows.causality import TechniqueOrder
    from app.domains.alerts.flows.clock import Clock

VERSION = 2  # of the stored format; to be raised with any change of the structs below
WHAT = "state of flows"
_MOST_STEPS = 100_000  # twice what `FlowConfig` allows
SLOT_S = 600  # alerts within ten minutes are counted as one time: a scan or an outbreak is one event
HOUR_S = 3_600
_INSIDE = frozenset({"inside", "name", "resource"})  # kinds of entities


class Node:
    """A step of a cluster.

    Attributes:
        number: The step's number.
        alone: Whether it may be an incident by itself, if it is critical; `Flows` sets it by how common its type is.
        cluster: Id of its cluster.
        step: The step.
        text: Text of its type.
        severity: 0 to 100, by its alerts or by its technique.
        entities: Its source, its target and its further entities in canonical form.
        keys: Its source, its target and its further entities as machines and users: an address by the name that it had.
        touches: By entity, the step's touch of it; the cluster counts as an entity of its steps.
        src: Its source as an entity; empty if it identifies nobody.
        dst: Its target.
        habit: Its type and where it comes: at its target, else its source.
        slots: The times at which it came: its first ten minutes, and its last if those are others.
        hours: The same in hours.
    """

    __slots__ = (
        "alone", "cluster", "dst", "entities", "habit", "hours", "keys", "number", "severity", "slots", "src", "step",
        "text", "touches",
    )  # fmt: skip

    def __init__(  # noqa: PLR0917 - all that a node is made of
        self,
        cluster: int,
        step: Step,
        entities: tuple[str, ...],
        keys: tuple[str, ...],
        table: AttackTable,
        order: TechniqueOrder,
    ) -> None:
        """Derive the attributes of a step."""
        self.alone = True
        self.number, self.cluster, self.step, self.entities, self.keys = step.number, cluster, step, entities, keys
        self.text = flow_type(step.name)
        self.severity = severity_of(step, table)
        self.src, self.dst, *others = keys
        self.habit = (self.text, self.dst or self.src)
        position = order.position(step.technique, table)
        self.touches: dict[str, Touch] = {}
        target = PROBED if self.src and not is_inside(self.src) and is_inside(self.dst) else TARGET
        roles = ((self.src, ITSELF),) if self.src == self.dst else ((self.src, SOURCE), (self.dst, target))
        mentioned = ((each, MENTIONED) for each in others)
        for entity, role in (*roles, *mentioned, (f"cluster {cluster}", CLUSTER)):
            if entity and entity not in self.touches:
                self.touches[entity] = Touch(step.start_time, position, step.number, step.end_time, role)
        self.slots = {int(step.start_time // SLOT_S), int(step.end_time // SLOT_S)}
        self.hours = {int(step.start_time // HOUR_S), int(step.end_time // HOUR_S)}

    @property
    def is_high(self) -> bool:
        """Return whether its severity is high, other than of a probe from outside, which every public server has."""
        return self.severity >= HIGH and (not self.src or is_inside(self.src))

    @property
    def sort_key(self) -> tuple[float, float, int]:
        """Return its place among other steps: by start, then the usual order of techniques."""
        return next(iter(self.touches.values()))[:3]


@functools.lru_cache(10_000)
def flow_type(name: str) -> str:
    """Return the text of a step's type: its name without numbers, ids, other placeholders and punctuation."""
    words = (word.strip(".,:;()[]'\"") for word in type_text(name).split())
    return " ".join(word for word in words if word and not any(each.isdigit() or each == "<" for each in word))


def is_inside(entity: str) -> bool:
    """Return whether an entity is a machine inside: a name, a resource, or an address that is not routed outside."""
    return kind(entity) in _INSIDE


class StoredFlows(msgspec.Struct, array_like=True):
    """The stored state of a tenant's flows; `now`, `ahead` and `horizon` are those of `Clock`."""

    version: int
    now: float
    ahead: tuple[Number, float] | None
    horizon: float
    texts: list[str]
    steps: Annotated[list[_Step], Meta(max_length=_MOST_STEPS)]
    aliases: StoredAliases


_BEGIN = StoredFlows(VERSION, -math.inf, None, -math.inf, [], [], StoredAliases())


class _Step(msgspec.Struct, array_like=True):
    """A step; texts by their index, times in full, since differences would lose bits."""

    number: Count
    cluster: Count
    technique: Index
    name: Index
    src: Index
    dst: Index
    start: Time
    end: Time
    alerts: Count
    first_id: int | str
    severity: Severity
    entities: Indexes
    keys: Indexes


def pack_flows(clock: Clock, nodes: Iterable[Node], aliases: AliasTable) -> bytes:
    """Return the clock, the steps and the aliases as bytes: each text once, steps in order of number."""
    texts: dict[str, int] = {}

    def index(text: str) -> int:
        return texts.setdefault(text, len(texts))

    steps = [
        _Step(
            node.number, node.cluster, index(step.technique), index(step.name), index(step.src), index(step.dst),
            step.start_time, step.end_time, step.alerts, step.first_id, step.severity,
            [index(each) for each in step.entities],
            [index(each) for each in node.keys],
        )
        for node in sorted(nodes, key=lambda each: each.number)
        for step in (node.step,)
    ]  # fmt: skip
    return pack_state(StoredFlows(VERSION, clock.now, clock.ahead, clock.horizon, list(texts), steps, aliases.dump()))


def unpack_flows(data: bytes) -> tuple[StoredFlows, list[tuple[int, Step, tuple[str, ...]]]]:
    """Return what `pack_flows` stored: the clock, the aliases, and each step with its cluster and its `Node.keys`.

    Flows of version 1 were made of whole clusters. They begin anew, since a state that is refused parks its tenant.

    Raises:
        UnreadableStateError: The bytes were not written by this version or an earlier one.
        ValueError: Their parts do not fit together.
        IndexError: A text is not there.
    """
    stored = unpack_state(data, StoredFlows, VERSION, WHAT, anew=_BEGIN)
    texts = stored.texts
    check_clock(stored.now, stored.horizon, *(stored.ahead or ())[1:])
    if len({each.number for each in stored.steps}) < len(stored.steps):
        raise ValueError("two steps of one number")
    return stored, [
        (
            each.cluster,
            Step(
                texts[each.technique], texts[each.name], texts[each.src], texts[each.dst],
                each.start, each.end, each.alerts, each.first_id, each.number, each.severity,
                tuple(texts[entity] for entity in each.entities),
            ),
            tuple(texts[key] for key in each.keys),
        )
        for each in stored.steps
    ]  # fmt: skip
