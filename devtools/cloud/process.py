"""Start, find and end processes that outlive the command that started them."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import TYPE_CHECKING

import psutil

from devtools.cloud.state import LOOPBACK, Process, port_dir, private_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from devtools.cloud.services import Service

SAME_START_WITHIN_S = 5  # a stepped clock moves start times a little; pids take far longer to come round
TERMINATE_WITHIN_S = 1  # the Kinesis emulator ignores SIGTERM, so every `down` waits this long
KILL_WITHIN_S = 5  # the kernel's work alone
MARK = "MILLRACE_CLOUD_PROCESS"  # in the environment of a process and its children


_IN_FOLDER = 'umask 077 && cd "$0" && exec "$@"'
"""Starts a program in the folder that is named first, and keeps its files from other users. Not in the caller's folder:
Python would import what stands there."""


def spawn(service: Service, log: Path) -> Process:
    """Start a process that survives Ctrl-C and its parent's end, in the folder of `log`, which gets its output."""
    private_folder(log.parent)
    # Not Popen: it warns when it is collected while its process runs, which is intended here.
    pid = os.posix_spawn(
        "/bin/sh",
        ["/bin/sh", "-c", _IN_FOLDER, str(log.parent), *service.command],
        {**service.environ, MARK: _mark(service.name, service.port)},
        setsid=True,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
    )
    return Process(service.name, pid, psutil.Process(pid).create_time(), service.port, service.host)


def is_alive(process: Process) -> bool:
    """Return whether the process still runs: the one that was started, and no other with its pid."""
    return _find(process) is not None


def memory_bytes(process: Process) -> int:
    """Return the resident memory of the process and its children; 0 when it is gone."""
    found = _find(process)
    total = 0
    for member in _family([found] if found else []):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += member.memory_info().rss
    return total


def stop(processes: Iterable[Process]) -> None:
    """End the processes and their children, and wait until they are gone."""
    stopped = list(processes)
    members = [*{*_family([found for found in map(_find, stopped) if found]), *_marked(stopped)}]
    for member in members:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.terminate()
    _, deaf = psutil.wait_procs(members, TERMINATE_WITHIN_S)
    for member in deaf:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    psutil.wait_procs(deaf, KILL_WITHIN_S)


def free_ports(count: int) -> list[int]:
    """Return ports on loopback that nothing listens on now."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.create_server((LOOPBACK, 0))) for _ in range(count)]
        return [int(one.getsockname()[1]) for one in sockets]


def holder_of(port: int) -> str | None:
    """Return the name and pid of the program that listens on `port`, as far as known; None if it is free."""
    try:
        socket.create_server((LOOPBACK, port)).close()
    except OSError as error:
        with contextlib.suppress(psutil.Error):  # macOS shows other people's sockets to root alone
            for one in psutil.net_connections("tcp"):
                if one.status == psutil.CONN_LISTEN and one.laddr and one.laddr.port == port and one.pid:
                    return f"{psutil.Process(one.pid).name()} (pid {one.pid})"
        return f"another program ({error.strerror})"
    return None


def _find(process: Process) -> psutil.Process | None:
    try:
        found = psutil.Process(process.pid)
        if abs(found.create_time() - process.started_s) > SAME_START_WITHIN_S:
            return None
        if found.status() == psutil.STATUS_ZOMBIE:
            found.wait(0)  # ours and dead: its parent, this process, has to say that it noticed
            return None
        return found if found.environ().get(MARK) == _mark(process.name, process.port) else None
    except (psutil.Error, OSError):  # gone, or another user's
        return None


def _marked(processes: Iterable[Process]) -> Iterator[psutil.Process]:
    """Yield processes with the mark of one of these; children keep it after their parent was killed."""
    marks = {_mark(each.name, each.port) for each in processes}
    for one in psutil.process_iter() if marks else ():
        with contextlib.suppress(psutil.Error, OSError):  # another user's, or just gone
            if one.environ().get(MARK) in marks:
                yield one


def _mark(name: str, port: int) -> str:
    return f"{port_dir(port)}/{name}"


def _family(parents: Iterable[psutil.Process]) -> list[psutil.Process]:
    members = []
    for parent in parents:
        members.append(parent)
        with contextlib.suppress(psutil.NoSuchProcess):
            members += parent.children(recursive=True)
    return members
