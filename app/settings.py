"""Every environment variable that the handler reads, typed and checked once at start.

AWS's own variables (`AWS_ENDPOINT_URL`, `AWS_DEFAULT_REGION`, credentials) are read by botocore; those that stand for
an option of a command are declared with it. The README has all of them in one table.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from app.errors import SettingsError
from app.telemetry import LEVELS

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_ROLE = "default"
"""The stream role of an output that names none: `OUTPUT_STREAM`."""

KEEP, SKIP, QUARANTINE = "keep", "skip", "quarantine"
"""What `FOREIGN_RECORDS` may be (`app/stream/aggregation_rows.py`)."""

_TRUE, _FALSE = {"true", "1", "yes", "on"}, {"false", "0", "no", "off"}


def _about(text: str) -> msgspec.Meta:
    return msgspec.Meta(description=text)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the environment says, a field a variable (its name in capitals).

    The descriptions are the README's table; a test holds the two together.
    """

    pipeline: Annotated[str, _about("the pipeline for every stream that `PIPELINES` does not name")] = "bike"
    pipelines: Annotated[dict[str, str], _about("pipelines by input stream, `stream:pipeline,…`")] = {}
    output_stream: Annotated[str, _about("where results go; needed unless `TEST_RUN`")] = ""
    output_streams: Annotated[
        dict[str, str], _about("streams of a pipeline's further output roles, `role:stream,…`")
    ] = {}
    quarantine_stream: Annotated[str, _about("where records that can never succeed go")] = ""
    quarantine_location: Annotated[
        str, _about("a folder or `s3://…` for the same, alone or for what is too large for the stream")
    ] = ""
    model_name: Annotated[str, _about("which model the pipeline `model` runs, by the name of its bundle")] = ""
    run_id: Annotated[str, _about("which model bundle; unset means the newest")] = ""
    model_location: Annotated[
        str, _about("a folder or `s3://…` that holds bundles; unset means those of this repository")
    ] = ""
    technique_run_id: Annotated[str, _about("the same for the technique model of the pipelines of alerts")] = ""
    technique_least_confidence: Annotated[
        Annotated[float, msgspec.Meta(ge=0, le=1)] | None,
        _about("confidence, 0 to 1, below which that model says nothing; unset means its own; 0 always answers"),
    ] = None
    cluster_run_id: Annotated[str, _about("the same for what their clustering has learned")] = ""
    alerts_tenant: Annotated[str, _about("whose alerts are that do not say")] = "default"
    alerts_chunk: Annotated[
        int, msgspec.Meta(ge=1, le=100_000), _about("alerts that a step of the file path takes at a time")
    ] = 20_000
    lookup_table: Annotated[
        str, _about("analysts' techniques for alert texts: a DynamoDB table, or a file that ends in `.csv`")
    ] = ""
    test_run: Annotated[bool, _about("compute, publish nothing, return everything")] = False
    partial_responses: Annotated[
        bool, _about("the mapping honours `ReportBatchItemFailures`: return what is not safe, not the batch")
    ] = False
    response_results: Annotated[
        int, msgspec.Meta(ge=0, le=10_000), _about("how many predictions and quarantined records a return shows")
    ] = 100
    deadline_margin_ms: Annotated[
        int, msgspec.Meta(ge=0), _about("milliseconds before the function's timeout at which work stops")
    ] = 500
    foreign_records: Annotated[
        str, _about("aggregated records of another shard's key range: `keep`, `skip` or `quarantine` them")
    ] = KEEP
    router_handlers: Annotated[str, _about("handlers that the router may call, by name, with commas between")] = ""
    api_cors_origins: Annotated[
        str, _about("origins that may call the API from a browser, with commas between, or `*`")
    ] = ""
    api_tokens: Annotated[
        dict[str, str],
        _about("the API's bearer tokens, `sha256:scope+scope,…`, `*` for every scope; unset: whom the gateway lets in"),
    ] = {}
    api_min_client_version: Annotated[str, _about("the oldest `x-client-version` that the API answers")] = ""
    default_bucket_name: Annotated[str, _about("the bucket of `put-json-to-file` where a request gives no path")] = ""
    state_table: Annotated[str, _about("the DynamoDB table of a pipeline that keeps state")] = ""
    state_location: Annotated[
        str, _about("a folder or `s3://…` for state that is too large for an item of that table")
    ] = ""
    metrics_namespace: Annotated[str, _about("CloudWatch namespace of the metrics")] = "Millrace"
    log_level: Annotated[str, _about("`DEBUG`, `INFO`, `WARNING` or `ERROR`")] = "INFO"

    def stream_for(self, role: str) -> str:
        """The stream of an output role, or an empty string when none is set."""
        return self.output_stream if role == DEFAULT_ROLE else self.output_streams.get(role, "")

    def pipeline_for(self, stream: str) -> str:
        """The name of the pipeline that reads `stream`."""
        return self.pipelines.get(stream, self.pipeline)

    def pipeline_names(self) -> set[str]:
        """Return the names of all pipelines that `PIPELINE` and `PIPELINES` have."""
        return {self.pipeline, *self.pipelines.values()}


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Reads the settings from an environment; an empty variable counts as unset.

    Raises:
        SettingsError: A variable has a value that it cannot have.
    """
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(Settings):
        name = field.name.upper()
        text = environ.get(name, "").strip()
        if text:
            default = field.default if field.default is not msgspec.NODEFAULT else {}
            found[field.name] = _parse(name, text, float if default is None else type(default))
    try:
        settings = msgspec.convert(found, Settings)
    except msgspec.ValidationError as error:
        expected, _, field_name = str(error).rstrip("`").replace("`", "").partition(" - at $.")
        name = re.split(r"\W", field_name)[0].upper()
        raise SettingsError(f"{name} is {environ.get(name)!r}: {expected[:1].lower()}{expected[1:]}") from None
    if settings.log_level.upper() not in LEVELS:
        raise SettingsError(f"LOG_LEVEL is {settings.log_level!r}: set DEBUG, INFO, WARNING or ERROR")
    if settings.foreign_records not in {KEEP, SKIP, QUARANTINE}:
        raise SettingsError(f"FOREIGN_RECORDS is {settings.foreign_records!r}: set keep, skip or quarantine")
    return settings


def _parse(name: str, text: str, kind: type) -> object:
    """One variable's text as the type of its default."""
    if kind is bool:
        if text.lower() not in _TRUE | _FALSE:
            raise SettingsError(f"{name} is {text!r}: set True or False")
        return text.lower() in _TRUE
    if kind is int:
        try:
            return int(text)
        except ValueError:
            raise SettingsError(f"{name} is {text!r}: set a whole number") from None
    if kind is float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if math.isnan(number):
            raise SettingsError(f"{name} is {text!r}: set a number")
        return number
    if kind is dict:
        return _pairs(name, text)
    return text


def _pairs(name: str, text: str) -> dict[str, str]:
    """`a:b,c:d` as a dictionary."""
    pairs: dict[str, str] = {}
    for item in text.split(","):
        key, colon, value = (part.strip() for part in item.partition(":"))
        if not (key and colon and value):
            raise SettingsError(f"{name} has {item.strip()!r}: write name:value pairs with commas between")
        pairs[key] = value
    return pairs
