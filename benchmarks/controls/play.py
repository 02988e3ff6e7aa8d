"""Play histories of one scenario with one library, in its own environment, and print the traces as JSON.

`python -m benchmarks.controls.play PEER SCENARIO HISTORIES`
"""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import os
import sys
from dataclasses import asdict
from pathlib import Path

PEERS = {
    "millrace": "ours",
    "aws-kinesis-agg": "kinesis_agg",
    "quixstreams": "quix",
    "aws-lambda-powertools": "powertools",
    "async-kinesis": "async_kinesis",
}


def main(peer: str, scenario: str, histories: int) -> None:
    """Play seeds 1 to `histories`."""
    os.environ.update(AWS_ACCESS_KEY_ID="none", AWS_SECRET_ACCESS_KEY="none", AWS_DEFAULT_REGION="us-east-1")  # noqa: S106 - no secret: nothing is called
    logging.disable(logging.CRITICAL)  # libraries log each fault; the trace is what counts
    module = importlib.import_module(f"benchmarks.controls.{PEERS[peer]}")
    with (
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stderr(nowhere),
        contextlib.redirect_stdout(nowhere),
    ):
        traces = [module.play(scenario, seed) for seed in range(1, histories + 1)]
    print(json.dumps([asdict(trace) for trace in traces]))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
