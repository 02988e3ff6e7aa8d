"""Types that clustering, flows and their users exchange: changes and summaries of clusters, and flows."""

from __future__ import annotations

import msgspec


class ClusterChange(msgspec.Struct, frozen=True, gc=False):
    """A change of the clusters by one alert.

    Attributes:
        cluster_id: The alert's cluster.
        opened: Whether the alert is the first of that cluster.
        merged: Clusters that became part of `cluster_id`; their ids are never used again.
        duplicate: Whether an alert with the same signature came in the same second; then it is only counted.
        notable: Whether an analyst wants to see the change: the cluster has its second alert, a new technique, a new
            entity or a merge, or its count has doubled since the last notable change.
        event_time: The time that the alert counts as, if its own lies beyond its arrival; else None.
        skipped: Why the alert is in no cluster; empty if it is in `cluster_id`, which is 0 otherwise.
    """

    cluster_id: int
    opened: bool = False
    merged: tuple[int, ...] = ()
    duplicate: bool = False
    notable: bool = False
    event_time: float | None = None
    skipped: str = ""


class Step(msgspec.Struct, frozen=True):
    """Alerts of one cluster of the same type, source and target.

    Attributes:
        technique: The surest technique id; empty when unknown.
        name: Name of the first alert.
        src: Source.
        dst: Target.
        start_time: Time of the earliest alert, seconds since 1970.
        end_time: Time of the latest alert.
        alerts: Number of alerts.
        first_id: Id of the first alert.
        number: A number that no other step of the tenant has; 0 if it was made by an earlier release.
        severity: The highest severity of its alerts, 0 to 100; None if none states one.
        entities: Users, hashes and further hosts of its alerts, in canonical form (`entities.py`).
    """

    technique: str
    name: str
    src: str
    dst: str
    start_time: float
    end_time: float
    alerts: int
    first_id: int | str
    number: int = 0
    severity: int | None = None
    entities: tuple[str, ...] = ()


class ClusterSummary(msgspec.Struct, frozen=True):
    """A cluster as it stands. Lists are limited in length; counts are not.

    Attributes:
        cluster_id: Id, which never changes; merged clusters keep the smallest.
        alerts: Number of alerts, including duplicates.
        start_time: Time of the earliest alert, seconds since 1970.
        end_time: Time of the latest alert.
        srcs: Sources in order of arrival.
        dsts: Targets in order of arrival.
        entities: Sources, targets, hosts, users and hashes, each once.
        techniques: Technique ids in order of arrival.
        tactics: Short names of their tactics.
        steps: Steps in order of their start.
        merged: Ids of the clusters that became part of it.
        severity: The highest severity of its alerts, 0 to 100; None if none states one.
        aliases: (name, address) of machines that its alerts state together.
    """

    cluster_id: int
    alerts: int
    start_time: float
    end_time: float
    srcs: tuple[str, ...]
    dsts: tuple[str, ...]
    entities: tuple[str, ...]
    techniques: tuple[str, ...]
    tactics: tuple[str, ...]
    steps: tuple[Step, ...]
    merged: tuple[int, ...] = ()
    severity: int | None = None
    aliases: tuple[tuple[str, str], ...] = ()


class FlowNode(msgspec.Struct, frozen=True):
    """A node of a flow: one step of a cluster.

    Attributes:
        id: `<cluster id>-<number of the step>`; it changes only if the cluster becomes part of another.
        cluster_id: The step's cluster.
        tactic: Short name of the technique's tactic that fits its position in the flow; empty when unknown.
        step: The step.
    """

    id: str
    cluster_id: int
    tactic: str
    step: Step


class FlowEdge(msgspec.Struct, frozen=True):
    """An edge of a flow: one step probably led to another.

    Attributes:
        source: Id of the earlier node.
        target: Id of the later node.
        probability: Probability that the later step follows from the earlier one, 0 to 1.
        reason: The evidence in words: "12 s later on the same host web1", "10.0.0.5 was the target, then the source".
    """

    source: str
    target: str
    probability: float
    reason: str


class Flow(msgspec.Struct, frozen=True):
    """An attack flow, which is an incident: steps of one or more clusters in order of cause; it has no cycle.

    Attributes:
        flow_id: The smallest number of its linked steps.
        cluster_ids: Its clusters in order of their start.
        cluster_prob: Probability that these steps are an attack, 0 to 1, by their risk.
        nodes: Steps in order of their start.
        edges: Edges from earlier to later steps.
        start_time: Time of the earliest alert, seconds since 1970.
        end_time: Time of the latest alert.
        severity: Severity of the incident, 0 to 100.
        risk: Sum of the severities of its types of alerts, each 0 to 1.
        alerts: Number of alerts of its steps.
        context: Number of alerts at its machines meanwhile that are no part of it: their types come elsewhere, too.
        reasons: What opened, joined and closed it, in words.
    """

    flow_id: int
    cluster_ids: tuple[int, ...]
    cluster_prob: float
    nodes: tuple[FlowNode, ...]
    edges: tuple[FlowEdge, ...]
    start_time: float
    end_time: float
    severity: int = 0
    risk: float = 0.0
    alerts: int = 0
    context: int = 0
    reasons: tuple[str, ...] = ()
