"""Anomalies of AMiner as JSON."""

from __future__ import annotations

from typing import Any

from app.domains.alerts.alert import DESCRIPTION, HOST, RULE_ID
from app.domains.alerts.formats.attributes import MAX_LIST
from app.domains.alerts.formats.declared import declared
from app.domains.alerts.formats.mapping import Table
from app.domains.alerts.formats.marks import Marks

_CLIENT = frozenset(("client_ip", "clientip", "src_ip", "source_ip", "srcip", "remote_ip", "rip", "rhost", "client"))
"""Last parts of a parser's paths that stand for the other end, in the parsers that AMiner ships and its examples."""

ANOMALY = Table(
    digest=(
        "AnalysisComponent.AnalysisComponentName",
        "AnalysisComponent.AnalysisComponentType",
        "LogData.Timestamps",
        "LogData.RawLogData",
        "AnalysisComponent.AffectedLogAtomValues",
        "AMiner.ID",
    ),
    time=("LogData.Timestamps", "LogData.DetectionTimestamp"),
    src=("client", "AMiner.ID", "LogData.LogResources", "AnalysisComponent.LogResource"),
    dst=("AMiner.ID", "LogData.LogResources", "AnalysisComponent.LogResource"),
    either=("AnalysisComponent.AnalysisComponentName",),
    name=("AnalysisComponent.AnalysisComponentName", "AnalysisComponent.Message"),
    attributes={
        HOST: ("AMiner.ID",),
        DESCRIPTION: ("AnalysisComponent.Message", "LogData.RawLogData"),
        RULE_ID: ("AnalysisComponent.AnalysisComponentName",),
    },
    keep=(
        "AnalysisComponent.AnalysisComponentType",
        "AnalysisComponent.Message",
        "AnalysisComponent.AffectedLogAtomPaths",
        "AnalysisComponent.AffectedLogAtomValues",
        "AnalysisComponent.TrainingMode",
        "LogData.RawLogData",
        "LogData.LogResources",
    ),
    product="AMiner",
)


def _with_client(record: dict[str, Any]) -> dict[str, Any]:
    """Return an anomaly with the address of the client, where a parsed value is one."""
    component = record.get("AnalysisComponent")
    if type(component) is not dict:
        return record
    paths, values = component.get("AffectedLogAtomPaths"), component.get("AffectedLogAtomValues")
    if type(paths) is not list or type(values) is not list:
        return record
    pairs = zip(paths[:MAX_LIST], values[:MAX_LIST], strict=False)
    found = [value for path, value in pairs if isinstance(path, str) and path.rpartition("/")[2].lower() in _CLIENT]
    return {**record, "client": found} if found else record


FORMAT = declared(
    "aminer",
    "AMiner",
    (Marks(keys=("AnalysisComponent", "LogData")),),
    ANOMALY,
    prepare=_with_client,
    notes=(
        "The host is `AMiner.ID`, else the resource that the log lines come from.",
        "A client's address among the values of the anomaly is the source.",
        "AMiner states no severity.",
    ),
)
