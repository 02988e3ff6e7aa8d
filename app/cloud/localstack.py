"""LocalStack without its container, in an environment of its own: the second choice of local cloud.

It needs no token in these versions. It has no DynamoDB here (that wants a Java download) and runs no Lambda functions.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from app.cloud.services import DELAY, SHARD_LIMIT, Service, inherited
from app.cloud.state import locked, port_dir, state_dir
from app.errors import CloudError

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.cloud.node import Emulator

INSTALL_WITHIN_S = 900  # 500 MB: about two minutes on two cores, more on a slow line
ANSWER_WITHIN_S = 10  # an interpreter's start on a cold disk
VERSIONS = {"3.13": "4.14.0", "3.11": "4.8.1"}  # the last with neither token nor container, by the Python it needs


def localstack(port: int, emulator: Emulator, say: Callable[[str], None]) -> Service:
    """LocalStack on `port`, with the Kinesis emulator that it starts itself held to loopback.

    Raises:
        CloudError: No Python fits, or pip could not install.
    """
    python = _install(say)
    root = port_dir(port) / "localstack"
    _place(emulator, root)
    kept = inherited()
    environ = kept | {
        "GATEWAY_LISTEN": f"127.0.0.1:{port}",
        "GATEWAY_SERVER": "hypercorn",  # the default server listens on every address, whatever it is told
        "FILESYSTEM_ROOT": str(root),
        "OVERRIDE_IN_DOCKER": "0",  # a stray /.dockerenv would make it write to /var/lib and /etc
        "DISABLE_EVENTS": "1",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "DNS_ADDRESS": "0",
        "SQS_ENDPOINT_STRATEGY": "path",
        "KINESIS_LATENCY": DELAY.removesuffix("ms"),
        "KINESIS_SHARD_LIMIT": str(SHARD_LIMIT),
        "KINESIS_ON_DEMAND_STREAM_COUNT_LIMIT": str(SHARD_LIMIT),
        "KINESIS_MOCK_VERSION": emulator.version,
        "NODE_OPTIONS": f"--require={emulator.loopback}",
        "PATH": f"{Path(emulator.node).parent}{os.pathsep}{kept.get('PATH', os.defpath)}",  # it runs plain `node`
    }
    # Not its own command, which refuses to start without a container.
    return Service("localstack", port, [python, "-m", "localstack.runtime.main"], environ, "/_localstack/health")


def _install(say: Callable[[str], None]) -> str:
    """The Python of LocalStack's environment, which is made from the committed lock file if it is not there yet."""
    version, base = _find_python()
    requirements = Path(__file__).parent / f"localstack-py{version.replace('.', '')}.txt"
    folder = state_dir() / requirements.stem
    finished = folder / requirements.name
    with locked(state_dir()):
        if not (finished.exists() and finished.read_bytes() == requirements.read_bytes()):
            say(f"installing LocalStack {VERSIONS[version]} into {folder} (once: about two minutes, 500 MB)")
            _pip_install(base, requirements, folder)
            shutil.copyfile(requirements, finished)
    return str(folder / "bin" / "python")


def _find_python() -> tuple[str, str]:
    """The version and path of the first Python that LocalStack can run on, best version first."""
    pyenv = Path.home() / ".pyenv" / "versions"
    for version in VERSIONS:
        installed = sorted(pyenv.glob(f"{version}.*/bin/python"), reverse=True)
        for python in [shutil.which(f"python{version}"), *map(str, installed), sys.executable]:
            if python and _answers(python, version):
                return version, python
    raise CloudError(
        f"LocalStack needs Python {' or '.join(VERSIONS)} on the PATH or in pyenv: "
        "install one, or leave out --localstack"
    )


def _answers(python: str, version: str) -> bool:
    program = "import sys, venv; print('%d.%d' % sys.version_info[:2])"
    try:
        told = subprocess.run(
            [python, "-c", program], capture_output=True, text=True, check=True, timeout=ANSWER_WITHIN_S
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return False  # a version manager's shim with nothing behind it
    return told.strip() == version


def _pip_install(base: str, requirements: Path, folder: Path) -> None:
    log = folder.with_suffix(".log")
    # -I: what a PYTHONPATH holds would count as installed.
    pip = [str(folder / "bin" / "python"), "-I", "-m", "pip", "install", "--require-hashes", "--no-deps"]
    with log.open("wb") as sink:
        for step in ([base, "-m", "venv", "--clear", str(folder)], [*pip, "-r", str(requirements)]):
            try:
                subprocess.run(step, stdout=sink, stderr=subprocess.STDOUT, timeout=INSTALL_WITHIN_S, check=True)
            except (OSError, subprocess.SubprocessError) as error:
                raise CloudError(f"LocalStack could not be installed ({type(error).__name__}): see {log}") from None


def _place(emulator: Emulator, root: Path) -> None:
    """Puts the emulator where LocalStack looks for it: otherwise it would run npm at the first Kinesis call."""
    expected = root / "var" / "lib" / "localstack" / "lib" / "kinesis-local" / emulator.version
    expected.parent.mkdir(parents=True, exist_ok=True)
    expected.unlink(missing_ok=True)
    expected.symlink_to(emulator.folder)
