"""Security alerts: their ATT&CK techniques, the incidents that they form, attack flows and tickets."""

from typing import Any

from app.domain import Domain, HandlerSpec, PipelineSpec

ALERT = {
    "id": "a1",
    "time": 1715673600,
    "src": "192.0.2.7",
    "dst": "198.51.100.20",
    "name": "Web shell written to disk",
}
FEED = "app.domains.alerts.cli.input:alert_records"
STATE_TABLE = {"STATE_TABLE": "alerts-state"}
RUN = "day-0123456789abcdef"  # how a run is named, and below it its chunks
RESPONSES = "s3://alerts/scratch/response"
OUTPUT = "s3://alerts/scratch/output"


def _file_handler(name: str, class_name: str, example: Any, variables: dict[str, str] | None = None) -> HandlerSpec:  # noqa: ANN401 - JSON
    return HandlerSpec(
        name=name,
        class_name=f"app.domains.alerts.files.handlers.{class_name}",
        former_names=(f"app.pipelines.alerts.files.handlers.{class_name}",),
        variables=variables or {},
        example=example,
    )


DOMAIN = Domain(
    name="alerts",
    pipelines=(
        PipelineSpec("alerts", "app.domains.alerts.pipeline:AlertPipeline", ALERT, "alerts", feed=FEED),
        PipelineSpec("alerts-technique", "app.domains.alerts.pipeline:TechniquePipeline", ALERT, "alerts", feed=FEED),
    ),
    handlers=(
        _file_handler(
            "enrich-with-technique", "EnrichWithTechniqueHandler", {"location": "s3://alerts/input/day.json"}
        ),
        _file_handler(
            "process-enriched-with-technique",
            "ProcessEnrichedWithTechniqueHandler",
            {"location": f"{RESPONSES}/classification_out/{RUN}.00000/input_classification.json.out"},
        ),
        _file_handler(
            "create-cluster",
            "CreateClusterHandler",
            {"location": f"{OUTPUT}/classification/{RUN}.00000/input.json"},
            STATE_TABLE,
        ),
        _file_handler(
            "process-cluster",
            "ProcessClusterHandler",
            {"location": f"{RESPONSES}/cluster_out/{RUN}.00000/1/input.zip.out"},
            STATE_TABLE,
        ),
        _file_handler("create-flow", "CreateFlowHandler", {"location": f"{OUTPUT}/cluster/{RUN}/input_flow.json"}),
        _file_handler(
            "process-flow", "ProcessFlowHandler", {"location": f"{RESPONSES}/flow_out/{RUN}/input_flow.json.out"}
        ),
        _file_handler(
            "update-lookup-table",
            "UpdateLookupTableHandler",
            {"corrections": [{"alert": "Web shell written to disk", "techniques": ["T1505.003"]}], "author": "ann"},
            {"LOOKUP_TABLE": "/tmp/lookup.csv"},  # noqa: S108 - a reader's example
        ),
    ),
    settings="app.domains.alerts.settings:AlertSettings",
    commands="app.domains.alerts.cli.app",
)
