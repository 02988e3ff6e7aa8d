"""Each rule about a mapping's settings, both ways."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from app.doctor.case import Case
from app.doctor.finding import Finding, Severity
from app.doctor.mapping import LARGEST_DATA_BYTES, RULES, examine_mapping
from app.settings import Settings
from app.stream.mapping.event import EVENT_BYTES, build_event

SOUND: dict[str, Any] = {
    "UUID": "1-2-3",
    "EventSourceArn": "arn:aws:kinesis:eu-west-2:123456789012:stream/rides",
    "FunctionArn": "arn:aws:lambda:eu-west-2:123456789012:function:predict:live",
    "State": "Enabled",
    "StateTransitionReason": "User action",
    "LastProcessingResult": "OK",
    "BatchSize": 500,
    "MaximumBatchingWindowInSeconds": 1,
    "ParallelizationFactor": 1,
    "StartingPosition": "TRIM_HORIZON",
    "MaximumRetryAttempts": 100,
    "MaximumRecordAgeInSeconds": 43_200,
    "BisectBatchOnFunctionError": True,
    "TumblingWindowInSeconds": 0,
    "FunctionResponseTypes": ["ReportBatchItemFailures"],
    "DestinationConfig": {"OnFailure": {"Destination": "arn:aws:s3:::failed"}},
}
STREAM = {"StreamName": "rides", "RetentionPeriodHours": 24, "OpenShardCount": 2, "MaxRecordSizeInKiB": 1024}
SETTINGS = Settings(output_stream="counts", partial_responses=True, state_table="states")


def examined(*without: str, settings: Settings | None = SETTINGS, **changed: Any) -> list[Finding]:
    """What is found in a sound mapping once some settings are other, or not there."""
    mapping = {name: value for name, value in {**SOUND, **changed}.items() if name not in without}
    keeps_state = bool(settings and settings.state_table)
    return list(examine_mapping(Case(mapping, settings, STREAM, keeps_state=keeps_state)))


def test_a_sound_mapping_has_no_findings() -> None:
    assert examined() == []
    assert examined("LastProcessingResult", "StateTransitionReason", settings=None) == []


@pytest.mark.parametrize(
    ("changed", "severity", "what", "option"),
    [
        ({"State": "Disabled"}, "error", "is disabled", "--enabled"),
        ({"MaximumRetryAttempts": -1}, "info", "retries forever", "--maximum-retry-attempts 100"),
        ({"MaximumRecordAgeInSeconds": -1}, "info", "any age", "--maximum-record-age-in-seconds 43200"),
        ({"MaximumRecordAgeInSeconds": 86_401}, "warning", "86401 s", "--maximum-record-age-in-seconds 43200"),
        (
            {"DestinationConfig": {}},
            "error",
            "no on-failure destination",
            "arn:aws:s3:::millrace-failed-123456789012-eu",
        ),
        ({"DestinationConfig": {"OnFailure": {"Destination": ""}}}, "error", "no on-failure destination", "s3 mb"),
        ({"BisectBatchOnFunctionError": False}, "warning", "does not bisect", "--bisect-batch-on-function-error"),
        ({"FunctionResponseTypes": []}, "error", "PARTIAL_RESPONSES=True", "ReportBatchItemFailures"),
        ({"BatchSize": 10_000}, "info", "cannot fit", "--batch-size 3"),
        ({"ParallelizationFactor": 2}, "warning", "ParallelizationFactor is 2", "--parallelization-factor 1"),
        ({"TumblingWindowInSeconds": 30}, "error", "tumbling window", "--tumbling-window-in-seconds 0"),
        ({"FilterCriteria": {"Filters": [{"Pattern": "{}"}]}}, "info", "1 filter", "--filter-criteria '{}'"),
        ({"StartingPosition": "LATEST"}, "info", "LATEST", "--starting-position TRIM_HORIZON"),
    ],
)
def test_one_setting_is_one_finding_with_its_command(
    changed: dict[str, Any], severity: str, what: str, option: str
) -> None:
    [finding] = examined(**changed)
    assert finding.severity == severity
    assert what in finding.what
    assert option in finding.mend
    assert "rides (1-2-3)" in finding.where


def test_every_update_names_the_mapping_and_can_be_parsed_by_a_shell() -> None:
    defaults = examined(*(set(SOUND) - {"UUID", "EventSourceArn"}))
    updates = [finding.mend for finding in defaults if "update-event-source-mapping" in finding.mend]
    assert len(updates) == 5
    for command in updates:
        words = shlex.split(command.partition("&& ")[2] or command)
        assert words[:5] == ["aws", "lambda", "update-event-source-mapping", "--uuid", "1-2-3"]


def test_awss_defaults_block_but_lose_nothing_at_once() -> None:
    """Infinite retries, infinite age, no destination: each on its own is worse or better than all three."""
    found = examined("MaximumRetryAttempts", "MaximumRecordAgeInSeconds", "DestinationConfig")
    assert [finding.severity for finding in found] == ["warning"] * 3
    # A limit without a destination would lose what blocked before: each command that sets one sets both.
    limits = [finding.mend for finding in found if "--maximum-" in finding.mend]
    assert len(limits) == 2
    for command in limits:
        words = shlex.split(command)
        config = msgspec.json.decode(words[words.index("--destination-config") + 1])
        assert config["OnFailure"]["Destination"].startswith("arn:aws:s3:::")


def test_a_queue_is_told_which_records_and_not_what_was_in_them() -> None:
    [finding] = examined(DestinationConfig={"OnFailure": {"Destination": "arn:aws:sqs:eu-west-2:123456789012:failed"}})
    assert finding.severity is Severity.INFO
    assert "within 24 hours" in finding.why


def test_without_partial_responses_on_either_side_batches_repeat_but_nothing_is_lost() -> None:
    [finding] = examined("FunctionResponseTypes", settings=Settings(output_stream="counts"))
    assert finding.severity is Severity.WARNING


def test_parallel_batches_are_fine_for_a_pipeline_without_state() -> None:
    assert examined(ParallelizationFactor=10, settings=Settings(output_stream="counts", partial_responses=True)) == []


def test_a_failed_invocation_points_to_the_functions_log() -> None:
    [finding] = examined(LastProcessingResult="PROBLEM: Function call failed")
    assert finding.severity is Severity.ERROR
    assert "/aws/lambda/predict " in finding.mend


@pytest.mark.parametrize(("destination", "severity"), [("arn:aws:s3:::failed", "warning"), ("", "error")])
def test_a_record_that_no_event_can_hold_is_named(destination: str, severity: str) -> None:
    mapping = {**SOUND, "DestinationConfig": {"OnFailure": {"Destination": destination}}}
    found = list(examine_mapping(Case(mapping, SETTINGS, {**STREAM, "MaxRecordSizeInKiB": 10_240})))
    assert severity in {finding.severity for finding in found if "10240 KiB" in finding.what}


def test_the_largest_record_that_an_event_holds_fills_it() -> None:
    def event_bytes(data_bytes: int) -> int:
        record = {
            "PartitionKey": "key",
            "SequenceNumber": "4" * 56,
            "Data": bytes(data_bytes),
            "ApproximateArrivalTimestamp": datetime(2026, 1, 1, 12, 0, 0, 123_000, tzinfo=UTC),
        }
        return len(build_event("rides", "shardId-000000000000", [record]))

    assert event_bytes(LARGEST_DATA_BYTES) <= EVENT_BYTES < event_bytes(LARGEST_DATA_BYTES + 256)


def test_a_batch_that_just_fits_is_fine() -> None:
    assert examined(BatchSize=3353) == []  # records of 1,000 bytes take 1,876 of an event
    assert len(examined(BatchSize=3354)) == 1


def test_a_consumers_arn_names_its_stream() -> None:
    arn = SOUND["EventSourceArn"] + "/consumer/fast:1700000000"
    assert Case({**SOUND, "EventSourceArn": arn}).source == "rides"


def test_a_file_is_mended_in_the_file() -> None:
    mapping = {"EventSourceArn": SOUND["EventSourceArn"], "Enabled": False}
    found = list(examine_mapping(Case(mapping, file="template.yaml")))
    assert found[0].mend == "in template.yaml: Enabled: true"
    assert all("aws lambda update" not in finding.mend for finding in found)
    assert all("template.yaml" in finding.where for finding in found)


def test_every_rule_says_something_of_some_mapping() -> None:
    bad = {
        "State": "Disabled",
        "LastProcessingResult": "PROBLEM: x",
        "BatchSize": 10_000,
        "ParallelizationFactor": 2,
        "TumblingWindowInSeconds": 1,
        "FilterCriteria": {"Filters": [{}]},
        "StartingPosition": "LATEST",
    }
    assert all(list(rule(Case(bad, SETTINGS, STREAM, keeps_state=True))) for rule in RULES)
