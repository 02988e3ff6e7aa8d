"""`millrace cloud status` and `down` find what this folder started, on whichever port."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from app.errors import CloudError
from devtools.cloud.cli import app
from devtools.cloud.process import free_ports, spawn, stop
from devtools.cloud.services import Service
from devtools.cloud.state import DEFAULT_PORT, State, port_dir, read_state, started_ports, write_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from typer.testing import Result


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[int], None]]:
    """Starts a cloud that is one sleeping process; what a test leaves up is ended."""
    monkeypatch.setenv("MILLRACE_CLOUD_DIR", str(tmp_path))

    def start(port: int) -> None:
        process = spawn(Service("aws", port, ["/bin/sleep", "60"], {}, "/"), port_dir(port) / "aws.log")
        write_state(port, State("moto", (process,)))

    yield start
    for port in started_ports():
        state = read_state(port)
        stop(state.processes if state else ())


def cloud(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "100"})


def test_the_only_cloud_needs_no_port(start: Callable[[int], None]) -> None:
    [port] = free_ports(1)
    start(port)
    shown = cloud("status")
    assert shown.exit_code == 0
    assert f"http://127.0.0.1:{port}" in shown.output
    assert f"down on port {port}" in cloud("down").output
    assert cloud("status").exit_code == 3
    assert "nothing was up" in cloud("down").output


def test_of_several_clouds_one_is_chosen(start: Callable[[int], None]) -> None:
    one, other = sorted(free_ports(2))
    start(one)
    start(other)
    shown = cloud("status").output
    assert str(one) in shown
    assert str(other) in shown
    assert str(other) not in cloud("status", "--port", str(one)).output
    refused = cloud("down")
    assert isinstance(refused.exception, CloudError)
    assert str(refused.exception) == f"clouds are up on ports {one}, {other}: choose one with --port"
    said = cloud("down", "--port", str(other)).output
    assert f"down on port {other}" in said
    assert f"still up on port {one}" in said
    assert f"down on port {one}" in cloud("down").output


def test_the_usual_port_is_meant_where_it_is_among_several(start: Callable[[int], None]) -> None:
    start(DEFAULT_PORT)
    start(DEFAULT_PORT + 1)
    assert f"down on port {DEFAULT_PORT}" in cloud("down").output
    assert started_ports() == [DEFAULT_PORT + 1]
