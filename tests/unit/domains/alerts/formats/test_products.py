"""Each product's example, field by field, and what is special about it."""

from __future__ import annotations

from typing import Any

import pytest

from app.domains.alerts.alert import AlertFault
from app.domains.alerts.formats import FORMATS, format_of, read_alert, read_document
from tests.unit.domains.alerts.formats.product_examples import (
    AMINER,
    ATTACKER,
    CROWDSTRIKE,
    CROWDSTRIKE_EVENT,
    DEFENDER_GRAPH,
    ENTRA,
    GITHUB_ALERT,
    GITHUB_AUDIT,
    HAYABUSA,
    OKTA,
    PRODUCT_EXAMPLES,
    SENTINEL_ALERT,
    SENTINEL_INCIDENT,
    SHA256,
    SNORT_JSON,
    SPLUNK,
    THEHIVE,
    VICTIM,
)

FIELDS: dict[str, tuple[str, list[str], int | None, object, object]] = {
    "defender_graph": ("SSH brute force", ["T1110.001"], 55, ["ann@example.com", "ann"], SHA256),
    "defender": ("SSH brute force", ["T1110.001"], 80, "ann", SHA256),
    "sentinel_alert": ("SSH brute force", ["T1110.001", "T1110"], 55, "ann", SHA256),
    "sentinel_incident": ("SSH brute force", ["T1110"], 80, "ann", None),
    "entra": ("Entra ID risk: passwordSpray", ["T1110.003"], 80, "ann@example.com", None),
    "crowdstrike_event": ("SshBruteForce", ["T1110.001"], 80, "ann", SHA256),
    "crowdstrike": ("SshBruteForce", ["T1110.001"], 55, "ann", SHA256),
    "splunk": ("SSH brute force", ["T1110"], 80, "ann", None),
    "zeek": ("SSH::Password_Guessing", [], None, None, None),
    "snort_json": ("EXAMPLE SCAN Potential SSH Scan", [], 55, None, None),
    "falco": ("Outbound or Inbound Traffic not to Authorized Server", ["T1110.001"], 55, "ann", None),
    "aminer": ("New client in the SSH log", [], None, None, None),
    "hayabusa": ("Logon Failure (Wrong Password)", ["T1110"], 55, "ann", None),
    "thehive": ("SSH brute force", ["T1110.001"], 80, "ann", SHA256),
    "office365": ("Unusual volume of failed logins", [], 80, "ann@example.com", None),
    "cloudtrail": ("AWS signin ConsoleLogin: Failed authentication", [], None, "ann", None),
    "panther": ("AWS.Console.FailedLogin", ["T1110"], 80, "ann", None),
    "okta": ("User login to Okta", [], 80, "ann@example.com", None),
    "github_audit": ("GitHub protected_branch.destroy", [], None, "ann", None),
    "github_alert": ("Uncontrolled command line", [], 95, None, None),
    "leef": ("SSH brute force", [], 70, "ann", None),
}
"""Name, techniques, severity, user and hash of each example."""
CLOSED = [
    (DEFENDER_GRAPH, "status", "resolved", "Defender status resolved"),
    (SENTINEL_ALERT, "Status", "Resolved", "Sentinel status Resolved"),
    (CROWDSTRIKE, "status", "closed", "CrowdStrike status closed"),
    (SPLUNK, "status", 5, "Splunk status 5 (Closed)"),
    (ENTRA, "riskState", "dismissed", "Entra ID risk state dismissed"),
    (THEHIVE, "status", "Resolved", "TheHive status Resolved"),
]


@pytest.mark.parametrize("name", PRODUCT_EXAMPLES)
def test_the_fields_of_each_example(name: str) -> None:
    alert = read_alert(PRODUCT_EXAMPLES[name])
    others = alert.other_attributes
    assert (alert.name, alert.tech, alert.severity, others.get("user"), others.get("hash")) == FIELDS[name]
    assert others["product"]
    assert not alert.closed


@pytest.mark.parametrize(("record", "key", "value", "words"), CLOSED)
def test_a_closed_alert_says_so(record: dict[str, Any], key: str, value: object, words: str) -> None:
    assert read_alert({**record, key: value}).closed.startswith(words[:20])


