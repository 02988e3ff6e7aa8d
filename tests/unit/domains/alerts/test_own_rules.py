"""Rules of each kind are read from folders, and alerts get the techniques of their rules."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domains.alerts.alert import Alert, Techniques
from app.domains.alerts.techniques.catalogue import open_catalogue, shipped_catalogue
from app.domains.alerts.techniques.resolver import TechniqueResolver
from app.domains.alerts.text import fold
from app.errors import LocationError, ModelError, SettingsError, UnknownRunError
from app.settings import read_settings
from model.rules import folders
from model.rules.file import decode, read_text
from model.rules.folders import read_folders
from model.rules.learn import learn
from model.rules.rule import Fault, Rule
from tests.commands_for_tests import run_command

SIGMA = """\
title: Oven Service Started by the Baker
id: 0f3c6ab0-7d11-4aaa-8bbb-000000000001
description: A service of the oven.
author: A Baker
date: 2025/13/45
tags:
  - attack.execution
  - attack.t1569.002
  - attack.s0029
logsource: {product: windows, category: process_creation}
detection:
  selection:
    Image|endswith: '\\oven.exe'
  condition: selection
"""
ELASTIC = '''\
[metadata]
maturity = "production"

[rule]
author = ["A Baker"]
license = "The Licence of Bakers 2"
name = "Role of the Bakery Assumed"
rule_id = "bakery-elastic-1"
description = """Somebody took the role."""
query = """event.action: "AssumeRole" """

[[rule.threat]]
framework = "MITRE ATT&CK"
[[rule.threat.technique]]
id = "T1098"
name = "Account Manipulation"
[[rule.threat.technique.subtechnique]]
id = "T1098.003"
name = "Additional Cloud Roles"
'''
EXPORTED: dict[str, object] = {
    "id": "bakery-uuid-2",
    "rule_id": "bakery-elastic-2",
    "name": "Login to the Bakery at Night",
    "threat": [{"framework": "MITRE ATT&CK", "technique": [{"id": "T1078", "subtechnique": []}]}],
    "type": "query",
}
SPLUNK = """\
name: Dough Sent to an Unknown Bucket
id: bakery-splunk-1
author: A Baker
search: '| tstats count from datamodel=Dough'
tags:
  mitre_attack_id:
  - T1048
"""
SAVED_SEARCHES = """\
[default]
dispatch.ttl = 1

[Threat - Flour Missing - Rule]
action.correlationsearch.label = Flour Is Missing
action.correlationsearch.annotations = {"cis20": ["3"], "mitre_attack": ["T1020", "T1537"]}
search = index=bakery \\
| stats count by flour
"""
SURICATA = r"""
# rules of the bakery
alert tcp $HOME_NET any -> any any (msg:"BAKERY beacon \"oven\" seen\; twice"; content:"x;y"; classtype:trojan-activity;
alert tcp any any -> any any (msg:"BAKERY beacon of the oven\; seen"; content:"a;b"; pcre:"/\)\;/"; \
  metadata:created_at 2025_01_01, mitre_tactic_id TA0011, mitre_technique_id T1071.001, mitre_technique_id T1573; \
  sid:5710; rev:3;)
# alert http any any -> any any (msg:"BAKERY login page guessed"; \
  reference:url,attack.mitre.org/techniques/T1110/001; sid:5711;)
alert icmp any any -> any any ( \
    msg:"BAKERY ping of an oven"; \
    classtype:misc-activity; sid:5712;)
"""
WAZUH = """\
<!-- rules -- of the bakery -->
<var name="OVENS">one|two</var>
<group name="bakery,">
  <rule id="5710" level="5">
    <match>a & b \\<c</match>
    <description>bakery: door forced open by $(user)</description>
    <mitre>
      <id>T1110.001</id>
      <id>T1078</id>
    </mitre>
  </rule>
</group>
<group name="other,">
  <rule id="100101" level="3"><description>bakery: lights off</description></rule>
</group>
"""
FALCO = """\
- macro: ovens
  condition: proc.name = oven
