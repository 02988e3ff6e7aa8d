"""Requests to jobs elsewhere and their answers: JSON lines and a ZIP archive, as the seed system has them.

Only a run with such a job (a SageMaker transform job, say) has these objects; in this process the steps call functions.
A job takes the request object and writes the response object, whose arrival starts the next step, so nothing waits for
it. `docs/alert-files.md` shows the lines.
"""

from __future__ import annotations

import io
import itertools
import zipfile
import zlib
from collections import Counter
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from app.budgets import MOST_ELEMENTS, is_over_elements
from app.domains.alerts.alert import COMMAND_LINE, DESCRIPTION, PRODUCT, RULE_ID, Alert, Techniques
from app.domains.alerts.attack import attack_table
from app.domains.alerts.files.codes import Encoder, node_columns, node_rows
from app.domains.alerts.files.protocol import ChunkCluster
from app.domains.alerts.incidents import ClusterSummary, Flow, FlowNode
from app.domains.alerts.tickets import numbers_of
from app.errors import BudgetError, LocationError
from app.jobs.plan import ORDERED, decoded
from app.storage.archive import open_archive
from app.text import without_bom

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.domains.alerts.alert import EnrichedAlert
    from app.jobs.plan import ChunkPlan

T = TypeVar("T")

ASKED_WITH = (DESCRIPTION, COMMAND_LINE, RULE_ID, PRODUCT)
"""Attributes that help to predict a technique: they go to the job with the text."""
CLUSTER_MEMBER, ALERT_MEMBER = "cluster_output.json", "alert_output.json"
LARGEST_ANSWER_BYTES = 256 * 1024 * 1024  # of an object that a job, or a step of ours, has written
LARGEST_INFLATED_BYTES = 64 * 1024 * 1024  # of both members of an archive: 100,000 alerts, the largest chunk, have half
MOST_ANSWER_ELEMENTS = 4 * MOST_ELEMENTS  # of an answer: 100,000 alerts of 20 fields
_ZIP_MAGIC = b"PK"


class TechniqueRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """A text that a job is to predict techniques for.

    Attributes:
        request_id: The line's number, from 1.
        input: The alert's name.
        attributes: Those of `ASKED_WITH` that the alert has.
    """

    request_id: str
    input: str
    attributes: dict[str, Any] = {}


class Labels(msgspec.Struct, frozen=True, omit_defaults=True):
    """Technique ids, the surest first."""

    techniques: list[str] = []


class TechniqueAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The techniques of a text; a job may leave out the last three fields."""

    raw_alert: str
    labels: Labels = Labels()
    source: str = ""
    confidence: float = 0.0
    confidences: list[float] = []


class RequestedAlert(msgspec.Struct, frozen=True):
    """An alert in a request for clusters: its internal id, and codes for its attributes."""

    id: int
    time: float
    src: str
    dst: str
    name: str
    tech: tuple[str, ...]
    other_attributes_dict: dict[str, Any]


class ClusterRequest(msgspec.Struct, frozen=True):
    """A request for the clusters of a chunk.

    Attributes:
        request_id: Always 1: an object has one request.
        input: The chunk's alerts.
        user_feedback_weights: Empty: the job has its own.
        cluster_config: The file's own.
        node_feature: Codes of the features of those nodes that the chunk has, in the columns of
            `node_feature_lookup.json`.
    """

    request_id: str
    input: list[RequestedAlert]
    user_feedback_weights: dict[str, float]
    cluster_config: dict[str, Any]
    node_feature: dict[str, list[int]]


class AggregatedAlert(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `alert_output.json`: alerts of a chunk that say the same; its other fields are not read.

    Attributes:
        aggalert_id: Its id within the response.
        ids: Internal ids of its alerts.
    """

    aggalert_id: int
    ids: list[int]


