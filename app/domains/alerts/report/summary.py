"""The outcome of an input in numbers: incidents by severity, alerts that stand alone, and the most severe alerts."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from app.domains.alerts.formats.severity import word
from app.domains.alerts.report.incident import UNSTATED, WORDS, alerts_of, severity_of
from app.domains.alerts.report.kept import steps_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.domains.alerts.incidents import ClusterSummary, Flow
    from app.domains.alerts.report.kept import KeptAlert


class SevereAlert(msgspec.Struct, frozen=True, omit_defaults=True):
    """One of the most severe alerts.

    Attributes:
        id: The sender's id.
        time: Seconds since 1970, UTC.
        severity: 0 to 100.
        severity_from: What it was read from.
        name: The alert's text.
        src: Source.
        dst: Target.
        techniques: Technique ids, the surest first.
        tenant: The tenant.
        flow_id: The flow that it is part of, if any.
        alike: Alerts of its type, with it.
    """

    id: int | str
    time: float
    severity: int
    severity_from: str
    name: str
    src: str
    dst: str
    techniques: tuple[str, ...] = ()
    tenant: str = ""
    flow_id: int | None = None
    alike: int = 1


class Summary(msgspec.Struct, frozen=True, tag_field="type", tag="summary"):
    """The outcome of an input.

    Attributes:
        alerts: Alerts that were read.
        unread: Elements that could not be read.
        in_flows: Alerts of flows.
        alone: Alerts that are in no flow and in no cluster of two or more.
        clusters: Clusters of two alerts or more.
        flows: Flows.
        flows_by_severity: Flows by their severity in a word, the most severe first.
        most_severe: The most severe alerts, one of each type.
        skipped: Alerts that are in no cluster at all, by the reason: closed by their product, or updates of others.
    """

    alerts: int
    unread: int
    in_flows: int
    alone: int
    clusters: int
    flows: int
    flows_by_severity: dict[str, int]
    most_severe: list[SevereAlert]
    skipped: dict[str, int] = {}


def summarize(
    alerts: int,
    unread: int,
    tenants: Mapping[str, tuple[Sequence[ClusterSummary], Sequence[Flow]]],
    severe: Sequence[KeptAlert],
    skipped: Mapping[str, int] | None = None,
) -> Summary:
    """Return the outcome of an input.

    Args:
        alerts: Alerts that were read.
        unread: Elements that could not be read.
        tenants: Clusters of two alerts or more, and flows, of each tenant.
        severe: The most severe alerts.
        skipped: Alerts that are in no cluster at all, by the reason.
    """
    skipped = dict(skipped or {})
    alone = alerts - sum(skipped.values())
    for clusters, flows in tenants.values():
        large = {each.cluster_id for each in clusters}
        single = {node.cluster_id for flow in flows for node in flow.nodes} - large
        alone -= sum(each.alerts for each in clusters) + len(single)
    words = Counter(severity_word(flow) for _, flows in tenants.values() for flow in flows)
    return Summary(
        alerts,
        unread,
        sum(alerts_of(flow) for _, flows in tenants.values() for flow in flows),
        max(alone, 0),
        sum(len(clusters) for clusters, _ in tenants.values()),
        sum(len(flows) for _, flows in tenants.values()),
        {each: words[each] for each in WORDS if words[each]},
        [_severe(each, tenants) for each in severe],
        skipped,
    )


def severity_word(flow: Flow) -> str:
    """Return a flow's severity in a word."""
    severity = severity_of(flow)
    return UNSTATED if severity is None else word(severity)


def _severe(kept: KeptAlert, tenants: Mapping[str, tuple[Sequence[ClusterSummary], Sequence[Flow]]]) -> SevereAlert:
    alert = kept.alert.alert
    flows = [flow for flow in tenants[kept.tenant][1] if kept.cluster in flow.cluster_ids]
    return SevereAlert(
        alert.id,
        alert.time,
        kept.severity,
        alert.severity_from,
        alert.name,
        alert.src,
        alert.dst,
        kept.alert.techniques.ids,
        kept.tenant,
        next((flow.flow_id for flow in flows if kept.step in steps_of(flow)[kept.cluster]), None),
        kept.alike,
    )
