"""Each format's own example, field by field, and what is special about it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.domains.alerts.alert import AlertFault, Techniques
from app.domains.alerts.formats import (
    FORMATS,
    format_of,
    read_alert,
    read_alert_bytes,
    read_document,
    read_techniques_carried,
)
from app.domains.alerts.formats.attributes import MAX_ENTITIES
from tests.unit.domains.alerts.formats.examples import (
    ASFF,
    ATTACKER,
    CEF,
    CEF_LINE,
    ECS,
    EXAMPLES,
    EXPECTED_ENDS,
    GUARDDUTY,
    ISO,
    OCSF,
    OWN,
    SEED,
    SNORT,
    SURICATA,
    TIME,
    VICTIM,
    WAZUH,
)

SAMPLE = Path(__file__).parents[6] / "shared" / "data" / "alerts" / "sample_input_cef.json"


def with_(record: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with one field changed, or without it where the value is `...`."""
    changed = copy.deepcopy(record)
    *way, last = path.split("/")
    inner: Any = changed
    for step in way:
        inner = inner[int(step)] if isinstance(inner, list) else inner[step]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return changed


def reason_of(record: Any) -> str:
    with pytest.raises(AlertFault) as caught:
        read_alert(record)
    return caught.value.reason


def test_there_is_an_example_of_every_format() -> None:
    assert set(EXAMPLES) == {each.name for each in FORMATS}


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_format_gives_the_time_the_two_ends_and_the_port_that_was_attacked(name: str) -> None:
    alert = read_alert(EXAMPLES[name])
    assert format_of(EXAMPLES[name]).name == name
    assert (alert.time, alert.src, alert.dst) == (TIME, *EXPECTED_ENDS[name])
    assert alert.other_attributes.get("port", 22) == 22


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_in_bytes_reads_the_same_every_time(name: str) -> None:
    example = EXAMPLES[name]
    data = example.encode() if isinstance(example, str) else json.dumps(example).encode()
    assert read_alert_bytes(data) == read_alert(example) == read_alert_bytes(b"\xef\xbb\xbf" + data + b"\n")


def test_the_seeds_own_json() -> None:
    alert = read_alert(SEED)
    assert (alert.id, alert.name, alert.tech) == (25485, "SSH brute force against web1", ["T1110.001"])
    assert alert.other_attributes == {
        "port": 22,
        "priority": 1,
        "user": "ann",
        "command_line": "sshd -D",
        "process.command_line": "sshd -D",
    }


@pytest.mark.parametrize(("label", "kept"), [(-1, None), (3, 3), ("dns scan", "dns scan"), (True, None), ("", None)])
def test_a_label_of_the_seed_is_kept_unless_it_stands_for_none(label: object, kept: object) -> None:
    assert read_alert({**SEED, "label": label}).label == kept


def test_an_enriched_alert_is_read_back_with_what_the_stage_before_said() -> None:
    alert = read_alert(OWN, tenant="other")
    assert (alert.id, alert.tenant, alert.other_attributes) == ("a-1", "acme", {"port": 22, "user": "ann"})
    assert read_techniques_carried(OWN) == Techniques(ids=("T1110.001",), source="alert", confidence=1.0)


def test_a_record_of_the_stream_of_enriched_alerts_is_read_back() -> None:
    told = Techniques(ids=("T1110",), source="model", confidence=0.7, confidences=(0.7,))
    for example in EXAMPLES.values():
        alert = read_alert(example)
        record = msgspec.json.decode(msgspec.json.encode({"alert": alert, "techniques": told, "tactics": []}))
        assert read_alert(record) == alert
        assert read_techniques_carried(record) == told


@pytest.mark.parametrize("technique", [None, "T1110", {"ids": "T1110"}, {"ids": ["T1110"], "source": "alert"}])
def test_techniques_of_a_stage_before_that_cannot_be_read_are_none(technique: object) -> None:
    assert read_techniques_carried({**OWN, "technique": technique}) is None


def test_a_cef_line() -> None:
    alert = read_alert(CEF_LINE)
    said = alert.other_attributes
    assert (alert.id, alert.name, alert.tech) == ("77", "SSH brute force", ["T1110.001"])
    assert (said["port"], said["src_port"], said["priority"]) == (22, "40022", 7)
    assert (said["user"], said["rule_id"], said["product"]) == ("ann", "100", "Wall")
    assert (said["message"], said["deviceVendor"], said["cs1Label"]) == ("Many failed logins", "Example", "MITRE")


