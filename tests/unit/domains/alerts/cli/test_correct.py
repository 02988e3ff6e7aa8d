"""`millrace alerts correct`: corrections of a text or of a rule, written, repeated and taken back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.commands_for_tests import run_command

if TYPE_CHECKING:
    from pathlib import Path

FAILED_LOGIN = {
    "id": 1,
    "time": 1716468856,
    "src": "203.0.113.9",
    "dst": "web1",
    "name": "sshd: authentication failed.",
    "tech": ["T1531"],
    "other_attributes": {"rule_id": "5760", "product": "Wazuh"},
}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "lookup.csv"


def correct(table: Path, *arguments: str, code: int = 0) -> str:
    """What the command prints; of one that fails, its message on one line."""
    done = run_command("millrace", ["alerts", "correct", *arguments, "--table", str(table)])
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else " ".join(done.stderr.replace("│", " ").split())


def technique(table: Path, **environ: str) -> tuple[str, list[str]]:
    """The source of the techniques of the alert above, and their ids."""
    arguments = ["alerts", "technique", "--no-model"]
    done = run_command(
        "millrace", arguments, given=json.dumps(FAILED_LOGIN), environ={"LOOKUP_TABLE": str(table), **environ}
    )
    assert done.returncode == 0, done.stderr
    line = json.loads(done.stdout)
    return line["source"], [each["id"] for each in line["techniques"]]


def test_a_text_is_corrected_for_all_alerts_that_differ_in_numbers(table: Path) -> None:
    assert correct(table, "Door 7 was open", "T1078").startswith("door <number> was open: T1078 Valid Accounts; ")
    written = table.read_bytes()
    assert ", as before" in correct(table, "Door 12 was open", "t1078")
    assert table.read_bytes() == written
    assert "before: T1078 Valid Accounts" in correct(table, "door 3 was open", "T1021.004;T1078")
    assert "no technique, before: T1021.004" in correct(table, "door 3 was open", "none")


def test_a_rule_is_corrected_in_place_of_what_its_alerts_carry(table: Path) -> None:
    correct(table, "--rule", "5760", "T1110.001")
    assert technique(table) == ("alert", ["T1531"])
    assert "instead of what alerts carry" in correct(table, "--rule", "5760", "T1110.001", "--override")
    assert technique(table) == ("lookup", ["T1110.001"])
    assert "no correction any more" in correct(table, "--rule", "5760", "--remove")
    assert "has no correction" in correct(table, "--rule", "5760", "--remove")
    assert technique(table) == ("alert", ["T1531"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x", "T1059.019"], "has no technique 'T1059.019'; similar: T1059.01"),
        (["x", "powershell"], "T1059.001 Command and Scripting Interpreter: PowerShell"),
        (["5760", "T1110"], "only numbers, addresses and the like; with --rule it is the id of a rule"),
        (["x"], "give ATT&CK ids, or none where there are none"),
        (["x", "T1110", "--remove"], "techniques are not given with --remove"),
        (["x", "\x1b[31mred"], "techniques must be ids"),
        (["x", "\x1bred"], "has no technique"),
    ],
)
def test_what_is_refused_says_how_it_is_meant(table: Path, arguments: list[str], message: str) -> None:
    said = correct(table, *arguments, code=2)
    assert message in said
    assert "\x1b" not in said
    assert not table.exists()


def test_without_a_table_nothing_can_be_kept() -> None:
    done = run_command("millrace", ["alerts", "correct", "x", "T1110"], environ={"LOOKUP_TABLE": ""})
    assert done.returncode == 10
    assert "LOOKUP_TABLE is not set: give --table" in done.stderr


def test_faulty_rows_of_a_table_are_named_and_kept(table: Path) -> None:
    table.write_text("rule,techniques,override\n5760,T1110.001,yes\n31101,T9999,\n5710,T1110,maybe\n")
    done = run_command(
        "millrace",
        ["alerts", "technique", "--no-model"],
        given=json.dumps(FAILED_LOGIN),
        environ={"LOOKUP_TABLE": str(table)},
    )
    assert json.loads(done.stdout)["source"] == "lookup"
    assert "LOOKUP_TABLE: line 3 is ignored: unknown_technique: ATT&CK" in done.stderr
    assert "LOOKUP_TABLE: line 4 is ignored: bad_override: override must be yes or no" in done.stderr
    refused = run_command("millrace", ["alerts", "correct", "--rule", "1", "T1110", "--table", str(table)])
    assert refused.returncode == 47
    assert "line 3" in refused.stderr
