"""The clustering state of one tenant as bytes, and back. Each text is stored once and referred to by its index."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from app.domains.alerts.clusters.affinity import AlertType
from app.domains.alerts.clusters.state import NEVER, AlertSignature, OpenCluster, StepRecord
from app.domains.alerts.state_bytes import (
    Count,
    Index,
    Indexes,
    Number,
    Severity,
    Time,
    check_clock,
    load_state,
    pack_state,
    unpack_state,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.domains.alerts.clusters.state import State

VERSION = 4  # of the format; to be raised with any change of the structs below
_OLDEST = 2
"""The oldest version that is read: it has no `clock_latest`, and as 3 no severity, entities of steps and aliases."""
WHAT = "state of clusters"
# Lengths of lists are twice what `ClusterConfig` allows at most: a list is refused before it takes memory.
_MOST_LISTED = Meta(max_length=2_000)
_Listed = Annotated[list[Index], _MOST_LISTED]
_Bits = Annotated[int, Meta(ge=0, lt=2**40)]  # of `MEMORY_S` seconds


class _Step(msgspec.Struct, array_like=True, gc=False):
    technique: Index
    kind: Index
    name: Index
    src: Index
    dst: Index
    start: Time
    end: Time
    alerts: Count
    first_id: int | str
    number: Count = 0
    severity: Severity = None
    entities: Indexes = []


class _Cluster(msgspec.Struct, array_like=True, gc=False):
    id: Count
    alerts: Count
    last_notified_count: Count
    start: Time
    end: Time
    last_clock: float
    srcs: _Listed
    dsts: _Listed
    entities: _Listed
    techniques: _Listed
    steps: Annotated[list[_Step], Meta(max_length=2_000)]
    merged: Annotated[list[Count], Meta(max_length=2_000)]
    severity: Severity = None
    aliases: Annotated[list[tuple[Index, Index]], Meta(max_length=2_000)] = []


class _Signature(msgspec.Struct, array_like=True, gc=False):
    text: Index
    technique: Index
    src: Index
    dst: Index
    entities: Indexes
    last_time: float
    last_clock: float
    pace: Time
    recurring: Indexes
    cluster: Count


class _State(msgspec.Struct, array_like=True):
    version: int
    next_id: Count
    clock: float
    ahead: float
    texts: list[str]
    counts: Annotated[list[tuple[Index, Count, Number]], Meta(max_length=100_000)]
    total: tuple[Count, Number]
    clusters: Annotated[list[_Cluster], Meta(max_length=40_000)]
    signatures: Annotated[list[_Signature], Meta(max_length=40_000)]
    merged_into: Annotated[list[tuple[Count, Count]], Meta(max_length=100_000)]
    targets: Annotated[
        list[tuple[Index, Annotated[list[tuple[Index, Number, _Bits]], _MOST_LISTED]]], Meta(max_length=40_000)
    ]
    patterns: Annotated[list[tuple[Index, Indexes, Count, Time, Count]], Meta(max_length=40_000)]
    clock_latest: float = math.inf
    next_step: Count = 1
    ids: Annotated[list[Index], Meta(max_length=200_000)] = []  # digests of seven bytes


def pack(state: State) -> bytes:
    """Return a state as bytes; equal states give equal bytes."""
    texts: dict[str, int] = {}

    def index(text: str) -> int:
        return texts.setdefault(text, len(texts))

    def indexes(many: Iterable[str]) -> list[int]:
        return [index(text) for text in many]

    packed = _State(
        VERSION,
        state.next_id,
        state.clock,
        state.ahead,
        [],
        [(index(entity), *count) for entity, count in state.entities.counts.items()],
        state.entities.total,
        [
            _Cluster(
                each.id, each.alerts, each.last_notified_count, each.start, each.end, each.last_clock,
                indexes(each.srcs), indexes(each.dsts), indexes(each.entities), indexes(each.techniques),
                [
                    _Step(
                        index(step.technique), index(key[0]), index(step.name), index(step.src), index(step.dst),
                        step.start, step.end, step.alerts, step.first_id, step.number, step.severity,
                        indexes(step.entities),
                    )
                    for key, step in each.steps.items()
                ],
                each.merged, each.severity, [(index(name), index(address)) for name, address in each.aliases],
            )
            for each in state.clusters.values()
        ],
        [
            _Signature(
                index(key[0]), index(key[1]), index(key[2]), index(key[3]), indexes(key[4]),
                each.last_time, each.last_clock, each.pace, indexes(each.recurring), each.cluster.id,
            )
            for key, each in state.signatures.items()
        ],
        list(state.merged_into.items()),
        [
            (index(target), [(index(text), *seen) for text, seen in types.items()])
            for target, types in state.recurrence.targets.items()
        ],
        [(index(target), indexes(types), *found) for (target, types), found in state.patterns.seen.items()],
        state.clock_latest,
        state.next_step,
        list(state.ids),
    )  # fmt: skip
    packed.texts = list(texts)
    return pack_state(packed)


def unpack(data: bytes, state: State) -> None:
    """Fill a new state from bytes.

    Raises:
        UnreadableStateError: The bytes were not written by `pack` of this version.
    """
    packed = unpack_state(data, _State, VERSION, WHAT, oldest=_OLDEST)
    load_state(WHAT, lambda: _fill(state, packed))


def _check(packed: _State) -> None:
    """Raise a ValueError where a state could not be gone on with, although each of its parts is right."""
    ids = [each.id for each in packed.clusters]
    if len(set(ids)) < len(ids) or max(ids, default=0) >= packed.next_id:
        raise ValueError("ids of clusters")
    if not all(kept < ended for ended, kept in packed.merged_into):  # else one could lead back to itself
        raise ValueError("merged clusters")
    check_clock(packed.clock, packed.ahead, packed.clock_latest, *(each.last_clock for each in packed.clusters))
    check_clock(*(time for each in packed.signatures for time in (each.last_time, each.last_clock)))
    if math.isinf(packed.clock) and not packed.clock == packed.clock_latest == NEVER:
        raise ValueError("the clock")


def _fill(state: State, packed: _State) -> None:
    _check(packed)
    texts = packed.texts

    def as_set(indexes: Iterable[int]) -> dict[str, None]:
        return dict.fromkeys(texts[index] for index in indexes)

    state.next_id, state.clock, state.ahead = packed.next_id, packed.clock, packed.ahead
    state.clock_latest, state.next_step = packed.clock_latest, packed.next_step
    state.ids = dict.fromkeys(packed.ids)
    state.entities.counts = OrderedDict((texts[index], (count, period)) for index, count, period in packed.counts)
    state.entities.total = packed.total
    state.merged_into = dict(packed.merged_into)
    state.recurrence.targets = OrderedDict(
        (texts[target], {texts[text]: (latest, bits) for text, latest, bits in types})
        for target, types in packed.targets
    )
    state.patterns.seen = OrderedDict(
        ((texts[target], tuple(texts[text] for text in types)), (cluster, latest, seconds))
        for target, types, cluster, latest, seconds in packed.patterns
    )
    for row in packed.clusters:
        cluster = OpenCluster(row.id, row.start, row.last_clock)
        cluster.alerts, cluster.last_notified_count = row.alerts, row.last_notified_count
        cluster.end, cluster.merged, cluster.severity = row.end, row.merged, row.severity
        cluster.aliases = {(texts[name], texts[address]): None for name, address in row.aliases}
        cluster.srcs, cluster.dsts = as_set(row.srcs), as_set(row.dsts)
        cluster.entities, cluster.techniques = as_set(row.entities), as_set(row.techniques)
        for s in row.steps:
            src, dst = texts[s.src], texts[s.dst]
            number = s.number
            if not number:  # an earlier release's, which kept the steps by technique
                number, state.next_step = state.next_step, state.next_step + 1
            cluster.steps[texts[s.kind], src, dst] = StepRecord(
                texts[s.technique], texts[s.name], src, dst, s.start, s.end, s.alerts, s.first_id,
                number, s.severity, tuple(texts[each] for each in s.entities),
            )  # fmt: skip
        state.clusters[cluster.id] = cluster
    for each in packed.signatures:
        cluster = state.clusters[each.cluster]
        kind = AlertType(texts[each.text], texts[each.technique])
        entities = tuple(texts[index] for index in each.entities)
        key = (kind.text, kind.technique, texts[each.src], texts[each.dst], entities)
        signature = AlertSignature(kind, key, cluster)
        signature.last_time, signature.last_clock, signature.pace = each.last_time, each.last_clock, each.pace
        signature.recurring = tuple(texts[index] for index in each.recurring)
        state.add_signature(signature)
        state.ahead_signatures += signature.last_time > signature.last_clock
        cluster.signatures[signature] = None
    if len(state.signatures) < len(packed.signatures):
        raise ValueError("two signatures of one key")
