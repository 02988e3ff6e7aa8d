"""Set up every test: an environment without a developer's AWS settings, and Hypothesis's profiles."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from app import aws
from app.handlers.invocation import process_settings
from app.telemetry import logger
from tests.emulator_for_tests import rie

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["rie"]

for profile, examples in (("laptop", 40), ("ci", 100)):
    settings.register_profile(
        profile,
        deadline=None,  # a busy machine must not fail a correct test
        max_examples=examples,
        suppress_health_check=[HealthCheck.too_slow],
    )
settings.load_profile("ci" if os.environ.get("CI") == "true" else "laptop")


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in [*os.environ]:
        if name.startswith("AWS_") and name != "AWS_CA_BUNDLE":
            monkeypatch.delenv(name)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    aws.forget()
    process_settings.cache_clear()
    log_level = logger.level
    yield
    aws.forget()
    process_settings.cache_clear()
    logger.setLevel(log_level)  # a test that sets LOG_LEVEL would silence the logs of the next one
