"""One local cloud for all integration tests, which of the two kinds the command line says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cloud_for_tests import cloud, cloud_folder, kinesis, new_stream, running_cloud, use_localstack

if TYPE_CHECKING:
    import pytest

__all__ = ["cloud", "cloud_folder", "kinesis", "new_stream", "running_cloud", "use_localstack"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--localstack", action="store_true", help="run against LocalStack in host mode")
