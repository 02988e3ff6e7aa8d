"""Loading a mapping from a CloudFormation or SAM template, or from what the AWS CLI prints."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from app import aws
from app.errors import SettingsError
from app.stream.mapping.settings import settings_of
from app.stream.mapping.template import load_mapping, load_mappings

if TYPE_CHECKING:
    from pathlib import Path

CLOUDFORMATION = """
Parameters:
  StreamName: {Type: String, Default: passenger_events}
  Retries: {Type: Number, Default: 3}
  Age: {Type: Number}
Resources:
  Events:
    Type: AWS::Kinesis::Stream
    Properties: {Name: !Ref StreamName, ShardCount: 2}
  Failed:
    Type: AWS::SQS::Queue
  Mapping:
    Type: AWS::Lambda::EventSourceMapping
    Properties:
      EventSourceArn: !GetAtt Events.Arn
      FunctionName: !Ref Function
      StartingPosition: LATEST
      BatchSize: "500"
      BisectBatchOnFunctionError: true
      MaximumRetryAttempts: !Ref Retries
      MaximumRecordAgeInSeconds: !Ref Age
      FunctionResponseTypes: [ReportBatchItemFailures]
      DestinationConfig: {OnFailure: {Destination: !GetAtt [Failed, Arn]}}
      FilterCriteria:
        Filters:
          - Pattern: '{"data": {"order": {"type": ["buy"]}}}'
  Other:
    Type: AWS::Lambda::EventSourceMapping
    Properties: {EventSourceArn: !GetAtt Failed.Arn, FunctionName: !Ref Function}
  Function:
    Type: AWS::Lambda::Function
    Properties: {FunctionName: !Sub "${AWS::StackName}-predict"}
"""

SAM = """
Transform: AWS::Serverless-2016-10-31
Resources:
  Failures: {Type: AWS::S3::Bucket, Properties: {BucketName: failures}}
  Predict:
    Type: AWS::Serverless::Function
    Properties:
      PackageType: Image
      Timeout: 30
      Events:
        Rides:
          Type: Kinesis
          Properties:
            Stream: !Sub "arn:${AWS::Partition}:kinesis:${AWS::Region}:${AWS::AccountId}:stream/rides"
            StartingPosition: AT_TIMESTAMP
            StartingPositionTimestamp: 1541139109
            TumblingWindowInSeconds: 120
            DestinationConfig: {OnFailure: {Type: S3, Destination: !GetAtt Failures.Arn}}
        Meters:
          Type: Kinesis
          Properties: {Stream: !ImportValue meters, StartingPosition: LATEST, BatchSize: 7}
        Web: {Type: Api, Properties: {Path: /, Method: get}}
"""

UNKNOWN = """
Resources:
  M: {Type: AWS::Lambda::EventSourceMapping, Properties: {EventSourceArn: !Ref Nowhere}}
