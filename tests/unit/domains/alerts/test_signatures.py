"""Network signatures: their names, classes and sids imply techniques, or imply that there is none."""

from __future__ import annotations

import itertools
import re
import tomllib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domains.alerts.alert import RULE_ID, Alert, Techniques
from app.domains.alerts.attack import attack_table
from app.domains.alerts.techniques.resolver import UNKNOWN, TechniqueResolver
from app.domains.alerts.techniques.signatures import (
    NO_TECHNIQUE,
    SIGNATURE_CONFIDENCE,
    TABLE,
    SignatureTable,
    shipped_signatures,
)
from app.domains.alerts.text import fold


def first_of(name: str) -> str | None:
    """Return the first technique that a name implies, empty if it implies none, None if it says nothing."""
    found = shipped_signatures().by_name(fold(name))
    return None if found is None else next(iter(found.ids), "")


@pytest.mark.parametrize(
    ("name", "technique"),
    [
        ("ET SCAN Potential SSH Scan", "T1046"),
        ("ET SCAN Nikto Web App Scan in Progress", "T1595.002"),
        ("ET SCAN LibSSH Based Frequent SSH Connections Likely BruteForce Attack", "T1110"),
        ("Suricata: Alert - ET SCAN Possible Nmap User-Agent Observed", "T1046"),
        ("ET TROJAN Win32/Agent.XYZ CnC Checkin", "T1071.001"),
        ("ET MALWARE Observed DNS Query to Known Loader Domain", "T1071.004"),
        ("ETPRO COINMINER Win32/CoinMiner Config Retrieval", "T1496.001"),
        ("ET WEB_SPECIFIC_APPS Some Portal id parameter SELECT FROM", "T1190"),
        ("ET EXPLOIT Apache Log4j RCE Attempt (CVE-2021-44228)", "T1190"),
        ("ET EXPLOIT Possible ETERNALBLUE MS17-010 Echo Response", "T1210"),
        ("ET TOR Known Tor Exit Node Traffic group 12", "T1090.003"),
        ("GPL NETBIOS SMB-DS IPC$ unicode share access", "T1021.002"),
        ("MALWARE-CNC Win.Trojan.Generic outbound connection", "T1071.001"),
        ("SERVER-WEBAPP Vendor product command injection attempt", "T1190"),
    ],
)
def test_a_name_implies_a_technique(name: str, technique: str) -> None:
    assert first_of(name) == technique


@pytest.mark.parametrize(
    "name",
    [
        "GPL ICMP_INFO PING *NIX",
        "GPL ICMP PING",
        "PROTOCOL-ICMP PING Unix",
        "SURICATA STREAM ESTABLISHED packet out of window",
        "Suricata: Alert - SURICATA TLS invalid record/traffic",
        "(http_inspect) UNKNOWN METHOD",
        "ET DROP Dshield Block Listed Source group 1",
        "ET CINS Active Threat Intelligence Poor Reputation IP group 44",
        "ET P2P BitTorrent peer sync",
        "ET DNS Query for .to TLD",
    ],
)
def test_a_name_implies_that_there_is_no_technique(name: str) -> None:
    assert first_of(name) == ""


@pytest.mark.parametrize("name", ["LSASS memory dump", "ET", "et cetera", "Non-standard port used", "ET POLICY odd"])
def test_other_names_are_left_to_the_model(name: str) -> None:
    assert first_of(name) is None


def alert(name: str = "renamed by us", **attributes: Any) -> Alert:
    return Alert(id=1, time=0.0, src="a", dst="b", name=name, other_attributes=attributes)


def test_a_sid_or_a_classtype_implies_a_technique_where_the_name_does_not() -> None:
    resolver = TechniqueResolver(None, None, None, signatures=shipped_signatures())
    found = resolver.resolve(
        [
            alert(rule_id=2001219),
            alert(rule_id="2522726"),
            alert(rule_id="2100366"),
            alert(**{"alert.category": "Crypto Currency Mining Activity Detected"}),
            alert(classification="Detection of a Network Scan"),
            alert(classification="Potentially Bad Traffic"),
            alert("ET SCAN a scan", rule_id="2522726"),
        ]
    )
    assert [each.ids for each in found] == [
        ("T1046",), ("T1090.003",), (), ("T1496.001",), ("T1046",), (), ("T1046",),
    ]  # fmt: skip
    assert found[0] == Techniques(("T1046",), "catalogue", SIGNATURE_CONFIDENCE, (SIGNATURE_CONFIDENCE,))
    assert found[2] is NO_TECHNIQUE
    assert found[5] is UNKNOWN


@pytest.mark.parametrize("rule_id", [True, 5, 5710, "100200", 20012190, "²001219", 2001219.0, [2001219], None, ""])
def test_ids_of_other_products_are_no_sids(rule_id: object) -> None:
    assert shipped_signatures().by_attributes({RULE_ID: rule_id}) is None


@given(st.text(), st.sampled_from(["et scan ", "gpl ", "et malware ", "suricata ", ""]))
def test_any_name_is_accepted(text: str, prefix: str) -> None:
    found = shipped_signatures().by_name(fold(prefix + text))
    assert found is None or set(found.ids) <= set(attack_table().techniques)


def test_the_table_names_current_techniques_and_spans_apart() -> None:
    table = msgspec.convert(tomllib.loads(TABLE.read_text("utf-8")), SignatureTable)
    phrases = [each.techniques for each in table.phrases]
    named = [*phrases, *table.classes.values(), *table.classtypes.values(), *table.sids.values()]
    assert {each for ids in named for each in ids} <= set(attack_table().techniques)
    assert all(each.islower() for each in [*table.classes, *table.classtypes])
    assert {name for each in table.phrases for name in each.classes} <= {*table.classes, *KNOWN_CLASSES}
    spans = sorted([int(end) for end in re.findall("[0-9]+", each)] for each in table.sids)
    assert all(before[-1] < after[0] for before, after in itertools.pairwise(spans))


KNOWN_CLASSES = {
    "activex", "current_events", "hunting", "indicator-compromise", "malware", "malware-other", "netbios", "os-windows",
    "server-samba", "trojan", "worm",
}  # fmt: skip
"""Classes that imply a technique only together with a phrase."""