- rule: Shell in the bakery container
  desc: A shell.
  condition: spawned_process and ovens
  output: a shell
  tags: [container, mitre_execution, T1059]
- rule: Shell in the bakery container
  append: true
  output: more
"""
SENTINEL = """\
id: 11111111-2222-3333-4444-555555555555
name: Bakery administrator consents to an application
tactics: [Persistence]
relevantTechniques: [T1528]
query: |
  AuditLogs | where bakery
queryFrequency: 1h
"""
FILES = {
    "one": SIGMA,
    "two.toml": ELASTIC,
    "three.ndjson": json.dumps(EXPORTED) + '\n{"exported_count": 1}\n',
    "four.yml": SPLUNK,
    "five.conf": SAVED_SEARCHES,
    "six.rules": SURICATA,
    "seven.xml": WAZUH,
    "eight.yaml": FALCO,
    "nine.yaml": SENTINEL,
}


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    folder = tmp_path / "rules"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder


def read(text: str) -> list[Rule | Fault]:
    return list(read_text(text))


def rule(text: str) -> Rule:
    found = [each for each in read(text) if isinstance(each, Rule)]
    assert len(found) == 1, found
    return found[0]


def faults(text: str) -> list[tuple[int, str]]:
    return [(each.line, each.reason) for each in read(text) if isinstance(each, Fault)]


@pytest.mark.parametrize(
    ("text", "kind", "title", "ids", "techniques"),
    [
        (
            SIGMA, "Sigma", "Oven Service Started by the Baker",
            ("0f3c6ab0-7d11-4aaa-8bbb-000000000001",), ("T1569.002",),
        ),
        (ELASTIC, "Elastic", "Role of the Bakery Assumed", ("bakery-elastic-1",), ("T1098", "T1098.003")),
        (
            json.dumps(EXPORTED), "Elastic", "Login to the Bakery at Night",
            ("bakery-elastic-2", "bakery-uuid-2"), ("T1078",),
        ),
        (SPLUNK, "Splunk", "Dough Sent to an Unknown Bucket", ("bakery-splunk-1",), ("T1048",)),
        (SAVED_SEARCHES, "Splunk", "Threat - Flour Missing - Rule", (), ("T1020", "T1537")),
        (FALCO, "Falco", "Shell in the bakery container", (), ("T1059",)),
        (
            SENTINEL, "Sentinel", "Bakery administrator consents to an application",
            ("11111111-2222-3333-4444-555555555555",), ("T1528",),
        ),
    ],
)  # fmt: skip
def test_a_rule_of_each_kind_is_recognised_by_its_content(
    text: str, kind: str, title: str, ids: tuple[str, ...], techniques: tuple[str, ...]
) -> None:
    found = rule(text)
    assert (found.kind, found.titles[0], found.ids, found.techniques) == (kind, title, ids, techniques)


def test_signatures_are_read_with_their_escapes_and_over_several_lines_also_where_they_are_commented_out() -> None:
    beacon, login, ping = (each for each in read(SURICATA) if isinstance(each, Rule))
    assert beacon.titles == ("BAKERY beacon of the oven; seen",)
    assert (beacon.ids, beacon.techniques) == (("5710",), ("T1071.001", "T1573"))
    assert (login.ids, login.techniques) == (("5711",), ("T1110.001",))
    assert (ping.titles, ping.ids, ping.techniques) == (("BAKERY ping of an oven",), ("5712",), ())
    assert ping.detection == "misc-activity"


def test_snort_3_writes_a_rule_over_lines_without_a_backslash() -> None:
    text = """\
alert http
(
    msg:"BAKERY request (odd) of flour";
    metadata:mitre_technique_id T1190;
    sid:1; rev:1;
)
alert tcp any any -> any any (
    msg:"BAKERY second"; sid:2;)
