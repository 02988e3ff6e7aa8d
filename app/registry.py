"""Every handler by its name: what `millrace handlers` lists, `millrace invoke` calls, and the router may call."""

from __future__ import annotations

from app.handlers.registry import Registry

HANDLERS = Registry(
    {
        "bike-predict": "app.pipelines.bike.api.PredictHandler",
        "create-cluster": "app.pipelines.alerts.files.handlers.CreateClusterHandler",
        "create-flow": "app.pipelines.alerts.files.handlers.CreateFlowHandler",
        "enrich-with-technique": "app.pipelines.alerts.files.handlers.EnrichWithTechniqueHandler",
        "get-json-from-file": "app.handlers.data_sync.operations.GetJSONFromFileHandler",
        "process-cluster": "app.pipelines.alerts.files.handlers.ProcessClusterHandler",
        "process-enriched-with-technique": "app.pipelines.alerts.files.handlers.ProcessEnrichedWithTechniqueHandler",
        "process-flow": "app.pipelines.alerts.files.handlers.ProcessFlowHandler",
        "put-json-to-file": "app.handlers.data_sync.operations.PutJSONToFileHandler",
        "router": "app.router_function.RouterHandler",
        "stream": "app.lambda_function.StreamHandler",
        "update-lookup-table": "app.pipelines.alerts.files.handlers.UpdateLookupTableHandler",
    }
)
"""By short name; each is imported when it is asked for, so that one does not pay for another."""
