"""Run LocalStack without its container, in its own environment: the second choice of local cloud.

These versions need no token. moto, in front of it, answers for what LocalStack lacks without a container or a licence
(`devtools/cloud/routes.py`).

`python -m devtools.cloud.localstack` installs it, and prints its version and its Python.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from app.errors import CloudError
from devtools.cloud.routes import BY_LOCALSTACK, LACKING
from devtools.cloud.services import DELAY, SHARD_LIMIT, Service, inherited
from devtools.cloud.state import locked, port_dir, state_dir

if TYPE_CHECKING:
    from collections.abc import Callable

    from devtools.cloud.node import Emulator

INSTALL_WITHIN_S = 900  # 500 MB: about two minutes on two cores, more on a slow line
ANSWER_WITHIN_S = 10  # an interpreter's start on a cold disk
VERSIONS = {"3.13": "4.14.0", "3.11": "4.8.1"}  # the last with neither token nor container, by the Python it needs
_MAIN = """
import runpy, sys
from localstack.services.s3 import provider
provider.DEFAULT_S3_TMP_DIR = sys.argv[1]
from localstack.aws.handlers import cors
sys.path.append(sys.argv[2])
from devtools.cloud.guard import fault_of_page
sys.path.pop()
def is_taken(headers):
    fields = {}
    for name, value in headers.items():
        fields.setdefault(name.lower().encode("latin-1"), []).append(value.encode("latin-1"))
    return fault_of_page(b"", fields) is None
cors.CorsEnforcer.is_cors_origin_allowed = staticmethod(is_taken)
runpy.run_module("localstack.runtime.main", run_name="__main__")
"""
"""Starts it: its own command refuses to without a container. It has no setting for where S3 keeps its objects: all
LocalStacks of a machine would share a folder in /tmp, which none of them removes. Its port refuses web pages as the
router's does: its own check lets those of its maker pass, and any `Host`."""
_CODE = Path(__file__).parents[2]
_SHIPPED = Path("usr/lib/localstack")  # the path of its container's programs
ADDRESS = "127.0.0.2"
"""Where LocalStack listens. It calls its own services at `localhost` and its own port, so on the router's port of
another loopback address these calls pass the router too: a state machine finds moto's DynamoDB tables."""


def localstack(port: int, emulator: Emulator, log: Callable[[str], None]) -> Service:
    """Prepare LocalStack behind the router of `port`; the Kinesis emulator that it starts listens on loopback only.

    Raises:
        CloudError: No Python fits, or pip could not install.
    """
    version, folder = install(log)
    root = _root(port)
    _link_programs(root, folder, emulator)
    kept = inherited()
    environ = kept | {
        "GATEWAY_LISTEN": f"{ADDRESS}:{port}",
        "GATEWAY_SERVER": "hypercorn",  # the default server listens on every address, whatever is configured
        "LOCALSTACK_HOST": f"localhost:{port}",  # the host in the URL of a queue
        "HOME": str(root),  # for its caches
        "TMPDIR": str(root / "tmp"),
        **_rooted(root),
        "DISABLE_EVENTS": "1",
        "DISABLE_CORS_HEADERS": "1",
        "DISABLE_CUSTOM_CORS_S3": "1",  # S3 would answer pages whatever the check says
        "DISABLE_CUSTOM_CORS_APIGATEWAY": "1",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "DNS_ADDRESS": "0",
        "SQS_ENDPOINT_STRATEGY": "path",
        "KINESIS_LATENCY": DELAY.removesuffix("ms"),
        "KINESIS_SHARD_LIMIT": str(SHARD_LIMIT),
        "KINESIS_ON_DEMAND_STREAM_COUNT_LIMIT": str(SHARD_LIMIT),
        "KINESIS_MOCK_VERSION": emulator.version,
        "KINESIS_PERSISTENCE": "0",  # it would write all streams to a file every five seconds
        "NODE_OPTIONS": f"--require={emulator.loopback}",
        "PATH": f"{Path(emulator.node).parent}{os.pathsep}{kept.get('PATH', os.defpath)}",  # it runs plain `node`
    }
    command = [str(folder / "bin" / "python"), "-c", _MAIN, str(root / "tmp" / "s3"), str(_CODE)]
    served = BY_LOCALSTACK - LACKING.get(version, frozenset())
    return Service("localstack", port, command, environ, "/_localstack/health", served, ADDRESS)


