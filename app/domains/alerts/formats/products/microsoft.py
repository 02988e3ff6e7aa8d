"""Alerts and incidents of Microsoft Defender XDR and Microsoft Sentinel, and risk detections of Entra ID.

An alert's evidence is a list of things of different types. It becomes lists by type, and addresses by their role.
"""

from __future__ import annotations

from typing import Any

import orjson

from app.domains.alerts.alert import (
    COMMAND_LINE,
    DESCRIPTION,
    HASH,
    HOST,
    PORT,
    PRODUCT,
    RULE_ID,
    URL,
    USER,
    USER_AGENT,
)
from app.domains.alerts.formats.attributes import MAX_LIST
from app.domains.alerts.formats.declared import closing, declared
from app.domains.alerts.formats.mapping import Table
from app.domains.alerts.formats.marks import Marks
from app.domains.alerts.formats.severity import Scale

_LONGEST_JSON = 1024 * 1024  # characters of JSON within a text; an alert has no more
_OUTWARDS = frozenset(("commandandcontrol", "exfiltration"))
"""Tactics whose address outside is the target."""
_TARGET_ROLES = frozenset(("destination", "attacked", "commandandcontrol", "scanned"))


_DEFENDER, _SENTINEL, _RISK = Scale("Defender severity"), Scale("Sentinel severity"), Scale("Entra ID risk level")


def parsed(value: object) -> object:
    """Return the JSON within a text, or the value itself."""
    if isinstance(value, str) and value[:1] in {"[", "{"} and len(value) <= _LONGEST_JSON:
        try:
            return orjson.loads(value)
        except ValueError:
            return value
    return value


def _lower_first(key: str) -> str:
    return key[:1].lower() + key[1:]


def _lowered(value: object) -> dict[str, Any]:
    """Return an object with keys that begin small, since rows of a table write `IpAddress` and the API `ipAddress`."""
    return {_lower_first(key): each for key, each in value.items()} if type(value) is dict else {}


def _is_outwards(record: dict[str, Any], *keys: str) -> bool:
    """Return whether the alert's tactic is one whose address outside is the target."""
    said = (record.get(key) for key in keys)
    texts = (text for each in said for text in (each[:MAX_LIST] if isinstance(each, list) else [each]))
    tactics = "".join(text for text in texts if isinstance(text, str)).replace(" ", "").lower()
    return any(tactic in tactics for tactic in _OUTWARDS)


def _entities(given: object, *, outwards: bool) -> dict[str, list[Any]]:
    """Return a list of entities by their type, with keys that begin small, and addresses as `from` and `to`.

    Args:
        given: Entities with `Type` (rows of a table), or with `kind` and `properties` (Azure's API).
        outwards: Whether an address without a role is the target.
    """
    found: dict[str, list[Any]] = {}
    for each in given[:MAX_LIST] if isinstance(given, list) else ():
        entity = _lowered(each)
        kind = entity.get("kind") or entity.get("type")
        if not isinstance(kind, str):
            continue
        entity, kind = _lowered(entity.get("properties")) or entity, kind.lower()
        found.setdefault(kind, []).append(entity)
        if kind == "ip" and isinstance(entity.get("address"), str):
            found.setdefault("to" if outwards else "from", []).append(entity["address"])
        if kind == "host":
            entity.setdefault("fqdn", _full_name(entity))
    return found


def _full_name(host: dict[str, Any]) -> str | None:
    name, domain = host.get("hostName"), host.get("dnsDomain")
    return f"{name}.{domain}" if isinstance(name, str) and isinstance(domain, str) and name and domain else None


# Defender XDR


