"""Write alerts of sensors in the network: Suricata's EVE, and a gateway's lines of CEF."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from model.stories.network import chance_of
from model.stories.products.site import event_number, iso, rule_number

if TYPE_CHECKING:
    from model.stories.events import Event
    from model.stories.products.site import Record, Site


def suricata(site: Site, event: Event) -> Record:
    """Write an alert of Suricata: addresses alone, some as IPv4 in IPv6."""
    source, target = site.ends(event)
    if event.kind == "network" and chance_of(target).random() < 0.05:  # noqa: PLR2004 - sensors with IPv6 sockets
        target = f"::ffff:{target}" if "." in target else target
    metadata = {"mitre_technique_id": [event.technique.replace(".", "_")]} if event.technique else {}
    record: dict[str, Any] = {
        "timestamp": iso(event.time, "000+0000"),
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
            "signature_id": rule_number(event, 9_000_000, 9_900_000),
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


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("=", "\\=")


def cef(site: Site, event: Event) -> Record:
    """Write a line of CEF: addresses, and often the machine's short name as `dvchost`."""
    source, target = site.ends(event)
    fields = {
        "rt": int(event.time * 1000),
        "externalId": event_number(event),
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
    head = f"CEF:0|Example|Gateway|4.2|{rule_number(event, 100, 999)}|{event.title}|{(1, 3, 5, 8, 10)[event.level]}|"
    stamp = datetime.fromtimestamp(event.time, UTC).strftime("%b %d %H:%M:%S")
    return f"<134>{stamp} gw1 {head}{text}"