def test_a_cef_lines_escapes() -> None:
    line = r"CEF:0|Ex\|ample|Wall\\|1|1|a \| b|3|msg=one\=1 \\ two\nthree src=192.0.2.1 rt=1716468856500 x=C:\\a\\b"
    alert = read_alert(line)
    assert alert.name == "a | b"
    assert alert.other_attributes["deviceVendor"] == "Ex|ample"
    assert alert.other_attributes["product"] == "Wall\\"
    assert alert.other_attributes["message"] == "one=1 \\ two\nthree"
    assert alert.other_attributes["x"] == "C:\\a\\b"


@pytest.mark.parametrize(
    ("head", "time"),
    [
        ("<13>1 2024-05-23T12:54:16.5Z gw1 - - - - ", TIME),
        ("2024-05-23T14:54:16.500+02:00 gw1 ", TIME),
        ("May 23 12:54:16 gw1 ", TIME - 0.5),
        ("<134>May 23 2024 12:54:16 gw1 ", TIME - 0.5),
    ],
)
def test_a_cef_line_without_a_time_has_that_of_its_syslog_head(head: str, time: float) -> None:
    alert = read_alert(f"{head}CEF:0|Example|Wall|1|1|scan|3|src=192.0.2.1", received=TIME + 60)
    assert alert.time == time


def test_a_cef_lines_made_id_does_not_depend_on_its_syslog_head() -> None:
    body = "CEF:0|Example|Wall|1|1|scan|3|src=192.0.2.1 rt=1716468856500"
    first, again, other = read_alert(body), read_alert(f"<13>May 24 00:00:00 x {body}"), read_alert(f"{body} dpt=1")
    assert first.id == again.id != other.id
    assert isinstance(first.id, str)
    assert first.id.startswith("cef-")
    assert "externalId" not in first.other_attributes


def test_a_cef_line_whose_only_time_is_its_syslog_heads_differs_by_it() -> None:
    body = "gw1 CEF:0|Example|Wall|1|1|scan|3|src=192.0.2.1"
    first, again, later = (read_alert(f"<13>May 23 2024 12:54:{second} {body}") for second in ("16", "16", "17"))
    assert first.id == again.id != later.id
    assert (first.time, first.other_attributes["time_from"]) == (TIME - 0.5, "transport")


@pytest.mark.parametrize(
    "head",
    [
        "Microsoft|Windows|1|Microsoft-Windows-Security-Auditing:4625|Logon failed",
        "Example|Wall|1|4625|Logon failed",
        "Microsoft|ATA|1.9|HoneytokenActivitySuspiciousActivity|Honeytoken activity",
    ],
)
def test_a_cef_id_that_is_the_number_of_its_type_is_no_id(head: str) -> None:
    line = f"CEF:0|{head}|5|externalId=4625 src=192.0.2.1 rt={{}}"
    first, again, later = (read_alert(line.format(each)) for each in (1716468856500, 1716468856500, 1716468860000))
    assert first.id == again.id != later.id
    assert first.other_attributes["externalId"] == "4625"


def test_a_cef_id_that_only_resembles_its_type_is_the_id() -> None:
    line = "CEF:0|Example|Wall|1|rule-4625|Logon failed|5|externalId=46250 src=192.0.2.1 rt=1716468856500"
    assert read_alert(line).id == "46250"


@pytest.mark.parametrize("line", ["CEF:0|Example|Wall", "CEF:", "CEF:0|a|b|c|d|e"])
def test_a_cef_line_with_half_a_head_is_refused(line: str) -> None:
    assert reason_of(line) == "bad_field"


def test_a_cef_line_needs_no_bar_behind_its_severity() -> None:
    alert = read_alert("2024-05-23T12:54:16Z gw1 CEF:0|Example|Wall|1|1|scan|3|dvchost=web1")
    assert (alert.src, alert.dst) == ("web1", "web1")
    assert reason_of("2024-05-23T12:54:16Z gw1 CEF:0|Example|Wall|1|1|scan|3") == "missing_src"


def test_a_severity_of_cef_in_words_is_kept() -> None:
    words = read_alert(CEF_LINE.replace("|7|", "|Very-High|")).other_attributes
    assert ("priority" in words, words["severity"]) == (False, "Very-High")
    number = read_alert(CEF_LINE).other_attributes
    assert (number["priority"], "severity" in number) == (7, False)


def test_mapped_cef_fields() -> None:
    alert = read_alert(CEF)
    said = alert.other_attributes
    assert (alert.id, alert.name, alert.tech) == ("77", "SSH brute force", ["T1110.001"])
    assert (said["port"], said["src_port"], said["priority"], said["user"]) == (22, "40022", 7, "ann")
    assert said["transport"] == "tcp"
    assert "hash" not in said