"""

# The developer guide's example of get-event-source-mapping, with its later fields.
OUTPUT: dict[str, Any] = {
    "UUID": "f89f8514-cdd9-4602-9e1f-01a5b77d449b",
    "StartingPosition": "AT_TIMESTAMP",
    "StartingPositionTimestamp": "2018-11-02T06:11:49+00:00",
    "BatchSize": 100,
    "MaximumBatchingWindowInSeconds": 0,
    "ParallelizationFactor": 1,
    "EventSourceArn": "arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream",
    "FunctionArn": "arn:aws:lambda:us-east-2:123456789012:function:my-function",
    "LastModified": 1573244760.0,
    "LastProcessingResult": "PROBLEM: Function call failed",
    "State": "Enabled",
    "StateTransitionReason": "User action",
    "DestinationConfig": {"OnFailure": {"Destination": "arn:aws:sqs:us-east-2:123456789012:dlq"}},
    "MaximumRecordAgeInSeconds": 3600,
    "BisectBatchOnFunctionError": False,
    "MaximumRetryAttempts": 2,
    "FunctionResponseTypes": [],
}


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(text: object, name: str = "template.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text if isinstance(text, str) else json.dumps(text))
        return path

    return write


def test_a_cloudformation_mapping(write: Any) -> None:
    loaded = load_mapping(write(CLOUDFORMATION), parameters={"Age": "3600"})
    settings = settings_of(loaded)
    assert settings.stream == "passenger_events"
    assert settings.event_source_arn == "arn:aws:kinesis:us-east-1:123456789012:stream/passenger_events"
    assert settings.function_name == "local-predict"
    assert (settings.batch_size, settings.starting_position) == (500, "LATEST")
    assert (settings.maximum_retry_attempts, settings.maximum_record_age_in_seconds) == (3, 3600)
    assert settings.bisect_batch_on_function_error
    assert settings.reports_failures
    assert settings.destination_config.on_failure.destination == "arn:aws:sqs:us-east-1:123456789012:Failed"
    assert settings.filter_criteria.filters[0].pattern.startswith('{"data"')


def test_a_parameter_without_a_value_is_asked_for_unless_it_is_not_needed(write: Any) -> None:
    path = write(CLOUDFORMATION)
    with pytest.raises(SettingsError, match=r"MaximumRecordAgeInSeconds: parameter Age .* --parameter Age="):
        load_mapping(path)
    assert "MaximumRecordAgeInSeconds" not in load_mapping(path, overridden={"MaximumRecordAgeInSeconds"})


def test_a_sam_event_has_the_logical_id_that_cloudformation_gives_it(write: Any) -> None:
    path = write(SAM)
    with pytest.raises(SettingsError, match="2 mappings: choose with --logical-id: PredictMeters, PredictRides"):
        load_mapping(path)
    with pytest.raises(SettingsError, match="no mapping 'Nothing'"):
        load_mapping(path, name="Nothing")
    settings = settings_of(load_mapping(path, name="PredictRides"))
    assert settings.event_source_arn == "arn:aws:kinesis:us-east-1:123456789012:stream/rides"
    assert (settings.starting_position_timestamp, settings.tumbling_window_in_seconds) == (1541139109, 120)
    assert settings.destination_config.on_failure.destination == "arn:aws:s3:::failures"
    assert settings.timeout == 30


def test_what_only_aws_can_resolve_is_asked_for(write: Any) -> None:
    path = write(SAM)
    with pytest.raises(SettingsError, match=r"EventSourceArn: Fn::ImportValue is not evaluated here"):
        load_mapping(path, name="PredictMeters")
    loaded = load_mapping(path, name="PredictMeters", overridden={"StreamName"})
    assert settings_of({**loaded, "StreamName": "meters"}).batch_size == 7


def test_the_clis_output(write: Any) -> None:
    settings = settings_of(load_mapping(write(OUTPUT, "mapping.json")))
    assert settings.mapping_id == OUTPUT["UUID"]
    assert settings.stream == "lambda-stream"
    assert settings.starting_position_timestamp == 1541139109
    assert settings.function_name == OUTPUT["FunctionArn"]
    assert settings.maximum_retry_attempts == 2
    assert settings.enabled


def test_the_clis_list(write: Any) -> None:
    queue = {"UUID": "q", "EventSourceArn": "arn:aws:sqs:us-east-1:123456789012:q", "BatchSize": 10}
    path = write({"EventSourceMappings": [queue, OUTPUT]}, "list.json")
    assert load_mapping(path)["BatchSize"] == 100
    more = {**OUTPUT, "UUID": "another", "State": "Disabled"}
    path = write({"EventSourceMappings": [OUTPUT, more]}, "list.json")
    assert load_mapping(path, name="another")["Enabled"] is False
    with pytest.raises(SettingsError, match="2 mappings"):
        load_mapping(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Resources: [", "template.yaml, line"),
        ("just text", "template.yaml"),
        ("Resources: {M: text, N: null}", "template.yaml"),
        ("Resources: [1]", "template.yaml"),
        ("{}", "no mapping of a Kinesis stream"),
        ("Resources: {Q: {Type: 'AWS::SQS::Queue'}}", "no mapping of a Kinesis stream"),
        (UNKNOWN, "Nowhere is neither a parameter nor a resource"),
    ],
)
def test_a_file_that_holds_no_mapping_is_one_line(write: Any, text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as raised:
        load_mapping(write(text))
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load_mapping(tmp_path / "none.yaml")


def test_without_cfn_lint_yaml_is_one_line_and_json_works(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cfnlint.decode", None)
    with pytest.raises(SettingsError, match="needs cfn-lint"):
        load_mapping(write(CLOUDFORMATION))
    template = {
        "Resources": {
            "S": {"Type": "AWS::Kinesis::Stream"},
            "C": {"Type": "AWS::Kinesis::StreamConsumer", "Properties": {"StreamARN": {"Fn::GetAtt": "S.Arn"}}},
            "M": {
                "Type": "AWS::Lambda::EventSourceMapping",
                "Properties": {"EventSourceArn": {"Ref": "C"}, "FunctionName": {"Fn::ImportValue": "f"}},
            },
        }
    }
    assert settings_of(load_mapping(write(template, "t.json"))).stream == "S"


CONDITIONS = """
Parameters:
  Stage: {Type: String, Default: test}
  Queues: {Type: CommaDelimitedList, Default: "first, second"}
  Secret: {Type: "AWS::SSM::Parameter::Value<String>", Default: /millrace/table}
  Region: {Type: String}
