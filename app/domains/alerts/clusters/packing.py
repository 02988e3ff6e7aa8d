"""The clusters of a tenant as bytes, and back: each text once, packed."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import msgspec

from app.domains.alerts.clusters.affinity import AlertType
from app.domains.alerts.clusters.record import OpenCluster, Saying, StepRecord
from app.domains.alerts.packed import packed, unpacked
from app.errors import CloudError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.domains.alerts.clusters.state import State

VERSION = 2  # of the form of the bytes
WHAT = "state of clusters"


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

    whole = _State(
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
    whole.texts = list(texts)
    return packed(whole)


def unpack(data: bytes, state: State) -> None:
    """Fills a new state with what was packed.

    Raises:
        CloudError: The bytes are not what `pack` of this version gave.
    """
    found = unpacked(data, _State, VERSION, WHAT)
    try:
        _fill(state, found)
    except (IndexError, KeyError) as error:
        raise CloudError(f"{WHAT}: is not what was written ({error}); restore or delete it") from None


def _fill(state: State, whole: _State) -> None:
    texts = whole.texts

    def listed(places: Iterable[int]) -> dict[str, None]:
        return dict.fromkeys(texts[place] for place in places)

    state.next_id, state.clock, state.ahead = whole.next_id, whole.clock, whole.ahead
    state.entities.counts = OrderedDict((texts[place], (count, period)) for place, count, period in whole.counts)
    state.entities.total = whole.total
    state.into = dict(whole.into)
    state.regimes.places = OrderedDict(
        (texts[place], {texts[text]: (last, mask) for text, last, mask in types}) for place, types in whole.places
    )
    state.scenes.seen = OrderedDict(
        ((texts[place], tuple(texts[text] for text in regime)), (cluster, last, seconds))
        for place, regime, cluster, last, seconds in whole.scenes
    )
    for each in whole.clusters:
        record = OpenCluster(each.id, each.start, each.touched)
        record.alerts, record.told, record.end, record.merged = each.alerts, each.told, each.end, each.merged
        record.srcs, record.dsts = listed(each.srcs), listed(each.dsts)
        record.entities, record.techniques = listed(each.entities), listed(each.techniques)
        for s in each.steps:
            src, dst = texts[s.src], texts[s.dst]
            step = StepRecord(texts[s.technique], texts[s.name], src, dst, s.start, s.end, s.alerts, s.first_id)
            record.steps[texts[s.kind], src, dst] = step
        state.clusters[record.id] = record
    for said in whole.sayings:
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
