"""The outputs of one alert: itself with its techniques, and what it changed in clusters and flows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.domains.alerts.records import (
    BecameRecord,
    ClusterRecord,
    EnrichedRecord,
    FlowRecord,
    encoded,
    key_of,
)
from app.domains.alerts.roles import ENRICHED, INCIDENTS, TICKETS
from app.domains.alerts.tickets import cluster_ticket, flow_ticket, tactics_of
from app.stream.outcomes import Output

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.domains.alerts.alert import EnrichedAlert
    from app.domains.alerts.attack import AttackTable
    from app.domains.alerts.flows.flows import FlowChange
    from app.domains.alerts.incidents import ClusterChange, ClusterSummary
    from app.domains.alerts.records import Change
    from app.domains.alerts.tenant import Observed


LONGEST_ID_KEY = 120  # characters: the key only spreads alerts over shards, and Kinesis counts some of them twice
_SECOND = 2  # alerts: with its second one a cluster is worth telling of


def outputs_of(alert: EnrichedAlert, observed: Observed, tenant: str, table: AttackTable) -> tuple[Output, ...]:
    """What goes to the three roles: most alerts repeat what is known and give one output only.

    Changes of a cluster, and of a flow, have a partition key of their own, so that they arrive in order.
    """
    change = observed.change
    record = EnrichedRecord(
        alert=alert.alert,
        techniques=alert.techniques,
        tactics=tactics_of(alert.techniques.ids, table),
        tenant=tenant,
        cluster_id=change.cluster_id,
        duplicate=change.duplicate,
    )
    first = Output(str(alert.alert.id)[:LONGEST_ID_KEY] or "-", encoded(record), ENRICHED)
    if observed.summary is None:
        return (first,)
    return (
        first,
        *_of_cluster(change, observed.summary, tenant),
        *(output for flow in observed.flows for output in _of_flow(flow, tenant)),
        *_tickets(observed, observed.summary, tenant, table),
    )


def _of_cluster(change: ClusterChange, summary: ClusterSummary, tenant: str) -> Iterator[Output]:
    word: Change = "merged" if change.merged else "opened" if summary.alerts == _SECOND else "grew"
    record = ClusterRecord(
        change=word, tenant=tenant, cluster_id=change.cluster_id, merged=change.merged, cluster=summary
    )
    yield Output(key_of(tenant, f"cluster/{change.cluster_id}"), encoded(record), INCIDENTS)
    for merged in change.merged:
        became = BecameRecord(tenant=tenant, cluster_id=merged, into=change.cluster_id)
        yield Output(key_of(tenant, f"cluster/{merged}"), encoded(became), INCIDENTS)


def _of_flow(change: FlowChange, tenant: str) -> Iterator[Output]:
    flow = change.flow
    word: Change = "opened" if change.opened else "merged" if change.merged else "grew"
    record = FlowRecord(change=word, tenant=tenant, flow_id=flow.flow_id, merged=change.merged, flow=flow)
    yield Output(key_of(tenant, f"flow/{flow.flow_id}"), encoded(record), INCIDENTS)


def _tickets(observed: Observed, summary: ClusterSummary, tenant: str, table: AttackTable) -> Iterator[Output]:
    """What tickets are made from: as in the files, with steps where a stream keeps no more of the alerts."""
    ticket = cluster_ticket(summary, (), table) | {"tenant": tenant, "steps": summary.steps}
    yield Output(key_of(tenant, f"cluster/{summary.cluster_id}"), encoded(ticket), TICKETS)
    for change in observed.flows:
        flow = change.flow
        ticket = flow_ticket(flow, (), (), table) | {"tenant": tenant, "steps": flow.nodes, "edges": flow.edges}
        yield Output(key_of(tenant, f"flow/{flow.flow_id}"), encoded(ticket), TICKETS)