class ClusterOutput(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `cluster_output.json`; a job may leave out the last two fields.

    Attributes:
        cluster_id: The cluster.
        cluster_aggalertids: The response's aggregated alerts in it.
        merged: Clusters that became part of it.
        summary: The cluster as it stands; without it, it is made of the run's own alerts.
    """

    cluster_id: int
    cluster_aggalertids: list[int] = []
    merged: list[int] = []
    summary: ClusterSummary | None = None


class FlowCluster(msgspec.Struct, frozen=True, kw_only=True):
    """A cluster in a request for flows.

    Attributes:
        cluster_id: Its id.
        campaign_id: None: campaigns are made elsewhere.
        cluster_starttime: Of its first alert, seconds since 1970.
        cluster_endtime: Of its last.
        cluster_srcips: Sources.
        cluster_dstips: Destinations.
        cluster_ips: Both, each once.
        cluster_techs: Technique ids.
        cluster_tacs: Tactics as numbers: 1 is TA0001.
        cluster_stages: Their positions in the kill chain, from 0.
        summary: All that is known of it.
    """

    cluster_id: int
    campaign_id: int | None
    cluster_starttime: float
    cluster_endtime: float
    cluster_srcips: list[str]
    cluster_dstips: list[str]
    cluster_ips: list[str]
    cluster_techs: list[str]
    cluster_tacs: list[int]
    cluster_stages: list[int]
    summary: ClusterSummary


class FlowRequest(msgspec.Struct, frozen=True):
    """A request for the flows of a run: its clusters and those before them, the newest first."""

    request_id: str
    input: list[FlowCluster]
    config: dict[str, Any]


class FlowOutput(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `flow_output`; a job may leave out `flow`."""

    flow_id: int = msgspec.field(name="Flow_id")
    cluster_ids: list[int]
    cluster_prob: float
    flow: Flow | None = None


class FlowOutputs(msgspec.Struct, frozen=True):
    """The flows of an answer."""

    flow_output: list[FlowOutput]


class FlowAnswer(msgspec.Struct, frozen=True):
    """The answer to a request for flows."""

    output: FlowOutputs


def technique_request(alerts: Sequence[Alert], known: Sequence[Techniques]) -> bytes:
    """Return a line for each text that nothing is known of; empty without any."""
    requests, _ = _unknown_texts(alerts, known)
    return msgspec.json.Encoder().encode_lines(requests)


def answered_techniques(
    alerts: Sequence[Alert], known: Sequence[Techniques], answer: bytes, label: str
) -> list[Techniques]:
    """Return the techniques of each alert: those known before, or those of the answer about its text.

    Answers belong to requests by their position, or by their text where they come in another order. A text without an
    answer, or without labels, is unknown.

    Args:
        alerts: A chunk's.
        known: The techniques of each without a model.
        answer: The lines of the job.
        label: The answer's name in errors.

    Raises:
        LocationError: A line is not of its form; it is named by its number.
        BudgetError: It has too many elements.
    """
    _check_elements(answer, label)
    requests, indexes = _unknown_texts(alerts, known)
    answers = _read_lines(answer, TechniqueAnswer, label)
    by_text = {each.raw_alert: each for each in reversed(answers)}
    found: list[Techniques] = []
    for index, request in enumerate(requests):
        given = answers[index] if index < len(answers) else None
        if given is None or given.raw_alert != request.input:
            given = by_text.get(request.input)
        found.append(_techniques(given))
    resolved = [before if index < 0 else found[index] for before, index in zip(known, indexes, strict=True)]
    return [
        msgspec.structs.replace(each, dropped=before.dropped) if before.dropped else each
        for each, before in zip(resolved, known, strict=True)
    ]


def cluster_request(
    enriched: Sequence[EnrichedAlert],
    first: int,
    nodes: Mapping[str, Mapping[str, Any]],
    config: dict[str, Any],
) -> bytes:
    """Return the request for the clusters of a chunk.

    Args:
        enriched: The chunk's alerts.
        first: The internal id of the first.
        nodes: The file's node features.
        config: The file's `cluster_config`.
    """
    encoder = Encoder()
    rows = [
        RequestedAlert(
            number,
            each.alert.time,
            each.alert.src,
            each.alert.dst,
            each.alert.name,
            each.techniques.ids,
            encoder.attributes(each.alert.other_attributes),
        )
        for number, each in enumerate(enriched, first)
    ]
    ends = {end for each in enriched for end in (each.alert.src, each.alert.dst)}
    return ORDERED.encode(ClusterRequest("1", rows, {}, config, node_rows(nodes, node_columns(nodes), ends)))


def is_archive(answer: bytes) -> bool:
    """Return whether an answer about clusters is a ZIP archive, so of a job elsewhere or an earlier release."""
    return answer.startswith(_ZIP_MAGIC)


def answered_clusters(answer: bytes, asked: ChunkPlan, label: str) -> list[ChunkCluster]:
    """Return the rows of a ZIP archive with `cluster_output.json` and `alert_output.json`.

    Args:
        answer: The archive.
        asked: The chunk that was asked about.
        label: The answer's name in errors.

    Raises:
        LocationError: It is no archive with both lists in it, has alerts that are not the chunk's, or the summary of
            another cluster or with unknown tactics.
        BudgetError: It is too large when inflated, or has too many elements or members.
    """
    clusters, alerts = _inflated(answer, label)
    rows = decoded(clusters, list[ClusterOutput], f"{label}: {CLUSTER_MEMBER}")
    aggregated = decoded(alerts, list[AggregatedAlert], f"{label}: {ALERT_MEMBER}")
    ids = {each.aggalert_id: each.ids for each in aggregated}
    found: list[ChunkCluster] = []
    left = asked.records + 1  # one more than there can be: an id that is named again and again makes no list of many
    for row in rows:
        internal = itertools.chain.from_iterable(ids.get(each, ()) for each in row.cluster_aggalertids)
        mine = list(itertools.islice(internal, left))
        left -= len(mine)
        found.append(ChunkCluster(cluster_id=row.cluster_id, ids=mine, merged=row.merged, summary=row.summary))
    _check_clusters(found, asked, label)
    return found


def _inflated(answer: bytes, label: str) -> tuple[bytes, bytes]:
    """Return both lists of an archive."""
    left, members = LARGEST_INFLATED_BYTES, list[bytes]()
    try:
        with open_archive(answer) as archive:
            for name in (CLUSTER_MEMBER, ALERT_MEMBER):
                with archive.open(name) as member:
                    members.append(member.read(left + 1))
                left -= len(members[-1])
                if left < 0:
                    break
    except BudgetError as error:
        raise BudgetError(f"{label}: {error}") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, OSError, ValueError, RuntimeError):
        raise LocationError(
            f"{label}: no ZIP archive, packed by deflate, with {CLUSTER_MEMBER} and {ALERT_MEMBER}"
        ) from None
    if left < 0:
        raise BudgetError(f"{label}: more than {LARGEST_INFLATED_BYTES} bytes inflated: put fewer alerts into a chunk")
    clusters, alerts = members
    _check_elements(clusters, f"{label}: {CLUSTER_MEMBER}")
    _check_elements(alerts, f"{label}: {ALERT_MEMBER}")
    return clusters, alerts


