"""Describe the programs of a local cloud: how to start each one, and where it answers when ready."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from app.errors import CloudError
from devtools.cloud.routes import BY_KINESIS_EMULATOR, HEALTH
from devtools.cloud.state import LOOPBACK

if TYPE_CHECKING:
    from devtools.cloud.node import Emulator
    from devtools.cloud.state import Kind

ACCOUNTS: dict[Kind, str] = {"moto": "123456789012", "localstack": "000000000000"}
"""The account of each kind of cloud, as its users know it: moto's Lambda refuses roles of another."""
DELAY = "50ms"  # of actions that take AWS seconds: short, but not zero, so that nobody forgets to wait
SHARD_LIMIT = 1000  # the emulator's own 50 are few for a test run that makes a stream a test
HEAP_MIB = 1024  # 50 000 records of a demo take half of it
YOUNG_MIB = 64  # V8's 16 are few for records of a megabyte: they take a third more processor
KEPT_VARIABLES = ("HOME", "LANG", "LC_ALL", "PATH", "TMPDIR")  # a caller's profile or endpoint must not affect it

_DELAYED = (
    "CREATE_STREAM", "DELETE_STREAM", "DEREGISTER_STREAM_CONSUMER", "MERGE_SHARDS", "REGISTER_STREAM_CONSUMER",
    "SPLIT_SHARD", "START_STREAM_ENCRYPTION", "STOP_STREAM_ENCRYPTION", "UPDATE_SHARD_COUNT", "UPDATE_STREAM_MODE",
)  # fmt: skip


@dataclass(frozen=True)
class Service:
    """A program to run.

    Attributes:
        health: The path on its port that answers when it is ready.
        served: The AWS services that the router passes on to it.
    """

    name: str
    port: int
    command: list[str]
    environ: dict[str, str]
    health: str
    served: frozenset[str] = frozenset()
    host: str = LOOPBACK


def kinesis(emulator: Emulator, port: int, tls_port: int) -> Service:
    """Describe the Kinesis emulator. It opens a TLS port too, which nothing here uses."""
    environ = inherited() | {
        "KINESIS_MOCK_PLAIN_PORT": str(port),
        "KINESIS_MOCK_TLS_PORT": str(tls_port),
        "KINESIS_MOCK_CERT_PATH": str(emulator.package / "server.json"),
        "AWS_ACCOUNT_ID": ACCOUNTS["moto"],
        "SHARD_LIMIT": str(SHARD_LIMIT),
        "ON_DEMAND_STREAM_COUNT_LIMIT": str(SHARD_LIMIT),
        "LOG_LEVEL": "ERROR",
    }
    environ |= {f"{what}_DURATION": DELAY for what in _DELAYED}
    command = [
        emulator.node, f"--max-old-space-size={HEAP_MIB}", f"--max-semi-space-size={YOUNG_MIB}",
        "--require", str(emulator.loopback), str(emulator.package / "main.js"),
    ]  # fmt: skip
    return Service("kinesis", port, command, environ, "/healthcheck", BY_KINESIS_EMULATOR)


def aws(port: int, kind: Kind, behind: Service) -> Service:
    """Describe the router: moto, with the Kinesis emulator or LocalStack behind it.

    Raises:
        CloudError: moto is not installed.
    """
    if find_spec("moto") is None:
        raise CloudError("moto is not installed: run scripts/cloud.sh, or pip install -r requirements/cloud.txt")
    environ = inherited() | {
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "MOTO_PORT": str(port),  # state machines call back to it
        "MOTO_ACCOUNT_ID": ACCOUNTS[kind],
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    served = ",".join(sorted(behind.served))
    command = [sys.executable, "-m", "devtools.cloud.router", str(port), behind.host, str(behind.port), served]
    return Service("aws", port, command, environ, HEALTH)


def inherited() -> dict[str, str]:
    """Return the part of the caller's environment that a service keeps."""
    return {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
