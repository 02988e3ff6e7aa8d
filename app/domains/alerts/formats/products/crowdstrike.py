"""Detections of CrowdStrike Falcon: events of the Event Streams API, and alerts of the Alerts API."""

from __future__ import annotations

from typing import Any

import msgspec

from app.domains.alerts.alert import COMMAND_LINE, DESCRIPTION, HASH, HOST, PORT, RULE_ID, URL, USER
from app.domains.alerts.attack import attack_table
from app.domains.alerts.formats.declared import closing, declared
from app.domains.alerts.formats.mapping import Table
from app.domains.alerts.formats.marks import Marks, value_at
from app.domains.alerts.formats.severity import Scale

_EVENTS = (
    "DetectionSummaryEvent",
    "EppDetectionSummaryEvent",
    "IdpDetectionSummaryEvent",
    "IdentityProtectionEvent",
    "XdrDetectionSummaryEvent",
    "MobileDetectionSummaryEvent",
    "IncidentSummaryEvent",
)
_SENSOR = (
    "event.LocalIP",
    "event.LocalIPv4",
    "event.Hostname",
    "event.ComputerName",
    "event.AgentId",
    "event.SensorId",
)

_WORD = Scale("CrowdStrike severity")
_NUMBER = Scale(
    "CrowdStrike severity",
    ((0, 0), (19, 0), (20, 1), (39, 39), (40, 40), (59, 69), (60, 70), (79, 89), (80, 90), (100, 100)),
    " of 100",
)
"""Falcon's console: 20 is low, 40 medium, 60 high, 80 critical."""
_EVENT_NUMBER = msgspec.structs.replace(_NUMBER, least=11)
"""Older events have 1 to 5, or 1 to 10, mostly with the word beside: such a number states none."""

_ENDPOINT_ADDRESSES = ("address_ip4", "address_ip6", "ip_address")

STREAM = Table(
    id=("event.CompositeId", "event.DetectId", "event.IncidentID", "event.FalconHostLink"),
    digest=("metadata.customerIDString", "metadata.offset", "metadata.eventCreationTime"),
    time=(
        "event.ProcessStartTime",
        "event.StartTime",
        "event.IncidentStartTime",
        "event.ContextTimeStamp",
        "metadata.eventCreationTime",
    ),
    src=(
        "event.SourceEndpointIpAddress",
        "event.SourceEndpointHostName",
        "event.EndpointIp",
        "event.EndpointName",
        "event.LateralMovementSource",
        *_SENSOR,
    ),
    dst=(
        "event.TargetEndpointHostName",
        "event.NetworkAccesses.RemoteAddress",
        "event.EndpointName",
        *_SENSOR,
    ),
    either=("event.SourceAccountUpn", "event.SourceAccountName", "event.UserName", "event.HostID", "event.IncidentID"),
    name=("event.DetectName", "event.Name", "event.IncidentDescription", "event.Technique", "metadata.eventType"),
    tech=("event.MitreAttack.TechniqueID", "event.TechniqueID", "event.TechniqueId", "named"),
    aliases=(
        (("event.Hostname", "event.ComputerName"), ("event.LocalIP", "event.LocalIPv4", "event.LocalIPv6")),
        (("event.SourceEndpointHostName",), ("event.SourceEndpointIpAddress",)),
        (("event.EndpointName",), ("event.EndpointIp",)),
    ),
    severity={"event.SeverityName": _WORD, "event.Severity": _EVENT_NUMBER},
    attributes={
        PORT: ("event.NetworkAccesses.RemotePort",),
        HOST: ("event.Hostname", "event.ComputerName"),
        USER: (
            "event.UserName",
            "event.SourceAccountUpn",
            "event.SourceAccountName",
            "event.TargetAccountName",
            "event.AccountName",
        ),
        HASH: ("event.SHA256String", "event.MD5String", "event.SHA1String"),
        DESCRIPTION: ("event.DetectDescription", "event.Description", "event.IncidentDescription"),
        COMMAND_LINE: ("event.CommandLine",),
        RULE_ID: ("event.PatternId", "event.PatternID"),
        URL: ("event.IOCValueUrl",),
    },
    keep=(
        "account=metadata.customerIDString",
        "metadata.eventType",
        "event.SeverityName",
        "event.Tactic",
        "event.Technique",
        "event.Objective",
        "event.FileName",
        "event.FilePath",
        "event.ParentImageFileName",
        "event.ParentCommandLine",
        "event.PatternDispositionDescription",
        "event.MachineDomain",
        "event.FalconHostLink",
        "event.IOCType",
        "event.IOCValue",
    ),
    product="CrowdStrike Falcon",
)

