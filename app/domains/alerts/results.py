"""The results of a tenant's alerts as files: clusters, flows, tickets, metrics, and a STIX bundle for each flow.

Files under `input/` and the commands make them here, so that the same alerts give the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from app.domains.alerts import tickets
from app.domains.alerts.attack import attack_table
from app.domains.alerts.clusters.clusters import step_key
from app.domains.alerts.flows.flows import build_flows
from app.domains.alerts.flows.stix import bundle_of
from app.domains.alerts.flows.stix_check import check_bundle
from app.domains.alerts.report.tools import tool_files
from app.errors import UnprocessableError
from app.text import printable_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from app.domains.alerts.clusters.state import StepKey
    from app.domains.alerts.flows.config import FlowConfig
    from app.domains.alerts.incidents import ClusterSummary, Flow

MOST_FLOW_CLUSTERS = 5000  # the seed system's own window: the newest clusters that a flow may be made of
_ORDERED = msgspec.json.Encoder(order="deterministic")


@dataclass(frozen=True, slots=True)
class ResultCluster:
    """A cluster of the results.

    Attributes:
        summary: As it stands in the end.
        ids: The users' ids of its alerts, in the order in which they came.
        merged: Clusters that became part of it.
        events: Its first alerts as a ticket shows them, `event_row`.
        steps: The step of each of `ids`; empty if all belong to every flow of the cluster.
    """

    summary: ClusterSummary
    ids: Sequence[int | str]
    merged: Sequence[int] = ()
    events: Sequence[msgspec.Raw] = ()
    steps: Sequence[StepKey] = ()


def flows_of(summaries: Iterable[ClusterSummary], config: FlowConfig) -> list[Flow]:
    """Return the flows of clusters with their final counts."""
    return build_flows(summaries, attack_table(), config)


def result_files(
    clusters: Sequence[ResultCluster],
    flows: Iterable[Flow],
    others: Iterable[ClusterSummary],
    bundle: Callable[[Flow], bytes],
    tenant: str,
) -> dict[str, bytes]:
    """Return the files by their names.

    Args:
        clusters: Those with alerts of this input.
        flows: Flows; one without any of the clusters is left out.
        others: Further clusters that flows are made of.
        bundle: Makes a flow's Attack Flow bundle.
        tenant: The tenant.
    """
    table = attack_table()
    of = {each.summary.cluster_id: each for each in clusters}
    known = {each.cluster_id: each for each in others} | {each.summary.cluster_id: each.summary for each in clusters}
    mine = [flow for flow in flows if not of.keys().isdisjoint(flow.cluster_ids)]
    ids = {flow.flow_id: _ids_of(flow, of) for flow in mine}
    files = {
        "cluster.json": _ORDERED.encode(
            [tickets.cluster_row(each.summary, each.ids, each.merged, table) for each in clusters]
        ),
        "flow.json": _ORDERED.encode([tickets.flow_row(flow, ids[flow.flow_id]) for flow in mine]),
        "cluster_ticket_output.json": _ORDERED.encode_lines(
            [
                tickets.cluster_ticket(each.summary, each.events, table)
                for each in clusters
                if each.summary.alerts >= tickets.TICKET_ALERTS
            ]
        ),
        "flow_ticket_output.json": _ORDERED.encode_lines(
            [
                tickets.flow_ticket(
                    flow, ids[flow.flow_id], [known[each] for each in flow.cluster_ids if each in known], table
                )
                for flow in mine
            ]
        ),
        "global_metrics.json": _ORDERED.encode(tickets.global_metrics([each.summary for each in clusters])),
        **{f"flow-{flow.flow_id}.stix.json": bundle(flow) for flow in mine},
        **tool_files(mine, tenant),
    }
    return {name: printable_json(data) for name, data in files.items()}


def _ids_of(flow: Flow, clusters: Mapping[int, ResultCluster]) -> list[int | str]:
    """Return the ids of a flow's alerts: of each of its clusters, those of the steps that the flow has."""
    steps: dict[int, set[StepKey]] = {}
    for node in flow.nodes:
        steps.setdefault(node.cluster_id, set()).add(step_key(node.step.name, node.step.src, node.step.dst))
    found: list[int | str] = []
    for cluster in flow.cluster_ids:
        each = clusters.get(cluster)
        if each is not None:
            mine = steps.get(cluster) if each.steps else None
            rows = zip(each.ids, each.steps or (None,) * len(each.ids), strict=True)
            found += [id_ for id_, key in rows if mine is None or key in mine]
    return found


def flow_bundle(flow: Flow, tenant: str) -> bytes:
    """Return a tenant's flow as an Attack Flow bundle, the same bytes for the same flow.

    Raises:
        UnprocessableError: It breaks a rule of the format.
    """
    made = bundle_of(flow, attack_table(), tenant=tenant)
    if faults := check_bundle(made):
        raise UnprocessableError(f"flow {flow.flow_id}: its bundle breaks a rule of Attack Flow: {faults[0]}")
    return _ORDERED.encode(made)