def test_a_source_port_never_becomes_the_destinations() -> None:
    assert "port" not in read_alert(with_(CEF, "destinationPort", "")).other_attributes
    assert "port" not in read_alert(CEF_LINE.replace("dpt=22 ", "")).other_attributes


@pytest.mark.parametrize(
    ("field", "winners"),
    [
        ("src", "sourceAddressIPv6 sourceTranslatedAddress sourceAddress sourceNtHost sourceHostName"),
        ("dst", "destinationNtHost destinationAddress destinationAddressIPv6 destinationHostName"),
        ("dst", "destinationHostName destinationTranslatedAddress"),
        ("name", "description name ruleName msg message"),
        ("time", "endTime startTime timestamp time"),
        ("port", "destPublicPort destinationTranslatedPort destinationPort"),
        ("priority", "severity severityId severityLevel"),
    ],
)
def test_of_mapped_cef_fields_the_stronger_wins(field: str, winners: str) -> None:
    record: dict[str, Any] = {"deviceProduct": "Wall", "ip": "192.0.2.1", "time": TIME, "name": "scan"}
    record.pop(field, None)
    for strength, key in enumerate(winners.split(), start=1):
        record[key] = str(strength) if field != "time" else str(1_700_000_000 + strength)
        alert = read_alert(record)
        found = alert.other_attributes.get(field) if field in {"port", "priority"} else getattr(alert, field)
        assert found == {"port": strength, "priority": strength, "time": 1_700_000_000 + strength}.get(
            field, str(strength)
        )


@pytest.mark.parametrize("weaker", ["ip", "clientAddress", "assignedIp", "hostAddr", "computerName"])
def test_a_mapped_cef_event_of_one_host_is_a_loop(weaker: str) -> None:
    record = {"deviceProduct": "Wall", "time": TIME, "name": "logon", weaker: "web1"}
    assert (read_alert(record).src, read_alert(record).dst) == ("web1", "web1")
    assert read_alert({**record, "ipAddress": "192.0.2.1"}).src == "192.0.2.1"
    assert read_alert({**record, "destinationHostName": "db1"}).src == "db1"


def test_a_mapped_cef_event_without_a_name_is_called_by_what_it_says() -> None:
    nameless = with_(with_(CEF, "name", ""), "cs1", "")
    told = {**nameless, "raw": "the raw event in many words", "outcome": "user was locked out", "index": "a:b:c d"}
    assert read_alert(told).name == "user was locked out"
    assert read_alert({**nameless, "sourceType": "wall:syslog"}).name == "wall:syslog"
    assert reason_of(nameless) == "missing_name"


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("time", "", "missing_time"),
        ("time", "yesterday", "bad_time"),
        ("externalId", True, "bad_id"),
    ],
)
def test_a_mapped_cef_event_that_cannot_be_read(path: str, value: object, reason: str) -> None:
    assert reason_of(with_(CEF, path, value)) == reason


def test_a_mapped_cef_event_without_an_id_gets_one_from_all_its_fields() -> None:
    nameless = with_(CEF, "externalId", "")
    first = read_alert(nameless).id
    assert first == read_alert(dict(reversed(nameless.items()))).id
    assert first != read_alert({**nameless, "act": "blocked"}).id
    one, two = ({**nameless, "tag": ["a", {"x": 1, "y": value}]} for value in (1, 2))
    assert len({first, read_alert(one).id, read_alert(two).id}) == 3
    assert read_alert(one).id == read_alert({**nameless, "tag": ["a", {"y": 1, "x": 1}]}).id


def test_logstashs_cef_is_not_taken_for_elastics() -> None:
    assert format_of({**CEF, "@timestamp": "2024-05-23T12:54:16Z"}).name == "cef"


def test_an_ocsf_finding() -> None:
    alert = read_alert(OCSF)
    assert (alert.id, alert.name, alert.tenant) == ("f-1", "SSH brute force", "acme")
    assert alert.tech == ["T1110.001", "T1110", "T1078"]
    said = alert.other_attributes
    assert (said["host"], said["user"], said["hash"]) == ("web1.example.com", "ann", "ab" * 32)
    assert (said["command_line"], said["rule_id"], said["product"]) == ("sshd -D", "r-100", "Example EDR")
    assert (said["priority"], said["severity"], said["src_port"]) == (4, "High", 40022)


def test_the_user_and_hash_of_an_ocsf_process() -> None:
    process = {"user": {"name": "bob"}, "file": {"hashes": [{"value": "cd"}]}}
    for evidence in ({"process": process}, {"actor": {"process": process}}):
        said = read_alert(with_(OCSF, "evidences", [evidence])).other_attributes
        assert (said["user"], said["hash"]) == ("bob", "cd")


