"""What the clusters of a tenant remember, and its bounds."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from app.domains.alerts.clusters.record import OpenCluster, Saying, SayingKey

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.domains.alerts.clusters.config import ClusterConfig
    from app.domains.alerts.clusters.entities import Entities
    from app.domains.alerts.clusters.regimes import Regimes
    from app.domains.alerts.clusters.scenes import Scenes

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
        self.clusters: OrderedDict[int, OpenCluster] = OrderedDict()
        self.sayings: OrderedDict[SayingKey, Saying] = OrderedDict()
        self.into: dict[int, int] = {}
        self.said_of: dict[str, int] = {}
        self.leaps = 0
        self.on_close: Callable[[OpenCluster], object] | None = None  # not part of the dump

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

    def open(self, time: float) -> OpenCluster:
        """A new cluster, without an alert."""
        record = self.clusters[self.next_id] = OpenCluster(self.next_id, time, self.clock)
        self.next_id += 1
        return record

    def current(self, cluster_id: int) -> int | None:
        """The cluster that this one is or has become part of; None if it never was, or is forgotten."""
        into = self.into
        while cluster_id in into:
            cluster_id = into[cluster_id]
        return cluster_id if cluster_id in self.clusters else None

    def merge(self, records: Sequence[OpenCluster], config: ClusterConfig) -> tuple[OpenCluster, tuple[int, ...]]:
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

    def close(self, record: OpenCluster) -> None:
        """Forgets a cluster, and its sayings with it."""
        if self.on_close is not None:
            self.on_close(record)
        del self.clusters[record.id]
        for ended in record.merged:
            self.into.pop(ended, None)
        for saying in record.sayings:
            self.forget(saying)
