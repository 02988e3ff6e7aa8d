"""One local cloud for all integration tests, which of the two kinds the command line says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cloud_for_tests import cloud, cloud_folder, kinesis, new_stream, running_cloud, use_localstack

if TYPE_CHECKING:
    import pytest

__all__ = ["cloud", "cloud_folder", "kinesis", "new_stream", "running_cloud", "use_localstack"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--localstack", action="store_true", help="run against LocalStack in host mode")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With LocalStack, only what asks for the cloud: the other tests would be the same again."""
    if config.getoption("--localstack"):
        asks = {item: "use_localstack" in getattr(item, "fixturenames", ()) for item in items}
        config.hook.pytest_deselected(items=[item for item in items if not asks[item]])
        items[:] = [item for item in items if asks[item]]
