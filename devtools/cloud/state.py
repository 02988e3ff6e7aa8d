"""Store the processes that the local cloud started on each port, for later commands.

<state dir>/<port>/state.json   the processes, so that `down` ends them and no others
<state dir>/<port>/*.log        their output
<state dir>/node/               the Kinesis emulator, installed once
<state dir>/localstack-py…/     LocalStack, installed once
"""

from __future__ import annotations

import fcntl
import os
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
        CloudError: The file is not in this version's format.
    """
    path = port_dir(port) / "state.json"
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
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.write_bytes(msgspec.json.format(msgspec.json.encode(state)))
    draft.replace(path)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock `folder`: a second command waits instead of starting or installing twice."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
