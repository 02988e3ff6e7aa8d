"""Steps 4 and 5: a run's chunks, one after the other, into the clusters of its tenant.

The order, with the effect of a crash at each point (`advance` and `commit` may be called at any time and any number of
times; each reads in the tenant's head how far the run is):

1. Clustering puts the state after the chunk. Nothing names it: a crash leaves an object that is written over.
2. It puts the answer. A crash after it: the answer is there, and starts step 5 all the same.
3. The head is committed, under a condition on the version that clustering started from. From here on the chunk counts
   as applied, once. A crash before it: the same answer is committed at the next try. Another file's chunk came first:
   nothing is written, the state of 1 is deleted, and the chunk is clustered again, from the state that the other left.
4. The answer's rows are put where the run's own files are. A crash before it: the next `advance` sees in the head
   which answer counted, and does it.
5. The state before the last one is deleted. Readers of the head that named it start again.
6. The next chunk is clustered; after the last one, the run's clusters are written and then the object that starts step
   6, which ends the run's part here. A crash before it: the repeated event comes to `advance`, which does it.

A head forgets a run when it is committed after the run's object for step 6 was written. Who does not find its run in a
head looks for that object then, and not before: it is there, or the run has not begun. Long afterwards, when the object
has expired, the run's manifest says the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.domains.alerts.files import layout
from app.domains.alerts.files.clustering import cluster_chunk
from app.domains.alerts.files.external import LARGEST_ANSWER_BYTES, answered_clusters, is_archive
from app.domains.alerts.files.flows import put_run_clusters
from app.domains.alerts.files.protocol import ChunkCluster, ClusterCall
from app.errors import CloudError, LocationError, StateConflictError
from app.jobs.head import Applied, Head, commit_head, load_head, state_key
from app.jobs.layout import manifest_name, state_name
from app.jobs.plan import decoded, get_within, need, put_json, read_chunk

if TYPE_CHECKING:
    from app.domains.alerts.files.protocol import Context
    from app.jobs.plan import ChunkPlan, RunPlan
    from app.storage.objects import Objects

STATE_TRIES = 5  # more files of one tenant than this seldom end a chunk within the same second


def create(context: Context, chunk: str) -> list[str]:
    """Step 4: start the clustering of a chunk if it is its turn; otherwise the chunk before it will.

    Returns:
        As `advance`.

    Raises:
        LocationError: There is no such chunk.
    """
    plan, index = read_chunk(context.objects, chunk)
    applied = _applied(context, plan, load_head(context.store, _key(context, plan)))
    if applied is not None and index != min(applied.chunks, len(plan.chunks) - 1):
        return []
    return advance(context, plan)


def commit(context: Context, chunk: str, version: int) -> list[str]:
    """Step 5: apply an answer to the tenant's clusters, unless it was or they have moved on; then go on.

    Returns:
        As `advance`.

    Raises:
        LocationError: The answer is not of its form, or there is no such chunk.
    """
    objects = context.objects
    plan, index = read_chunk(objects, chunk)
    run, key = plan.run, _key(context, plan)
    head = load_head(context.store, key)
    applied, state = _applied(context, plan, head), state_name(plan.tenant, version, chunk)
    if applied is not None and applied.chunks == index and head.version == version - 1:
        rows = _read_answer(objects, plan.chunks[index], version)  # nothing that cannot be read later may count
        runs = {
            each: done
            for each, done in head.runs.items()
            if each == run or done.chunks < done.of or not _end_of(objects, each)
        }
        runs[run] = Applied(index + 1, version, len(plan.chunks))
        try:
            commit_head(context.store, key, Head(version, state, head.state, runs))
        except StateConflictError:
            _delete_outdone(objects, load_head(context.store, key), state, version)
        else:
            put_json(objects, layout.chunk_clusters(chunk), rows)
            if head.before is not None:
                objects.delete(head.before)
    else:
        _delete_outdone(objects, head, state, version)
    return advance(context, plan)


def advance(context: Context, plan: RunPlan) -> list[str]:
    """Start the next step of a run, if it can be started.

    Returns:
        The name of the object that starts the next step; nothing while a chunk before is not done, or a job elsewhere
        has not answered.

    Raises:
        StateConflictError: Other files of the tenant were always quicker; it is to be tried again.
        CloudError: The state to start from is lost.
    """
    objects, run = context.objects, plan.run
    for _ in range(STATE_TRIES):
        head = load_head(context.store, _key(context, plan))
        applied = _applied(context, plan, head)
        if applied is None:
            return [_end_of(objects, run)]
        plan.check_form()
        if applied.chunks:
            _keep_answer(objects, plan.chunks[applied.chunks - 1], applied.version)
        if applied.chunks == len(plan.chunks):
            put_run_clusters(context, plan)
            return [layout.flow_request(run)]
        chunk = plan.chunks[applied.chunks].unique_id
        if not objects.exists(layout.cluster_request(chunk)):
            return []
        response = layout.cluster_response(chunk, head.version + 1)
        if objects.exists(response):
            return [response]
        context.check_time(f"run {run}")
        try:
            _cluster(context, _call(objects, plan, head, applied.chunks))
        except StateConflictError:
            _check_state(context, plan, head)
            continue  # the state to start from is gone: a newer one is there
        return [response] if objects.exists(response) else []
    raise StateConflictError(f"run {run}: {STATE_TRIES} times the state had moved on; it is to be tried again")


def _cluster(context: Context, call: ClusterCall) -> None:
    job = context.jobs.external.cluster
    if job is None:
        cluster_chunk(context, call)
    else:
        job.submit(context.objects, call)


def _check_state(context: Context, plan: RunPlan, head: Head) -> None:
    """Tell a state that was replaced, which passes, from one that was lost, which somebody has to mend.

    Raises:
        CloudError: It is lost.
    """
    if head.state is None or context.objects.exists(head.state):
        return
    if load_head(context.store, _key(context, plan)) == head:
        raise CloudError(
            f"{context.objects.root}/{head.state}: the clusters of tenant {plan.tenant!r} are not there: restore the "
            "object; objects below state/ must never expire"
        )


def _key(context: Context, plan: RunPlan) -> str:
    return state_key(layout.JOB, context.objects.root, plan.tenant)


def _delete_outdone(objects: Objects, head: Head, state: str, version: int) -> None:
    """Delete a state that another file's chunk was quicker than: nobody will name it."""
    if head.version >= version and state not in {head.state, head.before}:
        objects.delete(state)


