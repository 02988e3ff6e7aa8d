"""The three places where a transform job could stand, and the lines that go to one and come back.

Here the models run in the process (`jobs.py`). A job elsewhere takes the same request object and writes the same
response object; its arrival starts the next step, so nothing waits for it. `docs/alert-files.md` shows the lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec

from app.domains.alerts.alert import COMMAND_LINE, DESCRIPTION, PRODUCT, RULE_ID, Alert, Techniques
from app.domains.alerts.incidents import ClusterSummary, Flow  # noqa: TC001 - msgspec reads the fields' types
from app.errors import LocationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from app.domains.alerts.files.bucket import Bucket

T = TypeVar("T")

TELLING = (DESCRIPTION, COMMAND_LINE, RULE_ID, PRODUCT)
"""Attributes that help to tell a technique: they go to the job beside the text."""

CLUSTER_MEMBER, ALERT_MEMBER = "cluster_output.json", "alert_output.json"
"""What the answer to a request for clusters holds, a ZIP archive as the seed's system has it."""


class Resolver(Protocol):
    """What tells techniques: `TechniqueResolver`, with its model or without."""

    def resolve(self, alerts: Sequence[Alert]) -> Sequence[Techniques]:
        """The techniques of each alert."""


class TechniqueJob(Protocol):
    """Tells the techniques of texts."""

    def submit(self, bucket: Bucket, request: str, response: str) -> None:
        """Answers the lines of one object in another, now or later; asked again, it answers the same.

        Args:
            bucket: Where both objects are.
            request: The name of an object of `TechniqueRequest` lines.
            response: The name of the object that is to have a `TechniqueAnswer` line for each, in their order.
        """


@dataclass(frozen=True, slots=True)
class ClusterCall:
    """What clustering is asked for one chunk.

    Attributes:
        unique_id: The chunk.
        request: The name of the request object: a `ClusterRequest`.
        state: The name of the state to start from; None at a tenant's first chunk.
        next_state: The name under which the state after the chunk is put, before the response.
        response: The name of the ZIP archive that is to have the answer.
        wanted: Clusters that are to be in the answer also where the chunk does not touch them.
        last: Whether it is the run's last chunk: the answer then has every cluster that a flow may take in.
    """

    unique_id: str
    request: str
    state: str | None
    next_state: str
    response: str
    wanted: tuple[int, ...] = ()
    last: bool = False


class ClusterJob(Protocol):
    """Joins a chunk's alerts to a tenant's clusters."""

    def submit(self, bucket: Bucket, call: ClusterCall) -> None:
        """Writes the next state and then the response, now or later; the same call gives the same bytes."""


class FlowJob(Protocol):
    """Orders clusters into attack flows."""

    def submit(self, bucket: Bucket, request: str, response: str) -> None:
        """Answers a `FlowRequest` with `[{"output": {"flow_output": […]}}]`, now or later."""


class TechniqueRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """A text whose techniques are asked for.

    Attributes:
        request_id: The line's number, from 1.
        input: The alert's name.
        attributes: What else tells a technique, where the alert has it.
    """

    request_id: str
    input: str
    attributes: dict[str, Any] = {}


class Labels(msgspec.Struct, frozen=True, omit_defaults=True):
    """Technique ids, the surest first."""

    techniques: list[str] = []


class TechniqueAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The techniques of a text; the last three are ours, and a job elsewhere may leave them out."""

    raw_alert: str
    labels: Labels = Labels()
    source: str = ""
    confidence: float = 0.0
    confidences: list[float] = []


class AggregatedAlert(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A row of `alert_output.json`: alerts of a chunk that say the same.

    Attributes:
        aggalert_id: Its id within the response.
        ids: Internal ids of its alerts.
        tech: Technique ids.
        tac: Tactics as numbers: 1 is TA0001.
        stage: Their places in the kill chain, from 0.
        start_time: Of the first.
        finish_time: Of the last.
        src: Where from.
        dst: Where to.
        name: What they say.
    """

    aggalert_id: int
    ids: list[int]
    tech: list[str] = []
    tac: list[int] = []
    stage: list[int] = []
    start_time: float | None = None
    finish_time: float | None = None
    src: str = ""
    dst: str = ""
    name: str = ""


class ClusterOutput(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A row of `cluster_output.json`; the last two are ours, and a job elsewhere may leave them out.

    Attributes:
        cluster_id: The cluster.
        cluster_aggalertids: Which of the response's aggregated alerts are in it.
        merged: Clusters that became part of it.
        summary: The cluster as it stands; without it, it is made of the run's own alerts.
    """

    cluster_id: int
    cluster_aggalertids: list[int] = []
    merged: list[int] = []
    summary: ClusterSummary | None = None


class FlowOutput(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A row of `flow_output`; `flow` is ours, and a job elsewhere may leave it out."""

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


@dataclass(frozen=True)
class Jobs:
    """Who answers each of the three."""

    technique: TechniqueJob
    cluster: ClusterJob
    flow: FlowJob


def technique_requests(
    alerts: Sequence[Alert], known: Sequence[Techniques]
) -> tuple[list[TechniqueRequest], list[int]]:
    """What is to be asked about alerts: each text once, and for each alert which of them; -1 where it needs none.

    Args:
        alerts: A chunk's.
        known: What is known of each without a model.
    """
    places: dict[tuple[str, bytes], int] = {}
    requests: list[TechniqueRequest] = []
    asked: list[int] = []
    for alert, told in zip(alerts, known, strict=True):
        if told.source != Techniques.UNKNOWN:
            asked.append(-1)
            continue
        attributes = {key: alert.other_attributes[key] for key in TELLING if alert.other_attributes.get(key)}
        key = (alert.name, msgspec.json.encode(attributes) if attributes else b"")
        if key not in places:
            places[key] = len(requests)
            requests.append(TechniqueRequest(str(len(requests) + 1), alert.name, attributes))
        asked.append(places[key])
    return requests, asked


def match_answers(requests: Sequence[TechniqueRequest], answers: Sequence[TechniqueAnswer]) -> list[Techniques]:
    """The answer to each request: by its place, or by its text where the answers came in another order.

    A text without an answer, or without labels, is unknown.
    """
    by_text = {answer.raw_alert: answer for answer in reversed(answers)}
    found: list[Techniques] = []
    for place, request in enumerate(requests):
        answer = answers[place] if place < len(answers) else None
        if answer is None or answer.raw_alert != request.input:
            answer = by_text.get(request.input)
        if answer is None:
            found.append(Techniques((), Techniques.UNKNOWN, 0.0))
            continue
        ids = tuple(answer.labels.techniques)
        source = answer.source or (Techniques.MODEL if ids else Techniques.UNKNOWN)
        found.append(Techniques(ids, source, answer.confidence, tuple(answer.confidences)))
    return found


def json_lines(rows: Iterable[Any]) -> bytes:
    """Rows as JSON lines."""
    return msgspec.json.Encoder().encode_lines(rows)


def read_lines(data: bytes, kind: type[T], what: str) -> list[T]:
    """JSON lines as a type.

    Raises:
        LocationError: A line is not of it; it is named by its number.
    """
    decoder, rows = msgspec.json.Decoder(kind), []
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        try:
            rows.append(decoder.decode(line))
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise LocationError(f"{what}: line {number} is not of the form that docs/alert-files.md shows") from None
    return rows
