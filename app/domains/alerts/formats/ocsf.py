"""OCSF's Detection Finding (class 2004), and its predecessor Security Finding (2001)."""

from __future__ import annotations

from typing import Any

from app.domains.alerts.alert import (
    CERTIFICATE,
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

DETECTION_FINDING, SECURITY_FINDING = 2004, 2001

_DEVICE = (
    "evidences.device.ip",
    "evidences.device.hostname",
    "device.ip",
    "device.hostname",
    "device.name",
    "resources.hostname",
    "resources.ip",
    "resources.name",
    "resources.uid",
)

_ENDED = ("Suppressed", "Resolved", "Archived", "Deleted", "Closed")

_ENDPOINTS = ("evidences.src_endpoint", "evidences.dst_endpoint", "src_endpoint", "dst_endpoint")
_DEVICES = ("evidences.device", "device", "resources")
_NAMES = ("hostname", "name", "instance_uid", "uid")

TABLE = Table(
    id=("finding_info.uid", "finding.uid", "metadata.uid"),
    time=("time", "time_dt", "finding_info.created_time", "finding.created_time"),
    src=(
        "evidences.src_endpoint.ip",
        "evidences.src_endpoint.hostname",
        "evidences.src_endpoint.name",
        "src_endpoint.ip",
        "src_endpoint.hostname",
        *_DEVICE,
    ),
    dst=(
        "evidences.dst_endpoint.ip",
        "evidences.dst_endpoint.hostname",
        "evidences.dst_endpoint.name",
        "evidences.query.hostname",
        "dst_endpoint.ip",
        "dst_endpoint.hostname",
        *_DEVICE,
    ),
    name=("finding_info.title", "finding.title", "message", "finding_info.analytic.name"),
    tech=(
        "finding_info.attacks.sub_technique.uid",
        "finding_info.attacks.technique.uid",
        "attacks.sub_technique.uid",
        "attacks.technique.uid",
    ),
    tenant=("metadata.tenant_uid",),
    severity={"severity_id": severity.OCSF, "severity": severity.OCSF_WORD},
    closed={
        "status_id": {
            "3": "OCSF status_id 3 (Suppressed)",
            "4": "OCSF status_id 4 (Resolved)",
            "5": "OCSF status_id 5 (Archived)",
            "6": "OCSF status_id 6 (Deleted)",
        },
        "status": {each.lower(): f"OCSF status {each}" for each in _ENDED},
        "activity_id": {"3": "OCSF activity_id 3 (Close)"},
    },
    aliases=tuple(
        (tuple(f"{at}.{name}" for name in _NAMES), (f"{at}.ip", f"{at}.network_interfaces.ip"))
        for at in (*_ENDPOINTS, *_DEVICES)
    ),
    attributes={
        PORT: ("evidences.dst_endpoint.port", "dst_endpoint.port"),
        PRIORITY: ("severity_id",),
        URL: ("evidences.url.url_string", "evidences.http_request.url.url_string"),
        USER_AGENT: ("evidences.http_request.user_agent", "http_request.user_agent"),
        CERTIFICATE: ("evidences.tls.certificate.fingerprints.value", "evidences.tls.certificate.serial_number"),
        HOST: ("device.hostname", "evidences.device.hostname", "resources.hostname"),
        USER: (
            "evidences.actor.user.name",
            "evidences.user.name",
            "evidences.process.user.name",
            "evidences.actor.process.user.name",
            "actor.user.name",
            "user.name",
            "resources.owner.name",
        ),
        HASH: (
            "evidences.process.file.hashes.value",
            "evidences.actor.process.file.hashes.value",
            "evidences.file.hashes.value",
            "process.file.hashes.value",
            "malware.files.hashes.value",
        ),
        DESCRIPTION: ("finding_info.desc", "finding.desc", "message"),
        COMMAND_LINE: ("evidences.process.cmd_line", "evidences.actor.process.cmd_line", "process.cmd_line"),
        RULE_ID: ("finding_info.analytic.uid", "analytic.uid", "finding_info.analytic.name"),
        PRODUCT: ("metadata.product.name",),
    },
    keep=(
        "src_port=evidences.src_endpoint.port",
        "account=cloud.account.uid",
        "severity",
        "status",
        "activity_name",
        "confidence_score",
        "risk_score",
        "finding_info.types",
        "finding_info.analytic.name",
        "evidences.process.name",
        "evidences.file.path",
        "evidences.api.operation",
        "malware.name",
        "resources.type",
        "resources.uid",
        "cloud.region",
        "device.uid",
    ),
)


def matches(record: dict[str, Any]) -> bool:
    """Return whether a record is a finding of one of the two classes."""
    return record.get("class_uid") in (DETECTION_FINDING, SECURITY_FINDING)


FORMAT = Format(
    name="ocsf",
    title="OCSF Detection Finding",
    known_by="`class_uid` is 2004, or the deprecated 2001",
    matches=matches,
    read=FieldReader("OCSF Detection Finding", "ocsf", TABLE).read,
    tables=(("", TABLE),),
    notes=(
        "Of several evidences the first that names an end has it; of an end that none names, the device or resource.",
        "`priority` is `severity_id`, 1 to 6, where 6 is the worst.",
    ),
)
