"""The clusters of a tenant as bytes, and back: each text once, packed."""

from __future__ import annotations

import zlib
from collections import OrderedDict
from typing import TYPE_CHECKING

import msgspec

from app.errors import CloudError
from app.pipelines.alerts.clusters.affinity import AlertType
from app.pipelines.alerts.clusters.record import ClusterRecord, Saying, StepRecord

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.pipelines.alerts.clusters.state import State

VERSION = 2  # of the form of the bytes
_LEVEL = 1  # of zlib: a third of the time of its default, for 3 to 9 % more bytes
_LARGEST = 256 * 1024 * 1024  # bytes of a state: more was not written by this


class _Step(msgspec.Struct, array_like=True, gc=False):
    technique: int
    kind: int
    name: int
    src: int
    dst: int
    start: float
    end: float
    alerts: int
    first_id: int | str


class _Cluster(msgspec.Struct, array_like=True, gc=False):
    id: int
    alerts: int
    told: int
    start: float
    end: float
    touched: float
    srcs: list[int]
    dsts: list[int]
    entities: list[int]
    techniques: list[int]
    steps: list[_Step]
    merged: list[int]


class _Saying(msgspec.Struct, array_like=True, gc=False):
    text: int
    technique: int
    src: int
    dst: int
    entities: list[int]
    last: float
    touched: float
    pace: float
    regime: list[int]
    cluster: int


class _State(msgspec.Struct, array_like=True):
    version: int
    next_id: int
    clock: float
    ahead: float
    texts: list[str]
    counts: list[tuple[int, int, int]]
    total: tuple[int, int]
    clusters: list[_Cluster]
    sayings: list[_Saying]
    into: list[tuple[int, int]]
    places: list[tuple[int, list[tuple[int, int, int]]]]
    scenes: list[tuple[int, list[int], int, float, int]]


def pack(state: State) -> bytes:
    """A state as bytes: the same for the same state."""
    texts: dict[str, int] = {}

    def at(text: str) -> int:
        return texts.setdefault(text, len(texts))

    def all_at(each: Iterable[str]) -> list[int]:
        return [at(text) for text in each]

    packed = _State(
        VERSION,
        state.next_id,
        state.clock,
        state.ahead,
        [],
        [(at(entity), *count) for entity, count in state.entities.counts.items()],
        state.entities.total,
        [
            _Cluster(
                each.id, each.alerts, each.told, each.start, each.end, each.touched,
                all_at(each.srcs), all_at(each.dsts), all_at(each.entities), all_at(each.techniques),
                [
                    _Step(
                        at(step.technique), at(key[0]), at(step.name), at(step.src), at(step.dst),
                        step.start, step.end, step.alerts, step.first_id,
                    )
                    for key, step in each.steps.items()
                ],
                each.merged,
            )
            for each in state.clusters.values()
        ],
        [
            _Saying(
                at(key[0]), at(key[1]), at(key[2]), at(key[3]), all_at(key[4]),
                each.last, each.touched, each.pace, all_at(each.regime), each.cluster.id,
            )
            for key, each in state.sayings.items()
        ],
        list(state.into.items()),
        [
            (at(place), [(at(text), *seen) for text, seen in types.items()])
            for place, types in state.regimes.places.items()
        ],
        [(at(place), all_at(regime), *found) for (place, regime), found in state.scenes.seen.items()],
    )  # fmt: skip
    packed.texts = list(texts)
    return zlib.compress(msgspec.msgpack.encode(packed), _LEVEL)


def unpack(data: bytes, state: State) -> None:
    """Fills a new state with what was packed.

    Raises:
        CloudError: The bytes are not what `pack` of this version gave.
    """
    try:
        plain = zlib.decompressobj()
        read = plain.decompress(data, _LARGEST)
        if not plain.eof or plain.unused_data:
            raise CloudError("state of clusters: is cut off or too large; restore or delete it")
        packed = msgspec.msgpack.decode(read, type=_State)
        if packed.version != VERSION:
            raise CloudError(
                f"state of clusters: has form {packed.version}, not {VERSION}; run the release that wrote it"
            )
        _fill(state, packed)
    except (zlib.error, msgspec.MsgspecError, IndexError, KeyError, ValueError) as error:
        raise CloudError(f"state of clusters: is not what was written ({error}); restore or delete it") from None


def _fill(state: State, packed: _State) -> None:
    texts = packed.texts

    def listed(places: Iterable[int]) -> dict[str, None]:
        return dict.fromkeys(texts[place] for place in places)

    state.next_id, state.clock, state.ahead = packed.next_id, packed.clock, packed.ahead
    state.entities.counts = OrderedDict((texts[place], (count, period)) for place, count, period in packed.counts)
    state.entities.total = packed.total
    state.into = dict(packed.into)
    state.regimes.places = OrderedDict(
        (texts[place], {texts[text]: (last, mask) for text, last, mask in types}) for place, types in packed.places
    )
    state.scenes.seen = OrderedDict(
        ((texts[place], tuple(texts[text] for text in regime)), (cluster, last, seconds))
        for place, regime, cluster, last, seconds in packed.scenes
    )
    for each in packed.clusters:
        record = ClusterRecord(each.id, each.start, each.touched)
        record.alerts, record.told, record.end, record.merged = each.alerts, each.told, each.end, each.merged
        record.srcs, record.dsts = listed(each.srcs), listed(each.dsts)
        record.entities, record.techniques = listed(each.entities), listed(each.techniques)
        for s in each.steps:
            src, dst = texts[s.src], texts[s.dst]
            step = StepRecord(texts[s.technique], texts[s.name], src, dst, s.start, s.end, s.alerts, s.first_id)
            record.steps[texts[s.kind], src, dst] = step
        state.clusters[record.id] = record
    for said in packed.sayings:
        record = state.clusters[said.cluster]
        kind = AlertType(texts[said.text], texts[said.technique])
        entities = tuple(texts[place] for place in said.entities)
        key = (kind.text, kind.technique, texts[said.src], texts[said.dst], entities)
        saying = Saying(kind, key, record)
        saying.last, saying.touched, saying.pace = said.last, said.touched, said.pace
        saying.regime = tuple(texts[place] for place in said.regime)
        state.remember(saying)
        state.leaps += saying.last > saying.touched
        record.sayings[saying] = None
