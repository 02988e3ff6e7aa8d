"""Run commands as processes that start quickly.

A Python process spends most of a command's time on imports. Here one process imports them once and forks for each
command, so that a test gets a process with its own environment, streams and exit code in a few milliseconds. Tests of
the start of a process, its terminal or its signals use `subprocess`.
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = {"millrace": "app.cli", "handle-lambda-request": "app.cli.lambda_request"}
"""Each command with the module of its `main`, as in pyproject.toml."""
IMPORTED = (*COMMANDS.values(), "app.cli.tree", "boto3", "numpy")
"""Modules that most commands import; not ONNX Runtime, which waits at exit for threads that a fork does not have."""
IMPORT_WITHIN_S = 60


def run_command(
    name: str,
    arguments: Sequence[str],
    *,
    environ: Mapping[str, str] | None = None,
    given: str = "",
    folder: Path | None = None,
    within_s: float = 120,
    memory_bytes: int | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run one of `COMMANDS`, as `subprocess.run` would.

    Args:
        name: The command's name.
        arguments: The arguments after the name.
        environ: Variables to add to this process's environment.
        given: The text on its standard input.
        folder: The folder to start it in; by default the test's current one.
        within_s: Seconds until it is killed.
        memory_bytes: The most that it may allocate; without it as much as it can.
    """
    with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        stdin.write(given.encode())
        stdin.seek(0)
        request = {
            "name": name,
            "arguments": list(arguments),
            "environ": {**os.environ, **(environ or {})},
            "folder": str(folder or Path.cwd()),
            "memory": memory_bytes or resource.RLIM_INFINITY,
        }
        message = json.dumps(request).encode()
        server = _server()
        server.settimeout(IMPORT_WITHIN_S)
        streams = [stdin.fileno(), stdout.fileno(), stderr.fileno()]
        socket.send_fds(server, [len(message).to_bytes(8, "big")], streams)
        server.sendall(message)
        process_id = int.from_bytes(_received(server, 8), "big")
        server.settimeout(within_s)
        try:
            code = int.from_bytes(_received(server, 8), "big", signed=True)
        except TimeoutError:
            os.kill(process_id, 9)
            _received(server, 8)
            raise
        for stream in (stdout, stderr):
            stream.seek(0)
        return subprocess.CompletedProcess(list(arguments), code, stdout.read().decode(), stderr.read().decode())


@functools.cache
def _server() -> socket.socket:
    ours, theirs = socket.socketpair()
    program = f"from tests.commands_for_tests import serve; serve({theirs.fileno()})"
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-P", "-c", program], env=environ, pass_fds=[theirs.fileno()])
    theirs.close()

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def _received(connection: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        part = connection.recv(count - len(found))
        if not part:
            raise EOFError
        found += part
    return found


def serve(descriptor: int) -> None:
    """Fork a process for each request until the other end is closed."""
    for name in IMPORTED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    connection = socket.socket(fileno=descriptor)
    while True:
        header, streams, _, _ = socket.recv_fds(connection, 8, 3)
        if not header:
            return
        request = json.loads(_received(connection, int.from_bytes(header, "big")))
        process_id = os.fork()
        if not process_id:
            break
        for stream in streams:
            os.close(stream)
        connection.sendall(process_id.to_bytes(8, "big"))
        _, status = os.waitpid(process_id, 0)
        connection.sendall(os.waitstatus_to_exitcode(status).to_bytes(8, "big", signed=True))
    connection.close()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(request["environ"])
    os.chdir(request["folder"])
    resource.setrlimit(resource.RLIMIT_DATA, (request["memory"], request["memory"]))
    sys.path[:0] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    sys.argv = [request["name"], *request["arguments"]]
    sys.exit(importlib.import_module(COMMANDS[request["name"]]).main())
