"""Findings of AWS Security Hub in the AWS Security Finding Format (ASFF)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

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
)
from app.domains.alerts.formats import severity
from app.domains.alerts.formats.format import Format
from app.domains.alerts.formats.mapping import FieldReader, Paths, Table

if TYPE_CHECKING:
    from app.domains.alerts.alert import Alert

_REMOTE: Paths = (
    "Action.NetworkConnectionAction.RemoteIpDetails.IpAddressV4",
    "Action.AwsApiCallAction.RemoteIpDetails.IpAddressV4",
    "Action.PortProbeAction.PortProbeDetails.RemoteIpDetails.IpAddressV4",
    "Action.DnsRequestAction.Domain",
    "Action.AwsApiCallAction.DomainDetails.Domain",
)
_RESOURCE: Paths = ("Resources.Details.AwsEc2Instance.IpV4Addresses", "Resources.Id")
_SOURCE: Paths = ("Network.SourceIpV4", "Network.SourceIpV6", "Network.SourceDomain")
_DESTINATION: Paths = ("Network.DestinationIpV4", "Network.DestinationIpV6", "Network.DestinationDomain")

TARGET = Table(
    id=("Id",),
    time=("LastObservedAt", "UpdatedAt", "CreatedAt"),
    src=(*_SOURCE, *_REMOTE),
    dst=(*_DESTINATION, *_RESOURCE),
    name=("Title",),
    tags=("Types", "FindingProviderFields.Types"),
    severity={
        "Severity.Label": severity.ASFF_LABEL,
        "Severity.Normalized": severity.ASFF_NORMALIZED,
        "FindingProviderFields.Severity.Label": severity.ASFF_LABEL,
        "FindingProviderFields.Severity.Normalized": severity.ASFF_NORMALIZED,
    },
    closed={
        "RecordState": {"archived": "ASFF RecordState ARCHIVED"},
        "Workflow.Status": {
            "resolved": "ASFF Workflow.Status RESOLVED",
            "suppressed": "ASFF Workflow.Status SUPPRESSED",
        },
        "Compliance.Status": {"passed": "ASFF Compliance.Status PASSED"},
    },
    aliases=(
        (
            ("Resources.Id",),
            (
                "Resources.Details.AwsEc2Instance.IpV4Addresses",
                "Resources.Details.AwsEc2Instance.IpV6Addresses",
            ),
        ),
        (("Network.SourceDomain",), ("Network.SourceIpV4", "Network.SourceIpV6")),
    ),
    attributes={
        PORT: (
            "Network.DestinationPort",
            "Action.NetworkConnectionAction.LocalPortDetails.Port",
            "Action.PortProbeAction.PortProbeDetails.LocalPortDetails.Port",
        ),
        PRIORITY: ("Severity.Normalized", "FindingProviderFields.Severity.Normalized", "Severity.Product"),
        URL: ("SourceUrl",),
        HOST: ("Resources.Id",),
        USER: (
            "Resources.Details.AwsIamAccessKey.UserName",
            "Resources.Details.AwsIamAccessKey.PrincipalName",
            "Resources.Details.AwsIamUser.UserName",
        ),
        HASH: ("Threats.FilePaths.Hash",),
        DESCRIPTION: ("Description",),
        COMMAND_LINE: ("Process.Path",),
        RULE_ID: ("GeneratorId",),
        PRODUCT: ("ProductName", "ProductFields.aws/securityhub/ProductName"),
    },
    keep=(
        "account=AwsAccountId",
        "src_port=Network.SourcePort",
        "Network.Protocol",
        "Network.Direction",
        "Severity.Label",
        "Types",
        "Region",
        "ProductArn",
        "RecordState",
        "Workflow.Status",
        "Confidence",
        "Criticality",
        "Action.ActionType",
        "Action.AwsApiCallAction.Api",
        "Action.AwsApiCallAction.ServiceName",
        "Malware.Name",
        "Process.Name",
        "Resources.Type",
        "Resources.Id",
    ),
)
ACTOR = msgspec.structs.replace(
    TARGET,
    src=(*_SOURCE, *_RESOURCE),
    dst=(*_DESTINATION, *_REMOTE),
    attributes={
        **TARGET.attributes,
        PORT: ("Network.DestinationPort", "Action.NetworkConnectionAction.RemotePortDetails.Port"),
    },
)
"""The table for a resource that is the actor."""


def matches(record: dict[str, Any]) -> bool:
    """Return whether a record is a finding of Security Hub."""
    return "ProductArn" in record and "AwsAccountId" in record


def read(record: dict[str, Any], tenant: str = "", received: float | None = None) -> Alert:
    """Return a finding as an alert."""
    return (_ACTOR if _acts(record) else _TARGET).read(record, tenant, received)


def _acts(record: dict[str, Any]) -> bool:
    """Return whether the resource is the actor and not the target, by the direction of its connection."""
    action = record.get("Action")
    if type(action) is not dict:
        return False
    connection = action.get("NetworkConnectionAction")
    outwards = type(connection) is dict and connection.get("ConnectionDirection") == "OUTBOUND"
    return outwards or "DnsRequestAction" in action


_TARGET, _ACTOR = (FieldReader("Security Hub (ASFF)", "asff", table) for table in (TARGET, ACTOR))
FORMAT = Format(
    name="asff",
    title="AWS Security Hub (ASFF)",
    known_by="`ProductArn` and `AwsAccountId`; an event of EventBridge is read by its finding",
    matches=matches,
    read=read,
    tables=(("the resource is the target", TARGET), ("the resource is the actor", ACTOR)),
    notes=(
        "The resource acts where its connection is `OUTBOUND`, or where it asks for a name.",
        "`priority` is the normalized severity, 0 to 100, where 100 is the worst.",
    ),
)
