"""Falco's JSON output, and that of Falcosidekick."""

from __future__ import annotations

from app.domains.alerts.alert import COMMAND_LINE, DESCRIPTION, HOST, PORT, RULE_ID, USER
from app.domains.alerts.formats.declared import declared
from app.domains.alerts.formats.mapping import Table
from app.domains.alerts.formats.marks import Marks
from app.domains.alerts.formats.severity import Scale

_CONTAINER = ("output_fields.k8s.pod.name", "output_fields.container.name", "output_fields.container.id")
_NODE = ("hostname", "output_fields.evt.hostname", "output_fields.k8s.node.name")

FALCO = Table(
    id=("uuid",),
    digest=("time", "rule", "hostname", "output"),
    time=("time", "output_fields.evt.time", "output_fields.evt.time.iso8601"),
    src=(
        "output_fields.fd.cip",
        "output_fields.fd.lip",
        "output_fields.ka.sourceips",
        "output_fields.ct.srcip",
        "output_fields.aws.sourceIPAddress",
        *_NODE,
        *_CONTAINER,
        "output_fields.ka.user.name",
    ),
    dst=(
        "output_fields.fd.sip",
        "output_fields.fd.rip",
        "output_fields.fd.sip.name",
        *_NODE,
        *_CONTAINER,
        "output_fields.ka.target.name",
        "output_fields.ct.user",
    ),
    either=("source",),
    name=("rule",),
    tags=("tags",),
    severity={"priority": Scale("Falco priority")},
    attributes={
        PORT: ("output_fields.fd.sport", "output_fields.fd.rport"),
        HOST: ("hostname", "output_fields.evt.hostname", *_CONTAINER[:1]),
        USER: ("output_fields.user.name", "output_fields.ka.user.name", "output_fields.ct.user"),
        DESCRIPTION: ("output",),
        COMMAND_LINE: ("output_fields.proc.cmdline", "output_fields.proc.pcmdline"),
        RULE_ID: ("rule",),
    },
    keep=(
        "level=priority",
        "falco_source=source",
        "tags",
        "output_fields.proc.name",
        "output_fields.proc.pname",
        "output_fields.proc.exepath",
        "output_fields.fd.name",
        "output_fields.container.id",
        "output_fields.container.name",
        "output_fields.container.image.repository",
        "output_fields.k8s.ns.name",
        "output_fields.k8s.pod.name",
        "output_fields.ka.verb",
        "output_fields.ka.target.resource",
    ),
    dotted=True,
    product="Falco",
)

FORMAT = declared(
    "falco",
    "Falco",
    (
        Marks(keys=("rule", "output", "priority"), any=("output_fields", "time")),
        Marks(keys=("rule", "output_fields", "priority")),
    ),
    FALCO,
    notes=(
        "An end that no connection names is the node, else the pod or container.",
        "Techniques are the ids among the rule's `tags`.",
    ),
)
