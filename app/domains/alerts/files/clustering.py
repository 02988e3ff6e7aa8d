"""A chunk's alerts into the clusters of their tenant, in this process: by the clusterer of the stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from app.domains.alerts.files.protocol import ChunkCluster
from app.domains.alerts.files.techniques import read_enriched
from app.domains.alerts.incidents import ClusterSummary  # noqa: TC001 - msgspec reads the field's type
from app.domains.alerts.membership import Membership
from app.domains.alerts.results import MOST_FLOW_CLUSTERS
from app.errors import StateConflictError, UnreadableStateError
from app.jobs.plan import put_json, read_chunk

if TYPE_CHECKING:
    from app.domains.alerts.files.protocol import ClusterCall, Context, TenantClusters
    from app.storage.objects import Objects

VERSION = 1  # of the form of a state; one of another version is refused, never guessed at
RECENT_BYTES = 16 * 1024 * 1024  # of summaries that are kept for flows: a function reads and writes so much in a second


class _State(msgspec.Struct, array_like=True):
    """The state between two chunks: the clusters, and the last summaries, those that were touched last at the end."""

    version: int
    clusters: bytes
    recent: list[ClusterSummary]


def cluster_chunk(context: Context, call: ClusterCall) -> None:
    """Put the next state, and then the answer about a chunk.

    Raises:
        StateConflictError: The state to start from is gone, since a newer one is there.
        UnreadableStateError: The state is not one that this version wrote.
    """
    objects = context.objects
    plan, index = read_chunk(objects, call.unique_id)
    state = _read_state(objects, call.state)
    try:
        clusters = context.jobs.local.clusters(state.clusters or None, plan.options.get("cluster_config", {}))
    except UnreadableStateError as error:
        raise UnreadableStateError(f"{objects.root}/{call.state}: {error}") from None
    members = Membership()
    clusters.on_close(members.close)
    for internal, alert in enumerate(read_enriched(objects, plan, call.unique_id), plan.chunks[index].first):
        [change] = clusters.add((alert,))
        members.join(change, internal)
    members.take_summaries(clusters)
    merges = members.merges()
    touched = {cluster: members.summaries[cluster] for cluster in members.ids}
    ended = {each for merged in merges.values() for each in merged} | touched.keys()
    recent = _bounded([*(each for each in state.recent if each.cluster_id not in ended), *touched.values()])
    rows = {cluster: (merges.get(cluster, []), summary) for cluster, summary in touched.items()}
    for cluster in call.wanted:
        _add_wanted(rows, clusters, members.current(cluster), cluster)
    if call.last:
        for each in recent:
            rows.setdefault(each.cluster_id, (merges.get(each.cluster_id, []), each))
    answer = [
        ChunkCluster(cluster_id=cluster, ids=members.ids.get(cluster, []), merged=sorted(set(merged)), summary=summary)
        for cluster, (merged, summary) in sorted(rows.items())
    ]
    next_state = _State(VERSION, clusters.dump(), recent)
    objects.put(call.next_state, msgspec.msgpack.encode(next_state))
    put_json(objects, call.response, answer)


def _add_wanted(
    rows: dict[int, tuple[list[int], ClusterSummary]], clusters: TenantClusters, current: int, wanted: int
) -> None:
    """Add a cluster of an earlier chunk as it is now, unless it is closed: then its last summary is known already."""
    now = clusters.current(current)
    summary = None if now is None else clusters.summary(now)
    if now is None or summary is None:
        return
    merged, _ = rows.get(now, ([], summary))
    rows[now] = ([*merged, wanted] if wanted != now else merged, summary)


def _bounded(recent: list[ClusterSummary]) -> list[ClusterSummary]:
    """Return the summaries that were touched last, as many as a flow may be made of and as fit."""
    left, kept = RECENT_BYTES, 0
    for each in reversed(recent[-MOST_FLOW_CLUSTERS:]):
        left -= len(msgspec.msgpack.encode(each))
        if left < 0:
            break
        kept += 1
    return recent[len(recent) - kept :]


def _read_state(objects: Objects, name: str | None) -> _State:
    if name is None:
        return _State(VERSION, b"", [])
    data = objects.get(name)
    if data is None:
        raise StateConflictError(f"{objects.root}/{name}: a newer state is there")
    try:
        state = msgspec.msgpack.decode(data, type=_State)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        state = None
    if state is None or state.version != VERSION:
        raise UnreadableStateError(
            f"{objects.root}/{name}: no state that this version wrote: restore it, or remove the head"
        )
    return state
