"""Every handler by its name: what `millrace handlers` lists, `millrace invoke` calls, and the router may call."""

from __future__ import annotations

from app.handlers.registry import Registry

HANDLERS = Registry(
    {
        "bike-predict": "app.pipelines.bike.api.PredictHandler",
        "get-json-from-file": "app.handlers.data_sync.operations.GetJSONFromFileHandler",
        "put-json-to-file": "app.handlers.data_sync.operations.PutJSONToFileHandler",
        "router": "app.router_function.RouterHandler",
        "stream": "app.lambda_function.StreamHandler",
    }
)
"""By short name; each is imported when it is asked for, so that one does not pay for another."""
