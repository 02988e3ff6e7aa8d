"""Rows of a run's results, in the fields that the seed's system has them in."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from app.pipelines.alerts.alert import EnrichedAlert
    from app.pipelines.alerts.attack import AttackTable
    from app.pipelines.alerts.incidents import ClusterSummary, Flow

QUERY_IDS = 500  # of a search text: longer ones are refused by the search
TICKET_ALERTS = 2  # a cluster of one alert is no incident
TICKET_EVENTS = 100  # that a ticket shows: a person reads no more, and the ids of all are in the cluster's row


def cluster_row(summary: ClusterSummary, ids: Sequence[int | str], merged: Sequence[int], table: AttackTable) -> Any:  # noqa: ANN401 - JSON
    """A row of `cluster.json`."""
    return {
        "cluster_id": summary.cluster_id,
        "ids": list(ids),
        "splunk_query": " OR ".join(f"({each})" for each in ids[:QUERY_IDS]),
        "start_time": summary.start_time,
        "end_time": summary.end_time,
        "src": list(summary.srcs),
        "dst": list(summary.dsts),
        "cluster_techs": list(summary.techniques),
        "cluster_tacs": [str(number) for number in numbers_of(summary.tactics, table)],
        "cluster_stages": [str(table.stage_of(tactic)) for tactic in summary.tactics],
        "alerts": summary.alerts,
        "merged": sorted({*merged, *summary.merged}),
    }


def flow_row(flow: Flow, ids: Sequence[int | str]) -> Any:  # noqa: ANN401 - JSON
    """A row of `flow.json`."""
    return {
        "flow_id": flow.flow_id,
        "cluster_prob": flow.cluster_prob,
        "ids": list(ids),
        "cluster_ids": list(flow.cluster_ids),
        "start_time": flow.start_time,
        "end_time": flow.end_time,
        "edges": [
            {"source": each.source, "target": each.target, "probability": each.probability, "reason": each.reason}
            for each in flow.edges
        ],
    }


def event_row(each: EnrichedAlert, table: AttackTable) -> msgspec.Raw:
    """An alert as a ticket shows it, as JSON already."""
    alert, tactics = each.alert, tactics_of(each.techniques.ids, table)
    row = {
        "id": alert.id,
        "src": alert.src,
        "dst": alert.dst,
        "time": alert.time,
        "name": alert.name,
        "tech": list(each.techniques.ids),
        "tac": numbers_of(tactics, table),
        "stage": [table.stage_of(tactic) for tactic in tactics],
        "other_attributes_dict": alert.other_attributes,
    }
    return msgspec.Raw(msgspec.json.encode(row, order="deterministic"))


def cluster_ticket(summary: ClusterSummary, events: Sequence[msgspec.Raw], table: AttackTable) -> Any:  # noqa: ANN401 - JSON
    """A line of `cluster_ticket_output.json`; the ticket has the cluster's id, so that it is the same in every file."""
    return {
        "ticket_id": f"cluster-{summary.cluster_id}",
        "cluster_id": summary.cluster_id,
        "involved_events": list(events),
        **_involved([summary], table),
        "alerts": summary.alerts,
        "metrics": _metrics([summary]),
    }


def flow_ticket(flow: Flow, ids: Sequence[int | str], clusters: Sequence[ClusterSummary], table: AttackTable) -> Any:  # noqa: ANN401
    """A line of `flow_ticket_output.json`."""
    return {
        "flow_id": flow.flow_id,
        "cluster_prob": flow.cluster_prob,
        "ticket_id": f"flow-{flow.flow_id}",
        "ids": list(ids),
        "cluster_ids": list(flow.cluster_ids),
        **_involved(clusters, table),
        "metrics": _metrics(clusters),
    }


def global_metrics(clusters: Sequence[ClusterSummary]) -> Any:  # noqa: ANN401 - JSON
    """`global_metrics.json`: over all of a run's clusters."""
    return {"clusters": len(clusters), "metrics": _metrics(clusters)}


def tactics_of(techniques: Iterable[str], table: AttackTable) -> list[str]:
    """Short names of the tactics that techniques serve, each once."""
    return list(dict.fromkeys(tactic for technique in techniques for tactic in table.tactics_of(technique)))


def numbers_of(tactics: Iterable[str], table: AttackTable) -> list[int]:
    """Tactics as numbers: 1 is TA0001."""
    return [int(table.tactic(tactic).id[2:]) for tactic in tactics]


def _involved(clusters: Sequence[ClusterSummary], table: AttackTable) -> dict[str, Any]:
    tactics = list(dict.fromkeys(tactic for each in clusters for tactic in each.tactics))
    return {
        "start_time": min(each.start_time for each in clusters),
        "end_time": max(each.end_time for each in clusters),
        "involved_entities": list(dict.fromkeys(entity for each in clusters for entity in each.entities)),
        "involved_techs": list(dict.fromkeys(technique for each in clusters for technique in each.techniques)),
        "involved_tacs": numbers_of(tactics, table),
        "involved_stages": [table.stage_of(tactic) for tactic in tactics],
    }


def _metrics(clusters: Sequence[ClusterSummary]) -> dict[str, Any]:
    """How many techniques, tactics, alerts and entities a cluster has."""
    return {
        "tech": _figures([len(each.techniques) for each in clusters]),
        "tac": _figures([len(each.tactics) for each in clusters]),
        "event": _figures([each.alerts for each in clusters]),
        "entity": _figures([len(each.entities) for each in clusters]),
        "time_range": _figures([each.end_time - each.start_time for each in clusters]),
    }


def _figures(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {"count": 0}
    return {
        "avg": statistics.fmean(values),
        "min": min(values),
        "max": max(values),
        "median": statistics.median(values),
        "count": len(values),
    }
