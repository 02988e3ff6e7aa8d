"""Every handler by its name: what `millrace handlers` lists, `millrace invoke` calls, and the router may call."""

from __future__ import annotations

from app.handlers.registry import Registry

HANDLERS = Registry(
    {
        "bike-predict": "app.domains.bike.api.PredictHandler",
        "create-cluster": "app.domains.alerts.files.handlers.CreateClusterHandler",
        "create-flow": "app.domains.alerts.files.handlers.CreateFlowHandler",
        "enrich-with-technique": "app.domains.alerts.files.handlers.EnrichWithTechniqueHandler",
        "get-json-from-file": "app.domains.general.handlers.GetJSONFromFileHandler",
        "process-cluster": "app.domains.alerts.files.handlers.ProcessClusterHandler",
        "process-enriched-with-technique": "app.domains.alerts.files.handlers.ProcessEnrichedWithTechniqueHandler",
        "process-flow": "app.domains.alerts.files.handlers.ProcessFlowHandler",
        "put-json-to-file": "app.domains.general.handlers.PutJSONToFileHandler",
        "router": "app.router_function.RouterHandler",
        "stream": "app.lambda_function.StreamHandler",
        "update-lookup-table": "app.domains.alerts.files.handlers.UpdateLookupTableHandler",
    }
)
"""By short name; each is imported when it is asked for, so that one does not pay for another."""
