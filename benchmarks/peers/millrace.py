"""(d) Millrace as it is deployed: `app.lambda_function`, the pipeline `model`, settings from the environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from app import lambda_function
from benchmarks.contract import Peer

if TYPE_CHECKING:
    from pathlib import Path


def open_peer(_folder: Path) -> Peer:
    """What INIT made, or makes it where this is not Lambda."""
    runtime = lambda_function.lambda_handler.open().runtime  # the one of the process: its wire is watched

    def handle(event: bytes) -> bytes:
        return msgspec.json.encode(lambda_function.lambda_handler(event))

    return Peer(handle=handle, service=runtime.writer.service)
