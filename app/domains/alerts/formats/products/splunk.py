"""Notable events of Splunk Enterprise Security."""

from __future__ import annotations

from typing import Any

from app.domains.alerts.alert import (
    COMMAND_LINE,
    DESCRIPTION,
    HASH,
    HOST,
    PORT,
    RULE_ID,
    URL,
    USER,
    USER_AGENT,
)
from app.domains.alerts.formats.declared import closing, declared
from app.domains.alerts.formats.mapping import Table
from app.domains.alerts.formats.marks import Marks
from app.domains.alerts.formats.severity import Scale

_HOST = ("dvc", "orig_host", "host_name", "risk_object", "normalized_risk_object")

NOTABLE = Table(
    id=("event_id", "notable_id", "event_hash", "orig_event_id"),
    digest=(
        "search_name",
        "_time",
        "orig_time",
        "src",
        "dest",
        "user",
        "risk_object",
        "_cd",
        "sid",
        "orig_sid",
        "_raw",
    ),
    time=("orig_time", "_time", "time", "firstTime", "info_min_time", "_indextime"),
    src=("src_ip", "src", "src_host", "src_nt_host", "src_dns", *_HOST),
    dst=("dest_ip", "dest", "dest_host", "dest_nt_host", "dest_dns", *_HOST),
    either=("user", "src_user", "event_id", "search_name"),
    name=("rule_title", "rule_name", "search_name", "signature", "source"),
    tech=("annotations.mitre_attack", "annotations.mitre_attack.mitre_technique_id", "mitre_technique_id"),
    tags=("tag", "annotations"),
    aliases=(
        (("src_host", "src_nt_host", "src_dns"), ("src_ip",), ("dest", "dest_host", "dest_nt_host", "dest_dns")),
        (("dest_host", "dest_nt_host", "dest_dns"), ("dest_ip",)),
    ),
    severity={"urgency": Scale("Splunk urgency"), "severity": Scale("Splunk severity")},
    closed={
        "status_label": closing("Splunk status", "Resolved", "Closed"),
        "status": {"4": "Splunk status 4 (Resolved)", "5": "Splunk status 5 (Closed)"},
    },
    attributes={
        PORT: ("dest_port",),
        URL: ("url",),
        USER_AGENT: ("http_user_agent",),
        HOST: ("src_host", "src_nt_host", "dest_host", "dest_nt_host", "orig_host"),
        USER: ("user", "src_user", "dest_user", "user_name"),
        HASH: ("file_hash", "process_hash", "parent_process_hash"),
        DESCRIPTION: ("rule_description", "savedsearch_description", "description", "risk_message"),
        COMMAND_LINE: ("process", "cmdline"),
        RULE_ID: ("search_name", "source", "detection_id"),
    },
    keep=(
        "src_port",
        "security_domain",
        "severity",
        "urgency",
        "priority_of_asset=priority",
        "status_label",
        "disposition_label",
        "owner",
        "risk_score",
        "risk_object",
        "risk_object_type",
        "risk_message",
        "signature",
        "process_name",
        "parent_process",
        "parent_process_name",
        "action",
        "app",
        "vendor_product",
        "annotations.mitre_attack.mitre_tactic",
        "info_sid",
    ),
    dotted=True,
    product="Splunk Enterprise Security",
)


def _result(record: dict[str, Any]) -> dict[str, Any]:
    """Return the result of a search that a webhook sent, with the search's name; any other record as it is."""
    result = record.get("result")
    if type(result) is not dict:
        return record
    return {"search_name": record.get("search_name"), "sid": record.get("sid"), **result}


FORMAT = declared(
    "splunk",
    "Splunk notable events",
    (
        Marks(
            keys=("search_name",),
            any=("rule_title", "rule_name", "urgency", "event_id", "security_domain", "risk_object"),
        ),
        Marks(keys=("event_id", "rule_name"), any=("urgency", "security_domain", "severity")),
        Marks(keys=("rule_title", "security_domain")),
        Marks(keys=("search_name", "result._time"), any=("result.src", "result.dest", "result.user")),
    ),
    NOTABLE,
    prepare=_result,
    notes=(
        "A webhook of any alert of Splunk's is read by its `result`, where that has the common fields.",
        "An end that the event does not name is the device, the host that it came from, or the risk object.",
        "The title is preferred to the rule's name, which is preferred to the name of the search.",
    ),
)
