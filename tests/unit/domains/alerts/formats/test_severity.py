"""Severities of all products are on one scale with the same bands, and closed alerts say so."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest

from app.domains.alerts.formats import read_alert, severity
from app.domains.alerts.formats.severity import Scale, word
from tests.unit.domains.alerts.formats.examples import EXAMPLES

SCALES = [each for each in vars(severity).values() if isinstance(each, Scale)]
CEF_LINE = "CEF:0|Example|Wall|1|1|scan|{}|src=192.0.2.1 rt=1716468856500"


def with_(name: str, path: str, value: object) -> dict[str, Any]:
    """An example with one more field, whose path has dots."""
    record = copy.deepcopy(EXAMPLES[name])
    assert isinstance(record, dict)
    *way, last = path.split(".")
    inner = record
    for step in way:
        inner = inner.setdefault(step, {})
    inner[last] = value
    return record


@pytest.mark.parametrize(
    ("name", "says", "is_severe"),
    [
        ("cef_line", "CEF severity 7 of 10", 75),
        ("cef", "CEF severity 7 of 10", 75),
        ("ocsf", "OCSF severity_id 4 (High)", 80),
        ("ecs", "Elastic risk score 73 of 100", 80),
        ("suricata", "Suricata priority 2 of 3", 55),
        ("snort", "Snort priority 2 of 3", 55),
        ("guardduty", "GuardDuty severity 2", 20),
        ("asff", "ASFF Severity.Label HIGH", 80),
        ("wazuh", "Wazuh level 10 of 15", 62),
        ("seed", "", None),
        ("millrace", "", None),
    ],
)
def test_an_alert_says_how_severe_it_is_and_by_what(name: str, says: str, is_severe: int | None) -> None:
    alert = read_alert(EXAMPLES[name])
    assert (alert.severity, alert.severity_from) == (is_severe, says)


@pytest.mark.parametrize(
    ("scale", "bands"),
    [
        (severity.CEF, {"low": (0, 1, 3), "medium": (4, 6), "high": (7, 8), "critical": (9, "10", "Very-High")}),
        (
            severity.WAZUH,
            {"informational": (0,), "low": (3, 6), "medium": (7, 11), "high": (12, 14), "critical": (15,)},
        ),
        (severity.OCSF, {"informational": (1,), "low": (2,), "medium": ("3",), "high": (4,), "critical": (5, 6.0)}),
        (severity.SURICATA, {"low": (3, 4, 255), "medium": (2,), "high": (1,)}),
        (severity.GUARDDUTY, {"low": (1, 3.9), "medium": (4, 6.9), "high": (7, 8.9), "critical": (9, 10)}),
        (severity.ELASTIC_RISK, {"low": (21,), "medium": (47,), "high": (73,), "critical": (99, 100)}),
        (severity.ECS, {"low": (21,), "medium": (47,), "high": (73,), "critical": (99,)}),
        (severity.ASFF_NORMALIZED, {"informational": (0,), "low": (1, 39), "medium": (40, 69), "critical": (90,)}),
        (severity.SYSLOG, {"critical": (0, 1, 2), "high": (3,), "informational": (6, 7)}),
    ],
)
def test_the_bands_of_a_product_become_bands_of_the_same_name(
    scale: Scale, bands: dict[str, tuple[object, ...]]
) -> None:
    for band, values in bands.items():
        for value in values:
            found = scale.read(value)
            assert found is not None
            assert word(found[0]) == band, value


@pytest.mark.parametrize("scale", SCALES, ids=lambda each: each.title)
def test_a_word_means_the_same_on_every_scale(scale: Scale) -> None:
    for text in ("Low", " medium", "HIGH", "Critical", "very-high", "Very_High"):
        found = scale.read(text)
        assert found is not None
        assert found[0] == severity.WORDS[text.strip().lower().replace("-", " ").replace("_", " ")]


@pytest.mark.parametrize("scale", SCALES, ids=lambda each: each.title)
@pytest.mark.parametrize("value", [None, True, "", "unknown", "urgent?", float("nan"), float("inf"), 10**400, [5], {}])
def test_what_states_no_severity_is_none(scale: Scale, value: object) -> None:
    assert scale.read(value) is None


@pytest.mark.parametrize("scale", SCALES, ids=lambda each: each.title)
@pytest.mark.parametrize("value", [-(10**15), -1, 0, 3.5, 99, 10**18, 1e300, "007", "-4.25"])
def test_a_severity_is_0_to_100(scale: Scale, value: object) -> None:
    found = scale.read(value)
    assert found is None or 0 <= found[0] <= 100


def test_a_value_beyond_the_ends_of_its_scale_is_taken_as_the_end() -> None:
    alert = read_alert(CEF_LINE.format("12"))
    assert (alert.severity, alert.severity_from) == (100, "CEF severity 12 of 10, taken as 10")


@pytest.mark.parametrize("value", [0, 99, "Unknown"])
def test_an_ocsf_severity_that_is_unknown_is_that_of_its_word_or_none(value: object) -> None:
    bare = with_("ocsf", "severity_id", value)
    assert read_alert(bare).severity_from == "OCSF severity High"
    assert read_alert({**bare, "severity": "Other"}).severity is None


def test_event_severity_states_one_only_on_elastics_own_scale() -> None:
    bare = {key: value for key, value in with_("ecs", "event.severity", 73).items() if "alert.risk" not in key}
    del bare["kibana.alert.severity"]
    assert read_alert(bare).severity_from == "event.severity 73 of 100"
    bare["event"]["severity"] = 3
    assert read_alert(bare).severity is None


@pytest.mark.parametrize(
    ("name", "path", "value", "closed"),
    [
        ("ocsf", "status_id", 4, "OCSF status_id 4 (Resolved)"),
        ("ocsf", "status_id", "4.0", "OCSF status_id 4 (Resolved)"),
        ("ocsf", "status", "Suppressed", "OCSF status Suppressed"),
        ("ocsf", "status", "In Progress", ""),
        ("ocsf", "activity_id", 3, "OCSF activity_id 3 (Close)"),
        ("asff", "RecordState", "ARCHIVED", "ASFF RecordState ARCHIVED"),
        ("asff", "RecordState", "ACTIVE", ""),
        ("asff", "Workflow.Status", "SUPPRESSED", "ASFF Workflow.Status SUPPRESSED"),
        ("asff", "Workflow.Status", "NOTIFIED", ""),
        ("asff", "Compliance.Status", "PASSED", "ASFF Compliance.Status PASSED"),
        ("asff", "Compliance.Status", "FAILED", ""),
        ("ecs", "kibana.alert.workflow_status", "closed", "Elastic kibana.alert.workflow_status closed"),
        ("ecs", "kibana.alert.workflow_status", "acknowledged", ""),
        ("guardduty", "service.archived", True, "GuardDuty service.archived true"),
        ("guardduty", "service.archived", False, ""),
        ("guardduty", "service.archived", "TRUE", "GuardDuty service.archived true"),
    ],
)
def test_an_alert_that_its_product_closed_says_so(name: str, path: str, value: object, closed: str) -> None:
    assert read_alert(with_(name, path, value)).closed == closed


def test_the_state_of_a_finding_from_the_api_has_capitals() -> None:
    small = with_("guardduty", "service.archived", True)

    def capitals(value: Any) -> Any:
        if isinstance(value, dict):
            return {key[:1].upper() + key[1:]: capitals(each) for key, each in value.items()}
        return [capitals(each) for each in value] if isinstance(value, list) else value

    alert = read_alert(capitals(small))
    assert (alert.closed, alert.severity) == ("GuardDuty service.archived true", 20)


def test_what_one_stage_writes_the_next_reads() -> None:
    closed = with_("asff", "RecordState", "ARCHIVED")
    alert = msgspec.structs.replace(read_alert(closed), aliases=[("web1", "198.51.100.7")])
    assert read_alert(msgspec.json.decode(msgspec.json.encode(alert))) == alert


@pytest.mark.parametrize(
    "aliases", [7, ["a"], [["a"]], [["a", 1]], [["a", "b", "c"]], [["-", "b"]], {"a": "b"}, [None]]
)
def test_aliases_that_are_none_are_left_out(aliases: object) -> None:
    assert read_alert(with_("millrace", "aliases", aliases)).aliases == []


def test_a_seeds_priority_is_on_no_known_scale() -> None:
    assert read_alert(EXAMPLES["seed"]).severity is None
    assert read_alert(with_("seed", "severity", "critical")).severity == 95
