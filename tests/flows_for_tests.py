"""Make clusters as the input of flows: by hand for examples, by Hypothesis for properties."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import msgspec
from hypothesis import strategies as st

from app.domains.alerts.attack import attack_table
from app.domains.alerts.flows.flows import FlowConfig, build_flows
from app.domains.alerts.incidents import ClusterSummary, Flow, FlowEdge, FlowNode, Step

if TYPE_CHECKING:
    from collections.abc import Sequence

TABLE = attack_table()
HOSTS = ("web1", "db1", "dc1", "ws7", "10.0.0.5", "2001:db8::1", "a,b", 'q"uote', "-")
TECHNIQUES = ("", "T1595", "T1190", "T1059", "T1059.001", "T1021.001", "T1078", "T1003", "T1041", "T1486", "T1685")
USERS = ("alice", "bob", "0" * 64)


LINKED = FlowConfig(risk_threshold=0, common_places=8, common_times=50, common_sources=8)
"""Settings with which every step is an incident, so that tests see what is linked."""
_LETTERS = str.maketrans("0123456789.", "abcdefghijk")  # numbers distinguish no types of alerts


def step(
    time: float, technique: str, src: str, dst: str, *, lasts: float = 5.0, alerts: int = 1, severity: int | None = 60
) -> Step:
    """Return a step; its first alert's id contains its time, and its type is that of its technique."""
    name = f"Alert of {technique.translate(_LETTERS)}"
    return Step(
        technique, name, src, dst, float(time), float(time + lasts), alerts, f"at-{time}", severity=severity
    )  # fmt: skip


def together(clusters: Sequence[ClusterSummary], config: FlowConfig = LINKED) -> list[Flow]:
    """Return the flows of two steps or more."""
    return [flow for flow in build_flows(clusters, TABLE, config) if len(flow.nodes) > 1]


def cluster(
    cluster_id: int, steps: Sequence[Step], *, mentioned: Sequence[str] = (), merged: Sequence[int] = ()
) -> ClusterSummary:
    """Return a cluster of these steps: the first has the cluster's number, the others follow by the thousand."""
    steps = [
        msgspec.structs.replace(each, number=cluster_id + 1_000 * index, entities=tuple(mentioned))
        for index, each in enumerate(sorted(steps, key=lambda each: (each.start_time, each.end_time)))
    ]
    srcs, dsts = (dict.fromkeys(getattr(each, end) for each in steps) for end in ("src", "dst"))
    techniques = tuple(dict.fromkeys(each.technique for each in steps if each.technique))
    return ClusterSummary(
        cluster_id=cluster_id,
        alerts=sum(each.alerts for each in steps),
        start_time=min(each.start_time for each in steps),
        end_time=max(each.end_time for each in steps),
        srcs=tuple(srcs),
        dsts=tuple(dsts),
        entities=tuple(dict.fromkeys([*srcs, *dsts, *mentioned])),
        techniques=techniques,
        tactics=tuple(dict.fromkeys(tactic for each in techniques for tactic in TABLE.tactics_of(each))),
        steps=tuple(steps),
        merged=tuple(merged),
        severity=max((each.severity for each in steps if each.severity is not None), default=None),
    )


@st.composite
def steps_of(draw: st.DrawFn, latest_s: int = 36_000) -> list[Step]:
    """Draw one to four steps of a cluster, often at the same time."""
    return [
        step(
            1_700_000_000 + 600.0 * draw(st.integers(0, latest_s // 600)),
            draw(st.sampled_from(TECHNIQUES)),
            draw(st.sampled_from(HOSTS)),
            draw(st.sampled_from(HOSTS)),
            lasts=draw(st.sampled_from((0.0, 5.0, 3_600.0))),
            alerts=draw(st.integers(1, 3)),
        )
        for _ in range(draw(st.integers(1, 4)))
    ]


@st.composite
def clusters_of(draw: st.DrawFn, most: int = 10, latest_s: int = 36_000) -> list[ClusterSummary]:
    """Draw clusters with different ids, in any order."""
    ids = draw(st.lists(st.integers(0, 50), min_size=1, max_size=most, unique=True))
    return [
        cluster(
            each,
            draw(steps_of(latest_s)),
            mentioned=draw(st.lists(st.sampled_from(USERS), max_size=2, unique=True)),
        )
        for each in ids
    ]


@st.composite
def histories_of(draw: st.DrawFn, latest_s: int = 36_000) -> list[ClusterSummary]:
    """Draw a history of clusters, which appear, grow, and merge into one with a smaller id."""
    alive: dict[int, tuple[list[Step], list[int]]] = {}
    history = []
    for number in range(draw(st.integers(1, 14))):
        action = draw(st.sampled_from(("new", "new", "grow", "merge"))) if len(alive) > 1 else "new"
        merged: list[int] = []
        if action == "new":
            chosen = number
            alive[chosen] = (draw(steps_of(latest_s)), [])
        elif action == "grow":
            chosen = draw(st.sampled_from(sorted(alive)))
            alive[chosen] = (alive[chosen][0] + draw(steps_of(latest_s)), alive[chosen][1])
        else:
            chosen, other = sorted(draw(st.lists(st.sampled_from(sorted(alive)), min_size=2, max_size=2, unique=True)))
            gone, before = alive.pop(other)
            merged = [*alive[chosen][1], other, *before]
            alive[chosen] = (alive[chosen][0] + gone, merged)
        history.append(cluster(chosen, alive[chosen][0], merged=alive[chosen][1]))
    return history


def last_states(history: Sequence[ClusterSummary]) -> list[ClusterSummary]:
    """Return the clusters that remain at the end of a history, in their last state."""
    latest = {each.cluster_id: each for each in history}
    gone = {merged for each in latest.values() for merged in each.merged}
    return [each for each in latest.values() if each.cluster_id not in gone]


def flow_of(
    steps: Sequence[Step],
    *,
    flow_id: int = 1,
    severity: int = 0,
    reasons: Sequence[str] = (),
    in_cluster: int | None = None,
) -> Flow:
    """Return a flow of these steps, each following from the one before, and each in a cluster of its own or in one."""
    nodes = tuple(
        FlowNode(
            f"{flow_id + index}-0",
            flow_id + index if in_cluster is None else in_cluster,
            next(iter(TABLE.tactics_of(each.technique)), ""),
            each,
        )
        for index, each in enumerate(sorted(steps, key=lambda each: each.start_time))
    )
    edges = tuple(
        FlowEdge(one.id, other.id, 0.75, f"{other.step.src} was reached before")
        for one, other in itertools.pairwise(nodes)
    )
    return Flow(
        flow_id,
        tuple(dict.fromkeys(node.cluster_id for node in nodes)),
        0.8,
        nodes,
        edges,
        min(each.start_time for each in steps),
        max(each.end_time for each in steps),
        severity=severity,
        reasons=tuple(reasons),
    )
