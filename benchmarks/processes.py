"""The parent's side: a process for each candidate, the floor and the server, and the environment of all."""

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
LAST_WORDS = 400  # characters of what a process said that ended too early


class BenchmarkError(MillraceError):
    """A candidate could not be measured."""


class Process:
    """A child process that answers a line with a line."""

    def __init__(self, arguments: Sequence[str], environment: dict[str, str]) -> None:
        """Starts it."""
        self._name = " ".join(Path(word).name for word in arguments[-3:])
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._process = subprocess.Popen(  # noqa: S603 - this benchmark's own programs
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            cwd=ROOT,
            env=environment,
            text=True,
        )

    def __enter__(self) -> Self:
        """Gives itself."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Ends it."""
        self.end()

    def ask(self, line: str) -> str:
        """Sends a line and reads the answer."""
        stdin = self._process.stdin
        try:
            if stdin:
                stdin.write(line + "\n")
                stdin.flush()
        except BrokenPipeError:
            pass  # `read` says why
        return self.read()

    def read(self) -> str:
        """Reads one line.

        Raises:
            BenchmarkError: The process has ended instead.
        """
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            self._process.wait()
            self._said.seek(0)
            said = self._said.read().decode(errors="replace").strip()
            last = said.rpartition("\n")[2][-LAST_WORDS:]  # of a stack trace the line that says what it is
            raise BenchmarkError(f"{self._name}: ended with {self._process.returncode}: {last or 'silently'}")
        return line

    def end(self) -> None:
        """Ends it by ending its input, and waits."""
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
        self._said.close()


class Worker(Process):
    """One candidate that is ready."""

    def __init__(
        self,
        name: str,
        folder: Path,
        environment: dict[str, str],
        *options: str,
        say: object = None,
        module: str = "benchmarks.worker",
    ) -> None:
        """Starts it, says what it asks for, and waits until it is ready; `ready` is what it said then."""
        super().__init__([sys.executable, "-m", module, name, str(folder), *options], environment)
        try:
            self.ready: dict[str, Any] = json.loads(self.read() if say is None else self.ask(json.dumps(say)))
        except BaseException:
            self.end()
            raise

    def do(self, what: str, **options: object) -> dict[str, Any]:
        """Gives a command and reads the answer."""
        answer: dict[str, Any] = json.loads(self.ask(json.dumps({"do": what, **options})))
        return answer


def start_server() -> tuple[Process, str]:
    """Starts the server with latency; gives it and its URL."""
    server = Process([sys.executable, "-m", "benchmarks.server", str(LATENCY_MS)], dict(os.environ))
    try:
        return server, f"http://127.0.0.1:{int(server.read())}"
    except BaseException:
        server.end()
        raise


def environment(folder: Path, url: str) -> dict[str, str]:
    """What a deployed function would see, the same for each candidate: one thread, a region, invented credentials."""
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