def _evidence(record: dict[str, Any]) -> dict[str, Any]:
    """Return an alert with the addresses of its evidence as `from` and `to`."""
    outwards = _is_outwards(record, "category", "categories")
    ends: dict[str, list[Any]] = {"from": [], "to": []}
    for list_ in ("evidence", "entities"):
        given = record.get(list_)
        for each in given[:MAX_LIST] if isinstance(given, list) else ():
            address = each.get("ipAddress") if type(each) is dict else None
            if isinstance(address, str):
                stated = each.get("roles")
                roles = {role.lower() for role in stated if isinstance(role, str)} if type(stated) is list else set()
                to = not _TARGET_ROLES.isdisjoint(roles) if roles else outwards
                ends["to" if to else "from"].append(address)
    return {**record, "ends": ends}


_DEVICE = ("evidence.deviceDnsName", "evidence.hostName", "evidence.lastIpAddress", "evidence.ipInterfaces")
_ACCOUNT = (
    "evidence.userAccount.userPrincipalName",
    "evidence.userAccount.accountName",
    "evidence.primaryAddress",
    "evidence.recipientEmailAddress",
    "evidence.resourceName",
    "evidence.resourceId",
)

GRAPH = Table(
    id=("id", "providerAlertId"),
    time=("firstActivityDateTime", "lastActivityDateTime", "createdDateTime"),
    src=("evidence.sourceAddress.ipAddress", "ends.from", "evidence.senderIp", *_DEVICE, *_ACCOUNT),
    dst=("evidence.destinationAddress.ipAddress", "ends.to", *_DEVICE, *_ACCOUNT),
    either=("incidentId",),
    name=("title", "threatDisplayName", "category"),
    tech=("mitreTechniques",),
    aliases=((("evidence.deviceDnsName", "evidence.hostName"), ("evidence.lastIpAddress", "evidence.ipInterfaces")),),
    severity={"severity": _DEFENDER},
    closed={"status": closing("Defender status", "resolved", "dismissed")},
    attributes={
        PORT: ("evidence.destinationPort",),
        URL: ("evidence.url", "evidence.clickVerdict.url"),
        HOST: ("evidence.deviceDnsName", "evidence.hostName"),
        USER: (
            "evidence.userAccount.userPrincipalName",
            "evidence.userAccount.accountName",
            "evidence.primaryAddress",
            "evidence.recipientEmailAddress",
        ),
        HASH: ("evidence.fileDetails.sha256", "evidence.imageFile.sha256", "evidence.value"),
        DESCRIPTION: ("description",),
        COMMAND_LINE: ("evidence.processCommandLine",),
        RULE_ID: ("detectorId", "alertPolicyId"),
        PRODUCT: ("productName", "serviceSource", "detectionSource"),
    },
    keep=(
        "account=tenantId",
        "category",
        "status",
        "classification",
        "determination",
        "incidentId",
        "serviceSource",
        "detectionSource",
        "threatFamilyName",
        "actorDisplayName",
        "alertWebUrl",
    ),
)

DEFENDER = Table(
    id=("alertId", "id"),
    time=("firstActivity", "firstEventTime", "lastActivity", "lastEventTime", "creationTime", "alertCreationTime"),
    src=(
        "ends.from",
        "devices.deviceDnsName",
        "computerDnsName",
        "entities.deviceDnsName",
        "machineId",
        "entities.userPrincipalName",
        "entities.accountName",
        "relatedUser.userName",
        "entities.mailboxAddress",
        "entities.recipient",
    ),
    dst=(
        "ends.to",
        "devices.deviceDnsName",
        "computerDnsName",
        "entities.deviceDnsName",
        "machineId",
        "entities.userPrincipalName",
        "entities.accountName",
        "relatedUser.userName",
        "entities.mailboxAddress",
        "entities.recipient",
    ),
    either=("incidentId",),
    name=("title", "threatFamilyName", "category"),
    tech=("mitreTechniques",),
    severity={"severity": _DEFENDER},
    closed={"status": closing("Defender status", "Resolved", "Dismissed")},
    attributes={
        URL: ("entities.url", "evidence.url"),
        HOST: ("devices.deviceDnsName", "computerDnsName"),
        USER: (
            "entities.userPrincipalName",
            "entities.accountName",
            "evidence.userPrincipalName",
            "evidence.accountName",
            "relatedUser.userName",
            "devices.loggedOnUsers.accountName",
        ),
        HASH: ("entities.sha256", "entities.sha1", "evidence.sha256", "evidence.sha1"),
        DESCRIPTION: ("description",),
        COMMAND_LINE: ("entities.processCommandLine", "evidence.processCommandLine"),
        RULE_ID: ("detectorId",),
        PRODUCT: ("serviceSource", "detectionSource"),
    },
    keep=(
        "account=aadTenantId",
        "category",
        "status",
        "classification",
        "determination",
        "incidentId",
        "detectionSource",
        "threatFamilyName",
        "actorName",
        "machineId",
    ),
)


