"""Write alerts of agents on machines: Wazuh, Elastic's two kinds, OCSF, and plain JSON of an own script."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from model.stories.network import Host, chance_of
from model.stories.products.site import iso, rule_number

if TYPE_CHECKING:
    from model.stories.events import Event
    from model.stories.products.site import Record, Site

RULE_EVERY_S = 300.0  # a detection rule of Elastic runs every five minutes, unless told otherwise
TIMELESS_SHARE = 0.3  # of those rules, whose alerts have only the time of the run: those that count or compare


def wazuh(site: Site, event: Event) -> Record:
    """Write an alert of Wazuh: the agent's name with its address, and on Windows the full name in the event."""
    host = event.host
    data: dict[str, Any] = {}
    if event.peer is not None:
        data = {"srcip": site.ends(event)[0], "dstport": str(event.port)}
    if host.is_windows:
        data = {
            "win": {
                "system": {
                    "eventID": str(rule_number(event, 1, 7000)),
                    "computer": host.full_name,
                    "channel": "Security",
                },
                "eventdata": {
                    **({"targetUserName": event.user} if event.user else {}),
                    **({"ipAddress": data["srcip"]} if data and event.inbound else {}),
                    **({"commandLine": event.command, "image": f"C:\\Temp\\{event.process}"} if event.command else {}),
                    **({"hashes": f"SHA256={event.digest.upper()}"} if event.digest else {}),
                },
            }
        }
    elif event.user:
        data["dstuser"] = event.user
    mitre = {"mitre": {"id": [event.technique]}} if event.technique else {}
    return {
        "timestamp": iso(event.time, "+0000"),
        "rule": {
            "level": (2, 4, 7, 11, 14)[event.level],
            "description": f"{event.title}.",
            "id": str(rule_number(event, 100_000, 120_000)),
            "firedtimes": 1,
            "groups": ["local", "windows" if host.is_windows else "syslog"],
            **mitre,
        },
        "agent": {
            "id": f"{chance_of(host.name).randrange(1, 999):03}",
            "name": host.name,
            "ip": site.address(host, event),
        },
        "manager": {"name": "wazuh-manager"},
        "id": f"{event.time:.5f}.{chance_of(event.time, event.title, host.name).randrange(10**7)}",
        "decoder": {"name": "windows_eventchannel" if host.is_windows else "sshd"},
        "data": data,
        "location": "EventChannel" if host.is_windows else "/var/log/auth.log",
    }


def elastic(site: Site, event: Event) -> Record:
    """Write an alert of Kibana's detection engine: flat keys, the full name, a rule that runs at times."""
    of_rule, late = chance_of(event.title), chance_of(event.time, event.title).uniform(1, RULE_EVERY_S)
    record: dict[str, Any] = {
        "@timestamp": iso(event.time + late),
        "kibana.alert.uuid": f"{chance_of(event.time, event.title, event.host.name).getrandbits(256):064x}",
        "kibana.alert.rule.name": event.title,
        "kibana.alert.rule.rule_id": str(uuid.UUID(int=rule_number(event, 0, 2**128), version=4)),
        "kibana.alert.severity": ("low", "low", "medium", "high", "critical")[event.level],
        "kibana.alert.risk_score": (10, 21, 47, 73, 99)[event.level],
        "kibana.alert.workflow_status": "open",
        "host.name": event.host.full_name.lower(),
        "event.kind": "signal",
    }
    if of_rule.random() >= TIMELESS_SHARE:
        record["kibana.alert.original_time"] = iso(event.time)
    if event.user:
        record["user.name"] = event.user
    if event.peer is not None:
        record["source.ip"], record["destination.ip"] = site.ends(event)
        record["destination.port"] = event.port
    if event.digest:
        record["process.hash.sha256"] = event.digest
    if event.command:
        record["process.name"], record["process.command_line"] = event.process, event.command
    if event.technique:
        parent, _, below = event.technique.partition(".")
        technique = {"id": parent, **({"subtechnique": [{"id": event.technique}]} if below else {})}
        record["kibana.alert.rule.threat"] = [{"framework": "MITRE ATT&CK", "technique": [technique]}]
    return record


