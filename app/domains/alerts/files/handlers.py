"""The seven steps as handlers: each takes the object that starts it, from a bucket's event or by hand.

    enrich-with-technique             input/…                                        a file into chunks, with techniques
    process-enriched-with-technique   scratch/response/classification_out/…          a chunk to clustering
    update-lookup-table               lookup/….csv                                   analysts' corrections
    create-cluster                    scratch/output/classification/…/input.json     a chunk into clusters
    process-cluster                   scratch/response/cluster_out/…                 … which count from here on
    create-flow                       scratch/output/cluster/…/input_flow.json       clusters into flows
    process-flow                      scratch/response/flow_out/…                    results under output/

Each writes the object that starts the next. Behind a bucket: `alert_files_handler(TheHandler)`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from app.domains.alerts.files import clusters, cut, flows, layout, techniques
from app.domains.alerts.files.local import LocalModels
from app.domains.alerts.files.protocol import AlertJobs
from app.domains.alerts.files.requests import (
    EnrichRequest,
    EnrichResponse,
    FlowResponse,
    StepRequest,
    StepResponse,
    UpdateLookupRequest,
    UpdateLookupResponse,
)
from app.domains.alerts.formats.own_tables import load_own_formats
from app.domains.alerts.lookups.corrections import Correction
from app.domains.alerts.lookups.table import LookupTable, open_lookup, update, update_from_csv
from app.domains.alerts.settings import AlertSettings
from app.errors import ForbiddenError, RequestError, SettingsError
from app.handlers.base import LambdaHandler
from app.jobs.context import StepEnvironment
from app.jobs.events import located
from app.jobs.layout import split_chunk_id
from app.storage.location import S3, check_allowed, read_location
from app.text import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from app.handlers.invocation import Invocation
    from app.settings import Settings

Request = TypeVar("Request")
Response = TypeVar("Response")

SHOWN = 100  # names in a response; a file of a million alerts has 50 chunks


_STATEFUL = frozenset((layout.CREATE_CLUSTER, layout.PROCESS_CLUSTER))


class StepHandler(LambdaHandler[Request, Response]):
    """A step that an object starts: all of them but the update of the lookup table."""

    def __init__(self, environment: StepEnvironment[AlertJobs]) -> None:
        """Take the models and the store that all steps share."""
        self._environment = environment

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Take the settings; a model is loaded when the step needs it.

        Raises:
            SettingsError: A file of `ALERTS_FORMATS` is missing or faulty.
        """
        load_own_formats(settings.read(AlertSettings).alerts_formats)
        return cls(StepEnvironment(settings, layout.LAYOUT, AlertJobs(LocalModels(settings)), _STATEFUL))


class EnrichWithTechniqueHandler(StepHandler[EnrichRequest, EnrichResponse]):
    """Cuts a file of alerts into chunks, and resolves their techniques."""

    name = layout.ENRICH

    def handle(self, request: EnrichRequest, invocation: Invocation) -> EnrichResponse:
        """Do step 1; the error of a file that cannot be read is in the response and in `output/<run>/error.json`.

        Raises:
            RequestError: The location is not below `input/` in S3.
            LocationError: There is no such file.
            UnacknowledgedError: The time is up, or the file was replaced meanwhile: the event is to be repeated.
        """
        context, name = self._environment.context(request.location, self.name, invocation)
        settings = self._environment.settings.read(AlertSettings)
        chunk_alerts = request.chunk_alerts or settings.alerts_chunk
        tenant = request.tenant or settings.alerts_tenant
        plan = cut.enrich(
            context,
            name,
            chunk_alerts,
            tenant,
            settings.alerts_clock_skew,
            tenant_from=settings.alerts_tenant_from or "alert",
            most_tenants=settings.alerts_most_tenants,
        )
        chunks = len(cut.chunks_of(context, plan))
        invocation.metrics.count("alerts", plan.records)
        invocation.metrics.count("skipped_alerts", plan.skipped)
        invocation.metrics.count("refused_files", int(bool(plan.error)))
        if plan.error:
            invocation.logger.warning("a file of alerts cannot be read", extra={"skipped": plan.skipped})
        return EnrichResponse(list(plan.runs[:SHOWN]), plan.records, plan.skipped, chunks, plan.error)


class ProcessEnrichedWithTechniqueHandler(StepHandler[StepRequest, StepResponse]):
    """Takes a chunk's techniques from a job elsewhere, if there is one, and hands the chunk to clustering."""

    name = layout.PROCESS_ENRICHED

    def handle(self, request: StepRequest, invocation: Invocation) -> StepResponse:
        """Do step 2.

        Raises:
            RequestError: The location is no technique response in S3.
            LocationError: The response is not of its form, or step 1 has not been there.
        """
        context, name = self._environment.context(request.location, self.name, invocation)
        chunk = layout.LAYOUT.unit(name, self.name)
        return StepResponse(_run_of(chunk), techniques.process_enriched(context, chunk))