# Sentinel


def _alert_row(record: dict[str, Any]) -> dict[str, Any]:
    """Return a row of `SecurityAlert` with the JSON in its texts parsed, and its entities by type.

    An alert of Azure's API has the fields of a row as its `properties`, with keys that begin small.
    """
    properties = record.get("properties")
    if type(properties) is dict:
        record = {f"{key[:1].upper()}{key[1:]}": value for key, value in properties.items()}
    outwards = _is_outwards(record, "Tactics", "Intent")
    return {
        **record,
        "Entities": _entities(parsed(record.get("Entities")), outwards=outwards),
        "ExtendedProperties": _properties(record.get("ExtendedProperties")),
        "Techniques": parsed(record.get("Techniques")),
        "SubTechniques": parsed(record.get("SubTechniques")),
    }


def _properties(given: object) -> dict[str, Any]:
    """Return the properties of an alert with the JSON in their texts parsed."""
    inner = parsed(given)
    return {key: parsed(value) for key, value in inner.items()} if type(inner) is dict else {}


_SENTINEL_HOST = (
    "Entities.host.fqdn",
    "Entities.host.hostName",
    "Entities.host.netBiosName",
    "CompromisedEntity",
    "Entities.azure-resource.resourceId",
    "Entities.azureresource.resourceId",
    "Entities.mailbox.mailboxPrimaryAddress",
    "Entities.account.userPrincipalName",
    "Entities.account.name",
    "Entities.account.accountName",
)
_ENTITY_ATTRIBUTES = {
    URL: ("Entities.url.url",),
    HOST: ("Entities.host.fqdn", "Entities.host.hostName"),
    USER: (
        "Entities.account.userPrincipalName",
        "Entities.account.name",
        "Entities.account.accountName",
        "Entities.mailbox.mailboxPrimaryAddress",
    ),
    HASH: ("Entities.filehash.value", "Entities.filehash.hashValue", "Entities.file.fileHashes.value"),
    COMMAND_LINE: ("Entities.process.commandLine",),
}

SENTINEL_ALERT = Table(
    id=("SystemAlertId", "AlertId", "VendorOriginalId"),
    time=("StartTime", "StartTimeUtc", "EndTime", "EndTimeUtc", "TimeGenerated", "TimeGeneratedUtc"),
    src=(
        "Entities.network-connection.sourceAddress.address",
        "Entities.networkconnection.sourceAddress.address",
        "Entities.from",
        *_SENTINEL_HOST,
    ),
    dst=(
        "Entities.network-connection.destinationAddress.address",
        "Entities.networkconnection.destinationAddress.address",
        "Entities.to",
        *_SENTINEL_HOST,
    ),
    either=("AzureResourceId", "ResourceId", "SystemAlertId"),
    name=("DisplayName", "AlertDisplayName", "AlertName", "AlertType"),
    tech=("SubTechniques", "Techniques"),
    tags=("ExtendedProperties.MitreTechniqueId", "ExtendedProperties.MITRE Techniques"),
    aliases=(
        (
            ("Entities.host.fqdn", "Entities.host.hostName", "Entities.host.netBiosName"),
            ("Entities.host.ipInterfaces.address",),
        ),
    ),
    severity={"AlertSeverity": _SENTINEL, "Severity": _SENTINEL},
    closed={"Status": closing("Sentinel status", "Resolved", "Dismissed")},
    attributes={
        **_ENTITY_ATTRIBUTES,
        DESCRIPTION: ("Description",),
        RULE_ID: ("ExtendedProperties.Analytic Rule Ids", "AlertType"),
        PRODUCT: ("ProductName", "ProviderName"),
    },
    keep=(
        "account=AzureTenantId",
        "Tactics",
        "Status",
        "ConfidenceLevel",
        "CompromisedEntity",
        "ProviderName",
        "VendorName",
        "AlertType",
    ),
)