def test_of_a_list_the_first_64_are_looked_at() -> None:
    says_all = OCSF["evidences"][1]
    for before, src in ((63, ATTACKER), (64, "web1.example.com")):
        assert read_alert(with_(OCSF, "evidences", [{}] * before + [says_all])).src == src
    users = [{"user": {"name": str(number)}} for number in range(100)]
    assert len(read_alert(with_(OCSF, "evidences", users)).other_attributes["user"]) == MAX_ENTITIES


def test_ocsfs_deprecated_class_keeps_its_finding_elsewhere() -> None:
    old = {
        "class_uid": 2001,
        "time": 1716468856500,
        "finding": {"uid": "f-2", "title": "Malware found"},
        "attacks": [{"technique": {"uid": "T1204"}}],
        "resources": [{"name": "bucket-1", "uid": "arn:aws:s3:::bucket-1"}],
    }
    alert = read_alert(old)
    assert (alert.id, alert.name, alert.src, alert.dst) == ("f-2", "Malware found", "bucket-1", "bucket-1")
    assert alert.tech == ["T1204"]


@pytest.mark.parametrize("class_uid", [2002, 2003, 2005, 2006, "2004", 2004.0])
def test_all_findings_of_ocsf_are_read(class_uid: object) -> None:
    assert read_alert({**OCSF, "class_uid": class_uid}) == read_alert(OCSF)


@pytest.mark.parametrize("class_uid", [4001, 2000, 2009, True, "", None])
def test_other_classes_of_ocsf_are_no_alerts(class_uid: object) -> None:
    assert reason_of({**OCSF, "class_uid": class_uid}) == "unknown_format"


def test_an_elastic_alert() -> None:
    alert = read_alert(ECS)
    assert (alert.id, alert.name, alert.tenant) == ("k-1", "SSH brute force", "acme")
    assert alert.tech == ["T1110.001", "T1110", "T1078"]
    said = alert.other_attributes
    assert (said["host"], said["user"], said["hash"], said["priority"]) == ("web1", "ann", "ab" * 32, 73)
    assert (said["description"], said["command_line"]) == ("Many failed logins on web1", "sshd -D")
    assert (said["rule_id"], said["kibana.alert.severity"]) == ("r-100", "high")


def nested(record: dict[str, Any]) -> dict[str, Any]:
    """The same document with no dot in any key."""
    found: dict[str, Any] = {}
    for key, value in record.items():
        inner = found
        *way, last = key.split(".")
        for step in way:
            inner = inner.setdefault(step, {})
        inner.setdefault(last, {}).update(value) if isinstance(value, dict) else inner.update({last: value})
    return found


def flat(record: dict[str, Any], before: str = "") -> dict[str, Any]:
    """The same document with no object in it but in lists."""
    found: dict[str, Any] = {}
    for key, value in record.items():
        found.update(flat(value, f"{before}{key}.") if isinstance(value, dict) else {f"{before}{key}": value})
    return found


def test_an_elastic_alert_reads_the_same_nested_and_dotted() -> None:
    assert read_alert(nested(ECS)) == read_alert(flat(ECS)) == read_alert(ECS)
    assert "kibana" in nested(ECS)
    assert "source.ip" in flat(ECS)


def test_an_elastic_search_hit_is_read_by_its_source() -> None:
    source = with_(ECS, "kibana.alert.uuid", ...)
    assert read_alert({"_index": ".alerts", "_id": "hit-1", "_source": source}).id == "hit-1"
    answer = {"hits": {"total": {"value": 1}, "hits": [{"_id": "hit-1", "_source": source}]}}
    assert read_alert(answer).id == "hit-1"


def test_two_rules_of_elastic_that_fired_on_one_event_are_two_alerts() -> None:
    source = {
        "@timestamp": ISO,
        "event": {"id": "of-the-event"},
        "host": {"name": "web1"},
        "signal": {"rule": {"id": "here-only", "rule_id": "everywhere", "name": "x", "threat": []}},
    }
    one, other = (read_alert({"_id": each, "_source": source}) for each in ("signal-1", "signal-2"))
    assert (one.id, other.id) == ("signal-1", "signal-2")
    assert one.other_attributes["rule_id"] == "everywhere"
    bare = with_(source, "event", ...)
    assert read_alert(bare).id != read_alert(with_(bare, "signal/rule/id", "another")).id


def test_the_longest_key_of_an_elastic_alert_wins_wherever_it_stands() -> None:
    both = {**with_(ECS, "user.name", ...), "user": {"name": "bob"}, "user.name": "ann"}
    assert read_alert(both).other_attributes["user"] == ["ann", "bob"]
    assert read_alert(dict(reversed(both.items()))) == read_alert(both)


