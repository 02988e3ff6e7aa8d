"""One local cloud for all integration tests, and streams of their own for each."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Any

import pytest
from localstack_client.session import Session

from app import aws
from app.cloud import supervisor
from app.cloud.process import free_ports
from app.cloud.state import state_dir
from app.stream.shards import create_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_numbers = itertools.count()


@pytest.fixture(scope="session")
def running_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[supervisor.Cloud]:
    [port] = free_ports(1)
    with pytest.MonkeyPatch.context() as patch:
        # The emulator is installed where `millrace cloud up` has it; all else is gone with the tests.
        patch.setenv("MILLRACE_CLOUD_NODE_DIR", os.environ.get("MILLRACE_CLOUD_NODE_DIR", str(state_dir() / "node")))
        patch.setenv("MILLRACE_CLOUD_DIR", str(tmp_path_factory.mktemp("cloud")))
        try:
            yield supervisor.up(port)
        finally:
            supervisor.down(port)


@pytest.fixture
def cloud(running_cloud: supervisor.Cloud, monkeypatch: pytest.MonkeyPatch) -> supervisor.Cloud:
    """The local cloud, with the environment that points to it."""
    for name, value in running_cloud.environment.items():
        monkeypatch.setenv(name, value)
    aws.forget()
    return running_cloud


@pytest.fixture
def new_stream(cloud: supervisor.Cloud) -> Callable[..., str]:  # noqa: ARG001 - the environment first
    """Makes a stream of the test's own and gives its name."""

    def make(kind: str = "stream", shards: int = 1) -> str:
        name = f"{kind}-{next(_numbers)}"
        create_stream(name, shards)
        return name

    return make


@pytest.fixture
def kinesis(cloud: supervisor.Cloud) -> Any:  # noqa: ARG001 - localstack-client reads the environment
    """Kinesis as LocalStack's users reach it."""
    return Session().client("kinesis")
