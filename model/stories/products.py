"""Write an event as alerts of products, each in its own format, scale of severity and way of naming machines."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from model.stories.network import DAY_S, Host, Network, chance_of

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from model.stories.events import Event

RULE_EVERY_S = 300.0  # a detection rule of Elastic runs every five minutes, unless told otherwise
TIMELESS_SHARE = 0.3  # of those rules, whose alerts have only the time of the run: those that count or compare

Record = dict[str, Any] | str
"""An alert as the product writes it: an object, or a line."""


class Site:
    """The products that a company has, and how they name its machines.

    Attributes:
        network: The company.
        begin_s: Start of the story, seconds since 1970; addresses are of days from here.
        network_products: Sensors of the network, by their names in `WRITERS`.
        host_products: Agents on machines.
    """

    def __init__(self, chance: random.Random, network: Network, begin_s: float) -> None:
        """Choose one or two products for the network and two or three for machines."""
        self.network, self.begin_s, self._chance = network, begin_s, chance
        self.network_products = chance.sample(NETWORK_PRODUCTS, chance.randrange(1, 3))
        self.host_products = chance.sample(HOST_PRODUCTS, chance.randrange(2, 4))

    def write(self, event: Event) -> Record:
        """Return an event as one of the products that can see it reports it."""
        if event.kind == "cloud" or (event.host.instance and event.kind == "network" and self._chance.random() < 0.2):  # noqa: PLR2004
            product = self._chance.choice(CLOUD_PRODUCTS)
        elif event.kind == "mail":
            product = "cef" if self._chance.random() < 0.5 else "ocsf"  # noqa: PLR2004 - half of mail gateways
        else:
            product = self._chance.choice(self.network_products if event.kind == "network" else self.host_products)
        return WRITERS[product](self, event)

    def uuid(self) -> str:
        """Return a random UUID of the story."""
        return str(uuid.UUID(int=self._chance.getrandbits(128), version=4))

    def address(self, host: Host | str | None, event: Event) -> str:
        """Return the address of a machine at the event's time."""
        if isinstance(host, Host):
            return host.address(int(max(event.time - self.begin_s, 0.0) // DAY_S))
        return host or ""

    def ends(self, event: Event) -> tuple[str, str]:
        """Return the addresses of an event's source and target."""
        host, peer = self.address(event.host, event), self.address(event.peer, event)
        if not peer:
            return host, host
        return (peer, host) if event.inbound else (host, peer)

    def port(self, event: Event) -> int:
        """Return a port of the source that the system chose."""
        return chance_of(event.time, event.title).randrange(49152, 65535)


def _iso(time: float, suffix: str = "Z") -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + suffix


def _rule(event: Event, least: int, most: int) -> int:
    """Return a rule's number: always the same for one title."""
    return chance_of(event.title).randrange(least, most)


def _suricata(site: Site, event: Event) -> Record:
    source, target = site.ends(event)
    if event.kind == "network" and chance_of(target).random() < 0.05:  # noqa: PLR2004 - sensors with IPv6 sockets
        target = f"::ffff:{target}" if "." in target else target
    metadata = {"mitre_technique_id": [event.technique.replace(".", "_")]} if event.technique else {}
    record: dict[str, Any] = {
        "timestamp": _iso(event.time, "000+0000"),
        "flow_id": chance_of(source, target, event.port, int(event.time)).getrandbits(50),
        "in_iface": "eth1",
        "event_type": "alert",
        "src_ip": source,
        "src_port": site.port(event),
        "dest_ip": target,
        "dest_port": event.port,
        "proto": "TCP",
        "alert": {
            "action": "allowed",
            "gid": 1,
            "signature_id": _rule(event, 9_000_000, 9_900_000),
            "rev": 1,
            "signature": f"LOCAL {event.title}",
            "category": ("Misc activity", "Potentially Bad Traffic", "A Network Trojan was detected")[event.level // 2],
            "severity": (4, 3, 2, 1, 1)[event.level],
            **({"metadata": metadata} if metadata else {}),
        },
        "host": "sensor-1",
    }
    if event.domain:
        record["app_proto"] = "tls"
        record["tls"] = {"sni": event.domain, "version": "TLS 1.2"}
    return record


def _wazuh(site: Site, event: Event) -> Record:
    host = event.host
    data: dict[str, Any] = {}
    if event.peer is not None:
        data = {"srcip": site.ends(event)[0], "dstport": str(event.port)}
    if host.is_windows:
        data = {
            "win": {
                "system": {"eventID": str(_rule(event, 1, 7000)), "computer": host.full_name, "channel": "Security"},
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
        "timestamp": _iso(event.time, "+0000"),
        "rule": {
            "level": (2, 4, 7, 11, 14)[event.level],
            "description": f"{event.title}.",
            "id": str(_rule(event, 100_000, 120_000)),
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


def _elastic(site: Site, event: Event) -> Record:
    """Write an alert of Kibana's detection engine: flat keys, the full name, a rule that runs at times."""
    of_rule, late = chance_of(event.title), chance_of(event.time, event.title).uniform(1, RULE_EVERY_S)
    record: dict[str, Any] = {
        "@timestamp": _iso(event.time + late),
        "kibana.alert.uuid": f"{chance_of(event.time, event.title, event.host.name).getrandbits(256):064x}",
        "kibana.alert.rule.name": event.title,
        "kibana.alert.rule.rule_id": str(uuid.UUID(int=_rule(event, 0, 2**128), version=4)),
        "kibana.alert.severity": ("low", "low", "medium", "high", "critical")[event.level],
        "kibana.alert.risk_score": (10, 21, 47, 73, 99)[event.level],
        "kibana.alert.workflow_status": "open",
        "host.name": event.host.full_name.lower(),
        "event.kind": "signal",
    }
    if of_rule.random() >= TIMELESS_SHARE:
        record["kibana.alert.original_time"] = _iso(event.time)
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


def _defend(site: Site, event: Event) -> Record:
    """Write an alert of Elastic's agent: nested, with the short name in capitals and all addresses."""
    host = event.host
    record: dict[str, Any] = {
        "@timestamp": _iso(event.time),
        "event": {
            "id": site.uuid(),
            "kind": "alert",
            "module": "endpoint",
            "code": "behavior",
            "severity": (10, 21, 47, 73, 99)[event.level],
        },
        "message": event.title,
        "rule": {"name": event.title, "id": str(uuid.UUID(int=_rule(event, 0, 2**128), version=4))},
        "host": {
            "name": host.name.upper(),
            "hostname": host.name.upper(),
            "ip": [site.address(host, event), "127.0.0.1", "::1", f"fe80::{_rule(event, 1, 65535):x}"],
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


def _ocsf(site: Site, event: Event) -> Record:
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
            "analytic": {"name": event.title, "uid": f"EG-{_rule(event, 1000, 9999)}"},
            **({"attacks": attacks} if attacks else {}),
        },
        "device": {"hostname": host.full_name, "ip": site.address(host, event), "type_id": 2},
        "evidences": [evidence],
    }


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("=", "\\=")


def _cef(site: Site, event: Event) -> Record:
    """Write a line of CEF: addresses, and often the machine's short name as `dvchost`."""
    source, target = site.ends(event)
    fields = {
        "rt": int(event.time * 1000),
        "externalId": _rule_event(event),
        "src": source,
        "dst": target,
        "spt": site.port(event),
        "dpt": event.port,
        "duser" if event.inbound else "suser": event.user,
        "dhost" if event.inbound or event.peer is None else "shost": event.host.name if event.kind != "network" else "",
        "request": f"https://{event.domain}/" if event.domain else "",
        "fileHash": event.digest,
        **({"cs1Label": "technique", "cs1": event.technique} if event.technique else {}),
    }
    text = " ".join(f"{key}={_escaped(str(value))}" for key, value in fields.items() if value != "")
    head = f"CEF:0|Example|Gateway|4.2|{_rule(event, 100, 999)}|{event.title}|{(1, 3, 5, 8, 10)[event.level]}|"
    stamp = datetime.fromtimestamp(event.time, UTC).strftime("%b %d %H:%M:%S")
    return f"<134>{stamp} gw1 {head}{text}"


def _rule_event(event: Event) -> int:
    return chance_of(event.time, event.title, event.host.name).getrandbits(40)


def _own(site: Site, event: Event) -> Record:
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


_FINDING_TYPES = {
    "T1595": "Recon:EC2/PortProbeUnprotectedPort",
    "T1046": "Recon:EC2/Portscan",
    "T1110": "UnauthorizedAccess:EC2/SSHBruteForce",
    "T1071": "Backdoor:EC2/C&CActivity.B",
    "T1496": "CryptoCurrency:EC2/BitcoinTool.B",
    "T1048": "Trojan:EC2/DNSDataExfiltration",
    "T1078": "UnauthorizedAccess:IAMUser/InstanceCredentialExfiltration.OutsideAWS",
    "T1530": "Exfiltration:S3/AnomalousBehavior",
}
"""GuardDuty's type for a technique; others are a behaviour of the network."""


def _finding_type(event: Event) -> str:
    other = "Discovery:IAMUser/AnomalousBehavior" if event.kind == "cloud" else "Behavior:EC2/NetworkPortUnusual"
    return _FINDING_TYPES.get(event.technique.partition(".")[0], other)


def _guardduty(site: Site, event: Event) -> Record:
    address, peer = site.address(event.host, event), site.address(event.peer, event)
    instance = event.host.instance or f"i-{chance_of(event.host.name).getrandbits(64):016x}"
    if event.kind == "cloud":
        action = {
            "actionType": "AWS_API_CALL",
            "awsApiCallAction": {"api": "ListBuckets", "remoteIpDetails": {"ipAddressV4": peer or address}},
        }
        resource = {
            "resourceType": "AccessKey",
            "accessKeyDetails": {"userName": event.user or "role", "accessKeyId": f"AKIA{instance[2:].upper()}"},
            "instanceDetails": {"instanceId": instance},
        }
    else:
        action = {
            "actionType": "NETWORK_CONNECTION",
            "networkConnectionAction": {
                "connectionDirection": "INBOUND" if event.inbound else "OUTBOUND",
                "remoteIpDetails": {"ipAddressV4": peer or address},
                "localIpDetails": {"ipAddressV4": address},
                "localPortDetails": {"port": event.port},
                "remotePortDetails": {"port": event.port},
            },
        }
        resource = {
            "resourceType": "Instance",
            "instanceDetails": {"instanceId": instance, "networkInterfaces": [{"privateIpAddress": address}]},
        }
    return {
        "schemaVersion": "2.0",
        "accountId": site.network.account,
        "region": "eu-central-1",
        "id": site.uuid().replace("-", ""),
        "type": _finding_type(event),
        "severity": (1, 2, 5, 8, 8.9)[event.level],
        "createdAt": _iso(event.time),
        "updatedAt": _iso(event.time + 300),
        "title": f"{event.title}: {instance}.",
        "description": f"{event.title} was seen at {instance}.",
        "resource": resource,
        "service": {
            "serviceName": "guardduty",
            "eventFirstSeen": _iso(event.time),
            "eventLastSeen": _iso(event.time),
            "resourceRole": "TARGET" if event.inbound else "ACTOR",
            "action": action,
            "archived": False,
            "count": 1,
        },
    }


def _asff(site: Site, event: Event) -> Record:
    source, target = site.ends(event)
    host, account, uid = event.host, site.network.account, site.uuid()
    instance = host.instance or f"i-{chance_of(host.name).getrandbits(64):016x}"
    return {
        "SchemaVersion": "2018-10-08",
        "Id": f"arn:aws:securityhub:eu-central-1:{account}:finding/{uid}",
        "ProductArn": "arn:aws:securityhub:eu-central-1::product/aws/guardduty",
        "GeneratorId": f"rule-{_rule(event, 100, 999)}",
        "AwsAccountId": account,
        "Types": ["TTPs/Discovery"],
        "CreatedAt": _iso(event.time),
        "UpdatedAt": _iso(event.time),
        "Severity": {
            "Label": ("INFORMATIONAL", "LOW", "MEDIUM", "HIGH", "CRITICAL")[event.level],
            "Normalized": (0, 20, 50, 75, 95)[event.level],
        },
        "Title": event.title,
        "Description": f"{event.title} on {instance}.",
        "Network": {"SourceIpV4": source, "DestinationIpV4": target, "DestinationPort": event.port},
        "Resources": [
            {
                "Type": "AwsEc2Instance",
                "Id": f"arn:aws:ec2:eu-central-1:{account}:instance/{instance}",
                "Details": {"AwsEc2Instance": {"IpV4Addresses": [site.address(host, event)]}},
            }
        ],
        "RecordState": "ACTIVE",
        "Workflow": {"Status": "NEW"},
    }


WRITERS: dict[str, Callable[[Site, Event], Record]] = {
    "suricata": _suricata,
    "wazuh": _wazuh,
    "elastic": _elastic,
    "defend": _defend,
    "ocsf": _ocsf,
    "cef": _cef,
    "own": _own,
    "guardduty": _guardduty,
    "asff": _asff,
}
NETWORK_PRODUCTS = ("suricata", "cef")
HOST_PRODUCTS = ("wazuh", "elastic", "defend", "ocsf", "own")
CLOUD_PRODUCTS = ("guardduty", "asff")
