"""All steps of a file of alerts in one process, on a folder or a bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from app.domains.alerts.alert import DEFAULT_TENANT
from app.domains.alerts.files import clusters, cut, flows, layout, techniques
from app.domains.alerts.files.local import LocalModels
from app.domains.alerts.files.protocol import AlertJobs
from app.domains.alerts.settings import CLOCK_SKEW_S, MOST_TENANTS
from app.jobs.context import open_context
from app.jobs.driver import drive, retried

if TYPE_CHECKING:
    from app.domains.alerts.files.protocol import Context
    from app.domains.alerts.tenancy import TenantFrom
    from app.settings import Settings


class FileRun(msgspec.Struct, frozen=True):
    """The outcome of a file.

    Attributes:
        runs: The runs that it was cut into.
        manifests: The lists of their results; a run that waits for a job elsewhere has none yet.
        alerts: How many were read.
        skipped: How many could not be.
        error: Why nothing of the file was taken, or empty.
    """

    runs: list[str]
    manifests: list[str]
    alerts: int
    skipped: int
    error: str = ""


def open_files(location: str, settings: Settings) -> Context:
    """Return the context of files in a folder, or in S3 with `STATE_TABLE`.

    Args:
        location: A folder, or `s3://bucket/prefix`, with `input/` below it.
        settings: Which models, and which table.

    Raises:
        SettingsError: The location is neither, or it is in S3 and `STATE_TABLE` is not set.
    """
    return open_context(location, settings, AlertJobs(LocalModels(settings)))


def run_file(
    context: Context,
    name: str,
    chunk_alerts: int = cut.CHUNK_ALERTS,
    tenant: str = DEFAULT_TENANT,
    clock_skew_s: float = CLOCK_SKEW_S,
    *,
    tenant_from: TenantFrom = "alert",
    most_tenants: int = MOST_TENANTS,
) -> FileRun:
    """Work on one file from its alerts to its results; called again after a crash, it goes on where it stood.

    Args:
        context: The file is here.
        name: The file's name, below `input/`.
        chunk_alerts: The most alerts of a chunk.
        tenant: The owner of alerts that name none.
        clock_skew_s: How far an alert may be dated after the file.
        tenant_from: As of `cut.enrich`.
        most_tenants: As of `cut.enrich`.

    Raises:
        LocationError: There is no such file.
        MillraceError: A step cannot be done.
    """
    plan = cut.enrich(
        context, name, chunk_alerts, tenant, clock_skew_s, tenant_from=tenant_from, most_tenants=most_tenants
    )
    started = [layout.technique_response(chunk) for chunk in cut.chunks_of(context, plan)]
    results = drive(context.objects, layout.LAYOUT, started, lambda step, each: _do(context, step, each))
    return FileRun(list(plan.runs), results, plan.records, plan.skipped, plan.error)


def do_step(context: Context, arrived: str) -> list[str]:
    """Do the step that an object starts; return the names of the objects that start the next one."""
    found = layout.LAYOUT.arrival(arrived)
    if found is None:
        return []
    return retried(lambda step, name: _do(context, step, name), found.step, found.name)


def _do(context: Context, step: str, name: str) -> list[str]:
    unit = layout.LAYOUT.unit(name, step)
    if step == layout.PROCESS_ENRICHED:
        return techniques.process_enriched(context, unit)
    if step == layout.CREATE_CLUSTER:
        return clusters.create(context, unit)
    if step == layout.PROCESS_CLUSTER:
        return clusters.commit(context, *layout.chunk_and_version(name))
    if step == layout.CREATE_FLOW:
        return flows.create_flow(context, unit)
    if step == layout.PROCESS_FLOW:
        manifest = flows.process_flow(context, unit)
        return [manifest] if manifest else []
    return []
