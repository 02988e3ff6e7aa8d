"""Step 2: what the technique job told of a chunk, and the chunk as clustering is asked about it.

It writes each alert's techniques, then the request for clusters, which starts the next step. A chunk whose request is
there is done: a response that comes again changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from app.domains.alerts.alert import Alert, EnrichedAlert, Techniques
from app.domains.alerts.files import encoding, layout
from app.domains.alerts.files.enrich import (
    known_techniques,
    node_features,
    original_input,
    technique_response,
)
from app.domains.alerts.files.plan import need, put_json, read_chunk, read_plan
from app.domains.alerts.files.seam import (
    TechniqueAnswer,
    match_answers,
    read_lines,
    technique_requests,
)
from app.domains.alerts.formats.reading import add_nodes

if TYPE_CHECKING:
    from app.domains.alerts.files.bucket import Bucket
    from app.domains.alerts.files.room import Room


class RequestedAlert(msgspec.Struct, frozen=True):
    """An alert as a cluster job is given it: its internal id, and codes for its attributes."""

    id: int
    time: float
    src: str
    dst: str
    name: str
    tech: tuple[str, ...]
    other_attributes_dict: dict[str, Any]


class ClusterRequest(msgspec.Struct, frozen=True):
    """What clustering is asked about a chunk.

    Attributes:
        request_id: Always 1: there is one in an object.
        input: The chunk's alerts.
        user_feedback_weights: None yet: the job's own are taken.
        cluster_config: As the file has it.
        node_feature: Codes of the features of those nodes that the chunk has, in the columns of
            `node_feature_lookup.json`.
    """

    request_id: str
    input: list[RequestedAlert]
    user_feedback_weights: dict[str, float]
    cluster_config: dict[str, Any]
    node_feature: dict[str, list[int]]


def classification(unique: str) -> str:
    """The name of the techniques of a chunk's alerts."""
    return f"{layout.INTERMEDIATE}{unique}/classification.json"


def cluster_request(unique: str) -> str:
    """The name of what clustering is asked about a chunk."""
    return f"{layout.CLUSTER_REQUEST}{unique}/input.json"


def process_enriched(room: Room, unique: str) -> list[str]:
    """Writes a chunk's techniques and its request for clusters.

    Returns:
        The name of the request, which starts step 4; nothing while the job has not answered.

    Raises:
        LocationError: The response is not of its form, or there is no such chunk.
    """
    bucket = room.bucket
    request = cluster_request(unique)
    if bucket.get(request) is not None:
        return [request]
    plan, place = read_chunk(bucket, unique)
    chunk = plan.chunks[place]
    response = bucket.get(technique_response(unique))
    if response is None:
        return []
    alerts = need(bucket, original_input(unique), list[Alert])
    told = _told(room, unique, alerts, response)
    put_json(bucket, classification(unique), told)
    encoder = encoding.Encoder()
    rows = [
        RequestedAlert(
            chunk.first + number,
            alert.time,
            alert.src,
            alert.dst,
            alert.name,
            techniques.ids,
            encoder.attributes(alert.other_attributes),
        )
        for number, (alert, techniques) in enumerate(zip(alerts, told, strict=True))
    ]
    nodes = need(bucket, node_features(plan.file_run, "node_feature"), dict[str, list[int]])
    ends = {end for alert in alerts for end in (alert.src, alert.dst)}
    mine = {node: nodes[node] for node in sorted(ends & set(nodes))}
    put_json(bucket, request, ClusterRequest("1", rows, {}, plan.cluster_config, mine))
    return [request]


def read_enriched(bucket: Bucket, unique: str) -> list[EnrichedAlert]:
    """A chunk's alerts with their techniques, and with what their file knows of their hosts.

    Raises:
        LocationError: Step 2 has not been here.
    """
    plan = read_plan(bucket, layout.split_unique_id(unique)[0])
    alerts = need(bucket, original_input(unique), list[Alert])
    told = need(bucket, classification(unique), list[Techniques])
    nodes = need(bucket, node_features(plan.file_run, "node_feature_original"), dict[str, Any])
    for alert in alerts if nodes else ():
        add_nodes(alert, nodes)  # here, since a file may say what it knows of its hosts behind its alerts
    return [EnrichedAlert(alert, techniques) for alert, techniques in zip(alerts, told, strict=True)]


def _told(room: Room, unique: str, alerts: list[Alert], response: bytes) -> list[Techniques]:
    """The techniques of each alert: what was known of it, or what the job told of its text."""
    known = need(room.bucket, known_techniques(unique), list[Techniques])
    requests, asked = technique_requests(alerts, known)
    name = technique_response(unique)
    answers = match_answers(requests, read_lines(response, TechniqueAnswer, f"{room.bucket.root}/{name}"))
    told: list[Techniques] = []
    for before, place in zip(known, asked, strict=True):
        answer = before if place < 0 else answers[place]
        told.append(msgspec.structs.replace(answer, dropped=before.dropped) if before.dropped else answer)
    return told
