"""Containers as the tests of the image run them, by the Docker SDK: any command, and a function behind the emulator."""

from __future__ import annotations

import re
import socket
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from devtools.cloud.process import free_ports
from scripts.test_docker import invoke

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from docker import DockerClient
    from docker.models.containers import Container

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
LISTENING_WITHIN_S = 30
ENDED_WITHIN_S = 120
MEMORY_MIB = 256  # the seed document's function

# As Lambda confines a function: a user that the image does not know, no rights, nothing writable but /tmp.
SANDBOX: dict[str, Any] = {
    "read_only": True,
    "tmpfs": {"/tmp": "rw,size=512m,mode=1777"},  # noqa: S108 - the container's own
    "user": "31337:31337",
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "mem_limit": f"{MEMORY_MIB}m",
    "memswap_limit": f"{MEMORY_MIB}m",
}


class Ended(NamedTuple):
    """The exit code and output of a container that has ended."""

    code: int
    stdout: str
    stderr: str


def run(docker: DockerClient, image: str, *command: str, **options: Any) -> Ended:
    """Run a container to its end, in the sandbox and without any network."""
    with start(docker, image, *command, network_mode="none", **SANDBOX, **options) as container:
        code = container.wait(timeout=ENDED_WITHIN_S)["StatusCode"]
        stdout, stderr = container.logs(stderr=False), container.logs(stdout=False)
    return Ended(code, stdout.decode(), stderr.decode())


@contextmanager
def start(docker: DockerClient, image: str, *command: str, **options: Any) -> Iterator[Container]:
    """Start a container in the background, and remove it at the end of the block."""
    container = docker.containers.run(image, list(command) or None, detach=True, **options)
    try:
        yield container
    finally:
        container.remove(force=True)


@dataclass(frozen=True)
class Memory:
    """The most memory that a container has used."""

    peak_mib: float
    """All its processes with their page cache, which the kernel takes back when it must."""
    runtime_mib: float
    """Resident in its largest process, the function's."""

    def __str__(self) -> str:
        """Return it for the summary."""
        return f"{self.runtime_mib:.0f} MiB resident, {self.peak_mib:.0f} MiB with emulator and page cache"


class Function:
    """A container of the image behind the emulator, on ports of its own of the host's loopback."""

    def __init__(self, container: Container, port: int) -> None:
        """Take the container, and return when the emulator listens on the port; the first event starts the function."""
        self._container = container
        self.url = f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
        wait_for(lambda: listens(port))

    def invoke(self, event: bytes) -> Any:
        """Give it one event; see `scripts/test_docker.py` for the errors."""
        return invoke(event, self.url, answer_within_s=120)

    def logs(self) -> str:
        """Return both of its streams."""
        return str(self._container.logs().decode())

    def init_ms(self) -> float:
        """Return the duration of the first INIT; the emulator's other figures are made up."""
        return float(re.findall(r"INIT REPORT\(durationMs: ([0-9.]+)", self.logs())[0])

    def memory(self) -> Memory:
        """Return the memory used so far, from its control group."""
        self._container.reload()
        state = self._container.attrs["State"]
        assert not state["OOMKilled"]
        for line in Path(f"/proc/{state['Pid']}/cgroup").read_text().splitlines():
            _, kinds, path = line.split(":", 2)
            if kinds in {"", "memory"}:  # version 2, version 1
                group = Path("/sys/fs/cgroup", kinds, path.lstrip("/"))
                peak = group / ("memory.max_usage_in_bytes" if kinds else "memory.peak")
                if peak.exists():
                    return Memory(int(peak.read_text()) / 2**20, max(map(_peak_mib, group_pids(group))))
        raise AssertionError("no control group counts this container's memory")


@contextmanager
def start_function(docker: DockerClient, image: str, handler: str, environ: dict[str, str]) -> Iterator[Function]:
    """Start a function in the sandbox, on ports of its own; the entry point would take 8080 of all addresses."""
    port, api_port = free_ports(2)
    emulator = [
        "--runtime-interface-emulator-address", f"127.0.0.1:{port}",
        "--runtime-api-address", f"127.0.0.1:{api_port}",
        "/var/runtime/bootstrap",
    ]  # fmt: skip
    with start(
        docker,
        image,
        *emulator,
        entrypoint=["/usr/local/bin/aws-lambda-rie"],
        environment={**environ, "_HANDLER": handler},
        network_mode="host",
        **SANDBOX,
    ) as container:
        yield Function(container, port)


def group_pids(group: Path) -> list[int]:
    """Return the processes of a control group."""
    return [int(pid) for pid in (group / "cgroup.procs").read_text().split()]


def _peak_mib(pid: int) -> float:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def listens(port: int) -> bool:
    """Return whether something listens on a loopback port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def wait_for(condition: Callable[[], T], within_s: float = LISTENING_WITHIN_S) -> T:
    """Ask until the answer is true, and return it; assert that it comes in time."""
    ends = time.monotonic() + within_s
    while not (answer := condition()):
        assert time.monotonic() < ends, f"not within {within_s:g} s"
        time.sleep(0.05)
    return answer
