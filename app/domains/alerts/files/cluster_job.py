"""Clusters in this process: a chunk's alerts through the clusterer of the stream, and its answer as a job's.

A cluster that is long past is closed and forgotten by the clusterer, perhaps within the chunk that it was of. So each
is looked at before the alerts' times go on so far that it might be closed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from app.domains.alerts.files.clusters import packed
from app.domains.alerts.files.flow_request import FLOW_CLUSTERS
from app.domains.alerts.files.plan import read_chunk
from app.domains.alerts.files.seam import AggregatedAlert, ClusterOutput
from app.domains.alerts.files.techniques import read_enriched
from app.domains.alerts.incidents import ClusterSummary  # noqa: TC001 - msgspec reads the field's type
from app.domains.alerts.tickets import numbers_of, tactics_of
from app.errors import StateConflictError, UnreadableStateError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from app.domains.alerts.alert import EnrichedAlert
    from app.domains.alerts.attack import AttackTable
    from app.domains.alerts.files.bucket import Bucket
    from app.domains.alerts.files.seam import ClusterCall
    from app.domains.alerts.incidents import ClusterChange

VERSION = 1  # of the form of a state; one of another version is refused, never guessed at
RECENT_BYTES = 16 * 1024 * 1024  # of summaries that are kept for flows: what a function reads and writes in a second


class TenantClusters(Protocol):
    """A tenant's clusters: `Clusters`."""

    def add(self, alerts: Sequence[EnrichedAlert]) -> Sequence[ClusterChange]:
        """What each alert changed."""

    def summary(self, cluster_id: int) -> ClusterSummary | None:
        """A cluster as it stands; None where it is no more."""

    def current(self, cluster_id: int) -> int | None:
        """What a cluster has become part of; None where it is no more."""

    def dump(self) -> bytes:
        """The clusters as bytes."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A tenant's clusters, and how long one is sure to be remembered.

    Attributes:
        clusters: As they were dumped.
        expiry_s: Of the alerts' time, after its last alert.
        most: Clusters that are open at once.
    """

    clusters: TenantClusters
    expiry_s: float
    most: int


class _State(msgspec.Struct, array_like=True):
    """What stands between two chunks: the clusters, and how those stood that were touched last, the latest last."""

    version: int
    clusters: bytes
    recent: list[ClusterSummary]


class ClustersJob:
    """Joins alerts by the clusterer of the stream."""

    def __init__(self, opens: Callable[[bytes | None, Mapping[str, Any]], Opened], table: AttackTable) -> None:
        """Takes what opens a tenant's clusters from a dump, None for a new tenant, and a file's `cluster_config`."""
        self._opens, self._table = opens, table

    def submit(self, bucket: Bucket, call: ClusterCall) -> None:
        """Puts the next state, and then the answer.

        Raises:
            StateConflictError: The state to start from is gone, since a newer one is there.
            UnreadableStateError: The state is not one that this version wrote.
        """
        plan, place = read_chunk(bucket, call.unique_id)
        state = _read_state(bucket, call.state)
        try:
            opened = self._opens(state.clusters or None, plan.cluster_config)
        except UnreadableStateError as error:
            raise UnreadableStateError(f"{bucket.root}/{call.state}: {error}") from None
        alerts = read_enriched(bucket, call.unique_id)
        added = _Added(opened)
        for each in alerts:
            added.add(each)
        added.look()
        recent = {each.cluster_id: each for each in state.recent if each.cluster_id not in added.into}
        for cluster, summary in added.summaries.items():
            recent.pop(cluster, None)
            recent[cluster] = summary
        bounded = _bounded(list(recent.values()))
        members = [added.now(cluster) for cluster in added.joined]
        aggregated = self._aggregated(alerts, members, plan.chunks[place].first)
        rows = _rows(added, members, aggregated, call.wanted, bounded if call.last else ())
        next_state = _State(VERSION, opened.clusters.dump(), bounded)
        bucket.put(call.next_state, msgspec.msgpack.encode(next_state))
        bucket.put(call.response, packed(rows, [row for row, _ in aggregated]))

    def _aggregated(
        self, alerts: Sequence[EnrichedAlert], members: Sequence[int], first: int
    ) -> list[tuple[AggregatedAlert, int]]:
        """Alerts of one cluster that say the same, as one row each, with its cluster."""
        groups: dict[tuple[int, str, str, str, tuple[str, ...]], list[int]] = {}
        for place, (each, cluster) in enumerate(zip(alerts, members, strict=True)):
            alert = each.alert
            groups.setdefault((cluster, alert.name, alert.src, alert.dst, each.techniques.ids), []).append(place)
        rows: list[tuple[AggregatedAlert, int]] = []
        for number, ((cluster, name, src, dst, techniques), places) in enumerate(groups.items()):
            tactics = tactics_of(techniques, self._table)
            times = [alerts[place].alert.time for place in places]
            row = AggregatedAlert(
                aggalert_id=number,
                ids=[first + place for place in places],
                tech=list(techniques),
                tac=numbers_of(tactics, self._table),
                stage=[self._table.stage_of(tactic) for tactic in tactics],
                start_time=min(times),
                finish_time=max(times),
                src=src,
                dst=dst,
                name=name,
            )
            rows.append((row, cluster))
        return rows


