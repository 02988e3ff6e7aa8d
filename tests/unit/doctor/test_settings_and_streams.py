"""Rules about settings that are each possible, and about the streams that they name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from app.doctor.finding import Finding, Severity, report_of
from app.doctor.locations import examine_location
from app.doctor.settings import examine_settings, examine_shared_state, mend_variable
from app.doctor.setup import Setup
from app.doctor.streams import examine_flow, examine_quarantine, examine_stream
from app.errors import SettingsError
from app.registry import read_all_settings
from app.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

SOUND: dict[str, Any] = {"output_stream": "counts", "quarantine_stream": "aside"}
STREAM: dict[str, Any] = {"StreamStatus": "ACTIVE", "RetentionPeriodHours": 168, "OpenShardCount": 2}


def set_(**changed: Any) -> list[Finding]:
    settings = Settings(**{**SOUND, **changed})
    return list(examine_settings(Setup(settings, ["rides"], "environment", lambda **new: f"set {new}")))


ASIDE: dict[str, Any] = {"quarantine_stream": "aside"}
ALERT_STREAMS = {"enriched": "e", "incidents": "i", "tickets": "t"}


def test_sound_settings_have_no_findings() -> None:
    assert set_() == []
    assert set_(pipeline="alerts", output_stream="", output_streams=ALERT_STREAMS, state_table="state") == []
    assert set_(quarantine_stream="", quarantine_location="s3://aside") == []


@pytest.mark.parametrize(
    ("changed", "severity", "what", "mend"),
    [
        ({"pipeline": "bikes"}, "error", "no pipeline 'bikes'", "PIPELINE"),
        ({"pipeline": "own.alarms:Alarms"}, "error", "no module 'own'; is its folder on PYTHONPATH?", "'bike'"),
        ({"pipelines": {"a": "bikes", "b": "bike"}}, "error", "no pipeline 'bikes'", "{'PIPELINES': 'b:bike'}"),
        ({"test_run": True}, "error", "TEST_RUN", "'TEST_RUN': 'False'"),
        ({"output_stream": ""}, "error", "OUTPUT_STREAM is not set", "OUTPUT_STREAM"),
        ({"quarantine_stream": ""}, "warning", "no quarantine", "rides-quarantine"),
        ({"output_stream": "rides"}, "error", "writes its results to rides", "'OUTPUT_STREAM': 'rides-results'"),
        (
            {"pipeline": "alerts-technique", "output_stream": "", "output_streams": {"enriched": "rides"}},
            "error",
            "writes enriched to rides",
            "enriched:rides-enriched",
        ),
        (
            {"pipeline": "alerts-technique", "output_stream": ""},
            "error",
            "OUTPUT_STREAMS has no stream for enriched",
            "enriched:alerts-enriched",
        ),
        ({"pipeline": "alerts", "output_streams": ALERT_STREAMS}, "error", "STATE_TABLE is not set", "STATE_TABLE"),
        ({"quarantine_stream": "rides"}, "error", "quarantined records go to rides", "'rides-set-aside'"),
        (
            {"quarantine_location": "ftp://elsewhere"},
            "error",
            "QUARANTINE_LOCATION: location 'ftp://elsewhere'",
            "s3://BUCKET/quarantine",
        ),
        (
            {"output_aggregation": ["default", "tickets"]},
            "error",
            "OUTPUT_AGGREGATION has 'tickets'",
            "{'OUTPUT_AGGREGATION': 'default'}",
        ),
        ({"quarantine_stream": "counts"}, "warning", "which is the output", "QUARANTINE_STREAM"),
    ],
)
def test_settings_that_lose_loop_or_hold_up(changed: dict[str, Any], severity: str, what: str, mend: str) -> None:
    [finding] = set_(**changed)
    assert finding.severity == severity
    assert what in finding.what
    assert mend in finding.mend


@pytest.mark.parametrize(
    ("variables", "mend"),
    [
        ({"DEADLINE_MARGIN_MS": "soon"}, "set {'DEADLINE_MARGIN_MS': '500'}"),
        ({"OUTPUT_STREAMS": "tickets"}, "set {'OUTPUT_STREAMS': ''}"),
        ({"ALERTS_TENANT": "a/b", "LOG_LEVEL": "LOUD"}, "set {'LOG_LEVEL': 'INFO'}"),
    ],
)
def test_a_variable_that_cannot_be_is_set_to_its_default(variables: dict[str, str], mend: str) -> None:
    with pytest.raises(SettingsError) as raised:
        read_all_settings(variables)
    assert mend_variable(raised.value, lambda **new: f"set {new}") == mend


def test_two_streams_of_a_pipeline_with_state_share_it() -> None:
    settings = Settings(pipelines={"a": "alerts", "b": "alerts", "c": "bike"}, state_table="states")
    [finding] = examine_shared_state([Setup(settings, ["a", "b", "c"], "environment", lambda **new: f"set {new}")])
    assert finding.severity == "warning"
    assert finding.what.endswith("in states for several streams or processes: environment reads a and b")
    assert "no order across streams" in finding.why
    assert "{'STATE_TABLE': 'states-2'}" in finding.mend


def test_a_pipeline_that_reads_nothing_is_not_given_a_stream() -> None:
    """Without PIPELINE the bike pipeline starts too, although each stream has another."""
    settings = Settings(pipelines={"rides": "alerts"}, output_streams=ALERT_STREAMS, state_table="s", **ASIDE)
    [finding] = examine_settings(Setup(settings, ["rides"], "environment", lambda **new: f"set {new}"))
    assert finding.what == "OUTPUT_STREAM is not set, and pipeline bike needs it"
    assert finding.mend == "set {'PIPELINE': 'alerts'}"


def test_a_loop_of_one_pipeline_among_several_is_mended_by_hand() -> None:
    both = {"a": "alerts-technique", "e": "alerts"}
    settings = Settings(pipeline="alerts", pipelines=both, output_streams=ALERT_STREAMS, state_table="s", **ASIDE)
    [finding] = examine_settings(Setup(settings, ["a", "e"], "environment", lambda **new: f"set {new}"))
    assert finding.what == "a loop: pipeline alerts reads e and writes enriched to e"
    assert "run alerts as a process of its own" in finding.mend


def test_a_pipeline_that_is_not_installed_here_may_loop_all_the_same() -> None:
    settings = Settings(pipeline="own.alarms:Alarms", output_stream="rides", **ASIDE)
    found = examine_settings(Setup(settings, ["rides"], "function f", lambda **new: f"set {new}", in_lambda=True))
    assert [finding.severity for finding in found] == ["info", "error"]


def located(location: str, *, in_lambda: bool = False) -> list[str | Finding]:
    settings = Settings(state_location=location)
    setup = Setup(settings, ["rides"], "environment", lambda **new: f"set {new}", in_lambda=in_lambda)
    return list(examine_location(setup, "STATE_LOCATION", "why"))


def test_a_folder_is_looked_at_and_not_made(tmp_path: Path) -> None:
    new, file = tmp_path / "new" / "deep", tmp_path / "file"
    file.write_text("", encoding="utf-8")
    assert located(str(new)) == [f"STATE_LOCATION {new}: can be written"]
    assert not new.parent.exists()
    for location, what in ((file, f"{file} is no folder"), (file / "deep", f"{file} is no folder")):
        [finding] = located(str(location))
        assert isinstance(finding, Finding)
        assert what in finding.what
        assert finding.mend.endswith("or set {'STATE_LOCATION': 's3://BUCKET/state'}")
    assert located("ftp://elsewhere") == []  # which is a fault of the settings
    assert located(str(file), in_lambda=True) == []  # its disk is elsewhere


def test_what_is_found_twice_is_said_once() -> None:
    finding = Finding(Severity.INFO, "here", "what", "why", "mend")
    report = report_of(["line", finding, "line", finding])
    assert (report.checked, report.findings) == (["line"], [finding])


def test_a_deployed_function_may_have_a_pipeline_that_is_not_installed_here() -> None:
    settings = Settings(**{**SOUND, "pipeline": "own.alarms:Alarms"})
    setup = Setup(settings, ["rides"], "function f", lambda **new: f"set {new}", in_lambda=True)
    [finding] = examine_settings(setup)
    assert finding.severity == "info"
    assert "not checked" in finding.why


def test_a_stream_that_is_well_is_a_line() -> None:
    assert list(examine_stream("rides", STREAM, is_read=True)) == ["stream rides: ACTIVE, 2 shard(s), kept for 168 h"]


@pytest.mark.parametrize(
    ("stream", "severity", "what"),
    [
        ({}, "error", "does not exist"),
        ({**STREAM, "StreamStatus": "DELETING"}, "error", "is DELETING"),
        ({**STREAM, "StreamStatus": "UPDATING"}, "info", "is UPDATING"),
        ({**STREAM, "RetentionPeriodHours": 24}, "info", "keeps records for 24 h"),
    ],
)
def test_a_stream_that_is_not(stream: dict[str, Any], severity: str, what: str) -> None:
    [finding] = (each for each in examine_stream("rides", stream, is_read=True) if isinstance(each, Finding))
    assert finding.severity == severity
    assert what in finding.what
    assert "rides" in finding.mend


def test_an_outputs_retention_is_its_readers_affair() -> None:
    found = list(examine_stream("counts", {**STREAM, "RetentionPeriodHours": 24}, is_read=False))
    assert not any(isinstance(each, Finding) for each in found)


@pytest.mark.parametrize(
    ("read", "output", "narrow"),
    [
        ({"OpenShardCount": 2}, {"OpenShardCount": 1}, True),
        ({"OpenShardCount": 2}, {"OpenShardCount": 2}, False),
        ({"OpenShardCount": 2}, {"OpenShardCount": 1, "StreamModeDetails": {"StreamMode": "ON_DEMAND"}}, False),
        ({"OpenShardCount": 2}, {}, False),
    ],
)
def test_an_output_is_as_wide_as_its_input(read: dict[str, Any], output: dict[str, Any], narrow: bool) -> None:
    found = list(examine_flow("rides", read, Settings(**SOUND), output))
    assert len(found) == narrow
    assert not narrow or "--stream-name counts --target-shard-count 2" in found[0].mend


@pytest.mark.parametrize(
    ("read", "aside", "severities"),
    [
        ({"MaxRecordSizeInKiB": 1024}, {"MaxRecordSizeInKiB": 1024}, ["info"]),
        ({"MaxRecordSizeInKiB": 4096}, {"MaxRecordSizeInKiB": 1024}, ["warning"]),
        ({"MaxRecordSizeInKiB": 1024}, {"MaxRecordSizeInKiB": 2048}, []),
        ({}, {"MaxRecordSizeInKiB": 1024}, []),
    ],
)
def test_a_quarantine_stream_takes_the_largest_record(
    read: dict[str, Any], aside: dict[str, Any], severities: list[str]
) -> None:
    assert [finding.severity for finding in examine_quarantine(read, "aside", aside)] == severities
