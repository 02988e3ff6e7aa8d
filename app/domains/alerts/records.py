"""Records that the pipelines of alerts read from a stream and emit, by role.

enriched    every alert with its techniques and cluster
incidents   changes of clusters and flows: cluster, flow, and what became part of another
tickets     contents of a ticket for each changed cluster and flow
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from app.domains.alerts.alert import Alert, AlertFault, EnrichedAlert, Techniques
from app.domains.alerts.attack import attack_table
from app.domains.alerts.flows.flows import Word  # noqa: TC001 - msgspec reads the type
from app.domains.alerts.formats import own
from app.domains.alerts.formats.reading import readings_of
from app.domains.alerts.formats.values import tenant_name
from app.domains.alerts.incidents import ClusterSummary, Flow  # noqa: TC001 - msgspec reads the types
from app.domains.alerts.tenancy import TENANT_MISMATCH, key_of
from app.domains.alerts.tickets import cluster_ticket, flow_ticket, tactics_of
from app.stream.outcomes import Output
from app.text import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.domains.alerts.attack import AttackTable
    from app.domains.alerts.flows.flows import FlowChange
    from app.domains.alerts.formats.reading import Reading
    from app.domains.alerts.incidents import ClusterChange
    from app.domains.alerts.tenant import Observed

ENRICHED, INCIDENTS, TICKETS = "enriched", "incidents", "tickets"
"""Stream roles."""
TECHNIQUE_ROLES = (ENRICHED,)
"""The roles of `alerts-technique`."""
ALERT_ROLES = (ENRICHED, INCIDENTS, TICKETS)
"""The roles of `alerts`."""

LONGEST_ID_KEY = 120  # characters of an alert's id as a key, which spreads alerts over shards: Kinesis counts UTF-16
_SECOND = 2  # alerts: a cluster is first reported with its second one
_OWN = b'{"alert":'  # beginning of an enriched alert of our own

Change: TypeAlias = Literal["opened", "grew", "merged"]


class EnrichedRecord(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A record of the role `enriched`, without the `id` and `source` that the spine adds.

    Attributes:
        alert: The alert as it was read.
        techniques: Its techniques, ids of ATT&CK v19.
        tactics: Short names of the techniques' tactics.
        tenant: Its tenant.
        cluster_id: The cluster that it joined; None if it is in none.
        skipped: Why it is in no cluster; empty if it is in one.
        duplicate: Whether an alert with the same signature came in the same second before.
        event_time: The time that the alert was clustered as of, if its own lies beyond its arrival; else None.
    """

    alert: Alert
    techniques: Techniques
    tactics: tuple[str, ...] = ()
    tenant: str = ""
    cluster_id: int | None = None
    duplicate: bool = False
    event_time: float | None = None
    skipped: str = ""


class ClusterRecord(msgspec.Struct, kw_only=True, tag_field="type", tag="cluster"):
    """A changed cluster, in the role `incidents`.

    Attributes:
        change: `opened` with its second alert, `grew`, or `merged` with the clusters in `merged`.
        tenant: Its tenant.
        cluster_id: Its id.
        merged: Clusters that became part of it by this change.
        cluster: The cluster as it stands.
    """

    change: Change
    tenant: str
    cluster_id: int
    merged: tuple[int, ...]
    cluster: ClusterSummary


class BecameRecord(msgspec.Struct, kw_only=True, tag_field="type", tag="cluster"):
    """A cluster that became part of another, in the role `incidents`: the last record with its partition key.

    Attributes:
        change: `became`.
        tenant: Its tenant.
        cluster_id: The cluster that ended.
        into: The cluster that has its alerts now.
    """

    change: Literal["became"] = "became"
    tenant: str
    cluster_id: int
    into: int


class FlowRecord(msgspec.Struct, kw_only=True, tag_field="type", tag="flow"):
    """A changed attack flow, in the role `incidents`.

    Attributes:
        change: `opened`, `grew`, `merged` with the flows in `merged`, `shrank`, or `closed`; `flow.reasons` say why.
        tenant: Its tenant.
        flow_id: Its id.
        merged: Flows that became part of it by this change.
        flow: The flow as it stands.
    """

    change: Word
    tenant: str
    flow_id: int
    merged: tuple[int, ...]
    flow: Flow


class FlowBecameRecord(msgspec.Struct, kw_only=True, tag_field="type", tag="flow"):
    """A flow that became part of another, in the role `incidents`: the last record with its partition key.

    Attributes:
        change: `became`.
        tenant: Its tenant.
        flow_id: The flow that ended.
        into: The flow that has its steps now.
    """

    change: Literal["became"] = "became"
    tenant: str
    flow_id: int
    into: int


class _Enriched(msgspec.Struct):
    """The part of an `EnrichedRecord` that is read; its alert is checked like any other, since anyone may write it."""

    alert: dict[str, Any]
    techniques: Techniques
    tenant: str = ""


_MOST_COUNTED = 100  # alerts behind the first fault of a record: the text `{}{}…` may hold half a million


class TextDecoder:
    """Decoder that returns the text: an alert may be a line that is not JSON, dated by its arrival."""

    def decode(self, buf: bytes, /) -> bytes:
        """Return the text."""
        return buf


