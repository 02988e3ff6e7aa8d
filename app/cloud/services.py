"""The programs of a local cloud: how each is started, and where it says that it is ready."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from app.errors import CloudError

if TYPE_CHECKING:
    from app.cloud.node import Emulator

ACCOUNT = "123456789012"  # moto's: it refuses role ARNs of another
DELAY = "50ms"  # of what takes AWS seconds: short, yet not at once, so that nobody forgets to wait
SHARD_LIMIT = 1000  # the emulator's own 50 are few for a test run that makes a stream a test
HEAP_MIB = 1024  # 50 000 records of a demo take half of it
KEPT_VARIABLES = ("HOME", "LANG", "LC_ALL", "PATH", "TMPDIR")  # a caller's profile or endpoint must not steer it

_DELAYED = (
    "CREATE_STREAM", "DELETE_STREAM", "DEREGISTER_STREAM_CONSUMER", "MERGE_SHARDS", "REGISTER_STREAM_CONSUMER",
    "SPLIT_SHARD", "START_STREAM_ENCRYPTION", "STOP_STREAM_ENCRYPTION", "UPDATE_SHARD_COUNT", "UPDATE_STREAM_MODE",
)  # fmt: skip


@dataclass(frozen=True)
class Service:
    """A program to run, and the path on its port that answers once it is ready."""

    name: str
    port: int
    command: list[str]
    environ: dict[str, str]
    health: str


def kinesis(emulator: Emulator, port: int, tls_port: int) -> Service:
    """The Kinesis emulator. It opens a TLS port too, which nothing here uses."""
    environ = inherited() | {
        "KINESIS_MOCK_PLAIN_PORT": str(port),
        "KINESIS_MOCK_TLS_PORT": str(tls_port),
        "KINESIS_MOCK_CERT_PATH": str(emulator.package / "server.json"),
        "AWS_ACCOUNT_ID": ACCOUNT,
        "SHARD_LIMIT": str(SHARD_LIMIT),
        "ON_DEMAND_STREAM_COUNT_LIMIT": str(SHARD_LIMIT),
        "LOG_LEVEL": "ERROR",
    }
    environ |= {f"{what}_DURATION": DELAY for what in _DELAYED}
    command = [
        emulator.node, f"--max-old-space-size={HEAP_MIB}", "--require", str(emulator.loopback),
        str(emulator.package / "main.js"),
    ]  # fmt: skip
    return Service("kinesis", port, command, environ, "/healthcheck")


def aws(port: int, kinesis_port: int) -> Service:
    """The router: moto, with the Kinesis emulator behind it.

    Raises:
        CloudError: moto is not installed.
    """
    if find_spec("moto") is None:
        raise CloudError("moto is not installed: run scripts/cloud.sh, or pip install -r requirements/cloud.txt")
    environ = inherited() | {
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "MOTO_PORT": str(port),  # state machines call back to it
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    command = [sys.executable, "-m", "app.cloud.router", str(port), str(kinesis_port)]
    return Service("aws", port, command, environ, "/moto-api/config")


def inherited() -> dict[str, str]:
    """What a service keeps of the caller's environment."""
    return {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
