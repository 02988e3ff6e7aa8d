"""A run's results as the user gets them: clusters, flows, tickets, metrics, and a STIX bundle for each flow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.domains.alerts import tickets as rows
from app.domains.alerts.files.enrich import user_ids
from app.domains.alerts.files.plan import ORDERED, need
from app.domains.alerts.files.seam import json_lines
from app.domains.alerts.files.techniques import read_enriched
from app.domains.alerts.incidents import Flow, FlowNode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import msgspec

    from app.domains.alerts.attack import AttackTable
    from app.domains.alerts.files.bucket import Bucket
    from app.domains.alerts.files.flow_request import RunCluster
    from app.domains.alerts.files.plan import RunPlan
    from app.domains.alerts.files.room import Room
    from app.domains.alerts.files.seam import FlowOutput
    from app.domains.alerts.incidents import ClusterSummary


@dataclass(frozen=True)
class Results:
    """What a run comes to.

    Attributes:
        files: By name, for `output/<run>/`.
        tickets: What tickets are made from, once more for what comes after the run.
        flows: How many there are.
    """

    files: dict[str, bytes]
    tickets: bytes
    flows: int


def results_of(
    room: Room,
    plan: RunPlan,
    clusters: Sequence[RunCluster],
    summaries: Mapping[int, ClusterSummary],
    answered: Sequence[FlowOutput],
) -> Results:
    """Works out a run's results; nothing is written.

    Args:
        room: Where the run's files are.
        plan: The run's.
        clusters: The run's.
        summaries: Those and the others that flows may be made of.
        answered: What the flow job says.
    """
    bucket, table = room.bucket, room.table
    ids = [each for chunk in plan.chunks for each in need(bucket, user_ids(chunk.unique_id), list[int | str])]
    of = {each.summary.cluster_id: [ids[internal] for internal in each.ids] for each in clusters}
    flows = [
        flow_of(row, summaries)
        for row in answered
        if any(cluster in of for cluster in row.cluster_ids) and all(each in summaries for each in row.cluster_ids)
    ]
    in_flow = {flow.flow_id: [each for cluster in flow.cluster_ids for each in of.get(cluster, ())] for flow in flows}
    shown = _events(bucket, plan, clusters, table)
    tickets = json_lines(
        rows.cluster_ticket(each.summary, shown[each.summary.cluster_id], table)
        for each in clusters
        if each.summary.cluster_id in shown
    )
    mine = [each.summary for each in clusters]
    files = {
        "cluster.json": ORDERED.encode(
            [rows.cluster_row(each.summary, of[each.summary.cluster_id], each.merged, table) for each in clusters]
        ),
        "flow.json": ORDERED.encode([rows.flow_row(flow, in_flow[flow.flow_id]) for flow in flows]),
        "cluster_ticket_output.json": tickets,
        "flow_ticket_output.json": json_lines(
            rows.flow_ticket(flow, in_flow[flow.flow_id], [summaries[each] for each in flow.cluster_ids], table)
            for flow in flows
        ),
        "global_metrics.json": ORDERED.encode(rows.global_metrics(mine)),
    }
    if room.bundle is not None:
        files |= {f"flow-{flow.flow_id}.stix.json": room.bundle(flow, plan.tenant) for flow in flows}
    return Results(files, tickets, len(flows))


def _events(
    bucket: Bucket, plan: RunPlan, clusters: Sequence[RunCluster], table: AttackTable
) -> dict[int, list[msgspec.Raw]]:
    """The first alerts of each cluster that is worth a ticket, as it shows them; one chunk is held at a time."""
    wanted: dict[int, int] = {}
    shown: dict[int, list[msgspec.Raw]] = {}
    for each in clusters:
        if each.summary.alerts >= rows.TICKET_ALERTS:
            shown[each.summary.cluster_id] = []
            wanted |= dict.fromkeys(each.ids[: rows.TICKET_EVENTS], each.summary.cluster_id)
    for chunk in plan.chunks:
        for internal, alert in enumerate(read_enriched(bucket, chunk.unique_id), chunk.first):
            if internal in wanted:
                shown[wanted[internal]].append(rows.event_row(alert, table))
    return shown


def flow_of(row: FlowOutput, summaries: Mapping[int, ClusterSummary]) -> Flow:
    """A row's flow: as the job here built it, or its clusters' steps by time where a job elsewhere has told no more."""
    if row.flow is not None:
        return row.flow
    nodes = [
        FlowNode(f"{cluster}-{place}", cluster, "", step)
        for cluster in row.cluster_ids
        for place, step in enumerate(summaries[cluster].steps)
    ]
    mine = [summaries[cluster] for cluster in row.cluster_ids]
    return Flow(
        row.flow_id,
        tuple(row.cluster_ids),
        row.cluster_prob,
        tuple(sorted(nodes, key=lambda node: (node.step.start_time, node.cluster_id, node.id))),
        (),
        min(each.start_time for each in mine),
        max(each.end_time for each in mine),
    )