def test_the_arguments_of_a_process_are_its_command_line_where_there_is_no_other() -> None:
    bare = with_(ECS, "process", {"args": ["powershell.exe", "-enc", 7]})
    assert read_alert(bare).other_attributes["command_line"] == "powershell.exe -enc 7"
    assert read_alert(with_(ECS, "process/args", ["sshd"])).other_attributes["command_line"] == "sshd -D"


@pytest.mark.parametrize("own", ["127.0.0.1", "::1", "localhost", "::"])
def test_what_every_host_calls_itself_is_an_end_only_where_there_is_no_other(own: str) -> None:
    assert read_alert(with_(ECS, "source/ip", own)).src == "web1"
    assert read_alert({**WAZUH, "data": {"win": {"eventdata": {"ipAddress": own}}}}).src == VICTIM
    assert read_alert(with_(SURICATA, "src_ip", own)).src == own


def test_an_end_that_an_elastic_alert_does_not_name_is_its_host() -> None:
    assert read_alert(with_(ECS, "destination", ...)).dst == "web1"
    alone = with_(with_(ECS, "destination", ...), "source", ...)
    assert (read_alert(alone).src, read_alert(alone).dst) == ("web1", "web1")


def test_a_suricata_alert() -> None:
    alert = read_alert(SURICATA)
    said = alert.other_attributes
    assert (alert.name, alert.tech) == ("EXAMPLE SCAN Potential SSH Scan", ["T1110"])
    assert (said["rule_id"], said["priority"], said["hash"], said["cert"]) == ("2001219", 2, "ab" * 32, "aa:bb")
    assert (said["url"], said["user_agent"]) == ("/login", "curl/8")
    assert (said["host"], said["sensor"]) == ("www.example.com", "sensor-1")


def test_a_suricata_alert_whose_rule_tags_its_technique() -> None:
    tagged = with_(SURICATA, "alert/metadata", {"mitre_attack": ["t1190", "TA0001"]})
    assert read_alert(tagged).tech == ["T1190"]


@pytest.mark.parametrize(
    "dns", [{"query": [{"rrname": "c2"}]}, {"version": 3, "queries": [{"rrname": "c2"}]}, {"rrname": "c2"}]
)
def test_the_name_that_a_suricata_alert_asks_for_is_a_host(dns: dict[str, Any]) -> None:
    bare = with_(with_(SURICATA, "http", ...), "tls", ...)
    assert read_alert({**bare, "dns": dns}).other_attributes["host"] == "c2"


@pytest.mark.parametrize(
    ("path", "value"),
    [("flow_id", 1), ("timestamp", "2024-05-23T13:54:16.500001+0100"), ("alert/signature_id", 7), ("dest_port", 23)],
)
def test_alerts_of_one_flow_in_suricata_have_ids_of_their_own(path: str, value: object) -> None:
    assert read_alert(SURICATA).id == read_alert(copy.deepcopy(SURICATA)).id
    assert read_alert(with_(SURICATA, path, value)).id != read_alert(SURICATA).id


def test_other_lines_of_eve_are_no_alerts() -> None:
    with pytest.raises(AlertFault, match="only lines whose event_type is alert"):
        read_alert({**SURICATA, "event_type": "dns"})


def test_a_snort_line() -> None:
    alert = read_alert(SNORT)
    said = alert.other_attributes
    assert alert.name == "EXAMPLE SCAN Potential SSH Scan"
    assert (said["rule_id"], said["priority"], said["proto"], said["src_port"]) == ("2001219", 2, "TCP", "40022")
    assert said["classification"] == "Attempted Information Leak"
    assert alert.id == read_alert(f"{SNORT}\n").id != read_alert(SNORT.replace(":22", ":23")).id


@pytest.mark.parametrize(
    ("stamp", "time"),
    [
        ("05/23-12:54:16.500000", TIME),
        ("05/23/2024-12:54:16.500000", TIME),
        ("24/05/23-12:54:16.500000", TIME),
        ("12/31-23:59:59.000000", 1_704_067_199.0),
        ("02/29-00:00:00.000000", 1_709_164_800.0),
    ],
)
def test_the_ways_in_which_snort_writes_a_time(stamp: str, time: float) -> None:
    line = SNORT.replace("05/23/24-12:54:16.500000", stamp)
    assert read_alert(line, received=TIME + 3600).time == time