def read_record(text: bytes, received: float | None = None) -> list[Alert | EnrichedAlert]:
    """Return the alerts in a stream's record, of any format or as `alerts-technique` has enriched one.

    Args:
        text: UTF-8.
        received: Arrival, seconds since 1970; a time without a year is the latest before it.

    Raises:
        AlertFault: The record has none, or one of them cannot be read: a record is used as a whole or set aside.
    """
    if not text.startswith(_OWN):
        return _alerts_of(readings_of(text, received=received))
    try:
        enriched = _ENRICHED.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):  # a record of another format may begin like this too
        return _alerts_of(readings_of(text, received=received))
    tenant = tenant_name(enriched.tenant, "tenant")
    alert = own.read(enriched.alert, tenant)
    if tenant and alert.tenant != tenant:
        message = f"the record is of the tenant {quoted(tenant)}, and its alert of {quoted(alert.tenant)}: send one"
        raise AlertFault(TENANT_MISMATCH, message)
    if all(each in attack_table().techniques for each in enriched.techniques.ids):
        return [EnrichedAlert(alert, enriched.techniques)]
    return [alert]  # enriched with another version of ATT&CK: its techniques are resolved again


def _alerts_of(readings: Iterator[Reading]) -> list[Alert | EnrichedAlert]:
    """Return the alerts of a record.

    Raises:
        AlertFault: It has none, or one cannot be read: those behind it are not looked at.
    """
    alerts: list[Alert | EnrichedAlert] = []
    for each in readings:
        if each.alert is not None:
            alerts.append(each.alert)
        elif each.fault is not None:
            raise _of_several(each.fault, len(alerts), readings)
    if not alerts:
        raise AlertFault("not_one_alert", "the record holds no alerts; send a record with one or several")
    return alerts


def _of_several(fault: AlertFault, before: int, readings: Iterator[Reading]) -> AlertFault:
    """Return the fault of an alert, which says its number where the record has several."""
    number, behind = before + 1, sum(1 for _ in itertools.islice(readings, _MOST_COUNTED + 1))
    if number + behind == 1:
        return fault
    count = f"more than {number + _MOST_COUNTED}" if behind > _MOST_COUNTED else str(number + behind)
    message = f"alert {number} of {count}: {fault.message}; the record is set aside with all of them"
    return AlertFault(fault.reason, message)


encoded = msgspec.json.Encoder().encode
"""Return a record as JSON."""
_ENRICHED = msgspec.json.Decoder(_Enriched)


def outputs_of(
    alert: EnrichedAlert, observed: Observed, tenant: str, key: str, table: AttackTable
) -> tuple[Output, ...]:
    """Return an alert's outputs for all three roles; most alerts repeat known activity and have one output only.

    Each cluster and each flow has a partition key of its own, so its changes arrive in order.

    Args:
        alert: The alert.
        observed: The changes that it made.
        tenant: Its tenant's name.
        key: Its tenant's state key.
        table: ATT&CK.
    """
    change = observed.change
    record = EnrichedRecord(
        alert=alert.alert,
        techniques=alert.techniques,
        tactics=tactics_of(alert.techniques.ids, table),
        tenant=tenant,
        cluster_id=None if change.skipped else change.cluster_id,
        duplicate=change.duplicate,
        event_time=change.event_time,
        skipped=change.skipped,
    )
    first = Output(str(alert.alert.id)[:LONGEST_ID_KEY] or "-", encoded(record), ENRICHED)
    if observed.summary is None and not observed.flows:
        return (first,)
    return (
        first,
        *(() if observed.summary is None else _cluster_outputs(change, observed.summary, tenant, key, table)),
        *(output for flow in observed.flows for output in _flow_outputs(flow, tenant, key, table)),
    )


def _cluster_outputs(
    change: ClusterChange, summary: ClusterSummary, tenant: str, tenant_key: str, table: AttackTable
) -> Iterator[Output]:
    """Yield a cluster's change and its ticket; a stream does not keep the alerts, so a ticket has steps instead."""
    word: Change = "merged" if change.merged else "opened" if summary.alerts == _SECOND else "grew"
    record = ClusterRecord(
        change=word, tenant=tenant, cluster_id=change.cluster_id, merged=change.merged, cluster=summary
    )
    key = key_of(tenant_key, f"cluster/{change.cluster_id}")
    yield Output(key, encoded(record), INCIDENTS)
    for merged in change.merged:
        became = BecameRecord(tenant=tenant, cluster_id=merged, into=change.cluster_id)
        yield Output(key_of(tenant_key, f"cluster/{merged}"), encoded(became), INCIDENTS)
    ticket = cluster_ticket(summary, (), table) | {"tenant": tenant, "steps": summary.steps}
    yield Output(key, encoded(ticket), TICKETS)


def _flow_outputs(change: FlowChange, tenant: str, tenant_key: str, table: AttackTable) -> Iterator[Output]:
    """Yield a flow's change, and its ticket unless it closed."""
    flow, key = change.flow, key_of(tenant_key, f"flow/{change.flow.flow_id}")
    record = FlowRecord(change=change.word, tenant=tenant, flow_id=flow.flow_id, merged=change.merged, flow=flow)
    yield Output(key, encoded(record), INCIDENTS)
    for merged in change.merged:
        became = FlowBecameRecord(tenant=tenant, flow_id=merged, into=flow.flow_id)
        yield Output(key_of(tenant_key, f"flow/{merged}"), encoded(became), INCIDENTS)
    if change.word != "closed":
        ticket = flow_ticket(flow, (), (), table) | {"tenant": tenant, "steps": flow.nodes, "edges": flow.edges}
        yield Output(key, encoded(ticket), TICKETS)
