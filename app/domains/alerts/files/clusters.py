"""Steps 4 and 5: a run's chunks, one after the other, into the clusters of its tenant.

The order, and what happens when a step fails (`advance` and `commit` may be called at any time, by anybody, any number
of times; each finds out from the tenant's head how far the run is):

1. The job puts the state after the chunk. Nothing names it: a crash leaves an object that is written over.
2. The job puts the response. A crash after it: the response is there, and starts step 5 all the same.
3. The head is committed, under a condition on the version that the job started from. From here on the chunk counts as
   applied, once. A crash before it: the same response is committed at the next try. Another file's chunk came first:
   nothing is written, the state of 1 is deleted, and the job is asked again, from the state that the other has left.
4. The response is put where the run's own files are. A crash before it: the next `advance` sees in the head which
   response was the one that counts, and does it.
5. The state before the last one is deleted. Readers of the head that named it start again.
6. The next chunk's job is started; after the last one, the request for flows is written, which ends the run's part
   here. A crash before it: the repeated event comes to `advance`, which does it.

A head forgets a run when it is committed after the run's request for flows was written. Who does not find its run in a
head looks for that request then, and not before: it is there, or the run has not begun. Long afterwards, when the
request has expired, the run's manifest says the same.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from typing import TYPE_CHECKING

from app.domains.alerts.files import layout
from app.domains.alerts.files.flow_request import flow_request, put_flow_request
from app.domains.alerts.files.head import Applied, Head, commit_head, load_head, state_key
from app.domains.alerts.files.plan import ORDERED, decoded, need, put_json, read_chunk
from app.domains.alerts.files.seam import (
    ALERT_MEMBER,
    CLUSTER_MEMBER,
    AggregatedAlert,
    ClusterCall,
    ClusterOutput,
)
from app.domains.alerts.files.techniques import cluster_request
from app.errors import CloudError, LocationError, StateConflictError, UnprocessableError

if TYPE_CHECKING:
    from app.domains.alerts.files.bucket import Bucket
    from app.domains.alerts.files.plan import RunPlan
    from app.domains.alerts.files.room import Room

_RESPONSE = re.compile(
    re.escape(layout.CLUSTER_RESPONSE) + r"(?P<unique>[^/]+\.\d+)/(?P<version>\d{1,18})/input\.zip\.out"
)
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # the first date that a ZIP archive can have: the same bytes at any time
STATE_TRIES = 5  # more files of one tenant than this seldom end a chunk within the same second


def cluster_response(unique: str, version: int) -> str:
    """The name of the answer about a chunk that makes a version of the tenant's state."""
    return f"{layout.CLUSTER_RESPONSE}{unique}/{version:012d}/input.zip.out"


def chunk_and_version(name: str) -> tuple[str, int]:
    """The chunk that a response is about, and the version that it makes.

    Raises:
        UnprocessableError: It is no name of a response.
    """
    found = _RESPONSE.fullmatch(name)
    if found is None:
        raise UnprocessableError(f"{layout.CLUSTER_RESPONSE}…: no response about clusters has this name")
    return found["unique"], int(found["version"])


def cluster_output(unique: str) -> str:
    """The name of a chunk's rows of clusters, once they count."""
    return f"{layout.INTERMEDIATE}{unique}/{CLUSTER_MEMBER}"


def aggregated_alerts(unique: str) -> str:
    """The name of a chunk's rows of aggregated alerts, once they count."""
    return f"{layout.INTERMEDIATE}{unique}/agg_alert.json"


def state_name(tenant: str, version: int, unique: str) -> str:
    """The name of a tenant's state after a chunk."""
    return f"{layout.STATE}{layout.tenant_slug(tenant)}/{version:012d}-{unique}"


def packed(clusters: list[ClusterOutput], alerts: list[AggregatedAlert]) -> bytes:
    """A response about clusters, as the ZIP archive that it travels in."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, rows in ((CLUSTER_MEMBER, clusters), (ALERT_MEMBER, alerts)):
            archive.writestr(zipfile.ZipInfo(name, _EARLIEST), ORDERED.encode(rows), zipfile.ZIP_DEFLATED)
    return target.getvalue()


def unpacked(data: bytes, what: str) -> tuple[list[ClusterOutput], list[AggregatedAlert]]:
    """What a response about clusters holds.

    Raises:
        LocationError: It is no archive with both lists in it.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            clusters, alerts = archive.read(CLUSTER_MEMBER), archive.read(ALERT_MEMBER)
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, OSError, ValueError, RuntimeError):
        raise LocationError(f"{what}: no ZIP archive with {CLUSTER_MEMBER} and {ALERT_MEMBER}") from None
    return (
        decoded(clusters, list[ClusterOutput], f"{what}: {CLUSTER_MEMBER}"),
        decoded(alerts, list[AggregatedAlert], f"{what}: {ALERT_MEMBER}"),
    )


def create(room: Room, unique: str) -> list[str]:
    """Step 4: starts the clustering of a chunk if it is its turn; otherwise the chunk before it will.

    Returns:
        As `advance`.

    Raises:
        LocationError: There is no such chunk.
    """
    plan, place = read_chunk(room.bucket, unique)
    applied = _applied(room, plan, load_head(room.store, state_key(room.bucket.root, plan.tenant)))
    if applied is not None and place != min(applied.chunks, len(plan.chunks) - 1):
        return []
    return advance(room, plan)


