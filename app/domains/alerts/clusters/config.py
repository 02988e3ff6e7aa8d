"""How clusters are cut and bounded."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Self

import msgspec

from app.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_HOUR_S, _DAY_S = 3_600.0, 86_400.0
_TOLD = 8  # unknown keys in a log line; more would hide it


class ClusterConfig(msgspec.Struct, frozen=True):
    """What the clusters of a tenant depend on beside its alerts and what was learned.

    An alert is compared with the last one of each saying. The cost of a link, in seconds, is their gap in time, shorter
    for rare types (`patience`) and for one type at one place (`own`); plus `theta_s` times what their types lack in
    affinity; plus `regime_s` times how much what goes on at the place has changed; less `entity_s` times the rarity of
    the rarest entity that they share. The alert joins the cluster of the cheapest link that costs less than `delta_s`;
    links below `merge` of that make one cluster of all that they lead to. An alert without a link, of a type that goes
    on at its target, joins the cluster that the same regime there was before (`recall_s`).

    Attributes:
        delta_s: A link must cost less.
        theta_s: What no affinity costs.
        regime_s: What an entirely different regime at the same place costs.
        entity_s: What an entity that hardly anyone has is worth.
        merge: The share of `delta_s` below which a link merges clusters.
        own: What a second between two alerts of one type at one place counts.
        outsider: Where something goes on at a target, so many times `theta_s` is what no affinity costs for a type that
            is no part of it.
        patience: From 0, a second counts alike for all types, to 1, it counts in proportion to how often the rarer of
            two types comes; types that come every minute or more are not rare.
        regime_window_s: Seconds over which a type is watched at a place, up to 32.
        regime_least: Of these, in how many it must have come to belong to the regime.
        recall_s: How long ago the same regime may have been; 0 for none.
        recall_least_s: In how many seconds it must have been one cluster by then.
        reach_s: The longest gap of any link.
        expiry_s: A cluster is closed when the clock of the alerts is so far past its last one.
        jump_s: A time so far ahead of the clock moves it only when a second alert is there too.
        half_life_s: Each time it passes, what was counted of an entity weighs half.
        candidates: Sayings, the latest first, that an alert is compared with.
        most_sayings: Different sayings (type, ends, entities) that are remembered.
        most_clusters: Clusters that are open.
        most_entities: Entities whose frequency is counted.
        most_places: Places whose regime is followed, and regimes that are recalled.
        most_steps: Steps of a cluster that are listed; the others are counted.
        most_listed: Sources, targets, entities, techniques and merged ids of a cluster that are listed, of each.
        most_merged: Merged ids that are remembered, over all clusters.
    """

    delta_s: float = 5.5
    theta_s: float = 8.25
    regime_s: float = 1_000.0
    entity_s: float = 2.0
    merge: float = 0.1
    own: float = 0.2
    outsider: float = 3.0
    patience: float = 0.0
    regime_window_s: int = 6
    regime_least: int = 4
    recall_s: float = 300.0
    recall_least_s: int = 20
    reach_s: float = _HOUR_S
    expiry_s: float = 4 * _HOUR_S
    jump_s: float = _DAY_S
    half_life_s: float = _DAY_S
    candidates: int = 128
    most_sayings: int = 2_000
    most_clusters: int = 1_000
    most_entities: int = 2_000
    most_places: int = 500
    most_steps: int = 64
    most_listed: int = 64
    most_merged: int = 2_000

    def __post_init__(self) -> None:
        """Holds each value in its bounds, so that no request can make the state grow without end."""
        for name, (least, most) in LIMITS.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise ValueError(f"{name} is {value}; it must be between {least:g} and {most:g}")

    @classmethod
    def from_request(cls, request: Mapping[str, Any]) -> Self:
        """The defaults, and what a file's `cluster_config` says beyond them.

        What is not known here, or is no number in its bounds, is passed over and logged: the seed system has keys of a
        model that is not ours.
        """
        known: dict[str, float | int] = {}
        for field in msgspec.structs.fields(cls):
            value = request.get(field.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                continue
            least, most = LIMITS[field.name]
            if least <= value <= most:
                known[field.name] = type(field.default)(value)
        passed = unknown_keys(request, known)
        if passed:
            logger.info("cluster_config: keys passed over", extra={"keys": passed[:_TOLD], "count": len(passed)})
        return msgspec.convert(known, cls)


LIMITS: Mapping[str, tuple[float, float]] = {
    "delta_s": (0, 7 * _DAY_S),
    "theta_s": (0, 7 * _DAY_S),
    "regime_s": (0, 7 * _DAY_S),
    "entity_s": (0, 7 * _DAY_S),
    "merge": (0, 1),
    "own": (0, 1),
    "outsider": (1, 1_000),
    "patience": (0, 1),
    "regime_window_s": (1, 32),
    "regime_least": (1, 32),
    "recall_s": (0, 7 * _DAY_S),
    "recall_least_s": (1, 86_400),
    "reach_s": (1, 7 * _DAY_S),
    "expiry_s": (1, 30 * _DAY_S),
    "jump_s": (1, 3_650 * _DAY_S),
    "half_life_s": (1, 365 * _DAY_S),
    "candidates": (1, 1_000),
    "most_sayings": (1, 20_000),
    "most_clusters": (1, 20_000),
    "most_entities": (1, 50_000),
    "most_places": (1, 20_000),
    "most_steps": (1, 1_000),
    "most_listed": (1, 1_000),
    "most_merged": (1, 50_000),
}
"""The least and the most of each value."""


def unknown_keys(request: Mapping[str, Any], known: Iterable[str]) -> list[str]:
    """Keys of a request that changed nothing, in order."""
    taken = set(known)
    return sorted(key for key in map(str, request) if key not in taken)