def test_the_address_of_command_and_control_is_the_target() -> None:
    evidence = [{"ipAddress": ATTACKER}, {"deviceDnsName": "web1.example.com"}]
    alert = read_alert({**DEFENDER_GRAPH, "category": "CommandAndControl", "evidence": evidence})
    assert (alert.src, alert.dst) == ("web1.example.com", ATTACKER)
    role = [{"ipAddress": ATTACKER, "roles": ["commandAndControl"]}, {"deviceDnsName": "web1.example.com"}]
    assert read_alert({**DEFENDER_GRAPH, "evidence": role}).dst == ATTACKER


def test_an_alert_of_an_account_alone_is_of_the_account() -> None:
    evidence = [{"userAccount": {"userPrincipalName": "ann@example.com"}}]
    alert = read_alert({**DEFENDER_GRAPH, "evidence": evidence})
    assert (alert.src, alert.dst) == ("ann@example.com", "ann@example.com")


def test_entities_that_are_no_json_lose_nothing_else() -> None:
    alert = read_alert({**SENTINEL_ALERT, "Entities": "[{", "CompromisedEntity": "web1"})
    assert (alert.src, alert.dst, alert.name) == ("web1", "web1", "SSH brute force")


def test_an_incident_reads_alike_from_the_api_a_playbook_and_the_table() -> None:
    alert = read_alert(SENTINEL_INCIDENT)
    assert read_alert({"object": SENTINEL_INCIDENT}) == alert
    row = {
        "IncidentName": SENTINEL_INCIDENT["name"],
        "IncidentNumber": 3177,
        "Title": "SSH brute force",
        "Severity": "High",
        "Status": "Closed",
        "FirstActivityTime": "2024-05-23T12:54:16.500Z",
        "AdditionalData": '{"techniques":["T1110"]}',
    }
    of_row = read_alert(row)
    assert (of_row.id, of_row.time, of_row.tech, of_row.severity) == (alert.id, alert.time, alert.tech, 80)
    assert of_row.closed == "incident status Closed"
    assert of_row.src == of_row.dst == SENTINEL_INCIDENT["name"]  # it names no entity


def test_a_risk_detection_reads_alike_from_the_api_the_table_and_the_export() -> None:
    alert = read_alert(ENTRA)
    row = {f"{key[:1].upper()}{key[1:]}": value for key, value in ENTRA.items()}
    export = {"time": "2024-05-23T13:20:00Z", "category": "UserRiskEvents", "properties": ENTRA}
    for other in (row, export):
        found = read_alert(other)
        assert (found.id, found.time, found.src, found.dst) == (alert.id, alert.time, alert.src, alert.dst)
        assert (found.name, found.tech, found.severity) == (alert.name, alert.tech, alert.severity)


@pytest.mark.parametrize(("number", "severity"), [(10, 0), (30, 21), (50, 55), (70, 80), (99, 100)])
def test_the_number_of_crowdstrike_counts_where_there_is_no_word(number: int, severity: int) -> None:
    found = read_alert({**CROWDSTRIKE, "severity": number, "severity_name": ""}).severity
    assert found is not None
    assert abs(found - severity) <= 1


def test_an_older_detection_of_crowdstrike_has_its_words() -> None:
    event = {**CROWDSTRIKE_EVENT["event"], "DetectName": "NGAV", "Severity": 4, "SeverityName": "High"}
    del event["Name"], event["MitreAttack"]
    record = {**CROWDSTRIKE_EVENT, "metadata": {**CROWDSTRIKE_EVENT["metadata"], "eventType": "DetectionSummaryEvent"}}
    alert = read_alert({**record, "event": event})
    assert (alert.name, alert.severity) == ("NGAV", 80)


def test_a_notable_event_without_a_title_is_called_by_its_search() -> None:
    record = {key: SPLUNK[key] for key in ("search_name", "urgency", "_time", "dest", "security_domain")}
    alert = read_alert(record)
    assert (alert.name, alert.src, alert.dst) == (SPLUNK["search_name"], VICTIM, VICTIM)
    assert read_alert({**record, "_time": "2024-05-23T12:55:00Z"}).id != alert.id