Mappings:
  Sizes: {test: {batch: 10}, live: {batch: 500}}
Conditions:
  Live: !Equals [!Ref Stage, live]
  Test: !Not [!Condition Live]
  Both: !And [!Condition Live, !Condition Test]
  Either: !Or [!Equals ["true", !Equals [a, a]], !Condition Live, !Condition Test]
  Near: !Equals [!Ref Region, here]
Resources:
  Events: {Type: AWS::Kinesis::Stream}
  Table: {Type: AWS::DynamoDB::Table}
  Mapping:
    Type: AWS::Lambda::EventSourceMapping
    Condition: Either
    Properties:
      EventSourceArn: !GetAtt Events.Arn
      FunctionName: !Ref Alias
      BatchSize: !FindInMap [Sizes, !Ref Stage, batch]
      MaximumRetryAttempts: !If [Live, 100, !Ref "AWS::NoValue"]
      BisectBatchOnFunctionError: !If [Both, false, !If [Test, true, false]]
      ParallelizationFactor: !If [Near, 1, 2]
      DestinationConfig:
        OnFailure: !If [Live, !Ref "AWS::NoValue", {Destination: !Sub "arn:aws:sqs:::${Q}", Type: !Ref "AWS::NoValue"}]
      FunctionResponseTypes: [!If [Live, !Ref "AWS::NoValue", ReportBatchItemFailures]]
      StartingPosition: !Select [1, !Split ["|", "a|LATEST"]]
      MaximumRecordAgeInSeconds: !ImportValue age
  NotMade:
    Type: AWS::Lambda::EventSourceMapping
    Condition: Both
    Properties: {EventSourceArn: !GetAtt Events.Arn, FunctionName: !Ref Function}
  Alias: {Type: AWS::Lambda::Alias, Properties: {FunctionName: !Ref Function, Name: live}}
  Function:
    Type: AWS::Lambda::Function
    Properties:
      MemorySize: !If [Live, 512, 256]
      Timeout: !ImportValue seconds
      Environment:
        Variables: {STATE_TABLE: !Ref Table, PIPELINE: !If [Live, alerts, bike], RUN_ID: !Ref Secret}
