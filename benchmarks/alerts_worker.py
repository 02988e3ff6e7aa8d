"""Run one candidate of the alerts' benchmark in its own process: `python -m benchmarks.alerts_worker NAME FOLDER`.

Its first line of output says that it is ready, with its CPU and the number of modules it imported. Each input line is
then a command of the candidate, `{"do": NAME, …}`, and each output line the answer; every candidate has
`{"do": "memory"}`.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import time
from pathlib import Path

from benchmarks.worker import memory


def main(name: str, folder: Path) -> None:
    """Open the candidate and serve commands until standard input ends."""
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # a candidate's own prints must not mix with the answers
    held = set(sys.modules)
    commands = importlib.import_module(f"benchmarks.peers.{name}").open_peer(folder)
    ready = {"cpu_ms": time.process_time() * 1000, "modules": len(set(sys.modules) - held)}
    channel.write(json.dumps({**ready, **memory()}) + "\n")
    gc.collect()
    gc.freeze()  # for every candidate: objects of INIT are not searched at each collection
    for line in sys.stdin:
        options = json.loads(line)
        command = options.pop("do")
        answer = memory() if command == "memory" else commands[command](**options)
        channel.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
