"""How attack flows are cut and bounded."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Self

import msgspec

from app.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Mapping

_HOUR_S, _DAY_S = 3_600.0, 86_400.0
_TOLD = 8  # keys in a log line; more would hide it


class FlowConfig(msgspec.Struct, frozen=True):
    """What the flows of a tenant depend on beside its clusters.

    Attributes:
        window_s: Steps further apart than this are never linked, and a flow that had nothing new for so long is
            forgotten.
        half_life_s: Each time it passes between two steps, what they share says half as much.
        link_threshold: Two clusters are of one flow when it is at least so probable that one follows from the other.
        tactic_weight: How far the usual order of techniques moves an edge's probability: 0 not at all, 1 as far as if
            it were independent evidence.
        parents: Earlier steps that a step is drawn to follow from.
        common_clusters: An entity that more clusters than this have links none of them; it is a gateway, say.
        most_clusters: Clusters that are remembered; the flows that had nothing new for longest go first.
        most_flow_clusters: Clusters of one flow; of more, the weakest links are cut.
        most_nodes: Steps of one flow that are drawn: the first ones and the last ones, a half each.
        most_steps: Steps of one cluster that are looked at, the first ones.
        most_entities: Entities of one cluster that are looked at, the first ones.
    """

    window_s: float = 2 * _DAY_S
    half_life_s: float = 12 * _HOUR_S
    link_threshold: float = 0.4
    tactic_weight: float = 0.5
    parents: int = 3
    common_clusters: int = 16
    most_clusters: int = 2_000
    most_flow_clusters: int = 64
    most_nodes: int = 128
    most_steps: int = 32
    most_entities: int = 32

    def __post_init__(self) -> None:
        """Holds each value in its bounds, so that no request can make the state grow without end."""
        for name, (least, most) in _BOUNDS.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise ValueError(f"{name} is {value}; it must be between {least:g} and {most:g}")

    @classmethod
    def from_request(cls, request: Mapping[str, Any]) -> Self:
        """The defaults, and what a file's `config` says beyond them.

        What is not known here, or is no number in its bounds, is passed over and logged: other systems' files carry
        keys of other models.
        """
        known: dict[str, float | int] = {}
        for name, (least, most) in _BOUNDS.items():
            value = request.get(name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                continue
            if least <= value <= most:
                known[name] = int(value) if isinstance(getattr(_DEFAULTS, name), int) else float(value)
        passed = [str(key)[:64] for key in request if key not in known]
        if passed:
            logger.info("config of flows: keys passed over", extra={"keys": passed[:_TOLD], "count": len(passed)})
        return cls(**known)  # type: ignore[arg-type]  # names and types were just matched


_BOUNDS: Mapping[str, tuple[float, float]] = {
    "window_s": (1, 30 * _DAY_S),
    "half_life_s": (1, 365 * _DAY_S),
    "link_threshold": (0.01, 1),
    "tactic_weight": (0, 1),
    "parents": (1, 16),
    "common_clusters": (1, 256),
    "most_clusters": (1, 20_000),
    "most_flow_clusters": (1, 1_000),
    "most_nodes": (2, 5_000),
    "most_steps": (1, 256),
    "most_entities": (1, 256),
}
_DEFAULTS = FlowConfig()
