"""Findings of AWS Security Hub in the AWS Security Finding Format (ASFF)."""

from __future__ import annotations

import itertools
import re
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
from app.domains.alerts.formats.attributes import LONGEST_KEY, MAX_LIST
from app.domains.alerts.formats.format import Format
from app.domains.alerts.formats.guardduty import REMOTE as _GUARDDUTY_REMOTE
from app.domains.alerts.formats.mapping import FieldReader, Paths, Table

if TYPE_CHECKING:
    from app.domains.alerts.alert import Alert

GUARDDUTY = "guardduty"
"""Key that GuardDuty's own fields of a finding are put under, as GuardDuty has them."""
_FIELDS, _SERVICE = "ProductFields", "aws/guardduty/service/"
_INDEX = re.compile(r"\.\d{1,3}_")  # `portProbeDetails.0_`: an element of a list
_TYPE = re.compile(r"(?:[^/:]{1,64}/){1,3}([A-Za-z]{1,40}:[A-Za-z0-9]{1,40})-([\w.!&-]{1,100})")
"""`TTPs/Command and Control/Backdoor:EC2-C&CActivity.B` of GuardDuty's `Backdoor:EC2/C&CActivity.B`."""
_MOST_FIELDS = 256  # of ProductFields; GuardDuty's findings have some forty

_REMOTE: Paths = (
    "Action.NetworkConnectionAction.RemoteIpDetails.IpAddressV4",
    "Action.AwsApiCallAction.RemoteIpDetails.IpAddressV4",
    "Action.PortProbeAction.PortProbeDetails.RemoteIpDetails.IpAddressV4",
    "Action.DnsRequestAction.Domain",
    "Action.AwsApiCallAction.DomainDetails.Domain",
    *(path.replace("service", GUARDDUTY, 1) for path in _GUARDDUTY_REMOTE),
)
_RESOURCE: Paths = ("Resources.Details.AwsEc2Instance.IpV4Addresses", "Resources.Id")
_SOURCE: Paths = ("Network.SourceIpV4", "Network.SourceIpV6", "Network.SourceDomain")
_DESTINATION: Paths = ("Network.DestinationIpV4", "Network.DestinationIpV6", "Network.DestinationDomain")

TARGET = Table(
    id=("Id",),
    time=("LastObservedAt", "guardduty.eventLastSeen", "UpdatedAt", "CreatedAt", "@timestamp"),
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
            "guardduty.action.networkConnectionAction.localPortDetails.port",
            "guardduty.action.portProbeAction.portProbeDetails.localPortDetails.port",
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
        RULE_ID: ("guardduty.type", "GeneratorId"),
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
        PORT: (
            "Network.DestinationPort",
            "Action.NetworkConnectionAction.RemotePortDetails.Port",
            "guardduty.action.networkConnectionAction.remotePortDetails.port",
        ),
    },
)
"""The table for a resource that is the actor."""


def matches(record: dict[str, Any]) -> bool:
    """Return whether a record is a finding of Security Hub."""
    return "ProductArn" in record and "AwsAccountId" in record


def read(record: dict[str, Any], tenant: str = "", received: float | None = None) -> Alert:
    """Return a finding as an alert."""
    fields = record.get(_FIELDS)
    service = _service(fields) if type(fields) is dict else {}
    if service:
        record = {**record, GUARDDUTY: {**service, "type": _guardduty_type(record.get("Types"))}}
    return (_ACTOR if _acts(record, service) else _TARGET).read(record, tenant, received)


def _service(fields: dict[str, Any]) -> dict[str, Any]:
    """Return GuardDuty's `service` from the flat fields that Security Hub makes of it."""
    service: dict[str, Any] = {}
    for key, value in itertools.islice(fields.items(), _MOST_FIELDS):
        if isinstance(value, str) and key.startswith(_SERVICE):
            *way, last = _INDEX.sub("", key[len(_SERVICE) : LONGEST_KEY]).split("/")
            inner: Any = service
            for part in way:
                inner = inner.setdefault(part, {}) if type(inner) is dict else None
            if type(inner) is dict:
                inner.setdefault(last, value)
    return service


def _guardduty_type(types: object) -> str | None:
    """Return GuardDuty's type of a finding from those of Security Hub, which have `-` in place of `/`."""
    for each in types[:MAX_LIST] if isinstance(types, list) else ():
        if isinstance(each, str) and (found := _TYPE.fullmatch(each)):
            return f"{found[1]}/{found[2]}"
    return None


def _acts(record: dict[str, Any], service: dict[str, Any]) -> bool:
    """Return whether the resource is the actor and not the target, by its action or else GuardDuty's word for it."""
    action = record.get("Action")
    action = action if type(action) is dict else {}
    connection = action.get("NetworkConnectionAction")
    direction = connection.get("ConnectionDirection") if type(connection) is dict else None
    direction = direction or _inner(service, "action", "networkConnectionAction", "connectionDirection")
    if direction in ("INBOUND", "OUTBOUND"):
        return direction == "OUTBOUND"
    asks = "DnsRequestAction" in action or _inner(service, "action", "dnsRequestAction") is not None
    return asks or service.get("resourceRole") == "ACTOR"


def _inner(value: object, *keys: str) -> object:
    for key in keys:
        value = value.get(key) if type(value) is dict else None
    return value


_TARGET, _ACTOR = (FieldReader("Security Hub (ASFF)", "asff", table) for table in (TARGET, ACTOR))
FORMAT = Format(
    name="asff",
    title="AWS Security Hub (ASFF)",
    known_by="`ProductArn` and `AwsAccountId`; an event of EventBridge is read by its finding",
    matches=matches,
    read=read,
    tables=(("the resource is the target", TARGET), ("the resource is the actor", ACTOR)),
    notes=(
        "The resource acts where its connection is `OUTBOUND`, where it asks for a name, or where GuardDuty says so.",
        "GuardDuty's fields (`aws/guardduty/service/…`) are under `guardduty`, with `guardduty.type` made of `Types`.",
        "`priority` is the normalized severity, 0 to 100, where 100 is the worst.",
    ),
)