class UpdateLookupTableHandler(LambdaHandler[UpdateLookupRequest, UpdateLookupResponse]):
    """Takes analysts' corrections of techniques into the lookup table."""

    name = layout.UPDATE_LOOKUP

    def __init__(self, table: LookupTable, tenant: str = "", allowed: Sequence[str] = ()) -> None:
        """Take the table, the only tenant whose corrections are taken, and the locations that a CSV may come from."""
        self._table, self._tenant, self._allowed = table, tenant, allowed

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Open the table that `LOOKUP_TABLE` names.

        Raises:
            SettingsError: It names none.
        """
        own = settings.read(AlertSettings)
        table = open_lookup(own.lookup_table)
        if table is None:
            raise SettingsError("LOOKUP_TABLE is not set: name a DynamoDB table, or a local file that ends in .csv")
        return cls(table, own.lookup_tenant, settings.allowed_locations)

    def handle(self, request: UpdateLookupRequest, invocation: Invocation) -> UpdateLookupResponse:
        """Do step 3; a wrong correction harms no other.

        Raises:
            RequestError: There is neither a CSV nor a correction, or both. Or the CSV may not be read: it is not in S3,
                below none of `ALLOWED_LOCATIONS`, or without these not called `…lookup/….csv`.
            ForbiddenError: They are for another tenant than the one of `LOOKUP_TENANT`.
            LocationError: There is no such CSV.
            CloudError: The table does not answer; the same corrections may come again.
        """
        if (request.location is None) == (not request.corrections):
            raise RequestError("request: give either location or corrections")
        if self._tenant and request.tenant not in {"", self._tenant}:
            raise ForbiddenError(f"$.tenant: only those for {quoted(self._tenant)} are taken here (LOOKUP_TENANT)")
        only = self._tenant or request.tenant
        now = self._table.now() if request.time is None else request.time
        if request.location is not None:
            self._check(request.location)
            report = update_from_csv(self._table, read_location(request.location), now, request.author, only=only)
        else:
            given = [
                Correction(each.alert, tuple(each.techniques), now, request.author, 1.0, each.rule, each.override)
                for each in request.corrections
            ]
            report = update(self._table, given, only=only)
        invocation.metrics.count("corrections", report.taken)
        invocation.metrics.count("rejected_corrections", len(report.rejected) + report.unreported)
        return UpdateLookupResponse(report.taken, report.outdated, list(report.rejected), report.unreported)

    def _check(self, location: str) -> None:
        """Refuse a CSV that no setting allows and that no bucket's event would name."""
        if not self._allowed or not location.startswith(S3):
            located(location, self.name, layout.LAYOUT)
        check_allowed(location, self._allowed, "$.location")


class CreateClusterHandler(StepHandler[StepRequest, StepResponse]):
    """Starts the clustering of a chunk, if those before it are done."""

    name = layout.CREATE_CLUSTER

    def handle(self, request: StepRequest, invocation: Invocation) -> StepResponse:
        """Do step 4.

        Raises:
            RequestError: The location is no request for clusters in S3.
            SettingsError: `STATE_TABLE` is not set.
            StateConflictError: Other files of the tenant were always quicker: the event is to come again.
        """
        context, name = self._environment.context(request.location, self.name, invocation)
        chunk = layout.LAYOUT.unit(name, self.name)
        return StepResponse(_run_of(chunk), clusters.create(context, chunk))


class ProcessClusterHandler(StepHandler[StepRequest, StepResponse]):
    """Makes the clustering of a chunk count, and starts the next chunk's, or the flows after the last."""

    name = layout.PROCESS_CLUSTER

    def handle(self, request: StepRequest, invocation: Invocation) -> StepResponse:
        """Do step 5.

        Raises:
            RequestError: The location is no response about clusters in S3.
            SettingsError: `STATE_TABLE` is not set.
            LocationError: The response is not of its form.
            StateConflictError: Other files of the tenant were always quicker: the event is to come again.
        """
        context, name = self._environment.context(request.location, self.name, invocation)
        chunk, version = layout.chunk_and_version(name)
        return StepResponse(_run_of(chunk), clusters.commit(context, chunk, version))


class CreateFlowHandler(StepHandler[StepRequest, StepResponse]):
    """Makes the attack flows of a run's clusters."""

    name = layout.CREATE_FLOW

    def handle(self, request: StepRequest, invocation: Invocation) -> StepResponse:
        """Do step 6.

        Raises:
            RequestError: The location is no request for flows in S3.
        """
        context, name = self._environment.context(request.location, self.name, invocation)
        run = layout.LAYOUT.unit(name, self.name)
        return StepResponse(run, flows.create_flow(context, run))


class ProcessFlowHandler(StepHandler[StepRequest, FlowResponse]):
    """Writes a run's results under `output/`, the list of them last."""

    name = layout.PROCESS_FLOW

    def handle(self, request: StepRequest, invocation: Invocation) -> FlowResponse:
        """Do step 7.

        Raises:
            RequestError: The location is no response about flows in S3.
            LocationError: The response is not of its form, or a step before was not there.
        """
        context, name = self._environment.context(request.location, self.name, invocation)
        run = layout.LAYOUT.unit(name, self.name)
        manifest = flows.process_flow(context, run)
        return FlowResponse(run, manifest)


def _run_of(chunk: str) -> str:
    try:
        return split_chunk_id(chunk)[0]
    except ValueError:
        raise RequestError("$.location: no chunk's name is in it", "$.location") from None
