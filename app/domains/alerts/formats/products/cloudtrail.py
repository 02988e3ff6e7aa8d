"""Events of AWS CloudTrail that a detection selected, and alerts of Panther."""

from __future__ import annotations

from typing import Any

from app.domains.alerts.alert import DESCRIPTION, PRODUCT, RULE_ID, URL, USER, USER_AGENT
from app.domains.alerts.formats.declared import declared
from app.domains.alerts.formats.mapping import Table
from app.domains.alerts.formats.marks import Marks
from app.domains.alerts.formats.severity import Scale

_RESOURCE = (
    "requestParameters.instanceId",
    "requestParameters.instancesSet.items.instanceId",
    "requestParameters.bucketName",
    "requestParameters.functionName",
    "requestParameters.dBInstanceIdentifier",
    "requestParameters.secretId",
    "requestParameters.userName",
    "requestParameters.roleName",
    "requestParameters.roleArn",
    "requestParameters.groupId",
    "resources.ARN",
    "resources.arn",
)
_IDENTITY = (
    "userIdentity.userName",
    "userIdentity.sessionContext.sessionIssuer.userName",
    "userIdentity.arn",
    "userIdentity.principalId",
    "userIdentity.invokedBy",
)

EVENT = Table(
    id=("eventID",),
    digest=("eventTime", "eventSource", "eventName", "requestID", "sourceIPAddress", "userIdentity.arn"),
    time=("eventTime", "p_event_time"),
    src=("sourceIPAddress", *_IDENTITY),
    dst=(*_RESOURCE, *_IDENTITY, "recipientAccountId", "userIdentity.accountId"),
    name=("detection", "eventName"),
    attributes={
        USER: (*_IDENTITY[:2], "requestParameters.userName", "additionalEventData.UserName"),
        USER_AGENT: ("userAgent",),
        DESCRIPTION: ("errorMessage", "errorCode", "eventSource"),
        RULE_ID: ("eventName",),
        PRODUCT: ("eventSource",),
    },
    keep=(
        "account=recipientAccountId",
        "awsRegion",
        "eventSource",
        "eventName",
        "eventType",
        "errorCode",
        "errorMessage",
        "readOnly",
        "userIdentity.type",
        "userIdentity.arn",
        "userIdentity.accessKeyId",
        "responseElements.ConsoleLogin",
        "additionalEventData.MFAUsed",
        "vpcEndpointId",
    ),
)


def _named(record: dict[str, Any]) -> dict[str, Any]:
    """Return an event with a name of service, call and error: "AWS ec2 RunInstances: Client.UnauthorizedOperation"."""
    call, source = record.get("eventName"), record.get("eventSource")
    if not isinstance(call, str) or not call:
        return record
    service = source.partition(".")[0] if isinstance(source, str) else ""
    outcome = record.get("errorCode") or record.get("errorMessage")
    login = record.get("responseElements")
    if not outcome and type(login) is dict and login.get("ConsoleLogin") == "Failure":
        outcome = "Failure"
    words = " ".join(filter(None, ("AWS", service, call)))
    return {**record, "detection": f"{words}: {outcome}" if isinstance(outcome, str) else words}


CLOUDTRAIL = declared(
    "cloudtrail",
    "AWS CloudTrail",
    (Marks(keys=("eventSource", "eventName"), any=("userIdentity", "eventVersion", "awsRegion")),),
    EVENT,
    prepare=_named,
    notes=(
        "Every event that is sent counts as an alert: send those that a detection selected.",
        "The name is made of service, call and error. The target is the resource, else the identity.",
    ),
)

_PANTHER = Scale("Panther severity")

PANTHER_TABLE = Table(
    id=("p_alert_id", "alertId", "p_row_id", "id"),
    time=("p_event_time", "alertContext.eventTime", "createdAt", "p_alert_creation_time", "p_parse_time"),
    src=(
        "sourceIPAddress",
        "client.ipAddress",
        "alertContext.sourceIPAddress",
        "alertContext.sourceIp",
        "alertContext.ips",
        "p_any_ip_addresses",
        "actor.alternateId",
        "p_any_usernames",
        "p_any_emails",
        "alertContext.actor",
    ),
    dst=(
        *_RESOURCE,
        "p_any_domain_names",
        "p_any_aws_instance_ids",
        "p_any_aws_arns",
        "alertContext.target",
        "alertContext.userIdentity.arn",
        "p_any_usernames",
        "p_any_emails",
        "p_any_aws_account_ids",
        "alertContext.recipientAccountId",
    ),
    either=("alertContext.user", "p_rule_id", "id"),
    name=("p_alert_title", "title", "name", "p_rule_id", "id"),
    tags=(
        "p_rule_reports.MITRE ATT&CK",
        "p_rule_reports.MITRE",
        "reports.MITRE ATT&CK",
        "p_rule_tags",
        "tags",
    ),
    severity={"p_rule_severity": _PANTHER, "p_alert_severity": _PANTHER, "severity": _PANTHER},
    attributes={
        USER: ("p_any_usernames", "p_any_emails", "alertContext.user", "userIdentity.userName"),
        USER_AGENT: ("userAgent", "client.userAgent.rawUserAgent"),
        URL: ("link",),
        DESCRIPTION: ("description", "p_alert_title", "errorMessage", "eventName"),
        RULE_ID: ("p_rule_id", "ruleId", "id"),
        PRODUCT: ("p_log_type",),
    },
    keep=(
        "account=recipientAccountId",
        "p_rule_severity",
        "p_rule_tags",
        "p_log_type",
        "p_source_label",
        "runbook",
        "type",
        "eventName",
        "eventType",
        "alertContext",
    ),
    product="Panther",
)

PANTHER = declared(
    "panther",
    "Panther alerts",
    (
        Marks(any=("p_rule_id", "p_alert_id")),
        Marks(keys=("alertId", "title", "severity"), any=("alertContext", "runbook", "destinations")),
    ),
    PANTHER_TABLE,
    notes=("Events that matched a rule, and the messages that destinations receive.",),
)

FORMATS = (PANTHER, CLOUDTRAIL)
