"""Snort's fast alerts and its alerts in syslog, and Suricata's fast.log: one alert per line."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from app.domains.alerts.alert import PORT, PRIORITY, RULE_ID, Alert, AlertFault
from app.domains.alerts.formats import severity, times
from app.domains.alerts.formats.cef_line import SYSLOG_TIME
from app.domains.alerts.formats.format import Format
from app.domains.alerts.formats.mapping import FieldReader, Table

MARK = "[**]"
# Lengths are bounded and lines are split at the marks, so that no line causes backtracking.
_STAMP = re.compile(
    r"(?:<\d{1,3}>)?(?P<time>\d\d/\d\d(?:/\d\d(?:\d\d)?)?-\d\d:\d\d:\d\d(?:\.\d{1,9})?)"
    r"(?:\s{1,8}\[(?P<action>[A-Za-z]{1,32})\])?"
)
_RULE = re.compile(r"\[(?P<gid>\d{1,10}):(?P<sid>\d{1,10}):(?P<rev>\d{1,10})\]")
_BRACKETS = re.compile(r"\[(Classification|Priority|AppID): ([^\]]{0,256})\]")
_FLOW = re.compile(r"(?:\{(?P<proto>[^}]{1,32})\}\s{0,8})?(?<!\S)(?P<src>\S{1,256})\s{1,8}->\s{1,8}(?P<dst>\S{1,256})")
_SYSLOG = re.compile(
    r"\b(?:snort|suricata|barnyard2?)\b[^\s:]{0,32}:\s{1,4}(?=\[\d{1,10}:\d{1,10}:\d{1,10}\])", re.IGNORECASE
)
_MESSAGE_END = re.compile(r"\s\[(?:Classification|Priority): |\s\{[A-Za-z0-9_-]{1,32}\}")
_LONGEST_HEAD = 256  # characters before the program's name in syslog
_IPV6_PARTS = 8
_WITH_PORTS = frozenset(("TCP", "UDP", "SCTP"))
_OLDEST_YEAR = 12  # a first part above it is a year of two digits (Snort 3), any other a month (Snort 2)

TABLE = Table(
    digest=("line",),
    time=("time",),
    src=("src",),
    dst=("dst",),
    name=("msg",),
    severity={"priority": severity.SNORT},
    attributes={PORT: ("dst_port",), PRIORITY: ("priority",), RULE_ID: ("sid",)},
    keep=("src_port", "proto", "classification", "gid", "rev", "action", "app_id"),
    product="Snort",
)


def matches(line: str) -> bool:
    """Return whether a line is a fast alert, perhaps an incomplete one, or one in syslog."""
    return MARK in line or _SYSLOG.search(line[: _LONGEST_HEAD * 2]) is not None


def fields_of(line: str, received: float | None = None) -> dict[str, Any]:
    """Return a line's parts by name.

    Raises:
        AlertFault: The line is incomplete.
    """
    time, action, message, rest = _parts(line, received)
    flow = _FLOW.search(rest)
    if not time or not flow:
        raise AlertFault(
            "bad_field",
            "Snort fast: the line must read `05/23-12:00:00.000000 [**] [1:1000001:1] message [**] [Priority: 1] "
            "{TCP} 192.0.2.1:1024 -> 198.51.100.7:80`",
        )
    message = message.strip()
    rule = _RULE.match(message)
    found = {key.lower(): value for key, value in _BRACKETS.findall(rest)}
    ports = (flow["proto"] or "TCP").upper() in _WITH_PORTS
    (src, src_port), (dst, dst_port) = end_of(flow["src"], ports), end_of(flow["dst"], ports)
    return {
        "line": line,
        "time": time,
        "src": src,
        "src_port": src_port,
        "dst": dst,
        "dst_port": dst_port,
        "msg": message[rule.end() if rule else 0 :].strip(' "'),
        "proto": flow["proto"],
        "classification": found.get("classification"),
        "priority": found.get("priority"),
        "app_id": found.get("appid"),
        "action": action,
        **(rule.groupdict() if rule else {}),
    }


def read(line: str, tenant: str = "", received: float | None = None) -> Alert:
    """Return a line as an alert."""
    return _READER.read(fields_of(line.strip(), received), tenant, received)


def _parts(line: str, received: float | None) -> tuple[float | str, str | None, str, str]:
    """Return a line's time, action, message and rest; the time is empty if the line is incomplete."""
    before, mark, behind = line.partition(MARK)
    if mark:
        message, mark, rest = behind.partition(MARK)
        stamp = _STAMP.fullmatch(before.strip())
        return (
            (time_of(stamp["time"], received), stamp["action"], message, rest) if stamp and mark else ("", None, "", "")
        )
    program = _SYSLOG.search(line[: _LONGEST_HEAD * 2])
    head = SYSLOG_TIME.match(line[:_LONGEST_HEAD])
    end = _MESSAGE_END.search(line, program.end()) if program else None
    if not program or not head or not end:
        return "", None, "", ""
    return head[1], None, line[program.end() : end.start()], line[end.start() :]


def time_of(text: str, received: float | None) -> float | str:
    """Return a time in one of Snort's forms: month/day, month/day/year, year/month/day; any other text as it is."""
    if not _STAMP.fullmatch(text):
        return text
    date, _, clock = text.partition("-")
    parts = date.split("/")
    if len(parts) == 3:  # noqa: PLR2004 - the third is the year
        year, month, day = (*parts[:3],) if int(parts[0]) > _OLDEST_YEAR else (parts[2], *parts[:2])
        return f"{year if len(year) > 2 else '20' + year}-{month}-{day}T{clock}"  # noqa: PLR2004 - two or four digits
    try:
        moment = datetime.fromisoformat(f"2000-{parts[0]}-{parts[1]}T{clock}").replace(tzinfo=UTC)
    except ValueError:
        return text
    found = times.with_year(moment, received)
    return text if found is None else found


def end_of(text: str, ports: bool) -> tuple[str, str | None]:
    """Return an address and its port.

    An IPv6 address has several colons: before a port it is complete, or shortened with a protocol that has ports.
    Suricata writes ICMP's type and code in place of ports; these are ignored.
    """
    if text.startswith("["):
        address, _, behind = text[1:].partition("]")
        return address, behind.removeprefix(":") or None
    host, _, port = text.rpartition(":")
    of_ipv6 = ":" in host
    whole = host.count(":") == _IPV6_PARTS - 1
    if not port.isdigit() or not host or (of_ipv6 and not whole and not (ports and "::" in host)):
        return text, None
    return host, port if ports else None


_READER = FieldReader("Snort fast", "snort", TABLE)
FORMAT = Format(
    name="snort",
    title="Snort fast",
    known_by="a line with `[**]`, or of syslog with `snort:` before a rule's `[1:1000001:1]`",
    matches=matches,
    read=read,
    tables=(("", TABLE),),
    notes=(
        "The id is made of the line.",
        "Times are taken as UTC. A line without a year is of the latest such day before it was received.",
        "`month/day/year` (Snort 2, Suricata) and `year/month/day` (Snort 3) differ by a first part above 12.",
        "`priority` is Snort's own, where 1 is the worst.",
    ),
)
