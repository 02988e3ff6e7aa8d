"""What the clusters of a tenant remember: its bounds, and its bytes."""

from __future__ import annotations

import zlib
from collections import OrderedDict
from typing import TYPE_CHECKING

import msgspec

from app.errors import CloudError
from app.pipelines.alerts.clusters.affinity import AlertType
from app.pipelines.alerts.clusters.record import ClusterRecord, Saying, SayingKey, StepRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from app.pipelines.alerts.clusters.config import ClusterConfig
    from app.pipelines.alerts.clusters.entities import Entities
    from app.pipelines.alerts.clusters.regimes import Regimes
    from app.pipelines.alerts.clusters.scenes import Scenes

VERSION = 2  # of the form of the bytes
_LEVEL = 1  # of zlib: a third of the time of its default, for 3 to 9 % more bytes
_LARGEST = 256 * 1024 * 1024  # bytes of a state: more was not written by this

NEVER = float("-inf")  # a time before any


class State:
    """What is remembered of one tenant.

    Attributes:
        entities: How often each was seen.
        regimes: What goes on at each target.
        scenes: Which cluster was what went on.
        next_id: Of the next cluster.
        clock: The latest time that two alerts have reached, or one without a jump; `NEVER` before the first.
        ahead: A time that the last alert reached by a jump; `NEVER` if it did not jump.
        clusters: By id, what changed last at the end.
        sayings: By what is said, what was said last at the end.
        into: What a merged cluster became part of.
        said_of: In how many sayings each entity is; it follows from them.
        leaps: How many sayings came at a time that is ahead of the clock by a jump; it follows from them too.
    """

    def __init__(self, entities: Entities, regimes: Regimes, scenes: Scenes) -> None:
        """Starts without an alert."""
        self.entities, self.regimes, self.scenes = entities, regimes, scenes
        self.next_id = 1
        self.clock = NEVER
        self.ahead = NEVER
        self.clusters: OrderedDict[int, ClusterRecord] = OrderedDict()
        self.sayings: OrderedDict[SayingKey, Saying] = OrderedDict()
        self.into: dict[int, int] = {}
        self.said_of: dict[str, int] = {}
        self.leaps = 0

    def advance(self, time: float, config: ClusterConfig) -> None:
        """Moves the clock to an alert's time; a time far ahead of it counts when a second alert is there too.

        So one alert with a wrong date cannot close every cluster.
        """
        if time <= self.clock:
            self.ahead = NEVER
        elif self.clock == NEVER or time - self.clock <= config.jump_s:
            self.clock, self.ahead = time, NEVER
        elif self.ahead == NEVER:
            self.ahead = time
        else:
            self.clock, self.ahead = min(time, self.ahead), NEVER

    def open(self, time: float) -> ClusterRecord:
        """A new cluster, without an alert."""
        record = self.clusters[self.next_id] = ClusterRecord(self.next_id, time, self.clock)
        self.next_id += 1
        return record

    def current(self, cluster_id: int) -> int | None:
        """The cluster that this one is or has become part of; None if it never was, or is forgotten."""
        into = self.into
        while cluster_id in into:
            cluster_id = into[cluster_id]
        return cluster_id if cluster_id in self.clusters else None

    def merge(self, records: Sequence[ClusterRecord], config: ClusterConfig) -> tuple[ClusterRecord, tuple[int, ...]]:
        """Makes some clusters one; gives it, and the ids that ended.

        The record with the most sayings takes the others, so that a saying moves seldom; the smallest id stays.
        """
        if len(records) == 1:
            return records[0], ()
        ids = [each.id for each in records]
        kept = max(records, key=lambda each: (len(each.sayings), -each.id))
        for each in sorted(records, key=lambda each: each.id):
            if each is not kept:
                kept.take(each, config.most_listed, config.most_steps)
        for ended in ids:
            del self.clusters[ended]
        self.clusters[kept.id] = kept
        merged = tuple(sorted(ended for ended in ids if ended != kept.id))
        for ended in merged:
            self.into[ended] = kept.id
        return kept, merged

    def bound(self, config: ClusterConfig) -> None:
        """Forgets what is long past, and what is too much: what changed longest ago goes first."""
        clusters, sayings, clock = self.clusters, self.sayings, self.clock
        while sayings:
            saying = next(iter(sayings.values()))
            if len(sayings) <= config.most_sayings and clock - saying.touched <= config.reach_s:
                break
            self.forget(saying)
            saying.cluster.sayings.pop(saying, None)
        while clusters:
            record = next(iter(clusters.values()))
            if len(clusters) <= config.most_clusters and clock - record.touched <= config.expiry_s:
                break
            self.close(record)
        while len(self.into) > config.most_merged:
            del self.into[next(iter(self.into))]

    def remember(self, saying: Saying) -> None:
        """Has a saying that is new compared with what follows."""
        self.sayings[saying.key] = saying
        said_of = self.said_of
        for entity in saying.entities:
            said_of[entity] = said_of.get(entity, 0) + 1

    def say(self, saying: Saying, time: float) -> None:
        """Has a saying as the one that was said last."""
        self.sayings.move_to_end(saying.key)
        self.leaps += (time > self.clock) - (saying.last > saying.touched)
        saying.last, saying.touched = time, self.clock

    def forget(self, saying: Saying) -> None:
        """Compares nothing with a saying any more; its cluster has yet to be told."""
        del self.sayings[saying.key]
        self.leaps -= saying.last > saying.touched
        said_of = self.said_of
        for entity in saying.entities:
            said_of[entity] -= 1
            if not said_of[entity]:
                del said_of[entity]

    def close(self, record: ClusterRecord) -> None:
        """Forgets a cluster, and its sayings with it."""
        del self.clusters[record.id]
        for ended in record.merged:
            self.into.pop(ended, None)
        for saying in record.sayings:
            self.forget(saying)


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
        packed = msgspec.msgpack.decode(read, type=_State)
        if packed.version != VERSION:
            raise CloudError(
                f"state of clusters: has form {packed.version}, not {VERSION}; run the release that wrote it"
            )
        _fill(state, packed)
    except (zlib.error, msgspec.MsgspecError, IndexError, KeyError) as error:
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