def install(log: Callable[[str], None]) -> tuple[str, Path]:
    """Return LocalStack's version and its environment, which is made from the committed lock file when missing.

    It goes to `MILLRACE_CLOUD_LOCALSTACK_DIR`, or the state folder.

    Raises:
        CloudError: No Python fits, or pip could not install.
    """
    minor, base = _find_python()
    version = VERSIONS[minor]
    requirements = Path(__file__).parent / f"localstack-py{minor.replace('.', '')}.txt"
    root = Path(os.environ.get("MILLRACE_CLOUD_LOCALSTACK_DIR") or state_dir()).absolute()
    folder = root / requirements.stem
    finished = folder / requirements.name
    with locked(root):
        if not (finished.exists() and finished.read_bytes() == requirements.read_bytes()):
            log(f"installing LocalStack {version} into {folder} (once: about two minutes, 500 MB)")
            _pip_install(base, requirements, folder)
            shutil.copyfile(requirements, finished)
    log(f"LocalStack {version} on Python {minor} ({base})")
    return version, folder


def _find_python() -> tuple[str, str]:
    """Return the version and path of the first Python that LocalStack can run on, best version first."""
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
        found = subprocess.run(
            [python, "-c", program], capture_output=True, text=True, check=True, timeout=ANSWER_WITHIN_S
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return False  # a version manager's shim with nothing behind it
    return found.strip() == version


def _pip_install(base: str, requirements: Path, folder: Path) -> None:
    log = folder.with_suffix(".log")
    python = str(folder / "bin" / "python")
    # -I: what a PYTHONPATH holds would count as installed.
    pip = [python, "-I", "-m", "pip", "install", "--require-hashes", "--no-deps"]
    steps = (
        [base, "-m", "venv", "--clear", str(folder)],
        [*pip, "-r", str(requirements)],
        # An index of all of AWS's operations, which its container ships: else the first request takes fourteen seconds.
        ["mkdir", "-p", str(folder / _SHIPPED)],
        [python, "-I", "-m", "localstack.aws.spec"],
    )
    with log.open("wb") as sink:
        for step in steps:
            try:
                subprocess.run(
                    step,
                    env=os.environ | _rooted(folder),
                    stdout=sink,
                    stderr=subprocess.STDOUT,
                    timeout=INSTALL_WITHIN_S,
                    check=True,
                )
            except (OSError, subprocess.SubprocessError) as error:
                raise CloudError(f"LocalStack could not be installed ({type(error).__name__}): see {log}") from None


def remove_files(port: int) -> None:
    """Remove the files of the LocalStack of `port`, once it has ended."""
    shutil.rmtree(_root(port), ignore_errors=True)


def _root(port: int) -> Path:
    return port_dir(port) / "localstack"


def _rooted(root: Path) -> dict[str, str]:
    """Return the variables that keep LocalStack's files below `root`, in the folders of its container."""
    return {
        "FILESYSTEM_ROOT": str(root),
        "OVERRIDE_IN_DOCKER": "0",  # a stray /.dockerenv would make it write to the real /var/lib and /etc
    }


def _link_programs(root: Path, installed: Path, emulator: Emulator) -> None:
    """Link the installed programs to where LocalStack looks, so that it runs no npm at the first Kinesis call."""
    (root / "tmp").mkdir(parents=True, exist_ok=True)
    for path, found in (
        (_SHIPPED, installed / _SHIPPED),
        (Path("var/lib/localstack/lib/kinesis-local") / emulator.version, emulator.folder),
    ):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).unlink(missing_ok=True)
        (root / path).symlink_to(found)


if __name__ == "__main__":
    try:
        install(print)
    except CloudError as _error:
        sys.exit(f"localstack: {_error}")
