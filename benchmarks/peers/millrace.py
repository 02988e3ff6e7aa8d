"""Run (d): Millrace as deployed, `app.lambda_function`, the pipeline `model`, settings from the environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from app import lambda_function
from benchmarks.contract import Peer

if TYPE_CHECKING:
    from pathlib import Path


def open_peer(_folder: Path) -> Peer:
    """Return the runtime that INIT made; outside Lambda, make it."""
    runtime = lambda_function.lambda_handler.open().runtime  # the process's runtime, whose requests are intercepted

    def handle(event: bytes) -> bytes:
        return msgspec.json.encode(lambda_function.lambda_handler(event))

    return Peer(handle=handle, service=runtime.writer.service)
