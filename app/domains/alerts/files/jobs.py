"""Techniques and flows in this process: the models that the stream runs, asked through the seam's own objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.domains.alerts.alert import Alert
from app.domains.alerts.files.flow_request import FlowRequest
from app.domains.alerts.files.plan import need, put_json
from app.domains.alerts.files.seam import (
    FlowAnswer,
    FlowOutput,
    FlowOutputs,
    Labels,
    TechniqueAnswer,
    TechniqueRequest,
    json_lines,
    read_lines,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    from app.domains.alerts.files.bucket import Bucket
    from app.domains.alerts.files.seam import Resolver
    from app.domains.alerts.incidents import ClusterSummary, Flow


class ResolverJob:
    """Tells techniques by the resolver: the lookup table, the catalogue of rules, the model."""

    def __init__(self, resolver: Resolver) -> None:
        """Takes the resolver, its model loaded."""
        self._resolver = resolver

    def submit(self, bucket: Bucket, request: str, response: str) -> None:
        """Answers at once."""
        lines = read_lines(bucket.get(request) or b"", TechniqueRequest, f"{bucket.root}/{request}")
        alerts = [
            Alert(id=line.request_id, time=0.0, src="", dst="", name=line.input, other_attributes=line.attributes)
            for line in lines
        ]
        answers = [
            TechniqueAnswer(line.input, Labels(list(told.ids)), told.source, told.confidence, list(told.confidences))
            for line, told in zip(lines, self._resolver.resolve(alerts), strict=True)
        ]
        bucket.put(response, json_lines(answers))


class FlowsJob:
    """Orders clusters by the flow builder of the stream."""

    def __init__(self, build: Callable[[Sequence[ClusterSummary], Mapping[str, Any]], Iterable[Flow]]) -> None:
        """Takes what builds flows from clusters and a file's `config`."""
        self._build = build

    def submit(self, bucket: Bucket, request: str, response: str) -> None:
        """Answers at once."""
        asked = need(bucket, request, FlowRequest)
        flows = self._build([row.summary for row in asked.input], asked.config)
        rows = [
            FlowOutput(
                flow_id=flow.flow_id, cluster_ids=list(flow.cluster_ids), cluster_prob=flow.cluster_prob, flow=flow
            )
            for flow in flows
        ]
        put_json(bucket, response, [FlowAnswer(FlowOutputs(rows))])
