"""Containers as the tests of the image run them: any command, and a function behind Lambda's emulator."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from devtools.cloud.process import free_ports
from scripts.test_docker import invoke

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
LISTENING_WITHIN_S = 30
MEMORY_MIB = 256  # the seed document's function

# As Lambda confines a function: a user that the image has never heard of, no rights, nothing writable but /tmp.
SANDBOX = (
    "--read-only", "--tmpfs=/tmp:rw,size=512m,mode=1777", "--user", "31337:31337", "--cap-drop", "ALL",
    "--security-opt", "no-new-privileges", "--memory", f"{MEMORY_MIB}m", "--memory-swap", f"{MEMORY_MIB}m",
)  # fmt: skip


@dataclass(frozen=True)
class Docker:
    """The docker command."""

    command: str

    def __call__(self, *arguments: str, stdin: str | None = None, fails: bool = False) -> str:
        """Runs it, and gives what it said on both streams.

        Args:
            arguments: What follows `docker`.
            stdin: What it reads.
            fails: Whether it is expected to fail.
        """
        done = subprocess.run(
            [self.command, *arguments],
            input=stdin,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=300,
            check=False,
        )
        assert (done.returncode != 0) == fails, done.stdout
        return done.stdout.strip()

    def inspect(self, name: str) -> Any:
        """What is known of a container or image."""
        return json.loads(self("inspect", name))[0]

    def start(self, *arguments: str) -> str:
        """Starts a container in the background, and gives its id."""
        return self("run", "--detach", *arguments).splitlines()[-1]  # a warning may stand before it


@dataclass(frozen=True)
class Memory:
    """What a container has used at most."""

    peak_mib: float
    """Of all its processes with their page cache, which the kernel takes back when it must."""
    runtime_mib: float
    """Resident in its largest process: the function's."""

    def __str__(self) -> str:
        """For the summary."""
        return f"{self.runtime_mib:.0f} MiB resident, {self.peak_mib:.0f} MiB with emulator and page cache"


class Function:
    """A container of the image behind the emulator, on ports of its own of the host's loopback."""

    def __init__(self, docker: Docker, image: str, handler: str, environ: Mapping[str, str]) -> None:
        """Starts it, and returns when the emulator listens; the first event starts the function."""
        self._docker = docker
        port, api_port = free_ports(2)
        self.url = f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
        variables = [f"--env={name}={value}" for name, value in {**environ, "_HANDLER": handler}.items()]
        # As the entry point does, but on these ports: its own are all addresses' 8080, and 9001.
        emulator = [
            "--runtime-interface-emulator-address", f"127.0.0.1:{port}",
            "--runtime-api-address", f"127.0.0.1:{api_port}",
            "/var/runtime/bootstrap",
        ]  # fmt: skip
        self.container = docker.start(
            "--network=host", *SANDBOX, *variables, "--entrypoint=/usr/local/bin/aws-lambda-rie", image, *emulator
        )
        wait_for(lambda: listens(port))

    def invoke(self, event: bytes) -> Any:
        """Gives it one event; see `scripts/test_docker.py` for what is raised."""
        return invoke(event, self.url, answer_within_s=120)

    def logs(self) -> str:
        """What it wrote to both streams."""
        return self._docker("logs", self.container)

    def init_ms(self) -> float:
        """How long the first INIT took; the emulator's other figures are made up."""
        return float(re.findall(r"INIT REPORT\(durationMs: ([0-9.]+)", self.logs())[0])

    def memory(self) -> Memory:
        """What it has used so far, from its control group."""
        state = self._docker.inspect(self.container)["State"]
        assert not state["OOMKilled"]
        for line in Path(f"/proc/{state['Pid']}/cgroup").read_text().splitlines():
            _, kinds, path = line.split(":", 2)
            if kinds in {"", "memory"}:  # version 2, version 1
                group = Path("/sys/fs/cgroup", kinds, path.lstrip("/"))
                peak = group / ("memory.max_usage_in_bytes" if kinds else "memory.peak")
                if peak.exists():
                    return Memory(int(peak.read_text()) / 2**20, max(map(_peak_mib, group_pids(group))))
        raise AssertionError("no control group counts this container's memory")

    def remove(self) -> None:
        """Ends it."""
        self._docker("rm", "--force", self.container)


def group_pids(group: Path) -> list[int]:
    """The processes of a control group."""
    return [int(pid) for pid in (group / "cgroup.procs").read_text().split()]


def _peak_mib(pid: int) -> float:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def listens(port: int) -> bool:
    """Whether something listens on a loopback port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def wait_for(condition: Callable[[], T], within_s: float = LISTENING_WITHIN_S) -> T:
    """Asks until the answer is true, and gives it; asserts that this comes in time."""
    ends = time.monotonic() + within_s
    while not (answer := condition()):
        assert time.monotonic() < ends, f"not within {within_s:g} s"
        time.sleep(0.05)
    return answer
