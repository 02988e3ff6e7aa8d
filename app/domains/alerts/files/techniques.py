"""Techniques of a chunk: resolved in this process as it is cut, or by a job elsewhere and taken over in step 2.

A chunk that was handed to clustering is done: an object that comes again changes nothing.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from app.domains.alerts.alert import Alert, EnrichedAlert, Techniques
from app.domains.alerts.files import external, layout
from app.domains.alerts.formats.reading import add_nodes
from app.jobs.plan import get_within, need, put_json, read_chunk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.domains.alerts.files.protocol import Context
    from app.jobs.plan import RunPlan
    from app.storage.objects import Objects


TIMES, LATEST = "times", "latest"
"""Keys of a plan's options: the latest time that the file's alerts can have, or null where its own is unknown."""


def resolve_chunk(context: Context, chunk: str, alerts: Sequence[Alert]) -> None:
    """Write the techniques of a chunk's alerts, or the request to a job elsewhere."""
    objects, jobs = context.objects, context.jobs
    if jobs.external.technique is None:
        put_json(objects, layout.techniques(chunk), jobs.local.techniques(alerts))
        return
    known = jobs.local.known(alerts)
    put_json(objects, layout.known_techniques(chunk), known)
    objects.put(layout.technique_request(chunk), external.technique_request(alerts, known))


def start_chunk(context: Context, chunk: str) -> None:
    """Start step 2 of a chunk, unless it was: with its techniques, or by a job elsewhere if there is a text to ask.

    Raises:
        UnacknowledgedError: The time is up.
    """
    objects, response = context.objects, layout.technique_response(chunk)
    if objects.exists(response):
        return
    context.check_time(f"chunk {chunk}")
    job, request = context.jobs.external.technique, layout.technique_request(chunk)
    if job is not None and objects.get(request):
        job.submit(objects, request, response)
        return
    if job is None and not objects.exists(layout.techniques(chunk)):
        resolve_chunk(context, chunk, need(objects, layout.chunk_alerts(chunk), list[Alert]))
    objects.put(response, b"")


def process_enriched(context: Context, chunk: str) -> list[str]:
    """Step 2: take the answer of a job elsewhere, if there is one, and hand the chunk to clustering.

    Returns:
        The name of the object that starts step 4; nothing while the job has not answered.

    Raises:
        LocationError: The answer is not of its form, or there is no such chunk.
    """
    objects, request = context.objects, layout.cluster_request(chunk)
    if objects.exists(request):
        return [request]
    plan, index = read_chunk(objects, chunk)
    plan.check_form()
    answer = get_within(objects, layout.technique_response(chunk), external.LARGEST_ANSWER_BYTES)
    if answer is None:
        return []
    if not objects.exists(layout.techniques(chunk)):
        alerts = need(objects, layout.chunk_alerts(chunk), list[Alert])
        known = need(objects, layout.known_techniques(chunk), list[Techniques])
        label = f"{objects.root}/{layout.technique_response(chunk)}"
        put_json(objects, layout.techniques(chunk), external.answered_techniques(alerts, known, answer, label))
    if context.jobs.external.cluster is None:
        put_json(objects, request, {"unique_id": chunk})
    else:
        enriched = read_enriched(objects, plan, chunk, with_nodes=False)
        nodes = need(objects, layout.node_features(plan.file_run), dict[str, dict[str, Any]])
        config = plan.options.get("cluster_config", {})
        objects.put(request, external.cluster_request(enriched, plan.chunks[index].first, nodes, config))
    return [request]


def read_enriched(objects: Objects, plan: RunPlan, chunk: str, *, with_nodes: bool = True) -> list[EnrichedAlert]:
    """Return a chunk's alerts with their techniques, and the features that their file has of their hosts.

    Raises:
        LocationError: Step 2 has not been here.
    """
    alerts = need(objects, layout.chunk_alerts(chunk), list[Alert])
    techniques = need(objects, layout.techniques(chunk), list[Techniques])
    nodes = need(objects, layout.node_features(plan.file_run), dict[str, Any]) if with_nodes else {}
    for alert in alerts if nodes else ():
        add_nodes(alert, nodes)  # here, since a file may have its node features behind its alerts
    latest = plan.options.get(TIMES, {}).get(LATEST)
    latest = math.inf if latest is None else latest
    return [EnrichedAlert(alert, found, latest) for alert, found in zip(alerts, techniques, strict=True)]
