"""GitHub's audit log, and its alerts about code, secrets and dependencies as webhooks send them."""

from __future__ import annotations

from typing import Any

from app.domains.alerts.alert import DESCRIPTION, RULE_ID, URL, USER, USER_AGENT
from app.domains.alerts.formats.declared import closing, declared
from app.domains.alerts.formats.mapping import Table
from app.domains.alerts.formats.marks import Marks
from app.domains.alerts.formats.severity import Scale

_SEVERITY = Scale("GitHub severity")

_TARGET = ("repo", "repository", "org", "business", "user")

AUDIT = Table(
    id=("_document_id", "request_id"),
    digest=("action", "actor", "created_at", "@timestamp", "org", "repo", "user"),
    time=("created_at", "@timestamp", "at_sign_timestamp", "at"),
    src=("actor_ip", "actor", "actor_id"),
    dst=(*_TARGET, "actor"),
    name=("detection", "action"),
    attributes={
        USER: ("actor", "user"),
        USER_AGENT: ("user_agent",),
        DESCRIPTION: ("explanation", "message", "name"),
        RULE_ID: ("action",),
    },
    keep=(
        "action",
        "operation_type",
        "repo",
        "org",
        "business",
        "actor_location.country_code",
        "programmatic_access_type",
        "token_scopes",
        "hashed_token",
        "visibility",
    ),
    product="GitHub",
)

_ALERT_NAME = (
    "alert.rule.description",
    "alert.security_advisory.summary",
    "alert.secret_type_display_name",
    "alert.secret_type",
    "alert.rule.name",
    "alert.rule.id",
    "alert.affected_package_name",
)
ALERT = Table(
    id=("alert.html_url", "alert.url", "alert.number"),
    time=("alert.created_at", "alert.updated_at"),
    src=("repository.full_name", "repository.name"),
    dst=("repository.full_name", "repository.name"),
    name=_ALERT_NAME,
    severity={
        "alert.rule.security_severity_level": _SEVERITY,
        "alert.security_advisory.severity": _SEVERITY,
        "alert.severity": _SEVERITY,
        "alert.rule.severity": _SEVERITY,
    },
    closed={"alert.state": closing("GitHub state", "fixed", "dismissed", "auto_dismissed", "closed", "resolved")},
    tags=("alert.rule.tags", "alert.security_advisory.cwes.cwe_id"),
    attributes={
        URL: ("alert.html_url",),
        DESCRIPTION: ("alert.rule.full_description", "alert.security_advisory.description", "alert.rule.help"),
        RULE_ID: ("alert.rule.id", "alert.secret_type", "alert.security_advisory.ghsa_id"),
    },
    keep=(
        "action",
        "alert.state",
        "alert.number",
        "alert.tool.name",
        "alert.rule.severity",
        "alert.rule.security_severity_level",
        "alert.most_recent_instance.ref",
        "alert.most_recent_instance.location.path",
        "alert.dependency.package.name",
        "organization.login",
    ),
    product="GitHub",
)


def _named(record: dict[str, Any]) -> dict[str, Any]:
    """Return an event with a name that says where it comes from: "GitHub protected_branch.destroy"."""
    action = record.get("action")
    return {**record, "detection": f"GitHub {action}"} if isinstance(action, str) and action else record


FORMATS = (
    declared(
        "github_audit",
        "GitHub audit log",
        (
            Marks(
                keys=("action", "actor"),
                any=("_document_id", "actor_location", "actor_ip", "operation_type", "at_sign_timestamp", "business"),
            ),
        ),
        AUDIT,
        prepare=_named,
        notes=("The target is the repository, else the organisation. Send the events that a detection selected.",),
    ),
    declared(
        "github_alert",
        "GitHub security alerts",
        (Marks(keys=("alert", "repository"), any=("sender", "organization", "action")),),
        ALERT,
        notes=("Alerts of code scanning, secret scanning and Dependabot; source and target are the repository.",),
    ),
)
