"""What clustering says of alerts, what it hands to flows, and what flows say: the types between the rooms."""

from __future__ import annotations

import msgspec


class ClusterChange(msgspec.Struct, frozen=True, gc=False):
    """What one alert did to the clusters.

    Attributes:
        cluster_id: The cluster that the alert belongs to now.
        opened: Whether it is the first of that cluster.
        merged: Clusters that became part of `cluster_id` by it; their ids are never used again.
        duplicate: Whether an alert that says the same was there already: it is counted and nothing else.
        notable: Whether a person who watches the cluster would want to know: it has its second alert, a new technique,
            a new entity or a merge, or its count has doubled since the last time.
    """

    cluster_id: int
    opened: bool = False
    merged: tuple[int, ...] = ()
    duplicate: bool = False
    notable: bool = False


class Step(msgspec.Struct, frozen=True):
    """Alerts of one cluster that say the same thing: one technique between the same two entities.

    Attributes:
        technique: The surest technique id, or an empty string when unknown.
        name: The name of its first alert.
        src: Where from.
        dst: Where to.
        start_time: Of the first alert, seconds since 1970.
        end_time: Of the last one.
        alerts: How many.
        first_id: The id of the first alert.
    """

    technique: str
    name: str
    src: str
    dst: str
    start_time: float
    end_time: float
    alerts: int
    first_id: int | str


class ClusterSummary(msgspec.Struct, frozen=True):
    """A cluster as it stands. Every list is bounded; counts go on when a list is full.

    Attributes:
        cluster_id: Its id, stable from its first alert on; of merged clusters the smallest stays.
        alerts: How many, duplicates included.
        start_time: Of its first alert, seconds since 1970.
        end_time: Of its last.
        srcs: Sources, as they came.
        dsts: Destinations, as they came.
        entities: Sources, destinations, hosts, users and hashes, each once.
        techniques: Technique ids, as they came.
        tactics: Short names of their tactics, as they came.
        steps: By their start.
        merged: Ids of the clusters that became part of it.
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


class FlowNode(msgspec.Struct, frozen=True):
    """A step of a flow.

    Attributes:
        id: `<cluster id>-<the step's place in the cluster>`; stable while the flow grows.
        cluster_id: The cluster that it is of.
        tactic: The tactic's short name that fits the place in the flow best; empty when unknown.
        step: What happened.
    """

    id: str
    cluster_id: int
    tactic: str
    step: Step


class FlowEdge(msgspec.Struct, frozen=True):
    """One step led to another.

    Attributes:
        source: Id of the earlier node.
        target: Id of the later node.
        probability: 0 to 1: that the later one follows from the earlier one.
        reason: Why, in words: "12 s later on the same host web1", "10.0.0.5 was the target, then the source".
    """

    source: str
    target: str
    probability: float
    reason: str


class Flow(msgspec.Struct, frozen=True):
    """An attack flow: steps of one or more clusters in the order of cause; it has no cycle.

    Attributes:
        flow_id: Its id: the smallest cluster id in it.
        cluster_ids: Its clusters, by their start.
        cluster_prob: 0 to 1: that these clusters belong together.
        nodes: Steps, by their start.
        edges: From earlier to later steps.
        start_time: Of the first alert, seconds since 1970.
        end_time: Of the last.
    """

    flow_id: int
    cluster_ids: tuple[int, ...]
    cluster_prob: float
    nodes: tuple[FlowNode, ...]
    edges: tuple[FlowEdge, ...]
    start_time: float
    end_time: float
