"""Office 365's management activity: alerts of security and compliance, and audit events that a detection selected."""

from __future__ import annotations

from typing import Any

from app.domains.alerts.alert import DESCRIPTION, PRODUCT, RULE_ID, USER, USER_AGENT
from app.domains.alerts.formats.declared import closing, declared
from app.domains.alerts.formats.mapping import Table
from app.domains.alerts.formats.marks import Marks
from app.domains.alerts.formats.products.microsoft import parsed
from app.domains.alerts.formats.severity import Scale

ACTIVITY = Table(
    id=("Id",),
    digest=("CreationTime", "Operation", "Workload", "UserId", "ClientIP", "ObjectId"),
    time=("CreationTime", "CreationDate"),
    src=("ClientIP", "ClientIPAddress", "ActorIpAddress", "Data.cip"),
    dst=("affected", "UserId", "UserKey", "ObjectId"),
    either=("Workload",),
    name=("Name", "detection", "Operation"),
    severity={"Severity": Scale("Office 365 severity")},
    closed={"Status": closing("Office 365 status", "Resolved", "Dismissed")},
    attributes={
        USER: ("affected", "UserId", "MailboxOwnerUPN", "Target.ID"),
        USER_AGENT: ("UserAgent", "ClientInfoString"),
        DESCRIPTION: ("Comments", "Data.ad", "ResultStatus"),
        RULE_ID: ("PolicyId", "AlertType", "Operation"),
        PRODUCT: ("Source", "Workload"),
    },
    keep=(
        "account=OrganizationId",
        "Operation",
        "Workload",
        "RecordType",
        "ResultStatus",
        "AlertId",
        "Category",
        "Status",
        "AlertEntityId",
        "EntityType",
        "ObjectId",
        "LogonError",
        "SiteUrl",
    ),
    product="Office 365",
)


def _named(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record with a name that says where it comes from, and with the entity that an alert is about."""
    found = {**record, "Data": parsed(record.get("Data"))}
    operation, workload = record.get("Operation"), record.get("Workload")
    if isinstance(operation, str) and operation:
        found["detection"] = f"{workload} {operation}" if isinstance(workload, str) and workload else operation
    if record.get("EntityType") in ("User", "Recipients", "Sender", "MalwareFamily"):
        found["affected"] = record.get("AlertEntityId")
    return found


FORMAT = declared(
    "office365",
    "Office 365 activity",
    (Marks(keys=("Operation", "CreationTime"), any=("Workload", "RecordType", "OrganizationId")),),
    ACTIVITY,
    prepare=_named,
    notes=(
        "Alerts have a `Name`; of other events the name is made of workload and operation.",
        "The account is the target and a user.",
    ),
)
