"""Alert texts as they are compared."""

from __future__ import annotations

import pytest

from app.domains.alerts.text import fold


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("  Failed   Login\tfor\nroot ", "failed login for root"),
        ("Suricata: Alert - ET INFO DNS Query", "suricata: alert - et info dns query"),
        ("Beacon to http://evil.example/a?b=1 seen", "beacon to <url> seen"),
        ("ssh from 10.0.0.5:22 to 10.0.0.0/24", "ssh from <ip>:<number> to <ip>"),
        ("ping of ::1, fe80::1 and 2001:db8:0:0:0:0:0:1/64", "ping of <ip>, <ip> and <ip>"),
        ("ARP of AA:BB:CC:DD:EE:FF", "arp of <mac>"),
        ("mail from Bob.Smith@corp.example.com", "mail from <email>"),
        ("at 2024-05-01T10:00:00.123Z and on 2024-05-02", "at <time> and on <time>"),
        (f"hash {'0a' * 16} {'1b' * 20} {'2c' * 32}", "hash <hash> <hash> <hash>"),
        ("task 01234567-89ab-cdef-0123-456789abcdef ran", "task <guid> ran"),
        ("task aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa-7", "task aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa-<number>"),
        ("C:\\Windows\\Temp\\a.exe ran", "<path> ran"),
        ("\\\\host\\share\\a.exe and \\Device\\Disk1\\b.exe", "<path> and <path>"),
        ("read /etc/passwd and /var/log/", "read <path> and <path>"),
        ("flags 0x1F", "flags <hex>"),
        ("1,024 of 3.5 logins in 60s", "<number> of <number> logins in 60s"),
    ],
)
def test_what_differs_from_one_sighting_to_the_next_is_folded(text: str, folded: str) -> None:
    assert fold(text) == folded


@pytest.mark.parametrize(
    "text",
    [
        "potential cve-2021-26084 exploitation",  # another vulnerability is another thing
        "ms17-010 probe",
        "win32 api, tls1.2 and x64",
        "std::string",
        "hklm\\software\\run",
        "either/or",
        "deadbeefdeadbeefdeadbeefdeadbeef",  # a hash has a digit; a long word of six letters has none
        ":: and f::g",
    ],
)
def test_what_tells_alerts_apart_stays(text: str) -> None:
    assert fold(text) == text


def test_half_a_surrogate_pair_and_nul_can_be_folded() -> None:
    assert fold("\ud800 A\0 7") == "\ud800 a\0 <number>"


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "1",
        "1.",
        "/",
        "/a",
        "-/a",
        "\\",
        "-\\",
        "a:",
        ":",
        "0x",
        "a@",
        "a@b.",
        "a-",
        "a-a-@b",
        "a+b.c-",
        "aa:bb:",
        "<url>",
    ],
)
def test_a_hostile_text_is_folded_in_a_time_that_ends(piece: str) -> None:
    """A pattern that tries every pair of positions would need minutes for each of these."""
    text = piece * (200_000 // len(piece)) + '"g'
    assert fold(fold(text)) == fold(text)
