"""Start and drive the processes of the candidates, the floor and the server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from app.errors import MillraceError
from benchmarks.contract import LATENCY_MS, MODEL_NAME, OUTPUT_STREAM, VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parents[1]
LAST_WORDS = 400  # characters of a failed process's standard error to show


class BenchmarkError(MillraceError):
    """A candidate could not be measured."""


class Process:
    """A child process that answers a line with a line."""

    def __init__(self, arguments: Sequence[str], environment: dict[str, str]) -> None:
        """Start the process."""
        self._name = " ".join(Path(word).name for word in arguments[-3:])
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._process = subprocess.Popen(  # noqa: S603 - this benchmark's own programs
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            cwd=ROOT,
            env=environment,
            text=True,
        )

    def __enter__(self) -> Self:
        """Return this process."""
        return self

    def __exit__(self, *_error: object) -> None:
        """End the process."""
        self.end()

    def ask(self, line: str) -> str:
        """Send a line and return the answer."""
        stdin = self._process.stdin
        try:
            if stdin:
                stdin.write(line + "\n")
                stdin.flush()
        except BrokenPipeError:
            pass  # `read` raises the reason
        return self.read()

    def read(self) -> str:
        """Read one line.

        Raises:
            BenchmarkError: The process has ended instead.
        """
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            self._process.wait()
            self._stderr.seek(0)
            text = self._stderr.read().decode(errors="replace").strip()
            last = text.rpartition("\n")[2][-LAST_WORDS:]  # of a stack trace, the line with the error
            raise BenchmarkError(f"{self._name}: ended with {self._process.returncode}: {last or 'silently'}")
        return line

    def end(self) -> None:
        """Close its input, wait until it ends, and kill it after ten seconds."""
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
        self._stderr.close()


class Worker(Process):
    """A candidate's process that is ready for commands."""

    def __init__(
        self,
        name: str,
        folder: Path,
        environment: dict[str, str],
        *options: str,
        request: object = None,
        module: str = "benchmarks.worker",
    ) -> None:
        """Start the process, send it `request` if there is one, and keep its first answer in `ready`."""
        super().__init__([sys.executable, "-m", module, name, str(folder), *options], environment)
        try:
            self.ready: dict[str, Any] = json.loads(self.read() if request is None else self.ask(json.dumps(request)))
        except BaseException:
            self.end()
            raise

    def do(self, command: str, **options: object) -> dict[str, Any]:
        """Send a command and return the answer."""
        answer: dict[str, Any] = json.loads(self.ask(json.dumps({"do": command, **options})))
        return answer


def start_server() -> tuple[Process, str]:
    """Start the server with latency, and return it and its URL."""
    server = Process([sys.executable, "-m", "benchmarks.server", str(LATENCY_MS)], dict(os.environ))
    try:
        return server, f"http://127.0.0.1:{int(server.read())}"
    except BaseException:
        server.end()
        raise


def environment(folder: Path, url: str) -> dict[str, str]:
    """Return the environment of every candidate: a deployed function's, with one thread and invented credentials."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MLFLOW_"))}
    return {
        **kept,
        "AWS_ACCESS_KEY_ID": "benchmark",
        "AWS_SECRET_ACCESS_KEY": "benchmark",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": url,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONWARNINGS": "ignore",
        "PIPELINE": "model",
        "MODEL_NAME": MODEL_NAME,
        "RUN_ID": VERSION,
        "MODEL_LOCATION": str(folder / "bundles"),
        "OUTPUT_STREAM": OUTPUT_STREAM,
        "QUARANTINE_STREAM": "bike-quarantine",
        "PARTIAL_RESPONSES": "True",
        "TEST_RUN": "False",
    }
