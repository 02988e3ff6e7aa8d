"""Provide the local cloud as fixtures: one cloud for a run, and separate streams for each test."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Any

import pytest
from localstack_client.session import Session

from app import aws
from app.stream.shards import create_stream
from devtools.cloud import supervisor
from devtools.cloud.process import free_ports
from devtools.cloud.state import state_dir

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_numbers = itertools.count()


@pytest.fixture(scope="session")
def use_localstack(request: pytest.FixtureRequest) -> bool:
    """Return whether the local cloud is LocalStack, for tests of the Kinesis emulator's own behaviour."""
    return bool(request.config.getoption("--localstack", default=False))


@pytest.fixture(scope="session")
def cloud_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a state folder for the tests; installed programs are shared with `millrace cloud up`."""
    folder, installed = tmp_path_factory.mktemp("cloud"), state_dir()
    with pytest.MonkeyPatch.context() as patch:
        for name, folder_path in {
            "MILLRACE_CLOUD_NODE_DIR": installed / "node",
            "MILLRACE_CLOUD_LOCALSTACK_DIR": installed,
        }.items():
            patch.setenv(name, os.environ.get(name) or str(folder_path))
        patch.setenv("MILLRACE_CLOUD_DIR", str(folder))
        yield folder


@pytest.fixture(scope="session")
def running_cloud(cloud_folder: Path, use_localstack: bool) -> Iterator[supervisor.Cloud]:  # noqa: ARG001 - set first
    [port] = free_ports(1)
    try:
        yield supervisor.up(port, use_localstack=use_localstack)
    finally:
        supervisor.down(port)


@pytest.fixture
def cloud(running_cloud: supervisor.Cloud, monkeypatch: pytest.MonkeyPatch) -> supervisor.Cloud:
    """Return the local cloud, with the environment set to point to it."""
    for name, value in running_cloud.environment.items():
        monkeypatch.setenv(name, value)
    aws.forget()
    return running_cloud


@pytest.fixture
def new_stream(cloud: supervisor.Cloud) -> Callable[..., str]:  # noqa: ARG001 - the environment first
    """Return a function that makes a stream for the test and returns its name."""

    def make(kind: str = "stream", shards: int = 1) -> str:
        name = f"{kind}-{next(_numbers)}"
        create_stream(name, shards)
        return name

    return make


@pytest.fixture
def kinesis(cloud: supervisor.Cloud) -> Any:  # noqa: ARG001 - localstack-client reads the environment
    """Return a Kinesis client, made as LocalStack's users make it."""
    return Session().client("kinesis")
