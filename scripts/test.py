#!/usr/bin/env python3
"""Calls the Lambda handler with the seed's event, or another, and prints what it returns as JSON.

No container and no cloud: unless TEST_RUN says otherwise, nothing is published.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TEST_RUN", "True")

try:
    import msgspec  # noqa: F401 - only to see whether this interpreter has the project's packages
except ModuleNotFoundError:
    own = ROOT / ".venv" / "bin" / "python"
    if own.exists() and Path(sys.prefix) != own.parents[1]:
        os.execv(own, [str(own), *sys.argv])  # noqa: S606 - the project's own interpreter
    sys.exit("test.py: the packages are not installed: run ./scripts/demo.sh once, which makes .venv")

from app.cli.examples import example_event
from app.errors import MillraceError


def main() -> int:
    """Runs the handler; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--event", type=Path, metavar="FILE", help="a Lambda event in JSON; the seed's own without")
    arguments = parser.parse_args()
    try:
        event = json.loads(arguments.event.read_bytes() if arguments.event else example_event())
    except (OSError, ValueError) as error:
        sys.stderr.write(f"test.py: {arguments.event}: {error}\n")
        return 2
    from app.lambda_function import lambda_handler  # noqa: PLC0415 - after the arguments: it loads the model

    try:
        print(json.dumps(lambda_handler(event), indent=2))
    except MillraceError as error:
        sys.stderr.write(f"test.py: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
