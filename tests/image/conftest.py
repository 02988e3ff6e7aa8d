"""Fixtures: the image, the Docker that runs it, functions in it, and figures for the summary."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from docker import DockerClient

from tests.cloud_for_tests import cloud, cloud_folder, new_stream, running_cloud, use_localstack
from tests.image import containers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from devtools.cloud import supervisor
    from tests.image.containers import Function

__all__ = ["cloud", "cloud_folder", "new_stream", "running_cloud", "use_localstack"]

_figures = pytest.StashKey[dict[str, str]]()
TIMEOUT_S = 60  # the seed's function has seconds; a busy machine's emulator needs some of them


@pytest.fixture(scope="session")
def image() -> str:
    """The image under test."""
    return os.environ.get("MILLRACE_TEST_IMAGE") or pytest.skip("scripts/test_image.sh runs these")


@pytest.fixture(scope="session")
def docker(image: str) -> Iterator[DockerClient]:  # noqa: ARG001 - skips where there is none
    """The Docker that `scripts/test_image.sh` started."""
    client = DockerClient.from_env()
    yield client
    client.close()


@pytest.fixture(scope="session")
def docker_command(image: str) -> str:  # noqa: ARG001 - skips where there is none
    """The command line's name, for what users run by it: the compose file and `scripts/push_ecr.sh`."""
    return os.environ["MILLRACE_TEST_DOCKER"]


@pytest.fixture
def start_function(docker: DockerClient, image: str) -> Iterator[Callable[..., Function]]:
    """Starts functions, each with its environment, and ends them with the test."""
    with ExitStack() as stack:

        def start(handler: str = "app.lambda_function.lambda_handler", **environ: str) -> Function:
            given = {"AWS_LAMBDA_FUNCTION_TIMEOUT": str(TIMEOUT_S), "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256"}
            return stack.enter_context(containers.start_function(docker, image, handler, given | environ))

        yield start


@pytest.fixture
def publishing(cloud: supervisor.Cloud, new_stream: Callable[[str], str]) -> dict[str, str]:
    """The environment of a function that publishes to streams of the test's own."""
    return {
        **cloud.environment,
        "OUTPUT_STREAM": new_stream("out"),
        "QUARANTINE_STREAM": new_stream("aside"),
        "PARTIAL_RESPONSES": "True",
    }


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> dict[str, str]:
    """Figures for the summary: numbers for a person, which no test asserts on."""
    return request.config.stash.setdefault(_figures, {})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Shows the figures."""
    for name, value in sorted(config.stash.get(_figures, {}).items()):
        terminalreporter.write_line(f"{name}: {value}")
