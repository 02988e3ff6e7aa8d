"""Bike-hire demand from weather and, where a record has one, the time."""

from app.domain import Domain, HandlerSpec, PipelineSpec

RECORD = {"features": {"t1": 2, "t2": 3, "hum": 50, "weather_code": 2}, "pred_id": 123}

DOMAIN = Domain(
    name="bike",
    pipelines=(
        PipelineSpec(
            "bike",
            "app.domains.bike.pipeline:BikePipeline",
            example=RECORD,
            sample_records="app.domains.bike.synthetic:synthetic_records",
        ),
    ),
    handlers=(
        HandlerSpec(
            name="bike-predict",
            class_name="app.domains.bike.handlers.PredictHandler",
            former_names=("app.pipelines.bike.api.PredictHandler", "app.domains.bike.api.PredictHandler"),
            answers_http=True,
            example=RECORD,
        ),
    ),
)
