"""Settings of attack flows: when steps are linked, what makes an incident, and how much is remembered and drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Self

import msgspec
from msgspec import Meta

from app.domains.alerts.limits import LimitedConfig

if TYPE_CHECKING:
    from app.domains.alerts.settings import AlertSettings

_HOUR_S, _DAY_S = 3_600.0, 86_400.0


class FlowConfig(LimitedConfig, frozen=True):
    """Settings of a tenant's flows; the package's docstring has the rules that they belong to.

    The defaults were chosen on made stories (`model/stories/README.md`).

    Attributes:
        window_s: Longest gap between linked steps, and the time without news after which a flow is closed.
        half_life_s: Gap between two steps at which a shared entity is half as strong evidence.
        link_threshold: Probability from which on two steps belong to the same flow.
        tactic_weight: How far the usual order of techniques moves the probability of an edge: 0 not at all, 1 as far
            as independent evidence would.
        common_places: A type of alert that comes at more places than this, at as many different times, is frequent: it
            links nothing. Of high severity, three times as many.
        common_times: A type of alert that comes at more different times than this is frequent as well, unless it is of
            high severity.
        common_sources: A type of alert that comes from more addresses outside than this is frequent as well, of any
            severity.
        link_severity: Severity below which a step links nothing; it belongs to a flow whose machines it concerns.
        routine_hours: A type of alert that comes at one host in more hours than this is frequent there.
        risk_threshold: Sum of the risks of different types from which on linked steps are an incident.
        tactic_threshold: Number of tactics from which on half of `risk_threshold` suffices.
        critical_severity: Severity from which on a single alert is an incident.
        parents: Incoming edges of a step that are drawn.
        most_steps: Steps that are remembered; the oldest are forgotten first.
        most_linked: Steps of these that can link others: a change of one costs in proportion to what it is linked with.
        most_of_type: Steps of one type that are remembered, the latest.
        most_flow_steps: Steps of one flow; those that come once it is full begin another.
    """

    REQUEST_KEY: ClassVar[str] = "config of flows"

    window_s: Annotated[float, Meta(ge=1, le=30 * _DAY_S)] = 7 * _DAY_S
    half_life_s: Annotated[float, Meta(ge=1, le=365 * _DAY_S)] = 48 * _HOUR_S
    link_threshold: Annotated[float, Meta(ge=0.01, le=1)] = 0.15
    tactic_weight: Annotated[float, Meta(ge=0, le=1)] = 0.5
    common_places: Annotated[int, Meta(ge=1, le=1_000)] = 2
    common_times: Annotated[int, Meta(ge=1, le=10_000)] = 3
    common_sources: Annotated[int, Meta(ge=1, le=1_000)] = 2
    link_severity: Annotated[int, Meta(ge=0, le=100)] = 40
    routine_hours: Annotated[int, Meta(ge=1, le=1_000)] = 6
    risk_threshold: Annotated[float, Meta(ge=0, le=100)] = 2.0
    tactic_threshold: Annotated[int, Meta(ge=1, le=20)] = 3
    critical_severity: Annotated[int, Meta(ge=1, le=101)] = 90
    parents: Annotated[int, Meta(ge=1, le=16)] = 3
    most_steps: Annotated[int, Meta(ge=1, le=50_000)] = 4_000
    most_linked: Annotated[int, Meta(ge=2, le=50_000)] = 1_000
    most_of_type: Annotated[int, Meta(ge=1, le=10_000)] = 300
    most_flow_steps: Annotated[int, Meta(ge=2, le=5_000)] = 256

    @classmethod
    def from_settings(cls, settings: AlertSettings) -> Self:
        """Return the defaults, overridden by the variables that are set."""
        thresholds = {
            "risk_threshold": settings.incident_risk_threshold,
            "tactic_threshold": settings.incident_tactic_threshold,
            "critical_severity": settings.incident_critical_severity,
        }
        return msgspec.structs.replace(cls(), **{key: each for key, each in thresholds.items() if each is not None})