"""


def test_conditions_are_evaluated_and_what_has_no_value_is_left_out(write: Any) -> None:
    path = write(CONDITIONS.replace("${Q}", "second"))
    [test] = load_mappings(path)
    assert test.name == "Mapping"
    assert test.values == {
        "EventSourceArn": "arn:aws:kinesis:us-east-1:123456789012:stream/Events",
        "BatchSize": 10,
        "BisectBatchOnFunctionError": True,
        "DestinationConfig": {"OnFailure": {"Destination": "arn:aws:sqs:::second"}},
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "StartingPosition": "LATEST",
    }
    [live] = load_mappings(path, parameters={"Stage": "live", "Region": "here"})
    assert (live.values["BatchSize"], live.values["MaximumRetryAttempts"]) == (500, 100)
    assert (live.values["DestinationConfig"], live.values["FunctionResponseTypes"]) == ({}, [])
    assert live.values["ParallelizationFactor"] == 1


def test_a_property_that_cannot_be_resolved_is_named_and_the_others_are_read(write: Any) -> None:
    [mapping] = load_mappings(write(CONDITIONS))
    assert mapping.unresolved == {
        "ParallelizationFactor": "parameter Region has no default: give --parameter Region=…",
        "DestinationConfig": "Q is neither a parameter nor a resource of this template",
        "MaximumRecordAgeInSeconds": "Fn::ImportValue is not evaluated here",
    }
    with pytest.raises(SettingsError, match=r"ParallelizationFactor: parameter Region .* --parameter Region="):
        load_mapping(write(CONDITIONS))
    given = {"Region": "there", "Secret": "run"}
    with pytest.raises(SettingsError, match=r"MaximumRecordAgeInSeconds: .* give the value as an option"):
        load_mapping(write(CONDITIONS), parameters=given, overridden={"DestinationConfig"})


def test_the_function_behind_an_alias_is_found_with_its_variables(write: Any) -> None:
    [mapping] = load_mappings(write(CONDITIONS), parameters={"Stage": "live"})
    function = mapping.function
    assert function is not None
    assert function.logical_id == "Function"
    variables = {"STATE_TABLE": "Table", "PIPELINE": "alerts"}
    assert function.properties == {"MemorySize": 512, "Environment": {"Variables": variables}}
    assert set(function.unresolved) == {"Timeout", "RUN_ID"}
    assert "Parameter Store" in function.unresolved["RUN_ID"]


def test_a_sam_function_has_what_globals_give_every_function(write: Any) -> None:
    shared = "Globals: {Function: {MemorySize: 512, Timeout: 9, Environment: {Variables: {A: a, B: !Ref Failures}}}}"
    own = "      Environment: {Variables: {A: own}}\n      Events:"
    mappings = load_mappings(write(shared + SAM.replace("      Events:", own)))
    assert [each.name for each in mappings] == ["PredictRides", "PredictMeters"]
    function = mappings[0].function
    assert function is not None
    assert function.properties["MemorySize"] == 512
    assert function.properties["Environment"] == {"Variables": {"A": "own", "B": "failures"}}
    assert (mappings[0].values["Timeout"], mappings[0].values["FunctionName"]) == (30, "Predict")


def test_a_file_needs_neither_a_region_nor_a_profile(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    aws.forget()
    [mapping] = load_mappings(write(CONDITIONS))
    assert mapping.values["EventSourceArn"] == "arn:aws:kinesis:us-east-1:123456789012:stream/Events"


@pytest.mark.parametrize(
    "conditions",
    ["{A: !Condition A}", "{A: !Equals [1]}", "{A: !Not []}", "{A: text}", "{A: !And 7}", "[1]", "{A: !Ref B}"],
)
def test_a_condition_of_another_form_is_one_line(write: Any, conditions: str) -> None:
    arn = "arn:aws:kinesis:us-east-1:123456789012:stream/rides"
    mapping = (
        f"Type: 'AWS::Lambda::EventSourceMapping', Properties: {{EventSourceArn: '{arn}', Enabled: !If [A, 1, 0]}}"
    )
    text = f"Conditions: {conditions}\nResources: {{M: {{{mapping}}}}}"
    with pytest.raises(SettingsError) as raised:
        load_mapping(write(text))
    assert "\n" not in str(raised.value)


def test_the_clis_output_is_read_whole(write: Any) -> None:
    [mapping] = load_mappings(write(OUTPUT, "mapping.json"))
    assert (mapping.name, mapping.values, mapping.function) == (OUTPUT["UUID"], OUTPUT, None)


def queue(name: object) -> dict[str, Any]:
    return {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": name}}


@pytest.mark.parametrize(
    "name_of",
    [
        lambda after: {"Fn::Sub": f"${{{after}}}${{{after}}}"},
        lambda after: {"Fn::Join": ["", [{"Ref": after}, {"Ref": after}]]},
        lambda after: [{"Ref": after}],  # a text of a list has its texts' quotes and backslashes once more
    ],
)
def test_names_that_stand_for_others_over_and_over_are_one_line(write: Any, name_of: Any) -> None:
    """A kilobyte of these would be a text of terabytes, or take as long."""
    resources: dict[str, Any] = {f"Q{number}": queue(name_of(f"Q{number + 1}")) for number in range(40)}
    resources["Q40"] = queue("'\"")
    arn = "arn:aws:kinesis:us-east-1:123456789012:stream/rides"
    properties = {"EventSourceArn": arn, "FunctionName": "f", "DestinationConfig": {"Ref": "Q0"}}
    resources["M"] = {"Type": "AWS::Lambda::EventSourceMapping", "Properties": properties}
    text = json.dumps({"Resources": resources})
    with pytest.raises(SettingsError, match="values and characters"):
        load_mapping(write(text, "mapping.json"))


def test_a_name_whose_brace_is_not_closed_is_text_however_many_there_are(write: Any) -> None:
    text = "${" * 100_000
    mapping = {"EventSourceArn": "arn:aws:kinesis:us-east-1:123456789012:stream/rides", "StartingPosition": "LATEST"}
    properties = {**mapping, "FunctionName": {"Fn::Sub": text}}
    resources = {"M": {"Type": "AWS::Lambda::EventSourceMapping", "Properties": properties}}
    assert load_mapping(write(json.dumps({"Resources": resources}), "mapping.json"))["FunctionName"] == text
