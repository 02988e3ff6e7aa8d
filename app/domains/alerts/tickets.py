"""Rows and tickets of clusters and flows, as dicts for JSON.

    cluster.json, flow.json      `cluster_row`, `flow_row`: a row each
    …_ticket_output.json         `cluster_ticket`, `flow_ticket`: a line each
    global_metrics.json          `global_metrics`

Files and the stream call the same functions: files have all ids and every cluster's summary, the stream has only the
present alert and the flow. Ids of tickets are `cluster-<id>` and `flow-<id>`: with a common counter, a repeated run
would number tickets differently, and they could not be found again. `cluster_id` and `flow_id` are the bare numbers.

Tactics are numbers (5 is TA0005), in `cluster.json` as texts; stages are positions in the kill chain, from 0. Lists are
never joined by commas, so hosts and ids may contain them.
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

import msgspec

from app.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from app.domains.alerts.alert import EnrichedAlert
    from app.domains.alerts.attack import AttackTable
    from app.domains.alerts.incidents import ClusterSummary, Flow

QUERY_IDS = 500  # of a search text: Splunk refuses longer ones
TICKET_ALERTS = 2  # a cluster of one alert is no incident
TICKET_EVENTS = 100  # alerts that a ticket shows: nobody reads more, and the cluster's row has all ids


def cluster_row(
    summary: ClusterSummary, ids: Sequence[int | str], merged: Sequence[int], table: AttackTable
) -> dict[str, Any]:
    """Return a row of `cluster.json`.

    Args:
        summary: The cluster as it stands.
        ids: The known ids of its alerts.
        merged: Clusters that became part of it, in addition to those that the summary lists.
        table: ATT&CK.
    """
    return {
        "cluster_id": summary.cluster_id,
        "ids": list(ids),
        "splunk_query": splunk_query(ids),
        "start_time": summary.start_time,
        "end_time": summary.end_time,
        "src": list(summary.srcs),
        "dst": list(summary.dsts),
        "cluster_techs": list(summary.techniques),
        "cluster_tacs": [str(number) for number in numbers_of(summary.tactics, table)],
        "cluster_stages": [str(table.stage_of(tactic)) for tactic in summary.tactics],
        "alerts": summary.alerts,
        "severity": summary.severity,
        "merged": sorted({*merged, *summary.merged}),
    }


def flow_row(flow: Flow, ids: Sequence[int | str]) -> dict[str, Any]:
    """Return a row of `flow.json`."""
    return {
        "flow_id": flow.flow_id,
        "cluster_prob": flow.cluster_prob,
        "ids": list(ids),
        "cluster_ids": list(flow.cluster_ids),
        "start_time": flow.start_time,
        "end_time": flow.end_time,
        **_weight(flow),
        "edges": msgspec.to_builtins(flow.edges),
    }


def event_row(each: EnrichedAlert, table: AttackTable) -> msgspec.Raw:
    """Return an alert as a ticket shows it, encoded as JSON."""
    alert, tactics = each.alert, tactics_of(each.techniques.ids, table)
    row = {
        "id": alert.id,
        "src": alert.src,
        "dst": alert.dst,
        "time": alert.time,
        "name": alert.name,
        "severity": alert.severity,
        "severity_from": alert.severity_from,
        "tech": list(each.techniques.ids),
        "tac": numbers_of(tactics, table),
        "stage": [table.stage_of(tactic) for tactic in tactics],
        "other_attributes_dict": alert.other_attributes,
    }
    return msgspec.Raw(msgspec.json.encode(row, order="deterministic"))


def cluster_ticket(summary: ClusterSummary, events: Sequence[msgspec.Raw], table: AttackTable) -> dict[str, Any]:
    """Return a line of `cluster_ticket_output.json`: the contents of a cluster's ticket.

    Args:
        summary: The cluster as it stands.
        events: Alerts that the ticket shows, from `event_row`.
        table: ATT&CK.
    """
    of_steps = [tactics_of([step.technique], table) for step in summary.steps]
    return {
        "ticket_id": f"cluster-{summary.cluster_id}",
        "cluster_id": summary.cluster_id,
        "involved_events": list(events),
        "start_time": summary.start_time,
        "end_time": summary.end_time,
        "involved_entities": list(summary.entities),
        **_involved(summary.techniques, table),
        "alerts": summary.alerts,
        "severity": summary.severity,
        "metrics": {  # per step
            "tech": spread([1 if step.technique else 0 for step in summary.steps], quarters=False),
            "tac": spread([len(tactics) for tactics in of_steps], quarters=False),
            "stage": spread([len(tactics) for tactics in of_steps], quarters=False),
        },
    }


def flow_ticket(
    flow: Flow, ids: Sequence[int | str], clusters: Sequence[ClusterSummary], table: AttackTable
) -> dict[str, Any]:
    """Return a line of `flow_ticket_output.json`: the contents of a flow's ticket.

    Args:
        flow: The flow.
        ids: The known ids of its alerts; if empty, the first alert of each step is listed.
        clusters: The known summaries of its clusters; the flow's own steps stand for the others.
        table: ATT&CK.
    """
    steps = [node.step for node in flow.nodes]
    techniques = [step.technique for step in steps if step.technique]
    entities = [each for step in steps for each in (step.src, step.dst, *step.entities)]
    if not steps:  # a job elsewhere names clusters alone
        techniques = [each for cluster in clusters for each in cluster.techniques]
        entities = [each for cluster in clusters for each in cluster.entities]
    return {
        "flow_id": flow.flow_id,
        "cluster_prob": flow.cluster_prob,
        "ticket_id": f"flow-{flow.flow_id}",
        "ids": list(ids) if ids else list(dict.fromkeys(node.step.first_id for node in flow.nodes)),
        "cluster_ids": list(flow.cluster_ids),
        "start_time": flow.start_time,
        "end_time": flow.end_time,
        **_weight(flow),
        "involved_entities": list(dict.fromkeys(entities)),
        **_involved(dict.fromkeys(techniques), table),
        "metrics": _metrics(clusters) if clusters else _metrics_of_steps(flow, table),
    }


def global_metrics(clusters: Sequence[ClusterSummary]) -> dict[str, Any]:
    """Return the contents of `global_metrics.json`, over all clusters of a run."""
    return {"clusters": len(clusters), "metrics": _metrics(clusters)}


def spread(values: Sequence[float], *, quarters: bool = True) -> dict[str, float]:
    """Return mean, minimum, maximum, median, quartiles and count of values; all 0 without a value.

    Quartiles are interpolated linearly between values, as in numpy and spreadsheets.

    Args:
        values: The values.
        quarters: Whether to include the quartiles.
    """
    if not values:
        found: dict[str, float] = dict.fromkeys(("avg", "min", "max", "median", "q1", "q3"), 0)
    else:
        middle = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3
        found = {
            "avg": statistics.fmean(values),
            "min": min(values),
            "max": max(values),
            "median": statistics.median(values),
            "q1": middle[0],
            "q3": middle[2],
        }
    if not quarters:
        del found["q1"], found["q3"]
    return found | {"count": len(values)}


def splunk_query(ids: Sequence[int | str]) -> str:
    """Return a Splunk search for alerts by their ids, at most `QUERY_IDS` of them.

    An id of letters, digits and `_` is written as it is. Any other is quoted, with quotes and backslashes escaped and
    unprintable characters as blanks, so that no id can end its term and add to the search.
    """
    return " OR ".join(f"({_term(str(each))})" for each in ids[:QUERY_IDS])


def tactics_of(techniques: Iterable[str], table: AttackTable) -> tuple[str, ...]:
    """Return the short names of the techniques' tactics, each once."""
    return tuple(dict.fromkeys(tactic for technique in techniques for tactic in table.tactics_of(technique)))


