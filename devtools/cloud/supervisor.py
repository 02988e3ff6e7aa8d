"""Start, watch and end the local cloud."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING

from app.errors import CloudError
from devtools.cloud import services
from devtools.cloud.localstack import localstack, remove_files
from devtools.cloud.node import install_emulator
from devtools.cloud.process import free_ports, holder_of, is_alive, memory_bytes, spawn, stop
from devtools.cloud.state import DEFAULT_PORT, LOOPBACK, Kind, Process, State, locked, port_dir, read_state, write_state

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from devtools.cloud.services import Service

READY_WITHIN_S = 60  # usually one or two seconds; LocalStack on a cold disk takes twenty
ASK_EVERY_S = 0.05  # often enough to notice at once, without load
ANSWER_WITHIN_S = 5  # moto loads a service at its first request
WATCH_EVERY_S = 1  # a dead emulator is for a person to read about


@dataclass(frozen=True)
class Cloud:
    """A local cloud that is up."""

    url: str
    kinesis_url: str
    pids: tuple[int, ...]

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables that point any AWS client at it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }


@dataclass(frozen=True)
class Health:
    """The health of one process of a local cloud."""

    name: str
    url: str
    pid: int
    alive: bool
    memory_bytes: int


def up(port: int = DEFAULT_PORT, *, use_localstack: bool = False, log: Callable[[str], None] = lambda _: None) -> Cloud:
    """Bring the local cloud up on `port` and return when it answers; parts that already run are kept.

    Args:
        port: The one port of all services.
        use_localstack: Whether LocalStack is behind the router instead of the Kinesis emulator.
        log: Called with a line about each step.

    Raises:
        CloudError: The port is taken, a part could not be installed, or a service does not answer.
    """
    kind: Kind = "localstack" if use_localstack else "moto"
    with locked(port_dir(port)):
        state = read_state(port)
        running = [process for process in state.processes if is_alive(process)] if state else []
        if state and running and state.kind != kind:
            raise CloudError(f"port {port} has a {state.kind} cloud: millrace cloud down --port {port} ends it")
        if "aws" not in {process.name for process in running} and (holder := holder_of(port)):
            raise CloudError(f"port {port} is taken by {holder}: end that, or choose another with --port")
        before = state if state and running else State(kind, ())
        stop(process for process in (state.processes if state else ()) if process not in running)  # their children
        behind, router = _start(port, before, running, _wanted(port, before, log), log)
    return Cloud(_url(LOOPBACK, port), _url(behind.host, behind.port), (behind.pid, router.pid))


def down(port: int = DEFAULT_PORT) -> bool:
    """End only the processes that `up` started on `port`; return whether any was up."""
    with locked(port_dir(port)):
        state = read_state(port)
        if state is None:
            return False
        was_up = any(is_alive(process) for process in state.processes)
        stop(state.processes)
        write_state(port, State(state.kind, ()))
        if state.kind == "localstack":
            remove_files(port)
        return was_up


def status(port: int = DEFAULT_PORT) -> list[Health]:
    """Return the processes of the cloud on `port`, alive or not; none when it is down."""
    state = read_state(port)
    processes = state.processes if state else ()
    return [Health(one.name, _url(one.host, one.port), one.pid, is_alive(one), memory_bytes(one)) for one in processes]


def watch(port: int = DEFAULT_PORT) -> None:
    """Wait until the cloud on `port` is brought down.

    Raises:
        CloudError: One of its processes ended unexpectedly.
    """
    while health := status(port):
        for one in health:
            if not one.alive:
                raise CloudError(f"{one.name} ended: see {_log_file(port, one.name)}")
        time.sleep(WATCH_EVERY_S)


def _wanted(port: int, before: State, log: Callable[[str], None]) -> list[Service]:
    """Describe the program behind the router, and the router, on the ports of the cloud that they join."""
    emulator = install_emulator(log)
    if before.kind == "localstack":
        behind = localstack(port, emulator, log)
    else:
        kinesis_port, tls_port = free_ports(2)
        for process in before.processes:
            if process.name == "kinesis":
                kinesis_port = process.port
        behind = services.kinesis(emulator, kinesis_port, tls_port)
    return [behind, services.aws(port, before.kind, behind)]


def _start(
    port: int, before: State, running: Sequence[Process], wanted: Sequence[Service], log: Callable[[str], None]
) -> list[Process]:
    """Start the missing programs and wait for all; if that fails, end those that were started."""
    processes = {process.name: process for process in running}
    missing = [service for service in wanted if service.name not in processes]
    started = []
    log("already up" if not missing else f"starting {' and '.join(service.name for service in missing)}")
    try:
        for service in missing:
            log_file = _log_file(port, service.name)
            process = spawn(service, log_file)
            started.append(process)
            processes[service.name] = process
            write_state(port, State(before.kind, tuple(processes.values())))
        for service in wanted:
            _wait(processes[service.name], service.health, _log_file(port, service.name))
    except BaseException:  # Ctrl-C too
        stop(started)
        write_state(port, before)
        raise
    return [processes[service.name] for service in wanted]


def _wait(process: Process, health: str, log: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while not _answers(process, health):
        if not is_alive(process):
            raise CloudError(f"{process.name} ended before it was ready: see {log}")
        if time.monotonic() > deadline:
            raise CloudError(f"{process.name} does not answer within {READY_WITHIN_S} s: see {log}")
        time.sleep(ASK_EVERY_S)


def _answers(process: Process, path: str) -> bool:
    with closing(HTTPConnection(process.host, process.port, timeout=ANSWER_WITHIN_S)) as connection:
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
        except (OSError, HTTPException):
            return False
        return answer.status < HTTPStatus.BAD_REQUEST


def _log_file(port: int, name: str) -> Path:
    return port_dir(port) / f"{name}.log"


def _url(host: str, port: int) -> str:
    return f"http://{host}:{port}"
