"""A run's clusters once its chunks are all applied, and the request for flows that is made of them.

Both are worked out from the chunks' answers alone, so that they are the same however often they are written, and
whoever gave the answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from app.domains.alerts.files import layout
from app.domains.alerts.files.membership import Membership
from app.domains.alerts.files.plan import need, put_json
from app.domains.alerts.files.seam import AggregatedAlert, ClusterOutput
from app.domains.alerts.incidents import ClusterSummary  # noqa: TC001 - msgspec reads the field's type
from app.domains.alerts.tickets import numbers_of

if TYPE_CHECKING:
    from app.domains.alerts.attack import AttackTable
    from app.domains.alerts.files.bucket import Bucket
    from app.domains.alerts.files.plan import RunPlan
    from app.domains.alerts.files.room import Room

FLOW_CLUSTERS = 5000  # the seed's own window: the newest clusters that a flow may be made of


class FlowCluster(msgspec.Struct, frozen=True, kw_only=True):
    """A cluster as a flow job is given it; `summary` is ours.

    Attributes:
        cluster_id: Its id.
        campaign_id: None: campaigns are made elsewhere.
        cluster_starttime: Of its first alert.
        cluster_endtime: Of its last.
        cluster_srcips: Sources.
        cluster_dstips: Destinations.
        cluster_ips: Both, each once.
        cluster_techs: Technique ids.
        cluster_tacs: Tactics as numbers: 1 is TA0001.
        cluster_stages: Their places in the kill chain, from 0.
        summary: All that is known of it.
    """

    cluster_id: int
    campaign_id: int | None
    cluster_starttime: float
    cluster_endtime: float
    cluster_srcips: list[str]
    cluster_dstips: list[str]
    cluster_ips: list[str]
    cluster_techs: list[str]
    cluster_tacs: list[int]
    cluster_stages: list[int]
    summary: ClusterSummary


class FlowRequest(msgspec.Struct, frozen=True):
    """What a flow job is asked about a run: its clusters and those before them, the newest first."""

    request_id: str
    input: list[FlowCluster]
    config: dict[str, Any]


class RunCluster(msgspec.Struct, frozen=True):
    """A cluster of a run.

    Attributes:
        summary: As it stood at the run's end.
        ids: The internal ids of the run's alerts in it.
        merged: Clusters that became part of it while the run went on.
    """

    summary: ClusterSummary
    ids: list[int]
    merged: list[int]


def flow_request(run: str) -> str:
    """The name of what a flow job is asked about a run."""
    return f"{layout.FLOW_REQUEST}{run}/input_flow.json"


def flow_response(run: str) -> str:
    """The name of what it answers."""
    return f"{layout.FLOW_RESPONSE}{run}/input_flow.json.out"


def run_clusters(run: str) -> str:
    """The name of a run's clusters."""
    return f"{layout.INTERMEDIATE}{run}/cluster.json"


def put_flow_request(room: Room, plan: RunPlan) -> None:
    """Writes a run's clusters, and then the request for flows, unless it is there."""
    bucket = room.bucket
    if bucket.get(flow_request(plan.run)) is not None:
        return
    members = Membership()
    for chunk in plan.chunks:
        clusters = need(bucket, _chunk_file(chunk.unique_id, "cluster_output"), list[ClusterOutput])
        alerts = need(bucket, _chunk_file(chunk.unique_id, "agg_alert"), list[AggregatedAlert])
        members.add(clusters, alerts)
    missing = members.without_summary()
    if missing:
        members.describe(bucket, plan, missing, room.table)
    mine = [
        RunCluster(members.summaries[cluster], sorted(ids), members.merged_into(cluster))
        for cluster, ids in sorted(members.ids.items())
    ]
    put_json(bucket, run_clusters(plan.run), mine)
    newest = sorted(members.summaries.values(), key=lambda each: -each.cluster_id)[:FLOW_CLUSTERS]
    rows = [flow_cluster(summary, room.table) for summary in newest]
    put_json(bucket, flow_request(plan.run), FlowRequest("1", rows, plan.config))


def flow_cluster(summary: ClusterSummary, table: AttackTable) -> FlowCluster:
    """A cluster as a flow job is given it."""
    return FlowCluster(
        cluster_id=summary.cluster_id,
        campaign_id=None,
        cluster_starttime=summary.start_time,
        cluster_endtime=summary.end_time,
        cluster_srcips=list(summary.srcs),
        cluster_dstips=list(summary.dsts),
        cluster_ips=list(dict.fromkeys((*summary.srcs, *summary.dsts))),
        cluster_techs=list(summary.techniques),
        cluster_tacs=numbers_of(summary.tactics, table),
        cluster_stages=[table.stage_of(tactic) for tactic in summary.tactics],
        summary=summary,
    )


def _chunk_file(unique: str, part: str) -> str:
    return f"{layout.INTERMEDIATE}{unique}/{part}.json"


def read_clusters(bucket: Bucket, run: str) -> list[RunCluster]:
    """A run's clusters.

    Raises:
        LocationError: Its chunks are not all applied.
    """
    return need(bucket, run_clusters(run), list[RunCluster])
