"""Any imported model on a stream: the bundle's manifest gives the types of its records and its results."""

from app.domain import Domain, PipelineSpec

DOMAIN = Domain(
    name="model",
    pipelines=(PipelineSpec("model", "app.domains.model.pipeline:ModelPipeline"),),
    settings="app.domains.model.settings:ModelSettings",
)