def _incident(record: dict[str, Any]) -> dict[str, Any]:
    """Return an incident of Azure's API, a row of `SecurityIncident`, or one of the Graph, with keys of one form."""
    inner = record.get("object")
    whole = _lowered(inner if type(inner) is dict else record)
    found = {**whole, **_lowered(whole.get("properties"))}
    found["additionalData"] = _lowered(parsed(found.get("additionalData")))
    found["Entities"] = _entities(
        parsed(found.get("relatedEntities")), outwards=_is_outwards(found["additionalData"], "tactics")
    )
    return found


INCIDENT = Table(
    id=("incidentName", "name", "id", "incidentId", "incidentNumber"),
    time=(
        "firstActivityTimeUtc",
        "firstActivityTime",
        "createdTimeUtc",
        "createdTime",
        "createdDateTime",
        "lastUpdateTime",
        "timeGenerated",
    ),
    src=("Entities.from", *(path for path in _SENTINEL_HOST if path.startswith("Entities"))),
    dst=("Entities.to", *(path for path in _SENTINEL_HOST if path.startswith("Entities"))),
    either=("incidentName", "name", "id", "incidentId"),
    name=("title", "displayName", "incidentName"),
    tech=("additionalData.techniques", "alerts.properties.additionalData.techniques"),
    severity={"severity": Scale("incident severity")},
    closed={"status": closing("incident status", "Closed", "Resolved", "Redirected")},
    attributes={
        **_ENTITY_ATTRIBUTES,
        DESCRIPTION: ("description", "summary"),
        RULE_ID: ("relatedAnalyticRuleIds",),
        PRODUCT: ("additionalData.alertProductNames", "providerName"),
    },
    keep=(
        "account=tenantId",
        "status",
        "classification",
        "incidentNumber",
        "additionalData.tactics",
        "additionalData.alertsCount",
        "incidentUrl",
        "incidentWebUrl",
    ),
    product="Microsoft Sentinel",
)


# Entra ID


def _risk(record: dict[str, Any]) -> dict[str, Any]:
    """Return a risk detection or a risky sign-in, of the API or of a table's row, with keys of one form."""
    found = _lowered(record)
    found = {**found, **_lowered(found.get("properties"))}
    found["additionalInfo"] = parsed(found.get("additionalInfo"))
    found.setdefault("ipAddress", found.get("iPAddress"))
    event = parsed(found.get("riskEventTypes_V2") or found.get("riskEventTypes_v2") or found.get("riskEventTypes"))
    types = [each for each in event if isinstance(each, str)] if isinstance(event, list) else []
    risk = found.get("riskEventType") or found.get("riskType") or (", ".join(types[:MAX_LIST]) or None)
    if isinstance(risk, str) and risk:
        found["risk"] = f"Entra ID risk: {risk}"
    if found.get("riskDetail") == "none":
        del found["riskDetail"]
    return found


