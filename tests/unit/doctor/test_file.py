"""A file with mappings and their functions, as far as it can be known without AWS."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from app.doctor.file import examine_file
from app.doctor.finding import Report, report_of
from app.doctor.settings import examine_settings
from app.doctor.setup import Setup
from app.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[3]
SOUND: dict[str, Any] = {
    "FunctionName": {"Ref": "Function"},
    "StartingPosition": "TRIM_HORIZON",
    "BatchSize": "500",
    "MaximumBatchingWindowInSeconds": 1,
    "FunctionResponseTypes": ["ReportBatchItemFailures"],
    "BisectBatchOnFunctionError": True,
    "MaximumRetryAttempts": 100,
    "MaximumRecordAgeInSeconds": 43200,
    "DestinationConfig": {"OnFailure": {"Destination": "arn:aws:s3:::discarded"}},
}
ROLES = "enriched:alerts-enriched,incidents:alerts-incidents,tickets:alerts-tickets"
ALERTS = {
    "PIPELINE": "alerts",
    "OUTPUT_STREAMS": ROLES,
    "STATE_TABLE": {"Ref": "Table"},
    "STATE_LOCATION": "s3://states/alerts",
    "QUARANTINE_STREAM": "alerts-quarantine",
    "PARTIAL_RESPONSES": "True",
}
TECHNIQUE = {**ALERTS, "PIPELINE": "alerts-technique", "OUTPUT_STREAMS": "enriched:alerts-techniques"}


def function_of(variables: dict[str, Any], **properties: Any) -> dict[str, Any]:
    values = {"MemorySize": 512, "Timeout": "60", "Environment": {"Variables": variables}, **properties}
    return {"Type": "AWS::Lambda::Function", "Properties": values}


def mapping_of(stream: str, **changed: Any) -> dict[str, Any]:
    arn = {"Fn::Sub": f"arn:aws:kinesis:${{AWS::Region}}:${{AWS::AccountId}}:stream/{stream}"}
    return {"Type": "AWS::Lambda::EventSourceMapping", "Properties": {**SOUND, "EventSourceArn": arn, **changed}}


@pytest.fixture
def examine(tmp_path: Path) -> Callable[..., Report]:
    """Examines a template of these resources."""

    def examine(parameters: dict[str, str] | None = None, name: str = "", /, **resources: Any) -> Report:
        template = {
            "Parameters": {"Batch": {"Type": "Number"}, "Stage": {"Type": "String", "Default": "test"}},
            "Conditions": {"Live": {"Fn::Equals": [{"Ref": "Stage"}, "live"]}},
            "Resources": {"Table": {"Type": "AWS::DynamoDB::Table"}, **resources},
        }
        path = tmp_path / "template.json"
        path.write_text(json.dumps(template), encoding="utf-8")
        return report_of(examine_file(path, name, parameters or {}, 1000))

    return examine


def said(report: Report, severity: str) -> list[str]:
    return [finding.what for finding in report.findings if finding.severity == severity]


def test_the_templates_of_alerts_that_work_have_no_findings(examine: Callable[..., Report]) -> None:
    """One stage, and two stages in two functions: with roles, a table and a location of their own."""
    assert examine(Function=function_of(ALERTS), Mapping=mapping_of("alerts")).findings == []
    two = examine(
        First=function_of(TECHNIQUE),
        Function=function_of(ALERTS),
        One=mapping_of("alerts", FunctionName={"Fn::GetAtt": ["First", "Arn"]}),
        Two=mapping_of("alerts-techniques"),
    )
    assert two.findings == []
    assert len(two.checked) == 4


def test_both_stages_in_one_function_are_a_loop(examine: Callable[..., Report]) -> None:
    both = {**ALERTS, "PIPELINES": "alerts:alerts-technique,alerts-enriched:alerts"}
    report = examine(Function=function_of(both), One=mapping_of("alerts"), Two=mapping_of("alerts-enriched"))
    assert said(report, "error") == [
        "a loop: pipeline alerts reads alerts-enriched and writes enriched to alerts-enriched"
    ]
    assert "run alerts as a process of its own" in report.findings[0].mend


def test_a_loop_over_a_stream_that_only_the_mapping_names(examine: Callable[..., Report]) -> None:
    report = examine(Function=function_of(ALERTS), Mapping=mapping_of("alerts-tickets"))
    [loop] = report.findings
    assert loop.what == "a loop: pipeline alerts reads alerts-tickets and writes tickets to alerts-tickets"
    assert "template.json, Environment, Variables: OUTPUT_STREAMS: " in loop.mend
    assert "tickets:alerts-tickets-tickets" in loop.mend


def test_two_streams_and_two_functions_on_one_state(examine: Callable[..., Report]) -> None:
    report = examine(Function=function_of(ALERTS), One=mapping_of("alerts"), Two=mapping_of("late"))
    [shared] = said(report, "warning")
    assert shared.startswith("pipeline alerts keeps one state in Table for several streams or processes: ")
    assert shared.endswith(" reads alerts and late")
    report = examine(
        Function=function_of(ALERTS),
        Other=function_of(ALERTS),
        One=mapping_of("alerts"),
        Two=mapping_of("late", FunctionName={"Ref": "Other"}),
    )
    [shared] = said(report, "warning")
    assert "function Function" in shared
    assert "function Other" in shared
    own_table = function_of({**ALERTS, "STATE_TABLE": "another"})
    two = examine(
        Function=function_of(ALERTS),
        Other=own_table,
        One=mapping_of("alerts"),
        Two=mapping_of("late", FunctionName={"Ref": "Other"}),
    )
    assert two.findings == []


@pytest.mark.parametrize("value", [True, 1, "true"])
def test_a_variable_may_be_a_number_or_a_boolean_as_in_cloudformation(
    examine: Callable[..., Report], value: Any
) -> None:
    variables = {**ALERTS, "PARTIAL_RESPONSES": value, "ALERTS_CLOCK_SKEW": 300}
    assert examine(Function=function_of(variables), Mapping=mapping_of("alerts")).findings == []


@pytest.mark.parametrize("value", [None, [], {}, ["alerts"], {"a": 1, "b": 2}])
def test_a_variable_of_another_kind_is_named(examine: Callable[..., Report], value: Any) -> None:
    report = examine(Function=function_of({**ALERTS, "STATE_LOCATION": value}), Mapping=mapping_of("alerts"))
    assert [what.partition(" ")[0] for what in said(report, "info")] == ["STATE_LOCATION"]
    assert said(report, "error") == []


def test_a_property_that_cannot_be_resolved_ends_nothing_and_accuses_nobody(examine: Callable[..., Report]) -> None:
    elsewhere = {"Fn::ImportValue": "elsewhere"}
    unknown = {
        "DestinationConfig": {"OnFailure": {"Destination": elsewhere}},
        "BatchSize": {"Ref": "Batch"},
        "ParallelizationFactor": elsewhere,
    }
    variables = {**ALERTS, "STATE_LOCATION": elsewhere, "QUARANTINE_STREAM": elsewhere, "SECRET": elsewhere}
    mapping = mapping_of("alerts-tickets", **unknown, BisectBatchOnFunctionError=False)
    report = examine(Function=function_of(variables, MemorySize=elsewhere), Mapping=mapping)
    assert sorted(what.partition(" ")[0] for what in said(report, "info")) == [
        "BatchSize", "DestinationConfig", "MemorySize", "ParallelizationFactor", "QUARANTINE_STREAM", "STATE_LOCATION",
    ]  # fmt: skip
    assert [what.partition(":")[0] for what in said(report, "error")] == ["a loop"]
    assert said(report, "warning") == ["does not bisect (BisectBatchOnFunctionError false)"]
    [batch] = [finding for finding in report.findings if finding.what.startswith("BatchSize")]
    assert batch.mend.endswith("template.json --parameter NAME=VALUE")
    given = examine({"Batch": "10000"}, Function=function_of(variables), Mapping=mapping)
    assert "BatchSize 10000 cannot fit an event of 6 MB" in said(given, "info")


def test_a_pipeline_that_is_not_known_leaves_the_settings_alone(examine: Callable[..., Report]) -> None:
    variables = {"PIPELINE": {"Fn::ImportValue": "pipeline"}}
    report = examine(Function=function_of(variables), Mapping=mapping_of("alerts"))
    assert [finding.what.partition(" ")[0] for finding in report.findings] == ["PIPELINE"]


def test_conditions_choose_what_is_checked(examine: Callable[..., Report]) -> None:
    window = {"Fn::If": ["Live", 30, {"Ref": "AWS::NoValue"}]}
    resources = {
        "Function": function_of({**ALERTS, "TEST_RUN": {"Fn::If": ["Live", "False", "True"]}}),
        "Mapping": mapping_of("alerts", TumblingWindowInSeconds=window),
    }
    assert said(examine(**resources), "error") == ["TEST_RUN is True"]
    assert said(examine({"Stage": "live"}, **resources), "error") == ["has a tumbling window of 30 s"]


def test_values_that_aws_does_not_take_are_findings(examine: Callable[..., Report]) -> None:
    for value in (20_000, "many"):
        report = examine(Function=function_of(ALERTS), Mapping=mapping_of("alerts", BatchSize=value))
        [what] = said(report, "error")
        assert "BatchSize" in what
        assert all(finding.mend for finding in report.findings)
    assert examine(Function=function_of(ALERTS, Timeout="soon"), Mapping=mapping_of("alerts")).findings == []
    maybe = examine(Function=function_of({**ALERTS, "TEST_RUN": "maybe"}), Mapping=mapping_of("alerts"))
    assert [what.partition(":")[0] for what in said(maybe, "error")] == ["TEST_RUN is 'maybe'"]


def test_a_function_that_runs_another_handler_is_not_held_to_the_settings_of_pipelines(
    examine: Callable[..., Report],
) -> None:
    for more in ({"Handler": "orders.handler"}, {"ImageConfig": {"Command": ["orders.handler"]}}):
        report = examine(Function=function_of({}, **more), Mapping=mapping_of("orders"))
        assert [(each.severity, each.what) for each in report.findings] == [
            ("info", "runs orders.handler, and not the handler of pipelines")
        ]
    command = {"ImageConfig": {"Command": ["app.lambda_function.lambda_handler"]}}
    assert said(examine(Function=function_of({}, **command), Mapping=mapping_of("rides")), "error")


def test_a_functions_own_disk_keeps_nothing(examine: Callable[..., Report]) -> None:
    variables = {**ALERTS, "STATE_LOCATION": "states", "QUARANTINE_LOCATION": "aside"}
    report = examine(Function=function_of(variables), Mapping=mapping_of("alerts"))
    assert said(report, "error") == [
        "QUARANTINE_LOCATION is the folder aside",
        "STATE_LOCATION is the folder states",
    ]
    mounted = {**ALERTS, "STATE_LOCATION": "/mnt/states", "QUARANTINE_LOCATION": "s3://aside"}
    assert examine(Function=function_of(mounted), Mapping=mapping_of("alerts")).findings == []


def test_state_without_a_location_is_warned_of_before_it_grows(examine: Callable[..., Report]) -> None:
    variables = {name: value for name, value in ALERTS.items() if name != "STATE_LOCATION"}
    report = examine(Function=function_of(variables), Mapping=mapping_of("alerts"))
    [finding] = report.findings
    assert (finding.severity, finding.what) == ("warning", "STATE_LOCATION is not set, and alerts keeps state")


def test_only_a_pipeline_with_state_wants_one_batch_of_a_shard_at_a_time(examine: Callable[..., Report]) -> None:
    for variables, warned in ((ALERTS, True), (TECHNIQUE, False)):
        report = examine(Function=function_of(variables), Mapping=mapping_of("alerts", ParallelizationFactor=4))
        assert any("ParallelizationFactor is 4" in what for what in said(report, "warning")) == warned


def test_every_mapping_is_checked_unless_one_is_named(examine: Callable[..., Report]) -> None:
    resources = {
        "Function": function_of(ALERTS),
        "One": mapping_of("alerts", Enabled="false"),
        "Two": mapping_of("alerts", BisectBatchOnFunctionError="false"),
    }
    assert (said(examine(**resources), "error"), len(said(examine(**resources), "warning"))) == (["is disabled"], 1)
    assert said(examine({}, "Two", **resources), "error") == []


def test_the_compose_files_function_has_no_findings() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    variables = {name: str(value) for name, value in services["function"]["environment"].items() if name != "RUN_ID"}
    command = services["mapping"]["command"]
    [source] = [each.partition("=")[2] for each in command if each.startswith("--stream-name=")]
    setup = Setup(read_settings(variables), [source], "compose", lambda **new: str(new), in_lambda=True)
    assert list(examine_settings(setup)) == []
    reports = "--function-response-types=ReportBatchItemFailures" in command
    assert setup.settings.partial_responses == reports