def test_a_snort_alert_as_it_is_by_default() -> None:
    record = {key: SNORT_JSON[key] for key in ("pkt_num", "proto", "src_ap", "dst_ap", "rule", "action")}
    alert = read_alert({**record, "timestamp": "05/23-12:54:16.500000"}, received=1_716_500_000.0)
    assert (alert.name, alert.time, alert.src) == ("Snort rule 1:2001219:20", 1_716_468_856.5, ATTACKER)
    ping = read_alert({**SNORT_JSON, "proto": "ICMP", "src_ap": f"{ATTACKER}:0", "dst_ap": f"{VICTIM}:0"})
    assert "port" not in ping.other_attributes


@pytest.mark.parametrize(
    "head",
    [
        "<33>May 23 12:54:16 sensor-1 snort[1234]: ",
        "May 23 12:54:16 sensor-1 snort: ",
        "2024-05-23T12:54:16Z sensor-1 suricata[7]: ",
    ],
)
def test_snort_in_syslog(head: str) -> None:
    line = (
        "[1:2001219:20] EXAMPLE SCAN Potential SSH Scan [Classification: Attempted Information Leak] [Priority: 2] "
        "{TCP} 192.0.2.10:40022 -> 198.51.100.7:22"
    )
    alert = read_alert(head + line, received=1_716_500_000.0)
    assert (alert.time, alert.src, alert.dst) == (1_716_468_856.0, ATTACKER, VICTIM)
    assert (alert.name, alert.severity) == ("EXAMPLE SCAN Potential SSH Scan", 55)
    assert (alert.other_attributes["rule_id"], alert.other_attributes["port"]) == ("2001219", 22)


def test_an_anomaly_that_names_no_client_is_of_the_host() -> None:
    component = {"AnalysisComponentName": "New event", "AffectedLogAtomPaths": ["/model/user"]}
    alert = read_alert({**AMINER, "AnalysisComponent": component})
    assert (alert.src, alert.dst) == (VICTIM, VICTIM)


def test_the_details_of_hayabusa_as_text() -> None:
    alert = read_alert({**HAYABUSA, "Details": f"TgtUser: ann ¦ SrcIP: {ATTACKER} ¦ Cmdline: C:\\a.exe /x:1"})
    assert (alert.src, alert.other_attributes["user"]) == (ATTACKER, "ann")
    assert alert.other_attributes["command_line"] == "C:\\a.exe /x:1"
    assert read_alert({**HAYABUSA, "MitreTags": "T1110 ¦ T1078"}).tech == ["T1110", "T1078"]


def test_a_webhook_of_thehive_is_read_by_its_object() -> None:
    assert read_alert({"operation": "create", "objectType": "alert", "object": THEHIVE}) == read_alert(THEHIVE)


def test_a_case_of_thehive_without_observables_stands_for_itself() -> None:
    alert = read_alert(
        {"_id": "~1", "_type": "case", "title": "Odd login", "startDate": 1_716_468_856_500, "severity": 4}
    )
    assert (alert.src, alert.dst, alert.severity) == ("~1", "~1", 95)


@pytest.mark.parametrize(("level", "severity"), [("INFO", None), ("DEBUG", None), ("WARN", 55), ("ERROR", 80)])
def test_the_level_of_okta_states_a_severity_only_where_it_is_raised(level: str, severity: int | None) -> None:
    alert = read_alert({**OKTA, "severity": level, "debugContext": None})
    assert (alert.severity, alert.other_attributes["level"]) == (severity, level)


def test_the_target_of_okta_is_the_user_that_the_event_is_about() -> None:
    target = [{"type": "User", "alternateId": "bob@example.com"}]
    assert read_alert({**OKTA, "target": target}).dst == "bob@example.com"
    assert read_alert({**OKTA, "target": None}).dst == "ann@example.com"


def test_githubs_own_timestamp_does_not_make_it_elastics() -> None:
    assert format_of({**GITHUB_AUDIT, "@timestamp": GITHUB_AUDIT["created_at"]}).name == "github_audit"


