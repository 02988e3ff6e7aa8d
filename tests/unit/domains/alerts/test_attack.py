"""ATT&CK's table, and how it is derived."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.domains.alerts.attack import TABLE, attack_table, parent_of
from model.attack.derive import derive

MATRIX = Path(__file__).parents[5] / "shared" / "data" / "alerts" / "attack_enterprise_v19.0_slim.json"


@pytest.mark.parametrize(
    ("written", "current"),
    [
        ("T1059", "T1059"),
        ("T1059.001", "T1059.001"),
        (" attack.t1059.001 ", "T1059.001"),
        ("https://attack.mitre.org/techniques/T1059/001/", "T1059.001"),
        ("T1059: Command and Scripting Interpreter", "T1059"),
        ("T1562.001", "T1685"),  # retired by v19, with a follower
        ("T1070.001", "T1685.005"),
        ("T1059.999", "T1059"),  # a sub-technique that we do not know yet
        ("T1562.999", "T1685"),
        ("T1053.004", "T1053"),  # retired without a follower: its parent
        ("T1064", None),  # retired without a follower
        ("T9999", None),
        ("T10591", None),
        ("AT1059", None),
        ("TA0005", None),
        ("T\u0661\u0660\u0665\u0669", None),  # digits, but not ours
        ("", None),
        ("x" * 10_000_000 + "T1059", None),
    ],
)
def test_an_id_as_a_sender_wrote_it_becomes_one_that_is_valid_now(written: str, current: str | None) -> None:
    assert attack_table().current(written) == current


@pytest.mark.parametrize(
    ("written", "known"),
    [("T1059.001", True), ("T1562.001", True), ("T1064", False), ("T1059.999", False), ("t1059", False)],
)
def test_an_id_is_known_as_it_stands_or_not(written: str, known: bool) -> None:
    assert attack_table().knows(written) is known


def test_every_id_in_the_table_holds_together() -> None:
    table = attack_table()
    assert table.version == "19.0"
    assert "The MITRE Corporation" in table.notice
    assert len(table.techniques) == 697
    assert all(parent_of(technique) in table.techniques for technique in table.techniques)
    assert all(follower in table.techniques or not follower for follower in table.retired.values())
    assert not set(table.retired) & set(table.techniques)
    short_names = {tactic.short_name for tactic in table.tactics}
    assert all(technique.tactics and short_names >= set(technique.tactics) for technique in table.techniques.values())


def test_tactics_stand_in_the_order_of_the_kill_chain() -> None:
    table = attack_table()
    assert table.tactics_of("T1059.001") == ("execution",)
    assert table.tactics_of("T9999") == ()
    assert table.tactic("stealth").id == "TA0005"
    assert table.stage_of("reconnaissance") == 0
    assert table.stage_of("execution") < table.stage_of("impact") == len(table.tactics) - 1
    with pytest.raises(KeyError):
        table.stage_of("no-such-tactic")


def a_matrix(**retired: str | None) -> dict[str, Any]:
    return {
        "attack_version": "99.0",
        "tactics": {"impact": ["TA0040", "Impact"], "execution": ["TA0002", "Execution"]},
        "tactic_order": ["execution", "impact"],
        "techniques": {"T0002": {"name": "B", "tactics": ["impact", "execution"], "stix_id": "b"}},
        "retired": retired,
    }


def test_a_chain_of_retirements_ends_at_the_technique_that_is_there() -> None:
    table = derive(a_matrix(T0001="T0003", T0003="T0002", T0004=None, T0005="T0006", T0006="T0005", T0007="T0008"))
    assert table.retired == {"T0001": "T0002", "T0003": "T0002", "T0004": "", "T0005": "", "T0006": "", "T0007": ""}
    assert table.current("T0001.001") == "T0002"
    assert [tactic.id for tactic in table.tactics] == ["TA0002", "TA0040"]
    assert table.tactics_of("T0002") == ("impact", "execution")


def test_a_technique_that_is_there_is_not_retired() -> None:
    assert derive(a_matrix(T0002="T0001")).current("T0002") == "T0002"


def test_the_shipped_table_is_what_the_script_derives() -> None:
    if not MATRIX.exists():
        pytest.skip(f"{MATRIX.name} is not here")
    assert derive(json.loads(MATRIX.read_bytes())) == attack_table()


def test_the_script_says_in_one_line_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "matrix.json").write_text("[]")
    command = [sys.executable, "-m", "model.attack.derive", str(tmp_path / "matrix.json"), "--out", str(tmp_path / "o")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=TABLE.parents[4])
    assert ended.returncode == 47
    assert ended.stderr.startswith("derive: ")
    assert ended.stderr.count("\n") == 1
    assert not (tmp_path / "o").exists()