class _Added:
    """Adds alerts one by one, and knows how each cluster stood when it was last looked at.

    Attributes:
        joined: The cluster that each alert joined, as it was then.
        into: What a cluster became part of while they were added.
        summaries: How the clusters stand that were touched.
    """

    def __init__(self, opened: Opened) -> None:
        self.opened = opened
        self.joined: list[int] = []
        self.into: dict[int, int] = {}
        self.summaries: dict[int, ClusterSummary] = {}
        self._pending: dict[int, list[float]] = {}
        self._times: list[float] = []  # the lowest and the highest since the last look, and the last before it

    def add(self, each: EnrichedAlert) -> None:
        """Adds an alert, after a look at what it might close."""
        time = each.alert.time
        low, high = (min(self._times[0], time), max(self._times[1], time)) if self._times else (time, time)
        if high - low > self.opened.expiry_s or 2 * len(self._pending) >= self.opened.most:
            self.look()
            last = self._times[2] if self._times else time
            low, high = min(last, time), max(last, time)
        self._times = [low, high, time]
        [change] = self.opened.clusters.add((each,))
        self.joined.append(change.cluster_id)
        for merged in change.merged:
            self.into[merged] = change.cluster_id
            self.summaries.pop(merged, None)
            self._pending.setdefault(change.cluster_id, []).extend(self._pending.pop(merged, ()))
        self._pending.setdefault(change.cluster_id, []).append(time)

    def look(self) -> None:
        """Looks at each cluster that was touched since the last look."""
        for cluster, times in self._pending.items():
            summary = self.opened.clusters.summary(cluster)
            known = self.summaries.get(cluster)
            if summary is None and known is not None:  # closed since: what it has got after the last look is known
                summary = msgspec.structs.replace(
                    known,
                    alerts=known.alerts + len(times),
                    start_time=min(known.start_time, *times),
                    end_time=max(known.end_time, *times),
                )
            if summary is not None:
                self.summaries[cluster] = summary
        self._pending.clear()

    def now(self, cluster: int) -> int:
        """What a cluster has become part of in the end."""
        while cluster in self.into:
            cluster = self.into[cluster]
        return cluster


def _rows(
    added: _Added,
    members: Iterable[int],
    aggregated: Iterable[tuple[AggregatedAlert, int]],
    wanted: Iterable[int],
    recent: Iterable[ClusterSummary],
) -> list[ClusterOutput]:
    """The answer's rows: the clusters that were touched, those that are wanted as they are now, and the recent ones."""
    of: dict[int, list[int]] = {}
    for row, cluster in aggregated:
        of.setdefault(cluster, []).append(row.aggalert_id)
    summaries = {each.cluster_id: each for each in recent} | added.summaries
    merged: dict[int, set[int]] = {}
    for old in added.into:
        merged.setdefault(added.now(old), set()).add(old)
    for cluster in wanted:
        now = added.opened.clusters.current(added.now(cluster))
        if now is None:
            continue  # closed: what the run was told of it before is the last word
        if now != cluster:
            merged.setdefault(now, set()).add(cluster)
        summary = added.opened.clusters.summary(now)
        if summary is not None:
            summaries[now] = summary
    shown = dict.fromkeys((*members, *merged, *summaries))
    return [
        ClusterOutput(
            cluster_id=cluster,
            cluster_aggalertids=of.get(cluster, []),
            merged=sorted(merged.get(cluster, ())),
            summary=summaries.get(cluster),
        )
        for cluster in sorted(shown)
    ]


def _bounded(recent: list[ClusterSummary]) -> list[ClusterSummary]:
    """The summaries that were touched last, as many as a flow may be made of, and as there is room for."""
    room, kept = RECENT_BYTES, 0
    for each in reversed(recent[-FLOW_CLUSTERS:]):
        room -= len(msgspec.msgpack.encode(each))
        if room < 0:
            break
        kept += 1
    return recent[len(recent) - kept :]


def _read_state(bucket: Bucket, name: str | None) -> _State:
    if name is None:
        return _State(VERSION, b"", [])
    data = bucket.get(name)
    if data is None:
        raise StateConflictError(f"{bucket.root}/{name}: a newer state is there")
    try:
        state = msgspec.msgpack.decode(data, type=_State)
    except (msgspec.MsgspecError, ValueError):
        state = None
    if state is None or state.version != VERSION:
        raise UnreadableStateError(
            f"{bucket.root}/{name}: no state that this version wrote: restore it, or remove the head"
        )
    return state
