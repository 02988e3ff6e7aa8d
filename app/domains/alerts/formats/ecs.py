"""Alerts in the Elastic Common Schema: Kibana's detection alerts, and events of `event.kind: alert`."""

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

_HOST = ("host.name", "host.hostname", "host.ip", "host", "agent.name")
_USER = ("user.name", "source.user.name", "destination.user.name", "user.target.name", "user.email", "winlog.user.name")

TABLE = Table(
    id=("kibana.alert.uuid", "_id", "event.id"),
    digest=(
        "@timestamp",
        "kibana.alert.rule.uuid",
        "signal.rule.id",
        "signal.parents.id",
        "rule.id",
        "rule.name",
        "event.code",
        "message",
        "host.name",
        "source.ip",
        "destination.ip",
    ),
    time=("kibana.alert.original_time", "signal.original_time", "@timestamp", "event.created"),
    src=("source.ip", "source.address", "source.domain", "client.ip", "client.address", *_HOST),
    dst=("destination.ip", "destination.address", "destination.domain", "server.ip", "server.address", *_HOST),
    either=(*_USER, "user.id", "cloud.instance.id", "cloud.account.id"),
    name=("kibana.alert.rule.name", "signal.rule.name", "rule.name", "message", "event.action"),
    tech=(
        "kibana.alert.rule.threat.technique.subtechnique.id",
        "kibana.alert.rule.threat.technique.id",
        "signal.rule.threat.technique.subtechnique.id",
        "signal.rule.threat.technique.id",
        "threat.technique.subtechnique.id",
        "threat.technique.id",
    ),
    tags=("kibana.alert.rule.tags", "tags"),
    tenant=("organization.id",),
    severity={
        "kibana.alert.risk_score": severity.ELASTIC_RISK,
        "signal.rule.risk_score": severity.ELASTIC_RISK,
        "kibana.alert.severity": severity.ELASTIC,
        "signal.rule.severity": severity.ELASTIC,
        "event.risk_score": severity.ELASTIC_RISK,
        "event.severity": severity.ECS,
        "log.syslog.severity.code": severity.SYSLOG,
    },
    closed={
        "kibana.alert.workflow_status": {"closed": "Elastic kibana.alert.workflow_status closed"},
        "signal.status": {"closed": "Elastic signal.status closed"},
    },
    aliases=(
        (("host.name", "host.hostname"), ("host.ip",)),
        (("cloud.instance.id",), ("host.ip",)),
        (("source.domain",), ("source.ip", "source.address"), ("host.name", "host.hostname")),
        (("destination.domain",), ("destination.ip", "destination.address")),
        (("client.domain",), ("client.ip", "client.address")),
        (("server.domain",), ("server.ip", "server.address")),
    ),
    attributes={
        PORT: ("destination.port", "server.port"),
        PRIORITY: ("kibana.alert.risk_score", "signal.rule.risk_score", "event.risk_score", "event.severity"),
        URL: ("url.full", "url.original"),
        USER_AGENT: ("user_agent.original",),
        CERTIFICATE: ("tls.server.hash.sha256", "tls.server.hash.sha1", "tls.client.hash.sha256"),
        HOST: ("host.name", "host.hostname", "host"),
        USER: _USER,
        HASH: (
            "process.hash.sha256",
            "file.hash.sha256",
            "dll.hash.sha256",
            "process.hash.md5",
            "file.hash.md5",
            "dll.hash.md5",
        ),
        DESCRIPTION: (
            "kibana.alert.reason",
            "kibana.alert.rule.description",
            "signal.rule.description",
            "rule.description",
            "message",
        ),
        COMMAND_LINE: ("process.command_line", "process.args"),
        RULE_ID: (
            "kibana.alert.rule.rule_id",
            "signal.rule.rule_id",
            "kibana.alert.rule.uuid",
            "signal.rule.id",
            "rule.id",
            "rule.uuid",
        ),
        PRODUCT: ("observer.product", "event.module", "event.dataset", "agent.type"),
    },
    keep=(
        "src_port=source.port",
        "account=cloud.account.id",
        "kibana.alert.rule.uuid",
        "kibana.alert.severity",
        "kibana.alert.workflow_status",
        "kibana.alert.building_block_type",
        "event.action",
        "event.category",
        "event.code",
        "event.outcome",
        "event.severity",
        "process.name",
        "process.executable",
        "process.entity_id",
        "process.parent.name",
        "process.parent.command_line",
        "file.path",
        "registry.path",
        "dns.question.name",
        "network.transport",
        "network.protocol",
        "host.id",
        "host.os.name",
        "user.domain",
        "cloud.region",
        "index=_index",
    ),
    joined=("process.args",),
    dotted=True,
)

_MARKS = frozenset(
    ("@timestamp", "kibana", "ecs", "ecs.version", "signal", "kibana.alert.uuid", "kibana.alert.rule.name")
)

_ALERT_MARKS = frozenset(("kibana", "signal", "rule", "rule.name", "threat"))


def matches(record: dict[str, Any]) -> bool:
    """Return whether a record is an Elastic document, with nested or dotted keys."""
    return not _MARKS.isdisjoint(record)


def is_alert(record: dict[str, Any]) -> bool:
    """Return whether a document of Elastic's is an alert by itself, and not just a text that a shipper took."""
    if not _ALERT_MARKS.isdisjoint(record) or any(key.startswith("kibana.alert.") for key in record):
        return True
    event = record.get("event")
    kind = event.get("kind") if type(event) is dict else record.get("event.kind")
    return kind in ("alert", "signal")


FORMAT = Format(
    name="ecs",
    title="Elastic (ECS)",
    known_by="`@timestamp`, `ecs`, `signal` or `kibana.alert.…`; a search hit is read by its `_source`",
    matches=matches,
    read=FieldReader("Elastic (ECS)", "ecs", TABLE).read,
    tables=(("", TABLE),),
    notes=(
        "Objects may be nested or their keys dotted, in any mix.",
        "The time is that of the event, not of the rule's run, where the alert has both.",
        "An end that the event does not name is the host, else the user.",
        "`event.id` stands last: two rules that fired on one event have it in common.",
        "Without `process.command_line`, the arguments are put together.",
        "`priority` is the risk score, 0 to 100, where 100 is the worst; without one, `event.severity`.",
    ),
)