_DEVICE = ("device.local_ip", "device.hostname", "host_names", "device.device_id", "agent_id")

ALERT = Table(
    id=("composite_id", "detection_id", "id"),
    time=("timestamp", "context_timestamp", "start_time", "first_behavior", "created_timestamp"),
    src=("source_endpoint_address_ip4", "source_endpoint_ip_address", "source_endpoint_host_name", *_DEVICE),
    dst=(
        "target_endpoint_address_ip4",
        "target_endpoint_host_name",
        "network_accesses.remote_address",
        *_DEVICE,
    ),
    either=("source_account_upn", "source_account_name", "user_principal", "user_name", "composite_id"),
    name=("display_name", "name", "behaviors.display_name", "scenario", "behaviors.scenario", "technique", "type"),
    tech=("mitre_attack.technique_id", "technique_ids", "technique_id", "behaviors.technique_id", "named"),
    aliases=(
        (("device.hostname",), ("device.local_ip",)),
        *(
            ((f"{end}_endpoint_host_name",), tuple(f"{end}_endpoint_{address}" for address in _ENDPOINT_ADDRESSES))
            for end in ("source", "target")
        ),
    ),
    severity={
        "severity_name": _WORD,
        "severity": _NUMBER,
        "max_severity_displayname": _WORD,
        "max_severity": _NUMBER,
        "behaviors.severity": _NUMBER,
    },
    closed={"status": closing("CrowdStrike status", "closed", "resolved", "false_positive", "ignored")},
    attributes={
        PORT: ("network_accesses.remote_port",),
        HOST: ("device.hostname", "host_names", "source_endpoint_host_name", "target_endpoint_host_name"),
        USER: (
            "user_principal",
            "user_name",
            "source_account_upn",
            "source_account_name",
            "target_account_name",
            "behaviors.user_name",
        ),
        HASH: ("sha256", "behaviors.sha256", "md5", "behaviors.md5", "sha1"),
        DESCRIPTION: ("description", "behaviors.description"),
        COMMAND_LINE: ("cmdline", "behaviors.cmdline"),
        RULE_ID: ("pattern_id", "behaviors.behavior_id"),
    },
    keep=(
        "account=cid",
        "product_type=product",
        "tactic",
        "technique",
        "objective",
        "status",
        "confidence",
        "filename",
        "filepath",
        "parent_details.cmdline",
        "parent_details.filename",
        "pattern_disposition_description",
        "device.external_ip",
        "device.machine_domain",
        "device.platform_name",
        "falcon_host_link",
    ),
    product="CrowdStrike Falcon",
)

_NAMES = ("event.MitreAttack.Technique", "event.Technique", "technique", "mitre_attack.technique")


def _named(record: dict[str, Any]) -> dict[str, Any]:
    """Return a detection that states no ids with those of the techniques that it names, where ATT&CK has the names."""
    if any(value_at(record, path) for path in ("technique_id", "technique_ids", "event.TechniqueID", "behaviors")):
        return record
    names: list[object] = []
    for path in _NAMES:
        inner, _, last = path.rpartition(".")
        found = value_at(record, inner) if inner else record
        objects = [each for each in (found if type(found) is list else [found]) if type(each) is dict]
        if any("TechniqueID" in each or "technique_id" in each for each in objects):
            return record
        names += [each.get(last) for each in objects]
    table = attack_table()
    ids = [table.named(name) for name in dict.fromkeys(each for each in names if isinstance(each, str))]
    return {**record, "named": [each for each in ids if each]} if any(ids) else record


FORMATS = (
    declared(
        "crowdstrike_event",
        "CrowdStrike event stream",
        (Marks(keys=("event",), values={"metadata.eventType": _EVENTS}),),
        STREAM,
        prepare=_named,
        notes=(
            "Events of detections, identity detections and incidents.",
            "An end that a detection does not name is the sensor's host.",
        ),
    ),
    declared(
        "crowdstrike",
        "CrowdStrike alerts",
        (
            Marks(keys=("composite_id",), any=("aggregate_id", "pattern_id", "cid", "severity_name", "show_in_ui")),
            Marks(keys=("detection_id", "behaviors")),
        ),
        ALERT,
        prepare=_named,
        notes=("Alerts of the Alerts API (v1, v2), and detections of the Detects API before it.",),
    ),
)