def commit(room: Room, unique: str, version: int) -> list[str]:
    """Step 5: applies a response to the tenant's clusters, unless it was or they have moved on; then goes on.

    Returns:
        As `advance`.

    Raises:
        LocationError: The response is not of its form, or there is no such chunk.
    """
    plan, place = read_chunk(room.bucket, unique)
    run, key = plan.run, state_key(room.bucket.root, plan.tenant)
    head = load_head(room.store, key)
    applied, state = _applied(room, plan, head), state_name(plan.tenant, version, unique)
    if applied is not None and applied.chunks == place and head.version == version - 1:
        name = cluster_response(unique, version)
        answer = _read_response(room.bucket, name)  # nothing that cannot be read later may count
        runs = {
            each: done
            for each, done in head.runs.items()
            if each == run or done.chunks < done.of or not _end_of(room.bucket, each)
        }
        runs[run] = Applied(place + 1, version, len(plan.chunks))
        try:
            commit_head(room.store, key, Head(version, state, head.state, runs))
        except StateConflictError:
            _delete_outdone(room.bucket, load_head(room.store, key), state, version)
        else:
            _put_output(room.bucket, unique, *answer)
            if head.before is not None:
                room.bucket.delete(head.before)
    else:
        _delete_outdone(room.bucket, head, state, version)
    return advance(room, plan)


def _delete_outdone(bucket: Bucket, head: Head, state: str, version: int) -> None:
    """Deletes a state that another file's chunk was quicker than: it was made for nothing, and nobody will name it."""
    if head.version >= version and state not in {head.state, head.before}:
        bucket.delete(state)


def advance(room: Room, plan: RunPlan) -> list[str]:
    """Starts whatever comes next for a run, if it can be started.

    Returns:
        The name of the response, or of the request for flows, that starts the next step; nothing while a chunk before
        is not done, or a job has not answered.

    Raises:
        StateConflictError: Other files of the tenant were always quicker; it is to be tried again.
        CloudError: The state to start from is lost.
    """
    bucket, run = room.bucket, plan.run
    for _ in range(STATE_TRIES):
        head = load_head(room.store, state_key(bucket.root, plan.tenant))
        applied = _applied(room, plan, head)
        if applied is None:
            return [_end_of(bucket, run)]
        if applied.chunks:
            _extract(bucket, plan.chunks[applied.chunks - 1].unique_id, applied.version)
        if applied.chunks == len(plan.chunks):
            put_flow_request(room, plan)
            return [flow_request(run)]
        unique = plan.chunks[applied.chunks].unique_id
        if bucket.get(cluster_request(unique)) is None:
            return []
        response = cluster_response(unique, head.version + 1)
        if bucket.get(response) is None:
            room.check_time(f"run {run}")
            try:
                room.jobs.cluster.submit(bucket, _call(bucket, plan, head, applied.chunks))
            except StateConflictError:
                _check_state(room, plan, head)
                continue  # the state that the job was to start from is gone: a newer one is there
        return [response] if bucket.get(response) is not None else []
    raise StateConflictError(f"run {run}: {STATE_TRIES} times the state had moved on; it is to be tried again")


def _check_state(room: Room, plan: RunPlan, head: Head) -> None:
    """Tells a state that was replaced, which passes, from one that was lost, which somebody has to mend.

    Raises:
        CloudError: It is lost.
    """
    if head.state is None or room.bucket.get(head.state) is not None:
        return
    if load_head(room.store, state_key(room.bucket.root, plan.tenant)) == head:
        raise CloudError(
            f"{room.bucket.root}/{head.state}: the clusters of tenant {plan.tenant!r} are not there: restore the "
            "object; objects below state/ must never expire"
        )


def _applied(room: Room, plan: RunPlan, head: Head) -> Applied | None:
    """How far a run is by a head that was just read; None where it has ended."""
    found = head.runs.get(plan.run)
    if (found is None or found.chunks == found.of) and _end_of(room.bucket, plan.run):
        return None
    return found or Applied(0, 0, len(plan.chunks))


def _end_of(bucket: Bucket, run: str) -> str:
    """The name of the object that shows that a run's clusters are all done; empty where there is none yet.

    It is the request for flows. That may have expired with all else below `scratch/` when the same file is put again
    long afterwards: then its results are still there, and nothing of it may be applied a second time.
    """
    names = (flow_request(run), layout.manifest_name(run))
    return next((name for name in names if bucket.get(name) is not None), "")


def _call(bucket: Bucket, plan: RunPlan, head: Head, place: int) -> ClusterCall:
    unique, last = plan.chunks[place].unique_id, place + 1 == len(plan.chunks)
    wanted: set[int] = set()
    if last:
        for chunk in plan.chunks[:place]:
            wanted |= {row.cluster_id for row in need(bucket, cluster_output(chunk.unique_id), list[ClusterOutput])}
    return ClusterCall(
        unique,
        cluster_request(unique),
        head.state,
        state_name(plan.tenant, head.version + 1, unique),
        cluster_response(unique, head.version + 1),
        tuple(sorted(wanted)),
        last,
    )


def _extract(bucket: Bucket, unique: str, version: int) -> None:
    """Puts the response that counted where the run's own files are, unless it is there."""
    if bucket.get(cluster_output(unique)) is None:
        _put_output(bucket, unique, *_read_response(bucket, cluster_response(unique, version)))


def _put_output(bucket: Bucket, unique: str, clusters: list[ClusterOutput], alerts: list[AggregatedAlert]) -> None:
    put_json(bucket, aggregated_alerts(unique), alerts)
    put_json(bucket, cluster_output(unique), clusters)  # the last: where it is, both are


def _read_response(bucket: Bucket, name: str) -> tuple[list[ClusterOutput], list[AggregatedAlert]]:
    data = bucket.get(name)
    if data is None:
        raise LocationError(f"{bucket.root}/{name}: there is no such object: run the step before this one first")
    return unpacked(data, f"{bucket.root}/{name}")
