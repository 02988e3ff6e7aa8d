"""Handlers that move data between files and S3, for any domain."""

from app.domain import Domain, HandlerSpec

EXAMPLE_PATH = "/tmp/rides.json"  # noqa: S108 - a reader's example

DOMAIN = Domain(
    name="general",
    handlers=(
        HandlerSpec(
            name="get-json-from-file",
            class_name="app.domains.general.handlers.GetJSONFromFileHandler",
            former_names=("app.handlers.data_sync.operations.GetJSONFromFileHandler",),
            example={"path": EXAMPLE_PATH},
        ),
        HandlerSpec(
            name="put-json-to-file",
            class_name="app.domains.general.handlers.PutJSONToFileHandler",
            former_names=("app.handlers.data_sync.operations.PutJSONToFileHandler",),
            example={"content": {"rides": [1, 2]}, "path": EXAMPLE_PATH},
        ),
    ),
    settings="app.domains.general.settings:GeneralSettings",
)
