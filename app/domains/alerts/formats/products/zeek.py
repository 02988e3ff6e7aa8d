"""Zeek's notice log as JSON."""

from __future__ import annotations

from app.domains.alerts.alert import DESCRIPTION, PORT, RULE_ID
from app.domains.alerts.formats.declared import declared
from app.domains.alerts.formats.mapping import Table
from app.domains.alerts.formats.marks import Marks

NOTICE = Table(
    digest=("ts", "uid", "note", "msg", "sub", "src", "dst", "p", "id.orig_h", "id.orig_p", "id.resp_h", "fuid"),
    time=("ts", "_write_ts", "@timestamp"),
    src=("id.orig_h", "src"),
    dst=("id.resp_h", "dst"),
    either=("peer_descr", "_system_name"),
    name=("note",),
    tags=("sub", "msg"),
    attributes={
        PORT: ("id.resp_p", "p"),
        DESCRIPTION: ("msg", "sub"),
        RULE_ID: ("note",),
    },
    keep=(
        "src_port=id.orig_p",
        "sub",
        "uid",
        "fuid",
        "file_mime_type",
        "file_desc",
        "proto",
        "n",
        "actions",
        "sensor=peer_descr",
        "remote_location.country_code",
    ),
    dotted=True,
    product="Zeek",
)

FORMAT = declared(
    "zeek",
    "Zeek notices",
    (Marks(keys=("note", "ts"), any=("msg", "actions", "suppress_for", "peer_descr")),),
    NOTICE,
    notes=(
        "`notice.log` with JSON; the keys of a connection may be nested or dotted.",
        "`src` and `dst` stand where the notice is of no single connection.",
        "A notice of no host at all is of the node that raised it.",
    ),
)