@pytest.mark.parametrize(
    ("ends", "src", "port"),
    [
        ("2001:db8::2 -> 2001:db8::22", "2001:db8::2", None),
        ("192.0.2.1 -> 198.51.100.7", "192.0.2.1", None),
        ("2001:db8::1:40022 -> 2001:db8::2:22", "2001:db8::1", 22),
        ("2001:db8:0:0:0:0:0:1:40022 -> 2001:db8:0:0:0:0:0:2:22", "2001:db8:0:0:0:0:0:1", 22),
        ("2001:db8:0:0:0:0:0:1 -> 2001:db8:0:0:0:0:0:2", "2001:db8:0:0:0:0:0:1", None),
        ("fe80:: -> fe80::", "fe80::", None),
        ("[2001:db8::1]:40022 -> [2001:db8::2]:22", "2001:db8::1", 22),
    ],
)
def test_the_ends_of_a_snort_line(ends: str, src: str, port: int | None) -> None:
    alert = read_alert(SNORT.replace("192.0.2.10:40022 -> 198.51.100.7:22", ends))
    assert (alert.src, alert.other_attributes.get("port")) == (src, port)


@pytest.mark.parametrize(
    ("ends", "src", "dst"),
    [
        ("192.0.2.1:8 -> 198.51.100.7:0", "192.0.2.1", "198.51.100.7"),
        ("fe80::1:10 -> ff02::1:20", "fe80::1:10", "ff02::1:20"),
        ("fe80:0:0:0:0:0:0:1:135 -> ff02:0:0:0:0:0:0:2:0", "fe80:0:0:0:0:0:0:1", "ff02:0:0:0:0:0:0:2"),
    ],
)
def test_icmp_has_no_ports(ends: str, src: str, dst: str) -> None:
    alert = read_alert(SNORT.replace("{TCP} 192.0.2.10:40022 -> 198.51.100.7:22", f"{{ICMP}} {ends}"))
    assert (alert.src, alert.dst) == (src, dst)
    assert not {"port", "src_port"} & alert.other_attributes.keys()


def test_a_suricata_fast_log_line() -> None:
    line = (
        "05/23/2024-12:54:16.500000  [Drop] [**] [1:2001219:20] EXAMPLE SCAN [**] [Classification: (null)] "
        "[Priority: 3] {UDP} 192.0.2.10:40022 -> 198.51.100.7:22"
    )
    alert = read_alert(line)
    assert (alert.time, alert.name, alert.other_attributes["action"]) == (TIME, "EXAMPLE SCAN", "Drop")


def test_a_snort_line_of_a_preprocessor_has_no_rule() -> None:
    alert = read_alert(SNORT.replace("[1:2001219:20] ", ""))
    assert alert.name == "EXAMPLE SCAN Potential SSH Scan"
    assert "rule_id" not in alert.other_attributes


@pytest.mark.parametrize("line", ["[**]", "05/23-12:00:00.0 [**] [1:1:1] x [**] no ends", SNORT[:60]])
def test_half_a_snort_line_is_refused(line: str) -> None:
    assert reason_of(line) == "bad_field"


def capitals(value: Any) -> Any:
    """A finding as GuardDuty's API writes it."""
    if isinstance(value, list):
        return [capitals(each) for each in value]
    if isinstance(value, dict):
        return {key[:1].upper() + key[1:]: capitals(each) for key, each in value.items()}
    return value


def test_a_guardduty_finding() -> None:
    alert = read_alert(GUARDDUTY)
    said = alert.other_attributes
    assert (alert.id, alert.other_attributes["account"]) == ("16afba5c5c43e07c9e3e5e2e544e95df", "111122223333")
    assert alert.name == GUARDDUTY["title"]
    assert (said["rule_id"], said["host"]) == ("UnauthorizedAccess:EC2/SSHBruteForce", "i-0example")
    assert (said["priority"], said["service.count"]) == (2, 7)


def test_a_guardduty_finding_of_the_api_and_of_eventbridge_read_the_same() -> None:
    event = {"version": "0", "detail-type": "GuardDuty Finding", "source": "aws.guardduty", "detail": GUARDDUTY}
    answer = {"Findings": [capitals(GUARDDUTY)]}
    assert read_alert(event) == read_alert(answer) == read_alert(capitals(GUARDDUTY)) == read_alert(GUARDDUTY)


def test_an_instance_that_connects_outwards_is_the_source() -> None:
    path = "service/action/networkConnectionAction/connectionDirection"
    alert = read_alert(with_(GUARDDUTY, path, "OUTBOUND"))
    assert (alert.src, alert.dst, alert.other_attributes["port"]) == (VICTIM, ATTACKER, 40022)


