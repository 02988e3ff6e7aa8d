"""Steps 6 and 7: a run's flows, and its results where the user looks.

All results are worked out before the first is written, and the manifest is written last: a run whose manifest is there
is complete, and nothing of it is written again. A crash before it: the step is done again, and writes the same bytes
over the same names.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from app.domains.alerts.files import layout
from app.domains.alerts.files.flow_request import FlowRequest, flow_request, flow_response, read_clusters
from app.domains.alerts.files.plan import decoded, need, put_json, read_plan
from app.domains.alerts.files.results import results_of
from app.domains.alerts.files.seam import FlowAnswer, FlowOutput

if TYPE_CHECKING:
    from app.domains.alerts.files.room import Room


class ResultFile(msgspec.Struct, frozen=True):
    """One result: its name, its size and its digest."""

    name: str
    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A run's results; there is nothing in it that would differ if the run were done again.

    Attributes:
        run: The run's name.
        file: The input object's name.
        sha256: Of its bytes.
        tenant: Whose the alerts are.
        alerts: How many.
        skipped: How many elements of the file could not be read: `skipped_events/`.
        clusters: How many the alerts are in.
        flows: How many those are in.
        files: What is beside the manifest.
    """

    run: str
    file: str
    sha256: str
    tenant: str
    alerts: int
    skipped: int
    clusters: int
    flows: int
    files: list[ResultFile]


def create_flow(room: Room, run: str) -> list[str]:
    """Step 6: asks the flow job, unless it has answered.

    Returns:
        The name of its answer, which starts step 7; nothing while it has not answered.
    """
    response = flow_response(run)
    if room.bucket.get(response) is None:
        room.check_time(f"run {run}")
        room.jobs.flow.submit(room.bucket, flow_request(run), response)
    return [response] if room.bucket.get(response) is not None else []


def process_flow(room: Room, run: str) -> str:
    """Step 7: writes a run's results, unless they are there.

    Returns:
        The manifest's name; empty while the job has not answered.

    Raises:
        LocationError: The answer is not of its form, or a step before was not there.
    """
    bucket = room.bucket
    manifest = layout.manifest_name(run)
    if bucket.get(manifest) is not None:
        return manifest
    answer = bucket.get(flow_response(run))
    if answer is None:
        return ""
    plan = read_plan(bucket, run)
    clusters = read_clusters(bucket, run)
    summaries = {row.cluster_id: row.summary for row in need(bucket, flow_request(run), FlowRequest).input}
    summaries |= {each.summary.cluster_id: each.summary for each in clusters}
    rows = _flow_rows(answer, f"{bucket.root}/{flow_response(run)}")
    results = results_of(room, plan, clusters, summaries, rows)
    put_json(bucket, f"{layout.INTERMEDIATE}{run}/flow_output.json", rows)
    bucket.put(f"{layout.TICKETS}{run}/enrich_alert_input.json", results.tickets)
    for name, data in results.files.items():
        bucket.put(f"{layout.OUTPUT}{run}/{name}", data)
    files = [ResultFile(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in results.files.items()]
    report = Manifest(
        run=run,
        file=plan.file,
        sha256=plan.sha256,
        tenant=plan.tenant,
        alerts=sum(chunk.alerts for chunk in plan.chunks),
        skipped=plan.skipped,
        clusters=len(clusters),
        flows=results.flows,
        files=files,
    )
    put_json(bucket, manifest, report)
    return manifest


def _flow_rows(answer: bytes, what: str) -> list[FlowOutput]:
    """The rows of an answer: one object, a list of them, or one a line."""
    text = answer.strip()
    if text.startswith(b"["):
        answers = decoded(text, list[FlowAnswer], what)
    else:
        answers = [decoded(line, FlowAnswer, what) for line in text.splitlines() if line.strip()]
    return [row for each in answers for row in each.output.flow_output]
