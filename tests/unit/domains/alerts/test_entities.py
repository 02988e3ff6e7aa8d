"""One entity has one form, however products write it; texts that identify nobody have none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domains.alerts.alert import HASH, HOST, USER, Alert
from app.domains.alerts.entities import (
    canonical,
    canonical_hash,
    canonical_user,
    entities_of,
    is_generic_user,
    is_own,
    kind,
    label,
    short_name,
)

if TYPE_CHECKING:
    import ipaddress

WRITINGS = {
    "10.0.0.5": (
        "10.0.0.5",
        " 10.0.0.5 ",
        "::ffff:10.0.0.5",
        "::FFFF:0A00:0005",
        "0:0:0:0:0:ffff:a00:5",
        "10.0.0.5:443",
        "[10.0.0.5]",
        "[::ffff:10.0.0.5]:443",
        "10.0.0.5/32",
        "10.0.0.5/24",
        "10.0.0.5#53",
        "010.000.000.005",
        "10.0.0.5, 172.16.0.1",
        "ip-10-0-0-5.ec2.internal",
        "IP-10-0-0-5",
        "ip-10-0-0-5.eu-west-1.compute.internal",
        "tcp://10.0.0.5:22",
    ),
    "2001:db8::1": (
        "2001:DB8::1",
        "2001:0db8:0000:0000:0000:0000:0000:0001",
        "2001:db8:0:0::1",
        "[2001:db8::1]:443",
        "2001:db8::1%eth0",
        "2001:db8::1/128",
        "https://[2001:db8::1]:8443/x",
    ),
    "web1": (
        "web1",
        "WEB1",
        '"web1"',
        "web1.",
        "web1:8080",
        r"\\WEB1",
        r"\\web1\share",
        "WEB1$",
        r"CORP\WEB1$",
        "CN=web1,OU=servers",
    ),
    "web1.corp.example.com": (
        "WEB1.corp.example.com.",
        "http://user:pw@web1.corp.example.com:80/path?q",
        "host/web1.corp.example.com",
    ),
    "00:0c:29:ab:cd:ef": ("00-0C-29-AB-CD-EF", "000c.29ab.cdef", "00:0c:29:ab:cd:ef"),
    "i-0abcdef0123456789": (
        "i-0abcdef0123456789",
        "i-0abcdef0123456789.us-west-2.compute.internal",
        "arn:aws:ec2:us-east-1:123456789012:instance/i-0abcdef0123456789",
        "arn:aws:sts::123456789012:assumed-role/WebRole/i-0abcdef0123456789",
        "AROAABCDEFGHIJKLMNOPQ:i-0abcdef0123456789",
    ),
    "billing-db": (
        "/subscriptions/1/resourceGroups/rg/providers/Microsoft.Compute/virtualMachines/billing-db",
        "//compute.googleapis.com/projects/p/zones/z/instances/billing-db",
        "projects/p/zones/z/instances/billing-db",
        "arn:aws:rds:eu-west-1:123456789012:db:billing-db",
    ),
    "user:alice": (r"CORP\alice", "alice@corp.example.com", "arn:aws:iam::123456789012:user/staff/Alice"),
}


@pytest.mark.parametrize(("form", "text"), [(form, text) for form, texts in WRITINGS.items() for text in texts])
def test_all_writings_of_a_host_have_one_form(form: str, text: str) -> None:
    assert (canonical_user(text) if text.startswith("AROA") else canonical(text)) == form


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "-",
        "*",
        "N/A",
        "any",
        "unknown",
        "localhost",
        "LOCALHOST.localdomain",
        "x.localhost",
        "127.0.0.1",
        "127.0.0.53",
        "::1",
        "[::1]:80",
        "::",
        "255.255.255.255",
        "fe80::1%eth0",
        "169.254.169.254",
        "224.0.0.251",
        "ff02::fb",
        "10.0.0.0/24",
        "0.0.0.0/0",
        "::ffff:127.0.0.1",
        "00:00:00:00:00:00",
        "FF-FF-FF-FF-FF-FF",
        "?",
        "[]",
        "%",
    ],
)
def test_what_identifies_nobody_has_no_form(text: str) -> None:
    assert not canonical(text)


def test_different_machines_stay_different() -> None:
    texts = ("web1", "web2", "web1.corp.example.com", "www", "www.example.com", "10.0.0.5", "10.0.0.50", "default/web1")
    assert len(set(map(canonical, texts))) == len(texts)


@pytest.mark.parametrize(
    "text",
    [
        "alice",
        "Alice",
        r"CORP\Alice",
        "alice@corp.example.com",
        "uid=1000(alice) gid=1000(alice)",
        "alice(uid=1000)",
        "uid=alice,ou=people,dc=example",
        "CN=alice,OU=Staff",
        "i:0#.f|membership|alice@example.com",
        "smtp:alice@example.com",
        "arn:aws:sts::123456789012:assumed-role/Admin/alice@example.com",
        r".\alice",
    ],
)
def test_all_writings_of_a_user_have_one_form(text: str) -> None:
    assert canonical_user(text) == "user:alice"


@pytest.mark.parametrize(
    "text",
    [
        "root",
        "ROOT",
        "root(uid=0)",
        "(uid=0)",
        "SYSTEM",
        r"NT AUTHORITY\SYSTEM",
        r"NT AUTHORITY\LOCAL SERVICE",
        "LOCAL SERVICE",
        "Administrator",
        r"CORP\Administrator",
        "administrator@corp.example.com",
        "S-1-5-18",
        "S-1-5-21-1-2-3-500",
        "www-data",
        "nobody",
        "-",
        "",
        "1000",
        "DWM-3",
        r"Window Manager\DWM-3",
        "ANONYMOUS LOGON",
        "krbtgt/CORP.EXAMPLE.COM",
        "postmaster@example.com",
    ],
)
def test_generic_accounts_identify_nobody(text: str) -> None:
    assert is_generic_user(text)


def test_machine_accounts_are_their_machines() -> None:
    texts = ("WKS-31$", r"CORP\WKS-31$", "WKS-31$@CORP.EXAMPLE.COM", "host/wks-31")
    assert {canonical_user(text) for text in texts} == {"wks-31"}


def test_hashes_lose_their_algorithm_and_those_of_empty_files_say_nothing() -> None:
    assert canonical_hash("SHA256=9F86D081") == canonical_hash("sha-256:9f86d081") == "hash:9f86d081"
    assert not canonical_hash("D41D8CD98F00B204E9800998ECF8427E")


@pytest.mark.parametrize(
    ("entity", "of"),
    [
        ("10.0.0.5", "inside"),
        ("100.64.0.1", "inside"),
        ("fd00::1", "inside"),
        ("203.0.113.9", "outside"),
        ("2001:db8::1", "outside"),
        ("web1", "name"),
        ("evil.example", "name"),
        ("i-0abcdef0123456789", "resource"),
        ("akiaiosfodnn7example", "resource"),
        ("user:alice", "user"),
        ("hash:9f86", "hash"),
        ("", ""),
    ],
)
def test_an_entity_carries_its_kind(entity: str, of: str) -> None:
    assert kind(entity) == of


def test_an_alert_has_each_entity_once_in_one_form() -> None:
    attributes: dict[str, Any] = {HOST: ["WEB1", "web1"], USER: [r"CORP\alice", "root"], HASH: "ABCD"}
    alert = Alert(id=1, time=0.0, src="::ffff:10.0.0.5", dst="web1", name="x", other_attributes=attributes)
    assert entities_of(alert) == ("10.0.0.5", "web1", "user:alice", "hash:abcd")
    assert list(map(label, entities_of(alert))) == ["10.0.0.5", "web1", "alice", "abcd"]


def test_own_addresses_and_short_names() -> None:
    assert is_own("[::1]:22")
    assert is_own("127.0.0.1")
    assert not is_own("10.0.0.5")
    assert short_name("web1.corp.example.com") == short_name("web1") == "web1"


@given(st.ip_addresses(v=4))
def test_an_address_and_its_mapped_form_are_one(address: ipaddress.IPv4Address) -> None:
    assert canonical(f"::ffff:{address}") == canonical(f"[::FFFF:{address}]:443") == canonical(f"{address}:22")


@given(st.text(max_size=40) | st.text(alphabet="aA1.:/\\[]@$%=-, ", max_size=12))
def test_any_text_has_a_form_which_is_its_own_form(text: str) -> None:
    for form in (canonical(text), canonical_user(text)):
        assert canonical(form) == form
    assert kind(canonical(text)) == "" or canonical(text)
