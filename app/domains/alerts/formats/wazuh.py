"""Alerts of Wazuh, from its alerts.json or its index."""

from __future__ import annotations

from typing import Any

from app.domains.alerts.alert import (
    COMMAND_LINE,
    DESCRIPTION,
    HASH,
    HOST,
    PORT,
    PRIORITY,
    PRODUCT,
    RULE_ID,
    URL,
    USER,
    USER_AGENT,
)
from app.domains.alerts.formats import severity
from app.domains.alerts.formats.format import Format
from app.domains.alerts.formats.mapping import FieldReader, Table

_HOST = ("agent.ip", "agent.name", "predecoder.hostname")

TABLE = Table(
    id=("id", "_id"),
    time=("timestamp", "@timestamp"),
    src=(
        "data.srcip",
        "data.src_ip",
        "data.win.eventdata.sourceIp",
        "data.win.eventdata.ipAddress",
        "data.aws.sourceIPAddress",
        "data.aws.source_ip_address",
        "data.office365.ClientIP",
        *_HOST,
        "manager.name",
    ),
    dst=("data.dstip", "data.dest_ip", "data.win.eventdata.destinationIp", *_HOST, "manager.name"),
    either=("data.srcuser", "data.dstuser", "data.office365.UserId", "data.aws.userIdentity.userName"),
    name=("rule.description", "full_log"),
    tech=("rule.mitre.id", "data.alert.metadata.mitre_technique_id"),
    tags=("rule.groups",),
    severity={"rule.level": severity.WAZUH},
    aliases=(
        (("agent.name",), ("agent.ip",)),
        (
            ("data.win.eventdata.workstationName",),
            ("data.win.eventdata.ipAddress",),
            ("data.win.system.computer", "agent.name"),
        ),
        (("data.win.eventdata.sourceHostname",), ("data.win.eventdata.sourceIp",)),
        (("data.win.eventdata.destinationHostname",), ("data.win.eventdata.destinationIp",)),
    ),
    attributes={
        PORT: ("data.dstport", "data.dest_port", "data.win.eventdata.destinationPort"),
        PRIORITY: ("rule.level",),
        URL: ("data.url", "data.http.url"),
        USER_AGENT: ("data.http.http_user_agent", "data.aws.userAgent"),
        HOST: ("agent.name", "data.win.system.computer", "data.win.eventdata.workstationName"),
        USER: (
            "data.srcuser",
            "data.dstuser",
            "data.win.eventdata.targetUserName",
            "data.win.eventdata.subjectUserName",
            "data.win.eventdata.user",
            "data.aws.userIdentity.userName",
            "data.office365.UserId",
            "syscheck.uname_after",
        ),
        HASH: (
            "syscheck.sha256_after",
            "syscheck.md5_after",
            "data.virustotal.source.md5",
            "data.win.eventdata.hashes",
        ),
        DESCRIPTION: ("full_log", "data.win.system.message"),
        COMMAND_LINE: ("data.win.eventdata.commandLine", "data.command"),
        RULE_ID: ("rule.id",),
        PRODUCT: ("decoder.name",),
    },
    keep=(
        "src_port=data.srcport",
        "proto=data.protocol",
        "rule.groups",
        "rule.firedtimes",
        "rule.mitre.tactic",
        "location",
        "agent.id",
        "agent.ip",
        "data.win.system.eventID",
        "data.win.system.channel",
        "data.win.eventdata.image",
        "data.win.eventdata.parentImage",
        "data.win.eventdata.logonType",
        "syscheck.path",
        "syscheck.event",
    ),
)

_BESIDE = ("manager", "decoder", "location", "full_log")


def matches(record: dict[str, Any]) -> bool:
    """Return whether a record is an alert of Wazuh: a rule with a level, and a key that only Wazuh has."""
    rule = record.get("rule")
    return type(rule) is dict and "level" in rule and any(key in record for key in _BESIDE)


FORMAT = Format(
    name="wazuh",
    title="Wazuh",
    known_by="`rule.level`, with `manager`, `decoder`, `location` or `full_log`",
    matches=matches,
    read=FieldReader("Wazuh", "wazuh", TABLE).read,
    tables=(("", TABLE),),
    notes=(
        "An end that the event does not name is the agent's host, the manager's for agent 000.",
        "`priority` is the rule's level, 0 to 16, where 16 is the worst.",
    ),
)
