"""The finding types of GuardDuty and the notices of Zeek imply techniques."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from app.domains.alerts.attack import attack_table
from app.domains.alerts.formats import read_alert
from app.domains.alerts.techniques.catalogue import shipped_catalogue
from app.domains.alerts.techniques.findings import PURPOSE_CONFIDENCE, shipped_finding_types
from app.domains.alerts.techniques.resolver import TechniqueResolver
from app.domains.alerts.techniques.signatures import shipped_signatures
from tests.unit.domains.alerts.formats.examples import ASFF, GUARDDUTY, OCSF
from tests.unit.domains.alerts.formats.product_examples import ZEEK

RESOURCES = ["EC2", "IAMUser", "S3", "Kubernetes", "Runtime", "RDS", "Lambda", "Container", "ECS"]
"""Resources whose protection has findings of its own."""


def ids_of(record: dict[str, Any]) -> tuple[str, ...]:
    resolver = TechniqueResolver(None, shipped_catalogue(), None, signatures=shipped_signatures())
    return resolver.resolve([read_alert(record)])[0].ids


@pytest.mark.parametrize(
    ("type_", "technique"),
    [
        ("UnauthorizedAccess:EC2/SSHBruteForce", "T1110.001"),
        ("Backdoor:EC2/C&CActivity.B!DNS", "T1071.004"),
        ("CryptoCurrency:EC2/BitcoinTool.B", "T1496.001"),
        ("Trojan:EC2/DGADomainRequest.C!DNS", "T1568.002"),
        ("Stealth:IAMUser/CloudTrailLoggingDisabled", "T1685.002"),
        ("UnauthorizedAccess:IAMUser/InstanceCredentialExfiltration.OutsideAWS", "T1552.005"),
        ("Discovery:S3/MaliciousIPCaller", "T1619"),
        ("PrivilegeEscalation:Kubernetes/PrivilegedContainer", "T1611"),
        ("Execution:Runtime/ReverseShell", "T1059.004"),
        ("CredentialAccess:RDS/AnomalousBehavior.FailedLogin", "T1110.001"),
        ("CryptoCurrency:Lambda/BitcoinTool.B", "T1496.001"),
        ("Execution:EC2/MaliciousFile", "T1204.002"),
    ],
)
def test_a_finding_has_the_technique_of_its_type(type_: str, technique: str) -> None:
    assert ids_of({**GUARDDUTY, "type": type_})[0] == technique


def test_a_finding_has_its_technique_through_security_hub_and_ocsf_too() -> None:
    types = ["TTPs/Command and Control/Backdoor:EC2-C&CActivity.B!DNS"]
    assert ids_of({**ASFF, "Types": types})[0] == "T1071.004"
    ocsf = copy.deepcopy(OCSF)
    ocsf["finding_info"] |= {"types": ["Backdoor:EC2/C&CActivity.B!DNS"], "attacks": []}
    assert ids_of(ocsf)[0] == "T1071.004"


def test_a_type_that_is_not_listed_has_the_technique_of_its_like_or_of_its_purpose() -> None:
    table = shipped_finding_types()
    alike = table.by_type("Backdoor:ECS/C&CActivity.B")
    assert alike is not None
    assert alike.ids == ("T1071",)
    newer = table.by_type("CryptoCurrency:EC2/SomethingNew.C")
    assert newer is not None
    assert (newer.ids, newer.confidence) == (("T1496.001",), PURPOSE_CONFIDENCE)
    assert table.by_type("https://example.com/a") is None


@pytest.mark.parametrize(("note", "ids"), [("SSH::Password_Guessing", ("T1110.001",)), ("SSL::Weak_Key", ())])
def test_a_notice_of_zeek_has_the_technique_of_its_name(note: str, ids: tuple[str, ...]) -> None:
    assert ids_of({**ZEEK, "note": note}) == ids


def test_a_type_that_implies_no_technique_gets_none() -> None:
    assert ids_of({**GUARDDUTY, "type": "Impact:IAMUser/PromptInjection.Direct"}) == ()


def test_the_table_covers_each_protection_and_each_technique_is_one_of_attack() -> None:
    table, attack = shipped_finding_types(), attack_table()
    types = [each for group in table.types for each in group.types]
    assert len(types) == len(set(types))
    assert {each.partition(":")[2].partition("/")[0] for each in types} >= set(RESOURCES)
    ids = {each for group in table.types for each in group.techniques} | {
        each for group in (*table.purposes.values(), *table.notices.values()) for each in group
    }
    assert ids <= attack.techniques.keys()
    for each in types:
        assert table.by_type(each) is not None
        hub = each.replace("/", "-", 1)
        assert table.by_type(f"TTPs/{hub}") == table.by_type(f"Effects/Data Exposure/{hub}") == table.by_type(each)
