"""Settings of the clustering: the costs of a link, and how much is remembered."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from app.domains.alerts.limits import LimitedConfig

_HOUR_S, _DAY_S = 3_600.0, 86_400.0
_WEEK_S = 7 * _DAY_S


class ClusterConfig(LimitedConfig, frozen=True):
    """Settings of a tenant's clusters; the package's docstring has the rule that they belong to.

    The defaults were chosen on AIT-ADS (`model/cluster/README.md`). Costs are in seconds.

    Attributes:
        delta_s: Cost below which a link counts.
        theta_s: Cost of two alert types with affinity 0.
        recurrence_s: Cost of entirely different recurring types at the same target.
        entity_s: Discount for sharing an entity that hardly any other alert has.
        merge: Share of `delta_s` below which a link is certain and merges clusters.
        own: Factor on the time between two alerts of the same type at the same target.
        outsider: Factor on `theta_s` for an alert type that is not among the recurring types of its target.
        patience: How far rare types may be apart: 0 counts time alike for all types, 1 in proportion to how often the
            rarer type occurs. Types that occur every minute or more often are not rare.
        recurrence_window_s: Last seconds in which a type is looked for to call it recurring, at most 32.
        recurrence_least: Seconds of this window in which a recurring type must have occurred.
        recall_s: Seconds after which a recurring pattern is no longer recalled; 0 recalls none.
        recall_least_s: Seconds that a pattern must have lasted in one cluster to be recalled.
        reach_s: Longest gap of any link.
        expiry_s: Seconds without an alert after which a cluster is closed, on the clock of the alerts.
        jump_s: A time further ahead of the clock than this moves it only once a second alert confirms it.
        half_life_s: Seconds after which the counted occurrences of an entity weigh half.
        candidates: Most recent signatures that an alert is compared with.
        most_signatures: Signatures (type, source, target, entities) that are remembered.
        most_clusters: Clusters that are open.
        most_entities: Entities whose occurrences are counted.
        most_targets: Targets whose recurring types are tracked, and patterns that can be recalled.
        most_steps: Steps of a cluster that are listed; further ones are only counted.
        most_listed: Sources, targets, entities, techniques and merged ids of a cluster that are listed, each.
        most_ids: Ids of alerts that are remembered, to know an alert that is sent again with news.
        most_merged: Ids of merged clusters that are remembered, over all clusters.
    """

    REQUEST_KEY: ClassVar[str] = "cluster_config"
    FORMER_NAMES: ClassVar[dict[str, str]] = {
        "regime_s": "recurrence_s",
        "regime_window_s": "recurrence_window_s",
        "regime_least": "recurrence_least",
        "most_sayings": "most_signatures",
        "most_places": "most_targets",
    }

    delta_s: Annotated[float, Meta(ge=0, le=_WEEK_S)] = 5.5
    theta_s: Annotated[float, Meta(ge=0, le=_WEEK_S)] = 8.25
    recurrence_s: Annotated[float, Meta(ge=0, le=_WEEK_S)] = 1_000.0
    entity_s: Annotated[float, Meta(ge=0, le=_WEEK_S)] = 2.0
    merge: Annotated[float, Meta(ge=0, le=1)] = 0.1
    own: Annotated[float, Meta(ge=0, le=1)] = 0.2
    outsider: Annotated[float, Meta(ge=1, le=1_000)] = 3.0
    patience: Annotated[float, Meta(ge=0, le=1)] = 0.0
    recurrence_window_s: Annotated[int, Meta(ge=1, le=32)] = 6
    recurrence_least: Annotated[int, Meta(ge=1, le=32)] = 4
    recall_s: Annotated[float, Meta(ge=0, le=_WEEK_S)] = 300.0
    recall_least_s: Annotated[int, Meta(ge=1, le=86_400)] = 20
    reach_s: Annotated[float, Meta(ge=1, le=_WEEK_S)] = _HOUR_S
    expiry_s: Annotated[float, Meta(ge=1, le=30 * _DAY_S)] = 4 * _HOUR_S
    jump_s: Annotated[float, Meta(ge=1, le=3_650 * _DAY_S)] = _DAY_S
    half_life_s: Annotated[float, Meta(ge=1, le=365 * _DAY_S)] = _DAY_S
    candidates: Annotated[int, Meta(ge=1, le=1_000)] = 128
    most_signatures: Annotated[int, Meta(ge=1, le=20_000)] = 2_000
    most_clusters: Annotated[int, Meta(ge=1, le=20_000)] = 1_000
    most_entities: Annotated[int, Meta(ge=1, le=50_000)] = 2_000
    most_targets: Annotated[int, Meta(ge=1, le=20_000)] = 500
    most_steps: Annotated[int, Meta(ge=1, le=1_000)] = 64
    most_listed: Annotated[int, Meta(ge=1, le=1_000)] = 64
    most_ids: Annotated[int, Meta(ge=0, le=100_000)] = 2_000
    most_merged: Annotated[int, Meta(ge=1, le=50_000)] = 2_000
