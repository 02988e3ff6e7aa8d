"""Clusters and flows in the rows of the user's files, and what tickets are made from: dicts that JSON can write.

    cluster.json, flow.json      `cluster_row`, `flow_row`: a row each
    …_ticket_output.json         `cluster_ticket`, `flow_ticket`: a line each
    global_metrics.json          `global_metrics`

Files and the stream call the same functions: files have all ids and every cluster's summary, the stream has the alert
at hand and the flow. Ids of tickets are `cluster-<id>` and `flow-<id>`: a counter that both share would give other
numbers when a run is repeated, and tickets could not be found again. A consumer that wants a number has `cluster_id`
and `flow_id` beside it.

Tactics are numbers (5 is TA0005), in `cluster.json` as texts; stages are places in the kill chain, from 0. Lists are
never joined with commas, so hosts and ids may contain them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from app.domains.alerts.metrics import spread

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from app.domains.alerts.alert import EnrichedAlert
    from app.domains.alerts.attack import AttackTable
    from app.domains.alerts.incidents import ClusterSummary, Flow

QUERY_IDS = 500  # of a search text: longer ones are refused by the search
TICKET_ALERTS = 2  # a cluster of one alert is no incident
TICKET_EVENTS = 100  # that a ticket shows: a person reads no more, and the ids of all are in the cluster's row


def cluster_row(
    summary: ClusterSummary, ids: Sequence[int | str], merged: Sequence[int], table: AttackTable
) -> dict[str, Any]:
    """A row of `cluster.json`.

    Args:
        summary: The cluster as it stands.
        ids: Its alerts' ids, as far as they are at hand.
        merged: Clusters that became part of it, beside those that the summary names.
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
        "merged": sorted({*merged, *summary.merged}),
    }


def flow_row(flow: Flow, ids: Sequence[int | str]) -> dict[str, Any]:
    """A row of `flow.json`."""
    return {
        "flow_id": flow.flow_id,
        "cluster_prob": flow.cluster_prob,
        "ids": list(ids),
        "cluster_ids": list(flow.cluster_ids),
        "start_time": flow.start_time,
        "end_time": flow.end_time,
        "edges": msgspec.to_builtins(flow.edges),
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


def cluster_ticket(summary: ClusterSummary, events: Sequence[msgspec.Raw], table: AttackTable) -> dict[str, Any]:
    """A line of `cluster_ticket_output.json`: what a ticket of a cluster is made from.

    Args:
        summary: The cluster as it stands.
        events: Alerts of it that the ticket shows, by `event_row`.
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
        "metrics": {  # how many of each a step has
            "tech": spread([1 if step.technique else 0 for step in summary.steps], quarters=False),
            "tac": spread([len(tactics) for tactics in of_steps], quarters=False),
            "stage": spread([len(tactics) for tactics in of_steps], quarters=False),
        },
    }


def flow_ticket(
    flow: Flow, ids: Sequence[int | str], clusters: Sequence[ClusterSummary], table: AttackTable
) -> dict[str, Any]:
    """A line of `flow_ticket_output.json`: what a ticket of a flow is made from.

    Args:
        flow: The flow.
        ids: Its alerts' ids, as far as they are at hand; the first alert of each of its steps stands for the others
            when there are none.
        clusters: Its clusters, as far as they are at hand: the flow's own steps tell of the others.
        table: ATT&CK.
    """
    known = {each.cluster_id for each in clusters}
    steps = [node.step for node in flow.nodes if node.cluster_id not in known]
    techniques = [each for cluster in clusters for each in cluster.techniques]
    techniques += [step.technique for step in steps if step.technique]
    entities = [each for cluster in clusters for each in cluster.entities]
    entities += [each for step in steps for each in (step.src, step.dst)]
    return {
        "flow_id": flow.flow_id,
        "cluster_prob": flow.cluster_prob,
        "ticket_id": f"flow-{flow.flow_id}",
        "ids": list(ids) if ids else list(dict.fromkeys(node.step.first_id for node in flow.nodes)),
        "cluster_ids": list(flow.cluster_ids),
        "start_time": flow.start_time,
        "end_time": flow.end_time,
        "involved_entities": list(dict.fromkeys(entities)),
        **_involved(dict.fromkeys(techniques), table),
        "metrics": _metrics(clusters) if clusters else _metrics_of_steps(flow, table),
    }


def global_metrics(clusters: Sequence[ClusterSummary]) -> dict[str, Any]:
    """`global_metrics.json`: over all of a run's clusters."""
    return {"clusters": len(clusters), "metrics": _metrics(clusters)}


def splunk_query(ids: Sequence[int | str]) -> str:
    """A Splunk search for alerts by their ids, the first of many.

    An id of letters, digits and `_` stands as it is. Any other is put in quotes, with quotes and backslashes escaped
    and what cannot be printed as a blank, so that no id can end its term and add to the search.
    """
    return " OR ".join(f"({_term(str(each))})" for each in ids[:QUERY_IDS])


def tactics_of(techniques: Iterable[str], table: AttackTable) -> tuple[str, ...]:
    """Short names of the tactics that techniques serve, each once."""
    return tuple(dict.fromkeys(tactic for technique in techniques for tactic in table.tactics_of(technique)))


def numbers_of(tactics: Iterable[str], table: AttackTable) -> list[int]:
    """Tactics as numbers: 1 is TA0001."""
    return [int(table.tactic(tactic).id[2:]) for tactic in tactics]


def _term(text: str) -> str:
    if text.isascii() and text.replace("_", "").isalnum() and text.upper() not in {"OR", "AND", "NOT"}:
        return text
    safe = "".join(each if each.isprintable() else " " for each in text)
    return '"' + safe.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _involved(techniques: Iterable[str], table: AttackTable) -> dict[str, Any]:
    found = list(techniques)
    tactics = tactics_of(found, table)
    return {
        "involved_techs": found,
        "involved_tacs": numbers_of(tactics, table),
        "involved_stages": [table.stage_of(tactic) for tactic in tactics],
    }


def _metrics(clusters: Sequence[ClusterSummary]) -> dict[str, Any]:
    """How many techniques, tactics, stages, alerts and entities a cluster has, and how many seconds it takes."""
    return {
        "tech": spread([len(each.techniques) for each in clusters]),
        "tac": spread([len(each.tactics) for each in clusters]),
        "stage": spread([len(each.tactics) for each in clusters]),  # each tactic has a stage of its own
        "event": spread([each.alerts for each in clusters]),
        "entity": spread([len(each.entities) for each in clusters]),
        "time_range": spread([each.end_time - each.start_time for each in clusters]),
    }


def _metrics_of_steps(flow: Flow, table: AttackTable) -> dict[str, Any]:
    """The same of a flow's clusters, from its steps."""
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