def _check_elements(data: bytes, label: str) -> None:
    """Refuse JSON that would become too many objects, before it is parsed."""
    if is_over_elements(data, MOST_ANSWER_ELEMENTS):
        raise BudgetError(f"{label}: more than {MOST_ANSWER_ELEMENTS} values: put fewer alerts into a chunk")


def flow_request(summaries: Sequence[ClusterSummary], config: dict[str, Any]) -> bytes:
    """Return the request for the flows of clusters, with a file's `config`."""
    return ORDERED.encode(FlowRequest("1", [_flow_cluster(each) for each in summaries], config))


def answered_flows(answer: bytes, summaries: Mapping[int, ClusterSummary], label: str) -> list[Flow]:
    """Return the flows of an answer: one object, a list of them, or one a line.

    Args:
        answer: The job's.
        summaries: The clusters that were in the request; a flow with any other is left out.
        label: The answer's name in errors.

    Raises:
        LocationError: It is not of its form, or two flows have one id.
        BudgetError: It has too many elements.
    """
    _check_elements(answer, label)
    text = answer.strip()
    if text.startswith(b"["):
        answers = decoded(text, list[FlowAnswer], label)
    else:
        answers = [decoded(line, FlowAnswer, label) for line in io.BytesIO(text) if not line.isspace()]
    rows = [row for each in answers for row in each.output.flow_output]
    kept = [row for row in rows if row.cluster_ids and summaries.keys() >= set(row.cluster_ids)]
    twice = [flow for flow, count in Counter(row.flow_id for row in kept).items() if count > 1]
    if twice:  # a flow's file is named after it
        raise LocationError(f"{label}: two flows have the id {twice[0]}")
    return [_flow(row, summaries) for row in kept]


