"""Requests and responses of the seven steps."""

from __future__ import annotations

from typing import Annotated

import msgspec

from app.domains.alerts.lookups.corrections import RejectedRow  # noqa: TC001 - msgspec reads the field's type

MOST_INLINE = 1000  # corrections in one request; more are a CSV

Location = Annotated[
    str,
    msgspec.Meta(min_length=6, max_length=1200, description="the object that starts the step, `s3://bucket/…`"),
]


class EnrichRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of alerts to work on."""

    location: Location
    chunk_alerts: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=100_000)] | None,
        msgspec.Meta(description="alerts in a chunk; without it `ALERTS_CHUNK`"),
    ] = None
    tenant: Annotated[
        Annotated[str, msgspec.Meta(min_length=1, max_length=256)] | None,
        msgspec.Meta(description="the owner of alerts that name no tenant; without it `ALERTS_TENANT`"),
    ] = None


class EnrichResponse(msgspec.Struct, frozen=True):
    """The outcome of a file."""

    runs: Annotated[list[str], msgspec.Meta(description="one for each tenant: results are under `output/<run>/`")]
    alerts: Annotated[int, msgspec.Meta(description="alerts that were read")]
    skipped: Annotated[int, msgspec.Meta(description="alerts that could not be, in `skipped_events/<run>/`")]
    chunks: Annotated[int, msgspec.Meta(description="chunks that the alerts were cut into")]
    error: Annotated[str, msgspec.Meta(description="why nothing of the file was taken, or empty")] = ""


class StepRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An object that starts the step."""

    location: Location


class StepResponse(msgspec.Struct, frozen=True):
    """The outcome of a step."""

    run: Annotated[str, msgspec.Meta(description="the run that the object is of")]
    next: Annotated[
        list[str],
        msgspec.Meta(description="objects that start the next step; none while a chunk before, or a job, is not done"),
    ]


class FlowResponse(msgspec.Struct, frozen=True):
    """The results of a run."""

    run: Annotated[str, msgspec.Meta(description="the run that the object is of")]
    manifest: Annotated[
        str,
        msgspec.Meta(description="the list of the run's results, which are complete; empty while a job is not done"),
    ]


class GivenCorrection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The techniques of alerts of one text, or of one rule."""

    techniques: Annotated[list[str], msgspec.Meta(description="ATT&CK ids; empty for an alert without any")]
    alert: Annotated[str, msgspec.Meta(description="the alert's text; with `rule`, a note")] = ""
    rule: Annotated[str, msgspec.Meta(description="the id of a rule, for all its alerts")] = ""
    override: Annotated[bool, msgspec.Meta(description="whether it replaces techniques that an alert carries")] = False


class UpdateLookupRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Corrections: the location of a CSV with the columns `alerts,techniques` or more, or a list."""

    location: Annotated[Location | None, msgspec.Meta(description="a CSV, `s3://bucket/….csv`")] = None
    corrections: Annotated[
        list[GivenCorrection], msgspec.Meta(max_length=MOST_INLINE, description="analysts' feedback")
    ] = []
    time: Annotated[
        Annotated[float, msgspec.Meta(ge=0)] | None,
        msgspec.Meta(description="when they were made, seconds since 1970; the same again changes nothing"),
    ] = None
    author: Annotated[str, msgspec.Meta(max_length=256, description="who made them")] = ""
    tenant: Annotated[
        str,
        msgspec.Meta(
            max_length=256, description="the tenant that all of them are for; without it `LOOKUP_TENANT`, else any"
        ),
    ] = ""


class UpdateLookupResponse(msgspec.Struct, frozen=True):
    """The outcome of corrections."""

    taken: Annotated[int, msgspec.Meta(description="corrections that hold now")]
    outdated: Annotated[int, msgspec.Meta(description="corrections that were older than the table's own")]
    rejected: Annotated[list[RejectedRow], msgspec.Meta(description="those not taken, with line and reason")]
    unreported: Annotated[int, msgspec.Meta(description="the number of further ones that were not taken")]