def defend(site: Site, event: Event) -> Record:
    """Write an alert of Elastic's agent: nested, with the short name in capitals and all addresses."""
    host = event.host
    record: dict[str, Any] = {
        "@timestamp": iso(event.time),
        "event": {
            "id": site.uuid(),
            "kind": "alert",
            "module": "endpoint",
            "code": "behavior",
            "severity": (10, 21, 47, 73, 99)[event.level],
        },
        "message": event.title,
        "rule": {"name": event.title, "id": str(uuid.UUID(int=rule_number(event, 0, 2**128), version=4))},
        "host": {
            "name": host.name.upper(),
            "hostname": host.name.upper(),
            "ip": [site.address(host, event), "127.0.0.1", "::1", f"fe80::{rule_number(event, 1, 65535):x}"],
        },
        "agent": {"type": "endpoint"},
        "ecs": {"version": "8.10.0"},
    }
    if event.user:
        record["user"] = {"name": event.user, "domain": host.domain.partition(".")[0].upper()}
    if event.process:
        record["process"] = {"name": event.process, "command_line": event.command}
        if event.digest:
            record["process"]["hash"] = {"sha256": event.digest}
    if event.peer is not None:
        source, target = site.ends(event)
        record["source"], record["destination"] = {"ip": source}, {"ip": target, "port": event.port}
    if event.technique:
        record["threat"] = [{"framework": "MITRE ATT&CK", "technique": [{"id": event.technique.partition(".")[0]}]}]
    return record


def ocsf(site: Site, event: Event) -> Record:
    """Write a Detection Finding of OCSF: the full name with the address, and accounts with their domain."""
    host = event.host
    evidence: dict[str, Any] = {}
    if event.peer is not None:
        source, target = site.ends(event)
        evidence["src_endpoint"], evidence["dst_endpoint"] = {"ip": source}, {"ip": target, "port": event.port}
    if event.user:
        evidence["actor"] = {"user": {"name": f"{host.domain.partition('.')[0].upper()}\\{event.user}"}}
    if event.process:
        file = {"name": event.process, "hashes": [{"algorithm_id": 3, "value": event.digest}]} if event.digest else {}
        evidence["process"] = {"name": event.process, "cmd_line": event.command, **({"file": file} if file else {})}
    attacks = [{"technique": {"uid": event.technique.partition(".")[0]}}] if event.technique else []
    if "." in event.technique:
        attacks[0]["sub_technique"] = {"uid": event.technique}
    return {
        "class_uid": 2004,
        "category_uid": 2,
        "activity_id": 1,
        "time": int(event.time * 1000),
        "severity_id": (1, 2, 3, 4, 5)[event.level],
        "status_id": 1,
        "metadata": {"version": "1.3.0", "product": {"name": "Endpoint Guard", "vendor_name": "Example"}},
        "finding_info": {
            "uid": site.uuid(),
            "title": event.title,
            "analytic": {"name": event.title, "uid": f"EG-{rule_number(event, 1000, 9999)}"},
            **({"attacks": attacks} if attacks else {}),
        },
        "device": {"hostname": host.full_name, "ip": site.address(host, event), "type_id": 2},
        "evidences": [evidence],
    }


def own(site: Site, event: Event) -> Record:
    """Write plain JSON with names of machines, as an analyst's own script does."""
    host, peer = event.host.name, event.peer
    other = peer.name if isinstance(peer, Host) else peer or host
    source, target = (other, host) if event.inbound else (host, other)
    attributes: dict[str, Any] = {"severity": ("info", "low", "medium", "high", "critical")[event.level]}
    given = {"user": event.user, "hash": event.digest, "command_line": event.command}
    attributes |= {key: value for key, value in given.items() if value}
    return {
        "id": site.uuid(),
        "time": round(event.time, 3),
        "src": source,
        "dst": target,
        "name": event.title,
        "tech": [event.technique] if event.technique else [],
        "other_attributes_dict": attributes,
    }
