"""The domains of Millrace, and all that follows from them: pipelines, handlers and the stream's runtime.

A new domain is a folder below `app/domains` and a line in `DOMAINS`. A pipeline of your own needs neither: `PIPELINE`
takes `package.module:Class`, or the name of an entry point in the group `millrace.pipelines`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from app.domain import Domain, HandlerSpec, PipelineSpec, import_named
from app.domains import alerts, bike, general, model
from app.errors import EventError, SettingsError, UnknownPipelineError
from app.handlers.registry import Registry
from app.settings import Settings, read_settings
from app.text import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.stream.pipeline import AnyPipeline
    from app.stream.runtime import Measure, Runtime

DOMAINS: tuple[Domain, ...] = (
    alerts.DOMAIN,
    bike.DOMAIN,
    general.DOMAIN,
    model.DOMAIN,
)
"""Every domain; a line adds one."""

ENTRY_POINTS = "millrace.pipelines"
"""The group of entry points in which an installed package announces its pipelines."""

HANDLERS = Registry(
    (
        HandlerSpec(
            name="router",
            class_name="app.router_function.RouterHandler",
            variables={"ROUTER_HANDLERS": "get-json-from-file"},
            example={"handler": "get-json-from-file", "event": {"path": general.EXAMPLE_PATH}},
        ),
        HandlerSpec(name="stream", class_name="app.lambda_function.StreamHandler", variables={"TEST_RUN": "True"}),
        *(handler for domain in DOMAINS for handler in domain.handlers),
    )
)
"""Every handler by its short name: for `millrace handlers`, `millrace invoke` and the router."""

PIPELINES: Mapping[str, PipelineSpec] = {pipeline.name: pipeline for domain in DOMAINS for pipeline in domain.pipelines}
"""The domains' pipelines by name."""


def pipeline_class(name: str) -> type[AnyPipeline]:
    """Import the pipeline class that `PIPELINE` names.

    Args:
        name: A domain's pipeline, an entry point of `millrace.pipelines`, or `package.module:Class`.

    Raises:
        SettingsError: The class declares a name or roles that cannot be used.
        UnknownPipelineError: There is no such pipeline, or it is no `Pipeline`; the line says what is missing.
    """
    from app.stream.pipeline import (  # noqa: PLC0415 - listing handlers does not need it
        Pipeline,
        StatefulPipeline,
        check_declared,
    )

    if name in PIPELINES:
        name = PIPELINES[name].class_name
    elif ":" not in name:
        name = _entry_point(name)
    found = import_named(name, UnknownPipelineError, "pipeline")
    if not isinstance(found, type) or not issubclass(found, (Pipeline, StatefulPipeline)):
        raise UnknownPipelineError(
            f"{quoted(name)} is no pipeline: name a class that extends Pipeline or StatefulPipeline"
        )
    missing = sorted(getattr(found, "__abstractmethods__", ())) + ["name"] * (not hasattr(found, "name"))
    if missing:
        raise UnknownPipelineError(f"pipeline {quoted(name)} cannot be made: it has no {' and no '.join(missing)}")
    check_declared(found)
    return found


def example_record(pipeline: str) -> bytes:
    """Return the payload of the example record that a pipeline declares.

    Args:
        pipeline: The pipeline's name, as `PIPELINE` has it.

    Raises:
        UnknownPipelineError: There is no such pipeline.
        EventError: It declares no example.
    """
    spec = PIPELINES.get(pipeline)
    example = pipeline_class(pipeline).example if spec is None else spec.example
    if example is None:
        mend = "give a record" if spec else "give a record, or set `example` on its class"
        raise EventError(f"pipeline {quoted(pipeline)} has no example record: {mend}")
    return example if isinstance(example, bytes) else msgspec.json.encode(example)


def read_all_settings(environ: Mapping[str, str]) -> Settings:
    """Read the settings and check the variables of every domain, whether it runs or not.

    Raises:
        SettingsError: A variable has a value that it cannot have.
    """
    settings = read_settings(environ)
    for kind in settings_of_domains():
        settings.read(kind)
    return settings


def settings_of_domains() -> list[type[msgspec.Struct]]:
    """Import the structs of the domains' own variables."""
    return [import_named(domain.settings, SettingsError, "settings") for domain in DOMAINS if domain.settings]


def open_runtime(settings: Settings | None = None, measure: Measure | None = None) -> Runtime:
    """Open the pipelines that the settings name, ready for events.

    Args:
        settings: The settings; by default the environment's.
        measure: Receives each batch's metrics; by default each is a line in CloudWatch's embedded format.

    Raises:
        MillraceError: A setting, a pipeline or a model cannot be used.
    """
    from app import telemetry  # noqa: PLC0415 - listing handlers does not pay for the stream
    from app.stream.runtime import Runtime, check_roles  # noqa: PLC0415 - the same

    settings = settings or read_settings(os.environ)
    classes = {name: pipeline_class(name) for name in sorted(settings.pipeline_names())}
    for name, each in classes.items():
        check_roles(name, each.roles, settings)  # before a model is loaded for nothing
    openers = {name: each.open for name, each in classes.items()}
    return Runtime(settings, openers, measure=measure or telemetry.emit_metrics)


def open_to_explain(settings: Settings) -> Runtime:
    """Open the pipelines of the settings for `explain` alone, which needs no stream, table or location.

    Raises:
        MillraceError: A setting, a pipeline or a model cannot be used.
    """
    # A pipeline with state does not open without a table, and no table is called before a batch.
    unused = {"state_table": "never-read", "state_location": "", "quarantine_location": ""}
    return open_runtime(msgspec.structs.replace(settings, test_run=True, **unused))


def _entry_point(name: str) -> str:
    """Return the class name behind an entry point that an installed package announces."""
    from importlib.metadata import entry_points  # noqa: PLC0415 - the pipelines of Millrace do not pay for it

    announced = entry_points(group=ENTRY_POINTS)
    found = {each.value: each.dist.name if each.dist else each.value for each in announced if each.name == name}
    if len(found) > 1:
        packages = " and ".join(sorted(found.values()))
        raise UnknownPipelineError(
            f"pipeline {quoted(name)} is announced by {packages}: uninstall all but one, or set PIPELINE to one of "
            f"{', '.join(sorted(found))}"
        )
    if not found:
        names = ", ".join(sorted({*PIPELINES, *announced.names}))
        raise UnknownPipelineError(
            f"no pipeline {quoted(name)}: set PIPELINE to one of {names}, or to package.module:Class"
        )
    return next(iter(found))