def test_an_instance_that_asks_for_a_name_is_the_source() -> None:
    asks = with_(GUARDDUTY, "service/action", {"dnsRequestAction": {"domain": "c2.example.com"}})
    for role in ("ACTOR", "TARGET"):  # GuardDuty's own samples call an instance that asks the target
        alert = read_alert(with_(asks, "service/resourceRole", role))
        assert (alert.src, alert.dst) == (VICTIM, "c2.example.com")
        assert read_alert(capitals(with_(asks, "service/resourceRole", role))).src == VICTIM


def test_a_security_hub_finding() -> None:
    alert = read_alert(ASFF)
    said = alert.other_attributes
    assert (alert.id, alert.name, alert.tenant) == (ASFF["Id"], "SSH brute force", "")
    assert alert.other_attributes["account"] == "111122223333"
    assert alert.tech == ["T1110.001"]
    assert (said["rule_id"], said["priority"], said["product"]) == ("r-100", 70, "Example EDR")
    assert said["host"] == ASFF["Resources"][0]["Id"]


def test_a_security_hub_event_holds_one_finding_or_is_no_alert() -> None:
    event = {"detail-type": "Security Hub Findings - Imported", "detail": {"findings": [ASFF]}}
    assert read_alert(event) == read_alert(ASFF)
    assert reason_of(with_(event, "detail/findings", [ASFF, ASFF])) == "not_one_alert"


def test_a_security_hub_finding_without_addresses_is_of_its_resource() -> None:
    alert = read_alert(with_(ASFF, "Network", ...))
    assert alert.src == alert.dst == ASFF["Resources"][0]["Id"]
    outwards = {"NetworkConnectionAction": {"ConnectionDirection": "OUTBOUND", "RemoteIpDetails": {"IpAddressV4": "x"}}}
    alert = read_alert({**with_(ASFF, "Network", ...), "Action": outwards})
    assert (alert.src, alert.dst) == (ASFF["Resources"][0]["Id"], "x")


def test_a_wazuh_alert() -> None:
    alert = read_alert(WAZUH)
    said = alert.other_attributes
    assert (alert.id, alert.name) == ("1716468856.49031", "sshd: brute force trying to get access to the system.")
    assert (alert.tech, said["user"], said["host"]) == (["T1110"], "ann", "web1")
    assert (said["rule_id"], said["priority"], said["product"]) == ("5763", 10, "sshd")


def test_a_windows_event_of_wazuh() -> None:
    windows = {
        "win": {
            "system": {"eventID": "4625", "computer": "WEB1"},
            "eventdata": {"targetUserName": "ann", "subjectUserName": "-", "ipAddress": ATTACKER},
        }
    }
    alert = read_alert({**WAZUH, "data": windows})
    assert (alert.src, alert.dst) == (ATTACKER, VICTIM)
    assert alert.other_attributes["user"] == "ann"
    assert alert.other_attributes["host"] == ["web1", "WEB1"]


def test_the_hashes_of_sysmon_are_taken_apart() -> None:
    sysmon = {"win": {"eventdata": {"hashes": "SHA1=a1,MD5=b2,SHA256=c3,IMPHASH=d4"}}}
    assert read_alert({**WAZUH, "data": sysmon}).other_attributes["hash"] == ["a1", "b2", "c3"]
    seed = with_(SEED, "other_attributes_dict/hash", "SHA256=c3")
    assert read_alert(seed).other_attributes["hash"] == "c3"


def test_a_wazuh_alert_of_no_address_is_of_its_agent() -> None:
    alone = with_(with_(WAZUH, "data", ...), "agent", {"id": "000", "name": "manager-1"})
    assert (read_alert(alone).src, read_alert(alone).dst) == ("manager-1", "manager-1")


@pytest.mark.skipif(not SAMPLE.exists(), reason="sample_input_cef.json is not here")
def test_of_the_public_sample_all_is_read_that_names_an_end() -> None:
    document = read_document(json.loads(SAMPLE.read_bytes()))
    assert {fault.reason for _, fault in document.faults} == {"missing_src"}
    assert len(document.alerts) == 17
    assert all(alert.src and alert.dst and alert.name for alert in document.alerts)
    assert {alert.other_attributes.get("port") for alert in document.alerts} >= {11211}


def test_an_ocsf_finding_with_observables_alone() -> None:
    bare = {key: value for key, value in OCSF.items() if key not in {"evidences", "device"}}
    seen = [
        {"name": "src_endpoint.ip", "type_id": 2, "value": ATTACKER},
        {"name": "dst_endpoint.hostname", "type": "Hostname", "type_id": 1, "value": "web1"},
        {"name": "User Name", "type_id": 4, "value": "ann"},
        {"name": "SHA-256", "type": "Hash", "value": "ab" * 32},
        {"name": "no value", "type_id": 2},
        7,
    ]
    alert = read_alert({**bare, "observables": seen})
    assert (alert.src, alert.dst) == (ATTACKER, "web1")
    said = alert.other_attributes
    assert (said["host"], said["user"], said["hash"]) == (["web1", ATTACKER], "ann", "ab" * 32)
    nameless = read_alert({**bare, "observables": [{"name": "IP Address", "type_id": "2", "value": ATTACKER}]})
    assert (nameless.src, nameless.dst) == (ATTACKER, ATTACKER)
    assert read_alert({**bare, "observables": seen[2:3]}).src == "ann"


