"""Alerts and cases of TheHive, from its API and its webhooks."""

from __future__ import annotations

from typing import Any

from app.domains.alerts.alert import DESCRIPTION, HASH, HOST, PRODUCT, RULE_ID, URL, USER
from app.domains.alerts.formats.attributes import MAX_LIST
from app.domains.alerts.formats.declared import closing, declared
from app.domains.alerts.formats.mapping import Table
from app.domains.alerts.formats.marks import Marks
from app.domains.alerts.formats.severity import CRITICAL, HIGH, LOW, MEDIUM, Scale

_OBSERVED = ("observed.hostname", "observed.fqdn")

ALERT = Table(
    id=("_id", "id", "sourceRef"),
    time=("date", "startDate", "_createdAt", "createdAt"),
    src=("observed.from", *_OBSERVED, "observed.domain", "observed.user-agent", "observed.mail"),
    dst=(*_OBSERVED, "observed.to", "observed.domain", "observed.mail"),
    either=("sourceRef", "_id", "id"),
    name=("title",),
    severity={"severity": Scale("TheHive severity", values={"1": LOW, "2": MEDIUM, "3": HIGH, "4": CRITICAL})},
    closed={
        "stage": closing("TheHive stage", "Closed"),
        "status": closing("TheHive status", "Resolved", "Ignored", "FalsePositive", "Duplicated", "Rejected"),
    },
    tags=("tags", "pattern", "patternId", "procedures.patternId"),
    attributes={
        URL: ("observed.url",),
        HOST: (*_OBSERVED, "observed.ip"),
        USER: ("observed.username", "observed.user", "observed.account", "observed.mail"),
        HASH: ("observed.hash",),
        DESCRIPTION: ("description",),
        RULE_ID: ("type",),
        PRODUCT: ("source",),
    },
    keep=(
        "tags",
        "status",
        "stage",
        "type",
        "source",
        "sourceRef",
        "tlp",
        "pap",
        "caseId",
        "case_number=number",
        "assignee",
        "owner",
        "resolutionStatus",
        "impactStatus",
        "externalLink",
    ),
    product="TheHive",
)


def _observed(record: dict[str, Any]) -> dict[str, Any]:
    """Return an alert or a case with the data of its observables by their type; a webhook's event by its object."""
    inner = record.get("object")
    found = {**inner} if type(inner) is dict else {**record}
    observed: dict[str, list[Any]] = {}
    for key in ("artifacts", "observables"):
        given = found.get(key)
        for each in given[:MAX_LIST] if isinstance(given, list) else ():
            if type(each) is dict and isinstance(each.get("dataType"), str):
                data = each.get("data")
                observed.setdefault(each["dataType"], []).append(data.get("data") if type(data) is dict else data)
    addresses = observed.get("ip", [])
    observed["from"], observed["to"] = addresses[:1], addresses[1:2]
    return {**found, "observed": observed}


FORMAT = declared(
    "thehive",
    "TheHive",
    (
        Marks(keys=("sourceRef", "title"), any=("source", "type", "date")),
        Marks(keys=("title",), values={"_type": ("alert", "case")}),
        Marks(keys=("object.title",), values={"objectType": ("alert", "case")}),
    ),
    ALERT,
    prepare=_observed,
    notes=(
        "Ends are read from the observables: the first address is the source, a host name the target.",
        "An alert or case that names no host stands for itself, under its own reference.",
    ),
)
