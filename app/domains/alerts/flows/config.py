"""Settings of attack flows: when clusters are linked, and how much is remembered and drawn."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from app.domains.alerts.limits import LimitedConfig

_HOUR_S, _DAY_S = 3_600.0, 86_400.0


class FlowConfig(LimitedConfig, frozen=True):
    """Settings of a tenant's flows.

    Attributes:
        window_s: Longest gap between linked steps, and the time without news after which a flow is forgotten.
        half_life_s: Gap between two steps at which a shared entity is half as strong evidence.
        link_threshold: Probability from which on two clusters belong to the same flow.
        tactic_weight: How far the usual order of techniques moves the probability of an edge: 0 not at all, 1 as far
            as independent evidence would.
        parents: Incoming edges of a step that are drawn.
        common_clusters: An entity in more clusters than this links none of them; it may be a gateway.
        most_clusters: Clusters that are remembered; flows without news for longest are forgotten first.
        most_flow_clusters: Clusters of one flow; larger flows are cut at their weakest links.
        most_nodes: Steps of one flow that are drawn: the first half and the last half.
        most_steps: Steps of one cluster that are considered, the first ones.
        most_entities: Entities of one cluster that are considered, the first ones.
    """

    REQUEST_KEY: ClassVar[str] = "config of flows"

    window_s: Annotated[float, Meta(ge=1, le=30 * _DAY_S)] = 2 * _DAY_S
    half_life_s: Annotated[float, Meta(ge=1, le=365 * _DAY_S)] = 12 * _HOUR_S
    link_threshold: Annotated[float, Meta(ge=0.01, le=1)] = 0.4
    tactic_weight: Annotated[float, Meta(ge=0, le=1)] = 0.5
    parents: Annotated[int, Meta(ge=1, le=16)] = 3
    common_clusters: Annotated[int, Meta(ge=1, le=256)] = 16
    most_clusters: Annotated[int, Meta(ge=1, le=20_000)] = 2_000
    most_flow_clusters: Annotated[int, Meta(ge=1, le=1_000)] = 64
    most_nodes: Annotated[int, Meta(ge=2, le=5_000)] = 128
    most_steps: Annotated[int, Meta(ge=1, le=256)] = 32
    most_entities: Annotated[int, Meta(ge=1, le=256)] = 32