def test_other_findings_of_ocsf() -> None:
    incident = {
        "class_uid": 2005,
        "time": 1716468856500,
        "status_id": 3,
        "finding_info_list": [
            {"title": "Ransomware on web1", "uid": "f-9", "attacks": [{"technique": {"uid": "T1486"}}]}
        ],
        "resources": [{"hostname": "web1"}],
    }
    alert = read_alert(incident)
    assert (alert.name, alert.tech, alert.src, alert.closed) == ("Ransomware on web1", ["T1486"], "web1", "")
    assert read_alert({**incident, "status_id": 5}).closed == "OCSF status_id 5 (Closed)"
    assert read_alert(incident).id == alert.id != read_alert({**incident, "time": 1716468856501}).id
    passed = {**OCSF, "class_uid": 2003, "compliance": {"status_id": 1, "control": "S3.1"}}
    assert read_alert(passed).closed == "OCSF compliance.status_id 1 (Pass)"


def test_a_finding_of_guardduty_in_security_hub() -> None:
    fields = {
        "aws/guardduty/service/action/actionType": "PORT_PROBE",
        "aws/guardduty/service/action/portProbeAction/portProbeDetails.0_/remoteIpDetails/ipAddressV4": ATTACKER,
        "aws/guardduty/service/action/portProbeAction/portProbeDetails.0_/localPortDetails/port": "22",
        "aws/guardduty/service/resourceRole": "TARGET",
        "aws/guardduty/service/archived": "false",
    }
    bare = {key: value for key, value in ASFF.items() if key != "Network"}
    finding = {**bare, "ProductFields": fields, "Types": ["TTPs/Discovery/Recon:EC2-PortProbeUnprotectedPort"]}
    alert = read_alert(finding)
    assert (alert.src, alert.dst) == (ATTACKER, "arn:aws:ec2:eu-west-1:111122223333:instance/i-0example")
    assert (alert.other_attributes["port"], alert.other_attributes["rule_id"]) == (
        22,
        "Recon:EC2/PortProbeUnprotectedPort",
    )
    asks = {"aws/guardduty/service/action/dnsRequestAction/domain": "c2.example.com"}
    asking = read_alert({**finding, "ProductFields": asks})
    assert (asking.dst, asking.src) == ("c2.example.com", "arn:aws:ec2:eu-west-1:111122223333:instance/i-0example")
    odd = {"aws/guardduty/service/": "x", "aws/guardduty/service/a": "1", "aws/guardduty/service/a/b": "2"}
    assert read_alert({**finding, "ProductFields": odd}).dst == alert.dst


def test_a_suricata_rule_that_names_its_target_states_the_direction() -> None:
    ends = {"source": {"ip": VICTIM, "port": 22}, "target": {"ip": ATTACKER, "port": 40022}}
    alert = read_alert(with_(SURICATA, "alert", {**SURICATA["alert"], **ends}))
    assert (alert.src, alert.dst) == (VICTIM, ATTACKER)
    assert (alert.other_attributes["port"], alert.other_attributes["src_port"]) == (40022, 22)


def test_a_suricata_alert_with_the_shippers_time_alone() -> None:
    shipped = {**with_(SURICATA, "timestamp", ...), "@timestamp": ISO}
    assert read_alert(shipped).time == TIME
    assert read_alert(shipped).id != read_alert({**shipped, "@timestamp": "2024-05-23T12:54:17Z"}).id


def test_a_host_may_be_a_text() -> None:
    logstash = {"@timestamp": ISO, "host": "web1", "message": "Many failed logins", "event": {"kind": "alert"}}
    alert = read_alert(logstash)
    assert (alert.src, alert.dst, alert.other_attributes["host"]) == ("web1", "web1", "web1")


def test_an_elastic_alert_without_a_host_is_of_its_address_else_of_its_user() -> None:
    cloud = {key: value for key, value in ECS.items() if key not in {"host", "destination"}}
    assert (read_alert(cloud).src, read_alert(cloud).dst) == (ATTACKER, ATTACKER)
    del cloud["source"]
    assert (read_alert(cloud).src, read_alert(cloud).dst) == ("ann", "ann")
