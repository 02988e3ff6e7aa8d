"""Every pipeline by its name, and the runtime that the environment describes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from app import telemetry
from app.domains.alerts.roles import ALERT_ROLES, TECHNIQUE_ROLES
from app.settings import DEFAULT_ROLE, Settings, read_settings
from app.stream.runtime import Measure, Opener, Runtime, check_roles

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.stream.pipeline import Pipeline, StatefulPipeline


def _open_bike(settings: Settings) -> Pipeline[Any]:
    from app.domains.bike.pipeline import BikePipeline  # noqa: PLC0415 - one pipeline does not pay for another

    return BikePipeline.open(settings)


def _open_model(settings: Settings) -> Pipeline[Any]:
    from app.domains.model.pipeline import ModelPipeline  # noqa: PLC0415 - the same

    return ModelPipeline.open(settings)


def _open_alerts(settings: Settings) -> StatefulPipeline[Any]:
    from app.domains.alerts.pipeline import AlertPipeline  # noqa: PLC0415 - the same

    return AlertPipeline.open(settings)


def _open_alerts_technique(settings: Settings) -> Pipeline[Any]:
    from app.domains.alerts.pipeline import TechniquePipeline  # noqa: PLC0415 - the same

    return TechniquePipeline.open(settings)


PIPELINES: Mapping[str, Opener] = {
    "alerts": _open_alerts,
    "alerts-technique": _open_alerts_technique,
    "bike": _open_bike,
    "model": _open_model,
}
"""Every pipeline by its name in `PIPELINE`, and how it is opened."""

ROLES: Mapping[str, tuple[str, ...]] = {"alerts": ALERT_ROLES, "alerts-technique": TECHNIQUE_ROLES}
"""The stream roles of the pipelines that emit to others than the default one: known without opening them."""

STATEFUL = frozenset({"alerts"})
"""The pipelines that keep state: they need `STATE_TABLE`."""


def open_runtime(settings: Settings | None = None, measure: Measure = telemetry.emit_metrics) -> Runtime:
    """A runtime of all pipelines, as the settings say; without any, as the environment says."""
    settings = settings or read_settings(os.environ)
    for name in sorted({settings.pipeline, *settings.pipelines.values()} & set(PIPELINES)):
        check_roles(name, ROLES.get(name, (DEFAULT_ROLE,)), settings)  # before a model is loaded for nothing
    return Runtime(settings, PIPELINES, measure=measure)
