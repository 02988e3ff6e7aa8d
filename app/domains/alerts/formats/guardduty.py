"""Findings of Amazon GuardDuty, from its API or from EventBridge."""

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
    USER,
    USER_AGENT,
)
from app.domains.alerts.formats import severity
from app.domains.alerts.formats.format import Format
from app.domains.alerts.formats.mapping import FieldReader, Paths, Table, kept

if TYPE_CHECKING:
    from app.domains.alerts.alert import Alert

_ACTION = "service.action"
_CALLS = (
    "networkConnectionAction",
    "awsApiCallAction",
    "kubernetesApiCallAction",
    "rdsLoginAttemptAction",
    "portProbeAction.portProbeDetails",
)
REMOTE: Paths = (
    *(f"{_ACTION}.{call}.remoteIpDetails.ipAddressV4" for call in _CALLS),
    *(f"{_ACTION}.{call}.remoteIpDetails.ipAddressV6" for call in _CALLS),
    f"{_ACTION}.dnsRequestAction.domain",
    f"{_ACTION}.awsApiCallAction.domainDetails.domain",
)
_RESOURCE: Paths = (
    f"{_ACTION}.networkConnectionAction.localIpDetails.ipAddressV4",
    "resource.instanceDetails.networkInterfaces.privateIpAddress",
    "resource.instanceDetails.instanceId",
    "resource.s3BucketDetails.name",
    "resource.eksClusterDetails.name",
    "resource.ecsClusterDetails.name",
    "resource.lambdaDetails.functionName",
    "resource.rdsDbInstanceDetails.dbInstanceIdentifier",
    "resource.containerDetails.name",
    "resource.accessKeyDetails.accessKeyId",
    "resource.accessKeyDetails.userName",
    "resource.accessKeyDetails.principalId",
    "accountId",
)

TARGET = Table(
    id=("id",),
    time=("service.eventLastSeen", "updatedAt", "createdAt", "@timestamp"),
    src=REMOTE,
    dst=_RESOURCE,
    name=("title", "type"),
    tags=("service.detection.sequence.sequenceIndicators.values", "service.detection.sequence.signals.type"),
    severity={"severity": severity.GUARDDUTY},
    closed={"service.archived": {"true": "GuardDuty service.archived true"}},
    aliases=(
        (
            ("resource.instanceDetails.instanceId",),
            tuple(
                f"resource.instanceDetails.networkInterfaces.{address}"
                for address in ("privateIpAddress", "ipv6Addresses", "publicIp")
            ),
        ),
    ),
    attributes={
        PORT: (
            f"{_ACTION}.networkConnectionAction.localPortDetails.port",
            f"{_ACTION}.portProbeAction.portProbeDetails.localPortDetails.port",
        ),
        PRIORITY: ("severity",),
        USER_AGENT: (f"{_ACTION}.awsApiCallAction.userAgent", f"{_ACTION}.kubernetesApiCallAction.userAgent"),
        HOST: ("resource.instanceDetails.instanceId", "resource.s3BucketDetails.name"),
        USER: (
            "resource.accessKeyDetails.userName",
            "resource.kubernetesDetails.kubernetesUserDetails.username",
            "resource.rdsDbUserDetails.user",
            "service.runtimeDetails.process.user",
        ),
        HASH: ("service.runtimeDetails.process.executableSha256",),
        DESCRIPTION: ("description",),
        COMMAND_LINE: ("service.runtimeDetails.context.commandLineExample",),
        RULE_ID: ("type",),
        PRODUCT: ("service.serviceName",),
    },
    keep=(
        "account=accountId",
        "region",
        "arn",
        "service.count",
        "service.eventFirstSeen",
        "service.resourceRole",
        "service.action.actionType",
        "service.action.awsApiCallAction.api",
        "service.action.awsApiCallAction.serviceName",
        "service.action.networkConnectionAction.connectionDirection",
        "service.action.networkConnectionAction.protocol",
        "resource.resourceType",
        "resource.accessKeyDetails.accessKeyId",
        "resource.instanceDetails.imageId",
        "service.runtimeDetails.process.executablePath",
    ),
)
ACTOR = msgspec.structs.replace(
    TARGET,
    src=_RESOURCE,
    dst=REMOTE,
    attributes={**TARGET.attributes, PORT: (f"{_ACTION}.networkConnectionAction.remotePortDetails.port",)},
)
"""The table for a resource that is the actor: it is the source, and the port is the other side's."""


_MARKS = frozenset(("type", "service", "resource", "accountId"))
_CAPITAL_MARKS = frozenset(("Type", "Service", "Resource", "AccountId"))


def matches(record: dict[str, Any]) -> bool:
    """Return whether a record is a finding, from the API (with capitalized keys) or from EventBridge."""
    return record.keys() >= _MARKS or record.keys() >= _CAPITAL_MARKS


def read(record: dict[str, Any], tenant: str = "", received: float | None = None) -> Alert:
    """Return a finding as an alert."""
    capital = "Service" in record
    return _READERS[capital, _acts(record, capital)].read(record, tenant, received)


def _acts(record: dict[str, Any], capital: bool) -> bool:
    """Return whether the resource is the actor and not the target, by its action or else its role."""

    def inner(value: object, key: str) -> object:
        return value.get(_capital(key) if capital else key) if type(value) is dict else None

    service = inner(record, "service")
    action = inner(service, "action")
    direction = inner(inner(action, "networkConnectionAction"), "connectionDirection")
    if direction in ("INBOUND", "OUTBOUND"):
        return direction == "OUTBOUND"
    if inner(action, "dnsRequestAction"):
        return True
    return inner(service, "resourceRole") == "ACTOR"


def _capital(path: str) -> str:
    return ".".join(f"{part[:1].upper()}{part[1:]}" for part in path.split("."))


def _capitals(table: Table) -> Table:
    """Return the table for the API's capitalized keys."""
    changed: dict[str, Any] = {}
    for field, paths in msgspec.structs.asdict(table).items():
        if field == "attributes":
            changed[field] = {key: tuple(map(_capital, each)) for key, each in paths.items()}
        elif field == "keep":
            changed[field] = tuple(f"{key}={_capital(path)}" for key, path in map(kept, paths))
        elif field == "aliases":
            changed[field] = tuple(tuple(tuple(map(_capital, each)) for each in pair) for pair in paths)
        elif isinstance(paths, dict):
            changed[field] = {_capital(path): each for path, each in paths.items()}
        elif isinstance(paths, tuple):
            changed[field] = tuple(map(_capital, paths))
    return msgspec.structs.replace(table, **changed)


_READERS = {
    (capital, acts): FieldReader("GuardDuty", "guardduty", _capitals(table) if capital else table)
    for capital in (False, True)
    for acts, table in ((False, TARGET), (True, ACTOR))
}
FORMAT = Format(
    name="guardduty",
    title="Amazon GuardDuty",
    known_by="`service`, `resource`, `type` and `accountId`, or the same with capitals; "
    "an event of EventBridge is read by its detail",
    matches=matches,
    read=read,
    tables=(("the resource is the target", TARGET), ("the resource is the actor", ACTOR)),
    notes=(
        "Keys may begin with small letters (EventBridge) or capitals (the API).",
        "The actor follows from the connection's direction, else `service.resourceRole`; who looks up a name is one.",
        "The type of a finding is its `rule_id`: titles name instances, types do not.",
        "`priority` is GuardDuty's severity, 1 to 10, where 10 is the worst.",
    ),
)