ENTRA = Table(
    id=("id", "requestId", "correlationId"),
    time=("activityDateTime", "createdDateTime", "detectedDateTime", "timeGenerated", "time"),
    src=("ipAddress", "callerIpAddress"),
    dst=("userPrincipalName", "servicePrincipalName", "userId", "appDisplayName"),
    name=("risk", "operationName"),
    tags=("additionalInfo.Value", "additionalInfo.value", "additionalInfo.mitreTechniques"),
    severity={
        "riskLevel": _RISK,
        "riskLevelDuringSignIn": _RISK,
        "riskLevelAggregated": _RISK,
    },
    closed={"riskState": closing("Entra ID risk state", "dismissed", "confirmedSafe")},
    attributes={
        USER: ("userPrincipalName",),
        USER_AGENT: ("userAgent",),
        DESCRIPTION: ("riskDetail", "status.failureReason", "resultDescription"),
        RULE_ID: ("riskEventType", "riskType"),
    },
    keep=(
        "account=tenantId",
        "riskLevel",
        "riskState",
        "riskLevelDuringSignIn",
        "riskLevelAggregated",
        "detectionTimingType",
        "activity",
        "appDisplayName",
        "location.countryOrRegion",
        "resultType",
        "status.errorCode",
    ),
    product="Microsoft Entra ID",
)

FORMATS = (
    declared(
        "defender_graph",
        "Microsoft Graph security alerts",
        (
            Marks(values={"@odata.type": ("#microsoft.graph.security.alert",)}),
            Marks(keys=("serviceSource", "createdDateTime"), any=("evidence", "mitreTechniques", "providerAlertId")),
        ),
        GRAPH,
        prepare=_evidence,
        notes=(
            "The API's `alerts_v2`. An address of the evidence is source or target by its role.",
            "Without a role it is the source, but the target for command and control and for exfiltration.",
            "An end without an address is the device, else the account, mailbox or resource.",
            "The time is that of the first activity, which an update of the alert does not change.",
        ),
    ),
    declared(
        "defender",
        "Microsoft Defender alerts",
        (
            Marks(keys=("alertCreationTime", "machineId")),
            Marks(keys=("alertId", "serviceSource"), any=("entities", "devices", "creationTime")),
        ),
        DEFENDER,
        prepare=_evidence,
        notes=("Alerts of Defender for Endpoint's API, and those within incidents of Microsoft 365 Defender's.",),
    ),
    declared(
        "sentinel_alert",
        "Microsoft Sentinel alerts",
        (
            Marks(any=("SystemAlertId", "properties.systemAlertId")),
            Marks(keys=("AlertSeverity",), any=("AlertName", "AlertDisplayName", "DisplayName")),
        ),
        SENTINEL_ALERT,
        prepare=_alert_row,
        notes=(
            "Rows of the table `SecurityAlert`, alerts of Azure's API, and exports of Defender for Cloud.",
            "`Entities` and `ExtendedProperties` may be JSON in a text; entities are read by their `Type`.",
        ),
    ),
    declared(
        "sentinel_incident",
        "Microsoft incidents",
        (
            Marks(keys=("IncidentNumber", "IncidentName")),
            Marks(any=("properties.incidentNumber", "object.properties.incidentNumber")),
            Marks(values={"@odata.type": ("#microsoft.graph.security.incident",)}, without=("alerts",)),
            Marks(keys=("incidentId", "incidentName", "createdTime"), without=("alerts",)),
            Marks(keys=("incidentWebUrl", "displayName", "createdDateTime"), without=("alerts",)),
        ),
        INCIDENT,
        prepare=_incident,
        notes=(
            "Rows of `SecurityIncident`, and incidents of Azure's API, of playbooks and of Defender's APIs.",
            "An incident of Defender's APIs that has its alerts is read by them.",
            "An incident that names no entity stands for itself, under its own name.",
        ),
    ),
    declared(
        "entra",
        "Microsoft Entra ID risk",
        (
            Marks(any=("riskEventType", "RiskEventType", "properties.riskEventType", "properties.riskType")),
            Marks(keys=("riskType", "riskLevel")),
            Marks(any=("riskLevelDuringSignIn", "RiskLevelDuringSignIn", "properties.riskLevelDuringSignIn")),
        ),
        ENTRA,
        prepare=_risk,
        notes=(
            "Risk detections and risky sign-ins, of the API, of Azure Monitor's export, and of rows of a table.",
            "The account is the target and a user.",
        ),
    ),
)