alert tcp any any -> any any (msg:"BAKERY third"; sid:3;) # a remark
alert tcp any any -> any any (msg:"BAKERY never closed";

alert tcp any any -> any any (msg:"BAKERY fourth"; sid:4;)
"""
    assert [each.ids for each in read(text) if isinstance(each, Rule)] == [("1",), ("2",), ("3",), ("4",)]
    assert faults(text) == [(10, "an option is not closed by a semicolon, or the rule not by a bracket")]
    assert rule(text.partition("alert tcp")[0]).techniques == ("T1190",)


def test_wazuh_rules_are_read_as_wazuh_reads_them() -> None:
    forced, lights = (each for each in read(WAZUH) if isinstance(each, Rule))
    assert (forced.titles, forced.ids) == (("bakery: door forced open by",), ("5710",))
    assert forced.techniques == ("T1110.001", "T1078")
    assert (lights.ids, lights.techniques) == (("100101",), ())


@pytest.mark.parametrize(
    "exported",
    [
        {"data": [EXPORTED], "total": 1},
        {"rule": EXPORTED, "metadata": {}},
        {"type": "alert", "attributes": {"name": EXPORTED["name"], "params": {**EXPORTED, "ruleId": "x-2"}}},
        {"entry": [{"name": "Login to the Bakery at Night", "content": {
            "search": "index=x", "action.correlationsearch.annotations": '{"mitre_attack": ["T1078"]}'}}]},
        {"resources": [{"name": "[concat(1)]", "properties": {
            "displayName": "Login to the Bakery at Night", "query": "x", "techniques": ["T1078"]}}]},
    ],
)  # fmt: skip
def test_exports_hold_rules_in_lists_and_wrappers(exported: dict[str, object]) -> None:
    for text in (json.dumps(exported), json.dumps(exported, indent=2)):
        assert rule(text).techniques == ("T1078",)
        assert rule(text).titles == ("Login to the Bakery at Night",)


def test_a_broken_rule_is_named_with_its_line_and_hides_no_other() -> None:
    found = read(f"{SIGMA}---\ntitle: [broken\ndetection: x\n---\ndetection: {{a: b}}\n---\n{SIGMA}")
    assert [type(each) for each in found] == [Rule, Fault, Fault, Rule]
    begin = SIGMA.count("\n") + 1
    assert faults(f"{SIGMA}---\ntitle: [broken\ndetection: x\n")[0][0] == begin + 2
    assert faults("detection: {a: b}\n") == [(1, "it has no name")]
    assert faults('[rule]\nname = "x"\nrule_id = \n') == [(3, "no TOML: Invalid value")]
    lines = f"{json.dumps(EXPORTED)}\n{{broken\n{json.dumps(EXPORTED)}"
    assert [type(each) for each in read(lines)] == [Rule, Fault, Rule]
    assert faults(lines)[0][0] == 2
    assert faults(SURICATA) == [(3, "an option is not closed by a semicolon, or the rule not by a bracket")]
    assert faults('<group name="x">\n<rule level="1">\n</rule>\n</group>') == [(2, "a rule has no number as its id")]
    assert faults(f"{WAZUH}\n<group>")[-1][1] == "no XML: mismatched tag"


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x, x]\n" + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{f'*{chr(97 + n)}, ' * 9}]\n" for n in range(20))
        + "title: Many Aliases\ndetection: *u\n",
        "title: Deep Rule\ndetection: " + "[" * 5000,
        "title: Deep Rule\ndetection: " + "[" * 900 + "]" * 900,
        "[rule]\nname = " + "[" * 100_000,
        "[rule]\n" + "a." * 20_000 + "b = 1",
        '[rule]\nname = "x"\nrule_id = ' + "9" * 10_000,
        '{"rule_id": ' + "[" * 100_000,
        "[" * 100_000 + '"threat"',
        '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "x">]><group name="x"><rule id="1">&a;</rule></group>',
        "<group name='x'>" + "<a>" * 100_000,
        "<group name='x'><!-- " * 20_000,
        "<rule " * 50_000,
        "\n" * 200_000 + "alert",
        "alert tcp any any -> any any\n" * 20_000,
        "alert tcp any any -> any any (\n" + "msg:\n" * 50_000,
        "alert " * 50_000,
        "detection:\n---\n" * 20_000,
        "alert tcp any any -> any any (" + 'msg:"' * 20_000 + "sid:1;",
        "alert tcp any any -> any any (" + "a\\" * 30_000 + "sid",
        "title: !!python/object/apply:os.system [ls]\ndetection: x\n",
        "[s]\nsearch = " + "\\\n" * 50_000,
    ],
)  # fmt: skip
def test_hostile_files_end_soon_and_raise_nothing(text: str) -> None:
    assert len([each for each in read(text) if isinstance(each, Rule)]) <= 1


@given(st.text())
def test_any_text_is_read_without_an_error(text: str) -> None:
    for begin in ("", "detection: ", "[rule]\nx = ", "[a]\nsearch = ", '{"threat": ', "<rule ", "alert tcp any (msg:"):
        read(begin + text)


@given(st.binary(max_size=200))
def test_any_file_is_decoded(data: bytes) -> None:
    decode(data)


def test_texts_of_any_encoding_are_read_and_other_files_are_not() -> None:
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "latin-1"):
        text = decode(SIGMA.replace("A Baker", "Bäcker").encode(encoding))
        assert text is not None
        assert rule(text).author == "Bäcker"
    assert decode(b"\x7fELF\0\0") is None


def test_rules_may_stand_in_a_list() -> None:
    for text in (SIGMA, SPLUNK, SENTINEL):
        listed = "\n".join(f"{'- ' if not number else '  '}{line}" for number, line in enumerate(text.splitlines()))
        assert read(listed) == read(text)


def test_line_ends_of_windows_are_line_ends() -> None:
    for text in FILES.values():
        assert read(decode(text.replace("\n", "\r\n").encode()) or "") == read(text)


def test_a_folder_is_read_once_whatever_links_it_has(rules: Path) -> None:
    (rules / "LICENSE").write_text("# The Licence of Bakers\n\ntext")
    (rules / "README.md").write_text(SIGMA)
    (rules / "image.png").write_bytes(b"\0\1")
    (rules / "more.tar.gz").write_bytes(b"\x1f\x8b")
    (rules / "pipeline.yml").write_text("on: push\njobs: {}\n")
    (rules / "loop").symlink_to(rules)
    (rules / "again.yml").symlink_to(rules / "one")
    (rules / "gone.yml").symlink_to(rules / "nowhere")
    os.mkfifo(rules / "pipe")
    (rules / ".git").mkdir()
    (rules / ".git" / "one.yml").write_text(SIGMA)
    steps: list[tuple[int, int]] = []
    found = read_folders([rules, rules], lambda files, read: steps.append((files, read)))
    assert len(found.rules) == 12
    assert found.files == 9 + 2  # the link to nowhere and the archive are named
    assert {Path(each.path).name: each.line for each in found.unreadable} == {
        "six.rules": 3,
        "gone.yml": 0,
        "more.tar.gz": 0,
    }
    assert str(found.unreadable[0]).endswith("gone.yml: cannot be read: No such file or directory")
    assert found.licences["Elastic"] == {"The Licence of Bakers 2": 1, "The Licence of Bakers": 1}
    assert steps[-1] == (found.files + found.others, 12)
    with pytest.raises(LocationError, match="no such folder of rules"):
        read_folders([rules / "nothing"])


def test_a_link_out_of_a_folder_is_named_and_not_followed(rules: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "one.yml").write_text(SIGMA)
    (rules / "all").symlink_to(tmp_path / "elsewhere")
    found = read_folders([rules])
    assert len(found.rules) == 12
    assert "a link out of the folder" in found.unreadable[0].reason
    (tmp_path / "mine").symlink_to(rules)
    assert len(read_folders([tmp_path / "mine", rules / "all"]).rules) == 13


def test_a_huge_file_is_named_and_not_read(rules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "LARGEST_FILE_BYTES", 1000)
    (rules / "huge.rules").write_text(SURICATA * 10)
    assert "split the file" in next(str(each) for each in read_folders([rules]).unreadable if "huge" in each.path)
    monkeypatch.setattr(folders, "MOST_RULES", 2)
    assert read_folders([rules]).unreadable[-1].reason.startswith("reading ended after")


def learned(rules: Path, tmp_path: Path) -> str:
    return learn([rules], str(tmp_path / "bundles"), lambda _: None).location


def alert(name: str, rule_id: str = "") -> Alert:
    return Alert(id=1, time=0, src="a", dst="b", name=name, other_attributes={"rule_id": rule_id} if rule_id else {})


@pytest.mark.parametrize(
    ("name", "rule_id", "techniques"),
    [
        ("another title", "0F3C6AB0-7D11-4AAA-8BBB-000000000001", ("T1569.002",)),
        ("Oven service started by the baker", "", ("T1569.002",)),
        ("another title", "bakery-elastic-1", ("T1098.003",)),
        ("another title", "bakery-uuid-2", ("T1078",)),
        ("ESCU - Dough Sent to an Unknown Bucket - Rule", "", ("T1048",)),
        ("Threat - Flour Missing - Rule", "", ("T1020", "T1537")),
        ("Flour is missing", "", ("T1020", "T1537")),
        ("Flour is missing on host-7", "Threat - Flour Missing - Rule", ("T1020", "T1537")),
        ("Dough of host-7 went away", "ESCU - Dough Sent to an Unknown Bucket - Rule", ("T1048",)),
        ("BAKERY beacon of the oven; seen", "5710", ("T1071.001", "T1573")),
        ("BAKERY beacon of an oven, seen", "1:5710:4", ("T1071.001", "T1573")),
        ("bakery: door forced open by eve", "5710", ("T1110.001", "T1078")),
        ("Shell in the bakery container", "", ("T1059",)),
        ("A shell was opened by eve", "Shell in the bakery container", ("T1059",)),
        ("Bakery administrator consents to an application", "", ("T1528",)),
    ],
)
def test_an_alert_has_the_techniques_of_its_rule(
    rules: Path, tmp_path: Path, name: str, rule_id: str, techniques: tuple[str, ...]
) -> None:
    resolver = TechniqueResolver(None, open_catalogue("", learned(rules, tmp_path)), None)
    found = resolver.resolve([alert(name, rule_id)])[0]
    assert (found.ids, found.source) == (techniques, Techniques.CATALOGUE)


def test_a_number_is_no_rule_of_another_product(rules: Path, tmp_path: Path) -> None:
    known = open_catalogue("", learned(rules, tmp_path))
    assert known.by_rule("5710", "SERVER-OTHER overflow attempt") is None
    assert known.by_rule("5710") is None
    assert known.by_rule("5712", "BAKERY ping of an oven") is None  # it has no technique


def test_own_rules_come_before_the_shipped_ones_and_these_stay(rules: Path, tmp_path: Path) -> None:
    shipped = shipped_catalogue()
    title = fold("HackTool - Mimikatz Execution")
    assert shipped.by_title(title) is not None
    (rules / "one").write_text(SIGMA.replace("Oven Service Started by the Baker", "HackTool - Mimikatz Execution"))
    (rules / "one.LICENSE").write_text("x")
    known = open_catalogue("", learned(rules, tmp_path))
    found = known.by_title(title)
    assert found is not None
    assert found.ids == ("T1569.002",)
    other = fold("Bitbucket Full Data Export Triggered")
    assert known.by_title(other) == shipped.by_title(other) is not None


def test_without_own_rules_the_shipped_ones_are_used(tmp_path: Path) -> None:
    assert open_catalogue("", str(tmp_path)) is shipped_catalogue()
    with pytest.raises(UnknownRunError):
        open_catalogue("x", str(tmp_path))


def test_a_bundle_of_rules_that_are_none_is_refused(rules: Path, tmp_path: Path) -> None:
    location = learned(rules, tmp_path)
    file = next((tmp_path / "bundles" / "rules").glob("*/catalogue.json"))
    file.write_text("{}")
    with pytest.raises(ModelError):
        open_catalogue("", location)


def test_equal_rules_are_one_bundle_and_a_new_rule_is_a_new_one(rules: Path, tmp_path: Path) -> None:
    location = str(tmp_path / "bundles")
    said: list[str] = []
    first = learn([rules], location, said.append)
    assert learn([rules], location, said.append).bundles == first.bundles
    assert any("nothing is new" in line for line in said)
    (rules / "new.yml").write_text(SIGMA.replace("t1569.002", "t1003").replace("Oven", "Mixer"))
    assert learn([rules], location, said.append).bundles != first.bundles
    assert open_catalogue("", location).by_title(fold("mixer service started by the baker")) is not None


def test_rules_without_a_technique_are_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "x.yml").write_text(SIGMA.replace("t1569.002", "t9999"))
    with pytest.raises(SettingsError, match="none of 1 rules names a technique"):
        learn([tmp_path], str(tmp_path / "bundles"), lambda _: None)
    assert not (tmp_path / "bundles").exists()


def test_a_user_learns_rules_and_asks_for_the_techniques_of_alerts(rules: Path, tmp_path: Path) -> None:
    (rules / "other.yml").write_text(SIGMA.replace("t1569.002", "t0866").replace("Oven", "Mixer"))
    (rules / "notes").write_text("Bread: at five.")
    bundles = str(tmp_path / "bundles")
    ran = run_command("millrace", ["model", "learn", "technique", "--rules", str(rules), "--output", bundles])
    assert ran.returncode == 0, ran.stderr
    assert f"not readable: {rules}/six.rules:3: " in ran.stderr
    assert "left out: T0866 (1)" in ran.stderr
    assert "1 file without rules of a known kind" in ran.stderr
    assert [cell.strip() for cell in ran.stdout.splitlines()[7].split("│")[1:-1]] == ["Wazuh", "2", "1", "1", "0"]
    assert ran.stdout.splitlines()[-1].startswith("RULES_RUN_ID=")
    card = next((tmp_path / "bundles" / "rules").glob("*/card.md")).read_text()
    assert "| Elastic | The Licence of Bakers 2 | 1 |" in card
    assert "for its own use" in card

    wazuh = {
        "timestamp": "2026-01-05T10:00:00.000+0000", "id": "1700000000.1", "manager": {"name": "m"},
        "agent": {"name": "host-1", "ip": "10.0.0.1"},
        "rule": {"id": "5710", "level": 5, "description": "bakery: door forced open by eve"},
        "data": {"srcip": "10.0.0.2"},
    }  # fmt: skip
    eve = {
        "timestamp": "2026-01-05T10:00:00.000000+0000", "event_type": "alert", "flow_id": 5,
        "src_ip": "10.1.1.1", "dest_ip": "10.1.1.2",
        "alert": {"signature_id": 5710, "signature": "BAKERY beacon of the oven; seen", "severity": 1},
    }  # fmt: skip
    alerts = tmp_path / "alerts.jsonl"
    alerts.write_text("".join(json.dumps(each) + "\n" for each in (wazuh, eve)))
    asked = run_command("millrace", ["alerts", "technique", str(alerts)], environ={"MODEL_LOCATION": bundles})
    assert asked.returncode == 0, asked.stderr
    lines = [json.loads(line) for line in asked.stdout.splitlines()]
    assert [each["source"] for each in lines] == ["catalogue", "catalogue"]
    assert [[one["id"] for one in each["techniques"]] for each in lines] == [
        ["T1110.001", "T1078"],
        ["T1071.001", "T1573"],
    ]


def test_what_is_missing_on_the_command_line_is_said_in_a_line() -> None:
    for arguments, words in (
        (["technique"], "with --rules"),
        (["bike", "--rules", "."], "nothing to learn for 'bike'"),
    ):
        ran = run_command("millrace", ["model", "learn", *arguments])
        assert ran.returncode == SettingsError.exit_code
        assert words in ran.stderr


def test_the_variable_names_the_run_of_own_rules(rules: Path, tmp_path: Path) -> None:
    location = learned(rules, tmp_path)
    settings = read_settings({"MODEL_LOCATION": location, "RULES_RUN_ID": "none"})
    with pytest.raises(UnknownRunError):
        TechniqueResolver.without_model(settings)
