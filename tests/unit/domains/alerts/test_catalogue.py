"""Known rules by id and title, and how the catalogue is derived."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from app.domains.alerts.alert import Techniques
from app.domains.alerts.attack import attack_table
from app.domains.alerts.techniques.catalogue import (
    PREFIXES,
    RULE_CONFIDENCE,
    TABLE,
    TITLE_CONFIDENCE,
    Catalogue,
    Rules,
    shipped_catalogue,
)
from app.domains.alerts.text import fold
from model.catalogue.derive import Row, agreement, agreement_of_sources, derive, specific

RULES = Path(__file__).parents[5] / "shared" / "data" / "alerts" / "detection_rules.jsonl.gz"


def row(title: str, *techniques: str, source: str = "sigma", rule_id: str = "", author: str = "") -> Row:
    return Row(source, title, list(techniques), rule_id, author)


def a_catalogue(*rows: Row) -> Catalogue:
    written = msgspec.json.encode(derive(rows, attack_table()))
    return Catalogue(msgspec.json.decode(written, type=Rules))


def ids_of(found: Techniques | None) -> tuple[str, ...]:
    return () if found is None else found.ids


def by_title(known: Catalogue, name: str) -> Techniques | None:
    return known.by_title(fold(name))


def test_a_rule_is_known_by_its_id_and_by_its_title() -> None:
    known = a_catalogue(row("Data Export from Server 5", "T1213.003", rule_id="AB-1"), row("Other Rule", "T1003"))
    found = known.by_rule("ab-1")
    assert found == Techniques(("T1213.003",), Techniques.CATALOGUE, RULE_CONFIDENCE, (RULE_CONFIDENCE,))
    assert known.by_rule(" AB-1 ") == found
    titled = Techniques(("T1213.003",), Techniques.CATALOGUE, TITLE_CONFIDENCE, (TITLE_CONFIDENCE,))
    assert by_title(known, "Data export  from server 17.") == titled
    assert known.by_rule("") is None
    assert known.by_rule("no-such-rule") is None
    assert by_title(known, "Data Export") is None
    assert by_title(known, "") is None


@pytest.mark.parametrize("prefix", PREFIXES)
def test_what_a_detector_puts_before_a_title_does_not_matter(prefix: str) -> None:
    known = a_catalogue(row("Curl Download", "T1105"))
    assert by_title(known, f"{prefix.upper()}Curl Download") == by_title(known, "curl download") is not None


def test_what_splunk_puts_behind_a_title_does_not_matter() -> None:
    assert by_title(a_catalogue(row("Curl Download", "T1105")), "ESCU - Curl Download - Rule") is not None


def test_a_title_that_itself_begins_like_a_prefix_is_found_whole() -> None:
    known = a_catalogue(row("Sigma: Curl Download", "T1105"), row("Curl Download", "T1071"))
    assert ids_of(by_title(known, "Sigma: Curl Download")) == ("T1105",)


def test_retired_ids_become_current_and_unknown_ones_are_left_out() -> None:
    known = a_catalogue(row("Tamper Tool", "T1562.001", "T9999"), row("Nothing Known", "T9999", rule_id="x"))
    assert ids_of(by_title(known, "tamper tool")) == ("T1685",)
    assert by_title(known, "nothing known") is None
    assert known.by_rule("x") is None


def test_a_technique_beside_its_own_sub_technique_says_nothing() -> None:
    assert specific(["T1087", "T1087.002", "T1003", "T1003"]) == ("T1087.002", "T1003")


@pytest.mark.parametrize(
    ("sets", "ids", "shares"),
    [
        ([("T1187",), ("T1003",)], ("T1187", "T1003"), (0.5, 0.5)),
        ([("T1036", "T1003.001"), ("T1003.001",)], ("T1003.001", "T1036"), (1.0, 0.5)),
        ([("T1548",), ("T1548.003",)], ("T1548.003",), (1.0,)),
        ([("T1190",), ("T1190",), ("T1059",)], ("T1190",), (0.667,)),
    ],
)
def test_rules_of_one_title_say_what_half_of_them_say(
    sets: list[tuple[str, ...]], ids: tuple[str, ...], shares: tuple[float, ...]
) -> None:
    agreed = agreement(sets)
    assert agreed is not None
    assert (agreed.ids, agreed.shares) == (ids, shares)


def test_a_title_of_rules_that_agree_on_nothing_says_nothing_but_their_ids_do() -> None:
    rows = [row("One Title", technique, rule_id=technique) for technique in ("T1187", "T1003", "T1059")]
    known = a_catalogue(*rows)
    assert by_title(known, "One Title") is None
    assert ids_of(known.by_rule("T1003")) == ("T1003",)


def test_a_share_is_a_part_of_the_confidence() -> None:
    known = a_catalogue(row("One Title", "T1036", "T1003.001"), row("one title", "T1003.001", source="chronicle"))
    found = by_title(known, "One Title")
    assert found is not None
    assert found.confidences == (TITLE_CONFIDENCE, TITLE_CONFIDENCE / 2)
    assert found.confidence == TITLE_CONFIDENCE


def test_short_titles_are_no_titles() -> None:
    known = a_catalogue(
        row("Mimikatz", "T1003", rule_id="a"),
        row("Find Files", "T1083", source="atomicfull", rule_id="b"),
        row("Find Files Quickly", "T1083", source="atomicfull"),
        row("Impossible Travel", "T1078"),
    )
    assert by_title(known, "mimikatz") is None
    assert by_title(known, "find files") is None
    assert known.by_rule("a") is not None
    assert known.by_rule("b") is not None
    assert by_title(known, "find files quickly") is not None
    assert by_title(known, "impossible travel") is not None


def test_the_shipped_catalogue_keeps_what_the_licences_ask_for() -> None:
    rules = msgspec.json.decode(TABLE.read_bytes(), type=Rules)
    assert "Detection Rule License 1.1" in rules.notice
    assert {source.licence for source in rules.sources} == {"DRL-1.1", "Apache-2.0", "MIT", "CC0-1.0"}
    sigma = [rule for rule in rules.rules if rules.sources[rule.source].name == "SigmaHQ"]
    assert len(sigma) > 2_900
    assert all(rule.id and rules.authors[rule.author] for rule in sigma)


def test_the_shipped_catalogue_has_ids_of_the_shipped_table() -> None:
    rules = msgspec.json.decode(TABLE.read_bytes(), type=Rules)
    table = attack_table()
    assert rules.attack_version == table.version
    assert all(each in table.techniques for answer in rules.answers for each in answer.ids)
    assert all(answer.ids and len(answer.ids) == len(answer.shares) for answer in rules.answers)
    assert TABLE.stat().st_size < 1_500_000


def test_every_shipped_rule_is_found_by_its_own_title() -> None:
    known, rules = shipped_catalogue(), msgspec.json.decode(TABLE.read_bytes(), type=Rules)
    titles = [rule.title for rule in rules.rules if rule.key is not None]
    assert len(titles) > 7_500
    assert [title for title in titles if by_title(known, title) is None] == []


def test_the_confidence_of_a_title_is_how_often_sources_agree() -> None:
    rules = msgspec.json.decode(TABLE.read_bytes(), type=Rules)
    assert agreement_of_sources(rules) == pytest.approx(TITLE_CONFIDENCE, abs=0.005)


def test_the_shipped_catalogue_is_what_the_script_derives() -> None:
    if not RULES.exists():
        pytest.skip(f"{RULES.name} is not here")
    rows = msgspec.json.Decoder(Row).decode_lines(gzip.decompress(RULES.read_bytes()))
    assert derive(rows, attack_table()) == msgspec.json.decode(TABLE.read_bytes(), type=Rules)


@pytest.mark.parametrize(
    "data", [b"{}", gzip.compress(b"nonsense"), gzip.compress(b'{"src": "who", "title": "x", "techs": []}')]
)
def test_the_script_says_in_one_line_what_is_wrong(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "rules.gz").write_bytes(data)
    command = [sys.executable, "-m", "model.catalogue.derive", str(tmp_path / "rules.gz"), "--out", str(tmp_path / "o")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=TABLE.parents[4])
    assert ended.returncode == 47
    assert ended.stderr.startswith("derive: ")
    assert ended.stderr.count("\n") == 1
    assert not (tmp_path / "o").exists()