def _check_clusters(rows: Sequence[ChunkCluster], asked: ChunkPlan, label: str) -> None:
    """Check an answer before it counts: what cannot be written as a result would end every later try."""
    left = set(range(asked.first, asked.first + asked.records))
    known = {tactic.short_name for tactic in attack_table().tactics}
    for row in rows:
        for internal in row.ids:
            if internal not in left:
                raise LocationError(f"{label}: alert {internal} is in two clusters, or not in chunk {asked.unique_id}")
            left.remove(internal)
        if row.summary is None:
            continue
        if row.summary.cluster_id != row.cluster_id:
            raise LocationError(f"{label}: cluster {row.cluster_id} has the summary of {row.summary.cluster_id}")
        if not known.issuperset(row.summary.tactics):
            raise LocationError(f"{label}: cluster {row.cluster_id} has tactics that are no short names of ATT&CK's")


def _unknown_texts(alerts: Sequence[Alert], known: Sequence[Techniques]) -> tuple[list[TechniqueRequest], list[int]]:
    """Return each unknown text once, and the index of each alert's text; -1 where its techniques are known."""
    numbers: dict[tuple[str, bytes], int] = {}
    requests: list[TechniqueRequest] = []
    indexes: list[int] = []
    for alert, before in zip(alerts, known, strict=True):
        if before.source != Techniques.UNKNOWN:
            indexes.append(-1)
            continue
        attributes = {key: alert.other_attributes[key] for key in ASKED_WITH if alert.other_attributes.get(key)}
        key = (alert.name, msgspec.json.encode(attributes) if attributes else b"")
        if key not in numbers:
            numbers[key] = len(requests)
            requests.append(TechniqueRequest(str(len(requests) + 1), alert.name, attributes))
        indexes.append(numbers[key])
    return requests, indexes


def _techniques(answer: TechniqueAnswer | None) -> Techniques:
    if answer is None:
        return Techniques((), Techniques.UNKNOWN, 0.0)
    ids = tuple(answer.labels.techniques)
    source = answer.source or (Techniques.MODEL if ids else Techniques.UNKNOWN)
    return Techniques(ids, source, answer.confidence, tuple(answer.confidences))


def _read_lines(data: bytes, kind: type[T], label: str) -> list[T]:
    decoder, rows = msgspec.json.Decoder(kind), []
    for number, line in enumerate(io.BytesIO(without_bom(data)), 1):
        if line.isspace():
            continue
        try:
            rows.append(decoder.decode(line))
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise LocationError(f"{label}: line {number} is not of the form that docs/alert-files.md shows") from None
    return rows


def _flow_cluster(summary: ClusterSummary) -> FlowCluster:
    table = attack_table()
    return FlowCluster(
        cluster_id=summary.cluster_id,
        campaign_id=None,
        cluster_starttime=summary.start_time,
        cluster_endtime=summary.end_time,
        cluster_srcips=list(summary.srcs),
        cluster_dstips=list(summary.dsts),
        cluster_ips=list(dict.fromkeys((*summary.srcs, *summary.dsts))),
        cluster_techs=list(summary.techniques),
        cluster_tacs=numbers_of(summary.tactics, table),
        cluster_stages=[table.stage_of(tactic) for tactic in summary.tactics],
        summary=summary,
    )


def _flow(row: FlowOutput, summaries: Mapping[int, ClusterSummary]) -> Flow:
    """Return a row's flow, or its clusters' steps by time where the job leaves them out."""
    if row.flow is not None:
        return row.flow
    mine = [summaries[cluster] for cluster in row.cluster_ids]
    nodes = [
        FlowNode(f"{each.cluster_id}-{number}", each.cluster_id, "", step)
        for each in mine
        for number, step in enumerate(each.steps)
    ]
    return Flow(
        row.flow_id,
        tuple(row.cluster_ids),
        row.cluster_prob,
        tuple(sorted(nodes, key=lambda node: (node.step.start_time, node.cluster_id, node.id))),
        (),
        min(each.start_time for each in mine),
        max(each.end_time for each in mine),
    )
