"""Events of Okta's System Log."""

from __future__ import annotations

import re
from typing import Any

from app.domains.alerts.alert import DESCRIPTION, RULE_ID, URL, USER, USER_AGENT
from app.domains.alerts.formats.attributes import LONGEST_VALUE, MAX_LIST
from app.domains.alerts.formats.declared import declared
from app.domains.alerts.formats.mapping import Table
from app.domains.alerts.formats.marks import Marks, value_at
from app.domains.alerts.formats.severity import Scale

SYSTEM_LOG = Table(
    id=("uuid",),
    time=("published",),
    src=("client.ipAddress", "request.ipChain.ip", "actor.alternateId", "actor.id"),
    dst=("target_user.alternateId", "actor.alternateId", "target.displayName", "actor.displayName", "actor.id"),
    name=("displayMessage", "legacyEventType", "eventType"),
    severity={"risk_level": Scale("Okta risk level"), "severe": Scale("Okta severity")},
    attributes={
        USER: ("target_user.alternateId", "actor.alternateId"),
        USER_AGENT: ("client.userAgent.rawUserAgent",),
        URL: ("debugContext.debugData.url", "debugContext.debugData.requestUri"),
        DESCRIPTION: ("outcome.reason", "debugContext.debugData.threatDetections", "debugContext.debugData.risk"),
        RULE_ID: ("eventType",),
    },
    keep=(
        "outcome.result",
        "outcome.reason",
        "level=severity",
        "client.geographicalContext.country",
        "client.zone",
        "client.device",
        "securityContext.isProxy",
        "authenticationContext.externalSessionId",
        "debugContext.debugData.risk",
        "debugContext.debugData.behaviors",
        "debugContext.debugData.threatSuspected",
        "target.type",
        "target.displayName",
    ),
    product="Okta",
)


_ROUTINE = ("INFO", "DEBUG")
"""Levels of nearly all events, also of a granted privilege or a new factor, so that they state no severity."""
_RISK = re.compile(r"\blevel=(MEDIUM|HIGH)\b")


def _prepared(record: dict[str, Any]) -> dict[str, Any]:
    """Return an event with those of its targets that are users, and with its risk if that is medium or high."""
    found, targets = dict(record), record.get("target")
    if type(targets) is list and (users := [each for each in targets[:MAX_LIST] if _is_user(each)]):
        found["target_user"] = users
    risk = value_at(record, "debugContext.debugData.risk")
    if isinstance(risk, str) and (level := _RISK.search(risk[:LONGEST_VALUE])):
        found["risk_level"] = level[1]
    if record.get("severity") not in _ROUTINE:
        found["severe"] = record.get("severity")
    return found


def _is_user(target: object) -> bool:
    return type(target) is dict and target.get("type") in ("User", "AppUser")


FORMAT = declared(
    "okta",
    "Okta System Log",
    (Marks(keys=("uuid", "published", "eventType"), any=("actor", "displayMessage", "outcome")),),
    SYSTEM_LOG,
    prepare=_prepared,
    notes=(
        "The target is the account: the user that the event is about, else the one who acted.",
        "The severity is the risk of the sign-in if that is medium or high, else the event's level, `WARN` or `ERROR`.",
        "`INFO` states none: a granted privilege has it as well.",
    ),
)
