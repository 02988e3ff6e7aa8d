"""Settings of a mapping, under the names, bounds and defaults of AWS's API.

Source: https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html and
https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-parameters.html.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from app.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

REPORT_FAILURES = "ReportBatchItemFailures"
POSITIONS = ("TRIM_HORIZON", "LATEST", "AT_TIMESTAMP")
INFINITE = -1
RECORD_AGE_S = (60, 604_800)  # a minute to a week
FILTERS = 10  # the quota that AWS raises to on request; five without one
PATTERN_CHARACTERS = 4096
_ARN_PARTS = 6  # arn:partition:service:region:account:resource

_BOUNDS: Mapping[str, tuple[float, float]] = {
    "batch_size": (1, 10_000),
    "maximum_batching_window_in_seconds": (0, 300),
    "parallelization_factor": (1, 10),
    "maximum_retry_attempts": (INFINITE, 10_000),
    "tumbling_window_in_seconds": (0, 900),
    "timeout": (1, 900),
}


class Destination(msgspec.Struct, frozen=True, rename="pascal"):
    """The ARN of the queue, topic or bucket that gets the record of a discarded batch."""

    destination: str = ""


class DestinationConfig(msgspec.Struct, frozen=True, rename="pascal"):
    """AWS's wrapping of the one destination that Kinesis mappings have."""

    on_failure: Destination = Destination()


class Filter(msgspec.Struct, frozen=True, rename="pascal"):
    """One pattern, as JSON in a string."""

    pattern: str = ""


class FilterCriteria(msgspec.Struct, frozen=True, rename="pascal"):
    """Patterns; a record must match one of them."""

    filters: tuple[Filter, ...] = ()


class MappingSettings(msgspec.Struct, frozen=True, rename="pascal", kw_only=True, forbid_unknown_fields=True):
    """A mapping's settings.

    All but `stream_name` and `timeout` are the mapping's in AWS. `stream_name` stands for an `event_source_arn`;
    `timeout`, in seconds, is the function's own setting. Times are seconds, -1 is infinite.
    """

    mapping_id: str = msgspec.field(default="local", name="UUID")
    stream_name: str = ""
    event_source_arn: str = ""
    function_name: str = "function"
    enabled: bool = True
    batch_size: int = 100
    maximum_batching_window_in_seconds: float = 0
    starting_position: str = "TRIM_HORIZON"
    starting_position_timestamp: float | None = None
    parallelization_factor: int = 1
    function_response_types: tuple[str, ...] = ()
    bisect_batch_on_function_error: bool = False
    maximum_retry_attempts: int = INFINITE
    maximum_record_age_in_seconds: int = INFINITE
    tumbling_window_in_seconds: int = 0
    destination_config: DestinationConfig = DestinationConfig()
    filter_criteria: FilterCriteria = FilterCriteria()
    timeout: float = 60

    def __post_init__(self) -> None:
        """Check the values against AWS's bounds."""
        for name, (low, high) in _BOUNDS.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise SettingsError(f"{api_name(name)} is {value:g}: {low:g} to {high:g}")
        age = self.maximum_record_age_in_seconds
        if age != INFINITE and not RECORD_AGE_S[0] <= age <= RECORD_AGE_S[1]:
            raise SettingsError(f"MaximumRecordAgeInSeconds is {age}: -1 (infinite), or 60 to 604800")
        self._check_stream()
        if self.starting_position not in POSITIONS:
            raise SettingsError(f"StartingPosition is {self.starting_position!r}: TRIM_HORIZON, LATEST or AT_TIMESTAMP")
        if (self.starting_position == "AT_TIMESTAMP") != (self.starting_position_timestamp is not None):
            raise SettingsError("StartingPositionTimestamp goes with StartingPosition AT_TIMESTAMP, and only with it")
        for kind in self.function_response_types:
            if kind != REPORT_FAILURES:
                raise SettingsError(f"FunctionResponseTypes has {kind!r}: the only one is {REPORT_FAILURES}")
        if self.tumbling_window_in_seconds and self.parallelization_factor > 1:
            raise SettingsError("TumblingWindowInSeconds keeps one state per shard: set ParallelizationFactor to 1 too")
        self._check_filters()

    def _check_stream(self) -> None:
        named = self._stream_of_arn()
        if self.event_source_arn and not named:
            raise SettingsError(f"EventSourceArn {self.event_source_arn!r} is not the ARN of a Kinesis stream")
        if self.stream_name and named not in {"", self.stream_name}:
            raise SettingsError(f"StreamName is {self.stream_name!r}, EventSourceArn names {named!r}: give one")
        if not self.stream:
            raise SettingsError("no stream: give StreamName or EventSourceArn")

    def _check_filters(self) -> None:
        filters = self.filter_criteria.filters
        if len(filters) > FILTERS:
            raise SettingsError(f"FilterCriteria has {len(filters)} filters: at most {FILTERS}")
        for number, each in enumerate(filters, 1):
            if len(each.pattern) > PATTERN_CHARACTERS:
                raise SettingsError(f"filter {number} has {len(each.pattern)} characters: at most 4096")

    @property
    def stream(self) -> str:
        """Return the stream's name, from `stream_name` or from the ARN of the stream or of a consumer of it."""
        return self.stream_name or self._stream_of_arn()

    def _stream_of_arn(self) -> str:
        resource = self.event_source_arn.split(":", _ARN_PARTS - 1)[-1]
        return resource.split("/")[1] if resource.startswith("stream/") else ""

    @property
    def reports_failures(self) -> bool:
        """Return whether the mapping honours `batchItemFailures`."""
        return REPORT_FAILURES in self.function_response_types


def api_name(field: str) -> str:
    """Return a field's name in AWS's API."""
    return "".join(part.capitalize() for part in field.split("_"))


NAMES = frozenset(field.encode_name for field in msgspec.structs.fields(MappingSettings))


def settings_of(values: Mapping[str, Any]) -> MappingSettings:
    """Convert AWS's names and values, as in a template or from the API, to settings; numbers may be text.

    Raises:
        SettingsError: A value is of the wrong type, or is not one that AWS allows.
    """
    found = {name: value for name, value in values.items() if value is not None}
    moment = found.get("StartingPositionTimestamp")
    if isinstance(moment, str):
        found["StartingPositionTimestamp"] = _seconds(moment)
    try:
        return msgspec.convert(found, MappingSettings, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(f"mapping: {error}") from None


def _seconds(text: str) -> float:
    """Parse seconds since 1970, or an ISO 8601 time; one without an offset is UTC."""
    try:
        if math.isfinite(seconds := float(text)):
            return seconds
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError(
            f"StartingPositionTimestamp is {text!r}: seconds since 1970, or a time like 2026-01-31T12:00:00Z"
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
