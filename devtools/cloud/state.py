"""Store the processes that the local cloud started on each port, for later commands.

<state dir>/<port>/state.json   the processes, so that `down` ends them and no others
<state dir>/<port>/*.log        their output
<state dir>/node/               the Kinesis emulator, installed once
<state dir>/localstack-py…/     LocalStack, installed once
"""

from __future__ import annotations

import fcntl
import os
import shlex
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from app.errors import CloudError

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind = Literal["moto", "localstack"]
"""The program behind a local cloud's router: the Kinesis emulator alone, or LocalStack."""

LOOPBACK = "127.0.0.1"
PRIVATE = 0o700
_ROOT = 0  # may do anything anyway
DEFAULT_PORT = 4566  # LocalStack's, where its clients look


class Process(msgspec.Struct, frozen=True):
    """A process that was started, identified by its pid and its start time."""

    name: str
    pid: int
    started_s: float
    port: int
    host: str = LOOPBACK


class State(msgspec.Struct, frozen=True):
    """The processes of one local cloud."""

    kind: Kind
    processes: tuple[Process, ...]


def state_dir() -> Path:
    """Return the folder of all local clouds: `MILLRACE_CLOUD_DIR`, or `.cloud` beside the code."""
    chosen = os.environ.get("MILLRACE_CLOUD_DIR")
    return Path(chosen).absolute() if chosen else Path(__file__).parents[2] / ".cloud"


def port_dir(port: int) -> Path:
    """Return the folder of the local cloud on `port`."""
    return state_dir() / str(port)


def started_ports() -> list[int]:
    """Return the ports of the clouds that this folder started and that were not brought down."""
    return sorted(int(path.parent.name) for path in state_dir().glob("*/state.json") if path.parent.name.isdecimal())


def read_state(port: int) -> State | None:
    """Return the processes that were started on `port`, or None.

    Raises:
        CloudError: The file is not in this version's format, or may be another user's.
    """
    path = port_dir(port) / "state.json"
    if path.exists():
        private_folder(path.parent)
    try:
        return msgspec.json.decode(path.read_bytes(), type=State)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise CloudError(f"{path} cannot be read ({error}): end what it names, then remove it") from None


def write_state(port: int, state: State) -> None:
    """Replace the state of `port`; without processes, remove it."""
    path = port_dir(port) / "state.json"
    if not state.processes:
        path.unlink(missing_ok=True)
        return
    private_folder(path.parent)
    draft = path.with_suffix(".new")
    draft.touch(mode=0o600)
    draft.write_bytes(msgspec.json.format(msgspec.json.encode(state)))
    draft.replace(path)


def private_folder(folder: Path) -> None:
    """Make a folder that only its user may read, with the state folder above it; check both, as ssh does its own.

    Others who may write there could put programs in it that are run, and pids that are ended.

    Raises:
        CloudError: It belongs to another user, or others may write to it.
    """
    for each in (state_dir(), folder):
        each.parent.mkdir(parents=True, exist_ok=True)
        each.mkdir(mode=PRIVATE, exist_ok=True)
        for found in (each.lstat(), each.stat()):  # a link, and what it leads to
            if found.st_uid not in {os.getuid(), _ROOT}:
                raise CloudError(f"{each} belongs to another user: choose a folder of your own with MILLRACE_CLOUD_DIR")
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise CloudError(f"{each} may be written by others: chmod go-w {shlex.quote(str(each))} mends it")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock `folder`: a second command waits instead of starting or installing twice.

    Raises:
        CloudError: The folder is not its user's alone.
    """
    private_folder(folder)
    with os.fdopen(os.open(folder / "lock", os.O_WRONLY | os.O_CREAT, 0o600), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