def numbers_of(tactics: Iterable[str], table: AttackTable) -> list[int]:
    """Return tactics as numbers: 1 is TA0001."""
    return [int(table.tactic(tactic).id[2:]) for tactic in tactics]


def _term(text: str) -> str:
    if text.isascii() and text.replace("_", "").isalnum() and text.upper() not in {"OR", "AND", "NOT"}:
        return text
    safe = printable(text, len(text), " ")
    return '"' + safe.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _weight(flow: Flow) -> dict[str, Any]:
    """Return how much a flow matters, and why it is an incident."""
    return {
        "alerts": flow.alerts,
        "severity": flow.severity,
        "risk": flow.risk,
        "context": flow.context,
        "reasons": list(flow.reasons),
    }


def _involved(techniques: Iterable[str], table: AttackTable) -> dict[str, Any]:
    found = list(techniques)
    tactics = tactics_of(found, table)
    return {
        "involved_techs": found,
        "involved_tacs": numbers_of(tactics, table),
        "involved_stages": [table.stage_of(tactic) for tactic in tactics],
    }


def _metrics(clusters: Sequence[ClusterSummary]) -> dict[str, Any]:
    """Return the spread of techniques, tactics, stages, alerts, entities and seconds per cluster."""
    return {
        "tech": spread([len(each.techniques) for each in clusters]),
        "tac": spread([len(each.tactics) for each in clusters]),
        "stage": spread([len(each.tactics) for each in clusters]),  # each tactic has a stage of its own
        "event": spread([each.alerts for each in clusters]),
        "entity": spread([len(each.entities) for each in clusters]),
        "time_range": spread([each.end_time - each.start_time for each in clusters]),
    }


def _metrics_of_steps(flow: Flow, table: AttackTable) -> dict[str, Any]:
    """Return the `_metrics` of a flow's clusters, derived from its steps."""
    steps = {cluster: [node.step for node in flow.nodes if node.cluster_id == cluster] for cluster in flow.cluster_ids}
    techniques = [{step.technique for step in each if step.technique} for each in steps.values()]
    tactics = [len(tactics_of(each, table)) for each in techniques]
    return {
        "tech": spread([len(each) for each in techniques]),
        "tac": spread(tactics),
        "stage": spread(tactics),
        "event": spread([sum(step.alerts for step in each) for each in steps.values()]),
        "entity": spread([len({end for step in each for end in (step.src, step.dst)}) for each in steps.values()]),
        "time_range": spread(
            [
                max(step.end_time for step in each) - min(step.start_time for step in each)
                for each in steps.values()
                if each
            ]
        ),
    }
