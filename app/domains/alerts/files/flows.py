"""Steps 6 and 7: a run's flows, and its results where the user looks.

All results are made before the first is written, and the manifest is written last: a run whose manifest is there is
complete, and nothing of it is written again. A crash before it: the step is done again, and writes the same bytes under
the same names.
"""

from __future__ import annotations

import functools
import hashlib
from typing import TYPE_CHECKING

import msgspec

from app.domains.alerts.attack import attack_table
from app.domains.alerts.clusters.clusters import step_key
from app.domains.alerts.files import external, layout
from app.domains.alerts.files.protocol import ChunkCluster, RunCluster, RunClusters
from app.domains.alerts.files.techniques import read_enriched
from app.domains.alerts.incidents import Flow
from app.domains.alerts.membership import Membership, summary_of
from app.domains.alerts.results import MOST_FLOW_CLUSTERS, ResultCluster, result_files
from app.domains.alerts.tickets import TICKET_ALERTS, TICKET_EVENTS, event_row
from app.jobs.layout import OUTPUT, manifest_name
from app.jobs.plan import get_within, need, put_json, read_plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.domains.alerts.alert import EnrichedAlert
    from app.domains.alerts.clusters.state import StepKey
    from app.domains.alerts.files.protocol import Context
    from app.jobs.plan import RunPlan
    from app.storage.objects import Objects


class ResultFile(msgspec.Struct, frozen=True):
    """One result: its name, its size and its digest."""

    name: str
    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A run's results; nothing in it would differ if the run were done again.

    Attributes:
        run: The run's name.
        file: The input object's name.
        sha256: Of its bytes.
        tenant: The owner of the alerts.
        alerts: How many.
        skipped: How many elements of the file could not be read: `skipped_events/`.
        clusters: How many the alerts are in.
        flows: How many those are in.
        files: The other files of the folder.
    """

    run: str
    file: str
    sha256: str
    tenant: str
    alerts: int
    skipped: int
    clusters: int
    flows: int
    files: list[ResultFile]


def put_run_clusters(context: Context, plan: RunPlan) -> None:
    """Write a run's clusters, and then the object that starts step 6, unless it is there."""
    objects, request = context.objects, layout.flow_request(plan.run)
    if objects.exists(request):
        return
    members = Membership()
    for chunk in plan.chunks:
        _add_answer(members, need(objects, layout.chunk_clusters(chunk.unique_id), list[ChunkCluster]))
    merges = members.merges()
    _describe(objects, plan, members, merges)
    mine = [
        RunCluster(members.summaries[cluster], sorted(ids), merges.get(cluster, []))
        for cluster, ids in sorted(members.ids.items())
    ]
    others = [each for cluster, each in members.summaries.items() if cluster not in members.ids]
    newest = sorted(others, key=lambda each: -each.cluster_id)[:MOST_FLOW_CLUSTERS]
    clusters = RunClusters(mine, newest)
    put_json(objects, layout.run_clusters(plan.run), clusters)
    if context.jobs.external.flow is None:
        put_json(objects, request, {"run": plan.run})
    else:
        summaries = clusters.summaries()[:MOST_FLOW_CLUSTERS]
        objects.put(request, external.flow_request(summaries, plan.options.get("config", {})))


def create_flow(context: Context, run: str) -> list[str]:
    """Step 6: make a run's flows, or submit them to a job elsewhere, unless that was done.

    Returns:
        The name of the object that starts step 7; nothing while the job has not answered.
    """
    objects, response = context.objects, layout.flow_response(run)
    if objects.exists(response):
        return [response]
    context.check_time(f"run {run}")
    plan, job = read_plan(objects, run), context.jobs.external.flow
    plan.check_form()
    if job is not None:
        job.submit(objects, layout.flow_request(run), response)
        return [response] if objects.exists(response) else []
    clusters = need(objects, layout.run_clusters(run), RunClusters)
    put_json(
        objects, layout.run_flows(run), context.jobs.local.flows(clusters.summaries(), plan.options.get("config", {}))
    )
    objects.put(response, b"")
    return [response]