def test_a_fixed_alert_of_github_is_closed() -> None:
    record = {**GITHUB_ALERT, "alert": {**GITHUB_ALERT["alert"], "state": "fixed"}}
    assert read_alert(record).closed == "GitHub state fixed"


@pytest.mark.parametrize(
    "rest",
    [
        "2.0|Example|Wall|1|login|^|src=192.0.2.10^dst=198.51.100.7^dstPort=22^sev=9^msg=a b",
        "2.0|Example|Wall|1|login|0x5E|src=192.0.2.10^dst=198.51.100.7^dstPort=22^sev=9^msg=a b",
        "2.0|Example|Wall|1|login|src=192.0.2.10\tdst=198.51.100.7\tdstPort=22\tsev=9\tmsg=a b",
        "1.0|Example|Wall|1|login|src=192.0.2.10\tdst=198.51.100.7\tdstPort=22\tsev=9\tmsg=a b",
        "1.0|Example|Wall|1|login|src=192.0.2.10\\x09dst=198.51.100.7\\x09dstPort=22\\x09sev=9\\x09msg=a b",
        "1.0|Example|Wall|1|login|src=192.0.2.10 dst=198.51.100.7 dstPort=22 sev=9 msg=a b",
    ],
)
def test_the_delimiters_of_leef(rest: str) -> None:
    alert = read_alert(f"May 23 12:54:16 gw1 LEEF:{rest}", received=1_716_500_000.0)
    assert (alert.src, alert.dst, alert.name, alert.severity) == (ATTACKER, VICTIM, "login", 90)
    assert alert.other_attributes["message"] == "a b"
    assert alert.time == 1_716_468_856.0


def test_half_a_leef_line_is_refused_with_the_form_that_it_must_have() -> None:
    with pytest.raises(AlertFault, match=r"LEEF:1\.0\|vendor\|product\|version\|event id\|"):
        read_alert("LEEF:1.0|Example|Wall")


def test_an_alert_of_azures_api_reads_like_its_row() -> None:
    properties = {f"{key[:1].lower()}{key[1:]}": value for key, value in SENTINEL_ALERT.items()}
    record = {"id": "/subscriptions/1", "kind": "SecurityAlert", "properties": properties}
    assert read_alert(record) == read_alert(SENTINEL_ALERT)


def test_an_answer_of_microsofts_apis_holds_alerts() -> None:
    answer = {"@odata.context": "https://graph.microsoft.com/v1.0/$metadata", "value": [DEFENDER_GRAPH, DEFENDER_GRAPH]}
    assert len(read_document(answer).alerts) == 2


def test_a_technique_that_crowdstrike_names_has_its_id() -> None:
    event = {**CROWDSTRIKE_EVENT["event"], "Technique": "Valid Accounts", "MitreAttack": [{"Technique": "PowerShell"}]}
    assert read_alert({**CROWDSTRIKE_EVENT, "event": event}).tech == ["T1059.001", "T1078"]
    own = {**CROWDSTRIKE_EVENT["event"], "Technique": "PUP", "MitreAttack": []}
    assert read_alert({**CROWDSTRIKE_EVENT, "event": own}).tech == []


def test_a_webhook_of_splunk_is_read_by_its_result() -> None:
    result = {key: SPLUNK[key] for key in ("_time", "src", "dest", "user")}
    alert = read_alert({"sid": "scheduler_1", "search_name": "Many failed logins", "app": "search", "result": result})
    assert (alert.name, alert.src, alert.dst) == ("Many failed logins", ATTACKER, VICTIM)
    assert alert.other_attributes["user"] == "ann"


def test_an_incident_with_its_alerts_is_no_alert_itself() -> None:
    incident = {
        "@odata.type": "#microsoft.graph.security.incident",
        "id": "29",
        "displayName": "Multi-stage incident",
        "createdDateTime": "2024-05-23T13:00:00Z",
        "severity": "high",
    }
    assert format_of(incident).name == format_of({**incident, "alerts": []}).name == "sentinel_incident"
    incidents = next(each for each in FORMATS if each.name == "sentinel_incident")
    assert not incidents.matches({**incident, "alerts": [DEFENDER_GRAPH]})