def _applied(context: Context, plan: RunPlan, head: Head) -> Applied | None:
    """Return how far a run is by a head that was just read; None where it has ended."""
    found = head.runs.get(plan.run)
    if (found is None or found.chunks == found.of) and _end_of(context.objects, plan.run):
        return None
    return found or Applied(0, 0, len(plan.chunks))


def _end_of(objects: Objects, run: str) -> str:
    """Return the name of the object that shows that a run's clusters are all done; empty where there is none yet.

    It is the object that starts step 6. That may have expired with all else below `scratch/` when the same file is put
    again long afterwards: then its results are still there, and nothing of it may be applied a second time.
    """
    names = (layout.flow_request(run), manifest_name(run))
    return next((name for name in names if objects.exists(name)), "")


def _call(objects: Objects, plan: RunPlan, head: Head, index: int) -> ClusterCall:
    chunk, last = plan.chunks[index].unique_id, index + 1 == len(plan.chunks)
    wanted: set[int] = set()
    if last:
        for before in plan.chunks[:index]:
            rows = need(objects, layout.chunk_clusters(before.unique_id), list[ChunkCluster])
            wanted |= {row.cluster_id for row in rows}
    return ClusterCall(
        chunk,
        layout.cluster_request(chunk),
        head.state,
        state_name(plan.tenant, head.version + 1, chunk),
        layout.cluster_response(chunk, head.version + 1),
        tuple(sorted(wanted)),
        last,
    )


def _keep_answer(objects: Objects, chunk: ChunkPlan, version: int) -> None:
    """Put the answer that counted where the run's own files are, unless it is there."""
    name = layout.chunk_clusters(chunk.unique_id)
    if not objects.exists(name):
        put_json(objects, name, _read_answer(objects, chunk, version))


def _read_answer(objects: Objects, chunk: ChunkPlan, version: int) -> list[ChunkCluster]:
    name = layout.cluster_response(chunk.unique_id, version)
    answer, label = get_within(objects, name, LARGEST_ANSWER_BYTES), f"{objects.root}/{name}"
    if answer is None:
        raise LocationError(f"{label}: there is no such object: run the step before this one first")
    if is_archive(answer):
        return answered_clusters(answer, chunk, label)
    try:
        return decoded(answer, list[ChunkCluster], label)
    except LocationError:
        raise LocationError(
            f"{label}: no ZIP archive or list of clusters: delete it, and send the event of its input.json again"
        ) from None
