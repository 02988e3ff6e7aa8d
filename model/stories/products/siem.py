"""Write alerts of CrowdStrike's event stream, Microsoft Defender (Graph), Sentinel, and Splunk Enterprise Security."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

from model.stories.network import Host, chance_of
from model.stories.products.site import event_number, iso, rule_number

if TYPE_CHECKING:
    from model.stories.events import Event
    from model.stories.products.site import Record, Site

_TENANT = "0f4a1c52-7a3e-4d61-9b7e-52d1a8c3f010"


def crowdstrike(site: Site, event: Event) -> Record:
    """Write a detection of Falcon's event stream: the short name, and the address of the sensor."""
    host = event.host
    detail: dict[str, Any] = {
        "ProcessStartTime": int(event.time),
        "ComputerName": host.name.upper(),
        "LocalIP": site.address(host, event),
        "UserName": event.user,
        "DetectName": event.title,
        "DetectDescription": f"{event.title}. Review the process tree.",
        "Severity": (1, 2, 3, 4, 5)[event.level],
        "SeverityName": ("Informational", "Low", "Medium", "High", "Critical")[event.level],
        "FileName": event.process,
        "CommandLine": event.command,
        "SHA256String": event.digest,
        "DetectId": f"ldt:{chance_of(host.name).getrandbits(128):032x}:{event_number(event)}",
        "MachineDomain": host.domain,
        "PatternDispositionDescription": "Detection, standard detection.",
    }
    if event.peer is not None:
        way = "0" if event.inbound else "1"
        peer = site.address(event.peer, event)
        detail["NetworkAccesses"] = [{"ConnectionDirection": way, "RemoteAddress": peer, "RemotePort": event.port}]
    if event.technique:
        detail["MitreAttack"] = [{"TechniqueID": event.technique}]
    return {
        "metadata": {
            "customerIDString": _TENANT.replace("-", ""),
            "offset": event_number(event),
            "eventType": "DetectionSummaryEvent",
            "eventCreationTime": int(event.time * 1000) + 2_000,
            "version": "1.0",
        },
        "event": detail,
    }


def defender(site: Site, event: Event) -> Record:
    """Write an alert of Microsoft Graph: the full name in small letters, and evidence of several kinds."""
    host = event.host
    prefix = "#microsoft.graph.security"
    evidence: list[dict[str, Any]] = [
        {
            "@odata.type": f"{prefix}.deviceEvidence",
            "deviceDnsName": host.full_name.lower(),
            "hostName": host.name.lower(),
            "lastIpAddress": site.address(host, event),
            "ipInterfaces": [site.address(host, event), "127.0.0.1", "::1"],
            "roles": [],
        }
    ]
    if event.user:
        account = {"accountName": event.user, "userPrincipalName": f"{event.user}@{host.domain}"}
        evidence.append({"@odata.type": f"{prefix}.userEvidence", "userAccount": account})
    if event.process:
        file = {"fileName": event.process, **({"sha256": event.digest} if event.digest else {})}
        evidence.append(
            {
                "@odata.type": f"{prefix}.processEvidence",
                "processCommandLine": event.command,
                "imageFile": file,
            }
        )
    if event.peer is not None:
        role = "source" if event.inbound else "destination"
        address = site.address(event.peer, event)
        evidence.append({"@odata.type": f"{prefix}.ipEvidence", "ipAddress": address, "roles": [role]})
    return {
        "@odata.type": f"{prefix}.alert",
        "id": f"da{uuid.UUID(int=chance_of(event.time, event.title, host.name).getrandbits(128))}_1",
        "incidentId": str(rule_number(event, 100, 9_999)),
        "status": "new",
        "severity": ("informational", "low", "medium", "high", "high")[event.level],
        "serviceSource": "microsoftDefenderForEndpoint",
        "detectionSource": "microsoftDefenderForEndpoint",
        "detectorId": str(uuid.UUID(int=chance_of(event.title).getrandbits(128))),
        "tenantId": _TENANT,
        "title": event.title,
        "description": f"{event.title} was observed on a device.",
        "category": "SuspiciousActivity",
        "mitreTechniques": [event.technique] if event.technique else [],
        "createdDateTime": iso(event.time + 90),
        "lastUpdateDateTime": iso(event.time + 90),
        "firstActivityDateTime": iso(event.time),
        "lastActivityDateTime": iso(event.time),
        "evidence": evidence,
    }


def sentinel(site: Site, event: Event) -> Record:
    """Write a row of Sentinel's table of alerts: entities as JSON in a text, times of a rule that runs at times."""
    host, address = event.host, site.address(event.host, event)
    entities: list[dict[str, Any]] = [
        {"$id": "2", "HostName": host.name, "DnsDomain": host.domain, "Type": "host"},
        {"$id": "3", "Address": site.address(event.peer, event) or address, "Type": "ip"},
    ]
    if event.user:
        entities.append({"$id": "4", "Name": event.user, "UPNSuffix": host.domain, "Type": "account"})
    if event.digest:
        entities.append({"$id": "5", "Algorithm": "SHA256", "Value": event.digest, "Type": "filehash"})
    parent, _, below = event.technique.partition(".")
    return {
        "TenantId": _TENANT,
        "TimeGenerated": iso(event.time + 300),
        "StartTime": iso(event.time),
        "EndTime": iso(event.time + 1),
        "SystemAlertId": site.uuid(),
        "DisplayName": event.title,
        "AlertName": event.title,
        "AlertSeverity": ("Informational", "Low", "Medium", "High", "High")[event.level],
        "AlertType": f"{_TENANT}_{uuid.UUID(int=chance_of(event.title).getrandbits(128))}",
        "Description": f"{event.title} on {host.name}",
        "ProviderName": "ASI Scheduled Alerts",
        "ProductName": "Azure Sentinel",
        "VendorName": "Microsoft",
        "Status": "New",
        "Tactics": "",
        "Techniques": json.dumps([parent]) if parent else "",
        "SubTechniques": json.dumps([event.technique]) if below else "",
        "Entities": json.dumps(entities),
        "Type": "SecurityAlert",
    }


def splunk(site: Site, event: Event) -> Record:
    """Write a notable event: ends by the name that the log has, an address or a short name, and no more."""
    peer = event.peer
    by_name = chance_of(event.title).random() < 0.5  # noqa: PLR2004 - half of the searches read logs with names
    host = event.host.name if by_name else site.address(event.host, event)
    other = peer.name if by_name and isinstance(peer, Host) else site.address(peer, event)
    source, target = (other or host, host) if event.inbound else (host, other or host)
    found: dict[str, Any] = {
        "event_id": f"{site.uuid().upper()}@@notable@@{event_number(event):032x}",
        "search_name": f"Threat - {event.title} - Rule",
        "rule_name": event.title,
        "rule_title": event.title,
        "security_domain": "threat",
        "_time": iso(event.time + 120),
        "orig_time": f"{event.time:.3f}",
        "severity": ("informational", "low", "medium", "high", "critical")[event.level],
        "urgency": ("informational", "low", "medium", "high", "critical")[event.level],
        "src": source,
        "dest": target,
        "status": "1",
        "owner": "unassigned",
    }
    given = {"user": event.user, "file_hash": event.digest, "process": event.command}
    found |= {key: value for key, value in given.items() if value}
    if event.technique:
        found["annotations.mitre_attack"] = [event.technique]
    return found