def process_flow(context: Context, run: str) -> str:
    """Step 7: write a run's results, unless they are there.

    Returns:
        The manifest's name; empty while a job elsewhere has not answered.

    Raises:
        LocationError: The answer is not of its form, or a step before was not there.
    """
    objects, manifest = context.objects, manifest_name(run)
    if objects.exists(manifest):
        return manifest
    answer = get_within(objects, layout.flow_response(run), external.LARGEST_ANSWER_BYTES)
    if answer is None:
        return ""
    plan = read_plan(objects, run)
    plan.check_form()
    found = need(objects, layout.run_clusters(run), RunClusters)
    if answer:
        summaries = {each.cluster_id: each for each in found.summaries()}
        flows = external.answered_flows(answer, summaries, f"{objects.root}/{layout.flow_response(run)}")
    else:
        flows = need(objects, layout.run_flows(run), list[Flow])
    clusters = _result_clusters(objects, plan, found.clusters)
    bundle = functools.partial(context.jobs.local.bundle, tenant=plan.tenant)
    files = result_files(clusters, flows, found.others, bundle, plan.tenant)
    objects.put(layout.tickets(run), files["cluster_ticket_output.json"])
    for name, data in files.items():
        objects.put(f"{OUTPUT}{run}/{name}", data)
    report = Manifest(
        run=run,
        file=plan.file,
        sha256=plan.sha256,
        tenant=plan.tenant,
        alerts=sum(chunk.records for chunk in plan.chunks),
        skipped=plan.skipped,
        clusters=len(clusters),
        flows=sum(name.endswith(".stix.json") for name in files),
        files=[ResultFile(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in files.items()],
    )
    put_json(objects, manifest, report)
    return manifest


def _add_answer(members: Membership, rows: Sequence[ChunkCluster]) -> None:
    for row in rows:
        for merged in row.merged:
            members.merge(merged, row.cluster_id)
        if row.summary is not None:
            members.summaries[row.cluster_id] = row.summary
    for row in rows:
        if row.ids:
            members.ids.setdefault(members.current(row.cluster_id), []).extend(row.ids)


def _describe(objects: Objects, plan: RunPlan, members: Membership, merges: dict[int, list[int]]) -> None:
    """Make summaries from the run's own alerts where a job elsewhere has answered without any."""
    missing = members.ids.keys() - members.summaries.keys()
    of = {internal: cluster for cluster in missing for internal in members.ids[cluster]}
    alerts: dict[int, list[EnrichedAlert]] = {cluster: [] for cluster in missing}
    for chunk in plan.chunks:
        if any(chunk.first <= internal < chunk.first + chunk.records for internal in of):
            for internal, each in enumerate(read_enriched(objects, plan, chunk.unique_id), chunk.first):
                if internal in of:
                    alerts[of[internal]].append(each)
    for cluster, found in alerts.items():
        if found:
            members.summaries[cluster] = summary_of(cluster, found, attack_table(), merges.get(cluster, []))
        else:
            del members.ids[cluster]


def _result_clusters(objects: Objects, plan: RunPlan, clusters: Sequence[RunCluster]) -> list[ResultCluster]:
    """Return clusters with the users' ids and steps, and the first alerts of each that is worth a ticket."""
    ids = [each for chunk in plan.chunks for each in need(objects, layout.user_ids(chunk.unique_id), list[int | str])]
    events: dict[int, list[msgspec.Raw]] = {each.summary.cluster_id: [] for each in clusters}
    wanted = {
        internal: each.summary.cluster_id
        for each in clusters
        if each.summary.alerts >= TICKET_ALERTS
        for internal in each.ids[:TICKET_EVENTS]
    }
    steps: dict[int, StepKey] = {}
    for chunk in plan.chunks:  # one is held at a time
        for internal, alert in enumerate(read_enriched(objects, plan, chunk.unique_id), chunk.first):
            steps[internal] = step_key(alert.alert.name, alert.alert.src, alert.alert.dst)
            if internal in wanted:
                events[wanted[internal]].append(event_row(alert, attack_table()))
    return [
        ResultCluster(
            each.summary,
            [ids[internal] for internal in each.ids],
            each.merged,
            events[each.summary.cluster_id],
            [steps[internal] for internal in each.ids],
        )
        for each in clusters
    ]
